"""Promises of turns: text, words, times, marks and speakers fit together and survive JSON."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from osler.speech.attribution import Attribution
from osler.speech.model import CLINICIAN, PATIENT, HeardWord, Mark, Speaker, Transcript, Turn
from osler.speech.turns import build_turns

BOTH = (CLINICIAN, PATIENT)


def heard(*said: tuple[str, float]) -> list[HeardWord]:
    return [HeardWord(text, i * 1.0, i + 0.5, probability) for i, (text, probability) in enumerate(said)]


def sure(text: str) -> list[HeardWord]:
    return heard(*((word, 0.99) for word in text.split()))


def only_turn(words: list[HeardWord]) -> Turn:
    turns, _ = build_turns(words, Attribution((0,) * len(words), (CLINICIAN,), (1.0,)))
    (turn,) = turns
    return turn


def test_a_turn_ends_where_another_speaker_begins_and_starts_with_a_capital() -> None:
    words = sure("any pain? no, none. okay.")
    turns, speakers = build_turns(words, Attribution((0, 0, 1, 1, 0), BOTH, (0.9, 0.8)))
    assert [(t.speaker, t.text, t.start, t.end) for t in turns] == [
        (CLINICIAN, "Any pain?", 0.0, 1.5),
        (PATIENT, "No, none.", 2.0, 3.5),
        (CLINICIAN, "Okay.", 4.0, 4.5),
    ]
    assert speakers == (Speaker(CLINICIAN, 0.9, 2.0), Speaker(PATIENT, 0.8, 1.5))


def test_numbers_are_written_clinically_while_the_words_as_heard_and_their_times_stay() -> None:
    turn = only_turn(sure("it is one forty five over ninety two."))
    assert turn.text == "It is 145/92."
    assert turn.heard == "it is one forty five over ninety two."
    assert turn.seconds_of(turn.text.index("145"), len(turn.text)) == (2.0, 7.5)


@pytest.mark.parametrize(
    ("words", "marks"),
    [
        (heard(("Take", 0.1), ("lisinopril,", 0.4), ("please.", 0.1)), [("lisinopril", "drug", 0.4)]),
        (heard(("five", 0.3), ("milligrams.", 0.9)), [("5 mg", "dose", 0.3)]),
        (heard(("Take", 0.9), ("two", 0.9), ("tablets", 0.5)), [("2 tablets", "dose", 0.5)]),
        (heard(("10mg", 0.2), ("daily", 0.9)), [("10 mg", "dose", 0.2)]),
        (heard(("It", 0.9), ("is", 0.9), ("(98.6).", 0.2)), [("98.6", "number", 0.2)]),
        (heard(("one", 0.9), ("forty", 0.2), ("over", 0.9), ("ninety", 0.9)), [("140/90", "number", 0.2)]),
        (
            heard(
                ("lysinopril,", 0.99),
            ),
            [("Lysinopril", "drug", 0.99)],
        ),
        (heard(("lisinopril", 0.99), ("10", 0.99), ("mg", 0.99), ("mumble", 0.1)), []),
    ],
)
def test_doubtful_drugs_doses_and_numbers_are_marked_and_nothing_else(
    words: list[HeardWord], marks: list[tuple[str, str, float]]
) -> None:
    turn = only_turn(words)
    assert [(turn.text[m.start : m.end], m.kind, m.probability) for m in turn.marks] == marks


def test_a_misheard_drug_is_marked_but_never_replaced() -> None:
    turn = only_turn(sure("I take lysinopril."))
    assert turn.text == "I take lysinopril."
    assert turn.marks == (Mark(7, 17, "drug", 0.99),)


def test_no_words_are_no_turns_and_an_attribution_of_other_words_is_refused() -> None:
    assert build_turns([], Attribution((), (), ())) == ((), ())
    with pytest.raises(ValueError, match="attribution"):
        build_turns(sure("hello"), Attribution((), (), ()))


said = st.lists(
    st.tuples(
        st.sampled_from(
            ["five", "mg", "milligrams,", "ßa", "ninety", "98", ".6", "over", "Ok.", "'no'", "L", "four", "…", "?"]
        ),
        st.integers(0, 2),
        st.floats(0, 1),
    ),
    max_size=14,
)


@given(said)
def test_whatever_is_heard_turns_survive_json_and_keep_every_word(said: list[tuple[str, int, float]]) -> None:
    words = heard(*((text, probability) for text, _, probability in said))
    roles = (CLINICIAN, PATIENT, "other 1")
    turns, speakers = build_turns(words, Attribution(tuple(s for _, s, _ in said), roles, (0.5, 0.5, 0.5)))
    Transcript.from_json(
        json.loads(json.dumps(Transcript(turns, speakers).to_json()))
    )  # refuses offsets that do not fit
    assert " ".join(turn.heard for turn in turns) == " ".join(text for text, _, _ in said)
    for turn in turns:
        assert turn.text == " ".join(word.text for word in turn.words)
        assert all(0 <= m.start < m.end <= len(turn.text) for m in turn.marks)
        assert all(a.end <= b.start for a, b in zip(turn.marks, turn.marks[1:], strict=False))
