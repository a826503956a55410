"""A corrected transcript: what a person left keeps its words, times and doubts; what he wrote has its place."""

import pytest

from osler.kernel.errors import InvalidFieldError
from osler.speech.correction import Correction, TurnCorrection, corrected
from osler.speech.model import Mark, Speaker, Transcript, Turn, Word


def turn(text: str, speaker: str = "patient", start: float = 0.0, marks: tuple[Mark, ...] = ()) -> Turn:
    """Return a turn in which each word takes a second; "10_mg" is one word with a blank in it."""
    words, offset, at = [], 0, start
    for part in text.split():
        shown = part.replace("_", " ")
        words.append(Word(shown, shown, at, at + 1.0, 0.5, offset))
        offset += len(shown) + 1
        at += 1.0
    return Turn(speaker, text.replace("_", " "), start, at, tuple(words), marks)


VISIT = Transcript(
    (
        turn("how are you today", "clinician"),
        turn(
            "I take lisin april 10_mg every day", marks=(Mark(7, 18, "drug", 0.4), Mark(19, 24, "dose", 0.5)), start=4
        ),
        turn("good", "clinician", start=11),
    ),
    (Speaker("clinician", 0.9, 5.0), Speaker("patient", 0.8, 7.0)),
    duration=12.0,
)


def reword(text: str, index: int = 1) -> Turn:
    return corrected(VISIT, Correction(turns=[TurnCorrection(index, text)])).turns[index]


def times(turn: Turn) -> list[tuple[str, float, float]]:
    return [(word.text, word.start, word.end) for word in turn.words]


def test_a_word_in_place_of_two_takes_their_time_and_the_rest_keeps_its_own() -> None:
    now = reword("I take lisinopril 10 mg every day")
    assert times(now) == [
        ("I", 4, 5),
        ("take", 5, 6),
        ("lisinopril", 6, 8),
        ("10 mg", 8, 9),
        ("every", 9, 10),
        ("day", 10, 11),
    ]
    assert [word.probability for word in now.words] == [0.5, 0.5, 1.0, 0.5, 0.5, 0.5]
    assert all(now.text[word.offset : word.offset + len(word.text)] == word.text for word in now.words)
    assert (now.start, now.end) == (4, 11)


def test_a_doubt_goes_with_the_word_that_was_corrected_and_stays_with_what_stands() -> None:
    (mark,) = reword("I take lisinopril 10 mg every day").marks
    assert (mark.kind, mark.start, mark.end) == ("dose", 18, 23)
    assert reword("I take lisin april 20 mg every day").marks == (Mark(7, 18, "drug", 0.4),)


def test_words_that_are_added_lie_between_their_neighbours_and_in_their_order() -> None:
    now = reword("Yes I take lisin april 10 mg every single morning of the day now")
    starts = [word.start for word in now.words]
    assert starts == sorted(starts) and all(4 <= word.start <= word.end <= 11 for word in now.words)
    assert [word.text for word in now.words] == [
        *("Yes", "I", "take", "lisin", "april", "10 mg", "every", "single", "morning", "of", "the", "day", "now")
    ]


def test_half_of_a_word_with_a_blank_in_it_is_a_new_word() -> None:
    now = reword("I take lisin april 20 mg every day")
    assert ("20", 8.0, 8.5) in times(now) and ("mg", 8.5, 9.0) in times(now)


def test_all_words_may_be_others_and_blanks_do_not_count() -> None:
    now = reword("  something \n else\t entirely ")
    assert now.text == "something else entirely"
    assert now.words[0].start == 4 and now.words[-1].end == pytest.approx(11) and now.marks == ()
    assert corrected(VISIT, Correction(turns=[TurnCorrection(0, " how are  you today ")])) is VISIT


def test_a_turn_without_word_times_only_changes_its_text() -> None:
    plain = Transcript((Turn("patient", "it hurts"),))
    now = corrected(plain, Correction(turns=[TurnCorrection(0, "it hurt")])).turns[0]
    assert now == Turn("patient", "it hurt")


def test_two_speakers_are_swapped_at_once_and_are_then_sure() -> None:
    now = corrected(VISIT, Correction({"Clinician": "patient", "patient": "Clinician"}))
    assert [each.speaker for each in now.turns] == ["patient", "clinician", "patient"]
    assert now.speakers == (Speaker("patient", 1.0, 5.0), Speaker("clinician", 1.0, 7.0))
    assert [each.words for each in now.turns] == [each.words for each in VISIT.turns]


def test_one_turn_may_be_anothers_and_a_turn_that_nobody_said_goes() -> None:
    correction = Correction({"patient": "mother"}, [TurnCorrection(2, speaker="PATIENT"), TurnCorrection(0, "")])
    now = corrected(VISIT, correction)
    assert [(each.speaker, each.text) for each in now.turns] == [
        ("mother", "I take lisin april 10 mg every day"),
        ("patient", "good"),
    ]


@pytest.mark.parametrize(
    ("correction", "field"),
    [
        (Correction({"nurse": "patient"}), "speakers"),
        (Correction({"patient": ""}), "speakers"),
        (Correction({"patient": "a\tb: c"}), "speakers"),
        (Correction({"patient": "x" * 65}), "speakers"),
        (Correction(turns=[TurnCorrection(3, "x")]), "turns.0.index"),
        (Correction(turns=[TurnCorrection(-1, "x")]), "turns.0.index"),
        (Correction(turns=[TurnCorrection(0, "x"), TurnCorrection(0, "y")]), "turns.1.index"),
        (Correction(turns=[TurnCorrection(0, "x" * 100_001)]), "turns.0.text"),
        (Correction(turns=[TurnCorrection(0, speaker="\u202e")]), "turns.0.speaker"),
        (Correction(turns=[TurnCorrection(n, "") for n in range(3)]), "turns"),
    ],
)
def test_what_cannot_be_is_named_by_its_field(correction: Correction, field: str) -> None:
    with pytest.raises(InvalidFieldError) as error:
        corrected(VISIT, correction)
    assert error.value.field == field and str(error.value).startswith(f"{field}:")
