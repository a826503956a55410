"""Note scores against cases counted by hand, and that each falls when the note gets worse."""

from pathlib import Path

import pytest
from osler_evals.note_eval import evaluate_notes, read_encounters, with_quotes_moved
from osler_evals.note_scores import count, plain, repeated, rouge, supported

from osler.kernel.engine_record import EngineRecord
from osler.kernel.errors import InputError, NoClinicalContentError
from osler.notes.model import Evidence, Note, Section, Sentence, VoiceStyle
from osler.speech.model import Transcript, Turn

TRANSCRIPT = Transcript(
    (
        Turn("clinician", "Any chest pain?"),
        Turn("patient", "No. I take five milligrams of amlodipine, and my left ankle swells."),
        Turn("clinician", "Your blood pressure is 145/92."),
    )
)


def _note(*sentences: Sentence) -> Note:
    return Note((Section("HPI", sentences),), "full", VoiceStyle.GOLDILOCKS, EngineRecord("hand", "1"))


def _sentence(text: str, *turns: int) -> Sentence:
    cited = (Evidence.cite(TRANSCRIPT, turn, 0, len(TRANSCRIPT.turns[turn].text)) for turn in turns)
    return Sentence(text, tuple(cited))


def test_rouge_counts_words_pairs_and_lines_without_stemming() -> None:
    scores = rouge("the patient has a cough", "the patient has a fever")
    assert scores.rouge1 == pytest.approx(4 / 5)
    assert scores.rouge2 == pytest.approx(3 / 4)
    assert rouge("he coughs", "he coughed").rouge1 == pytest.approx(1 / 2)
    assert rouge("", "he coughed").rouge1 == 0


def test_rouge_lsum_judges_each_sentence_by_itself() -> None:
    swapped = rouge("She has a cough. He has pain.", "He has pain. She has a cough.")
    assert swapped.rouge_lsum == pytest.approx(1.0)
    assert swapped.rouge2 < 1.0


def test_markdown_marks_are_not_words() -> None:
    assert plain("## Plan\n\n**Cough**\n\n- Rest\n- BP 145/92 \\[high\\], 3 &lt; 4\n") == (
        "Plan\n\nCough\n\nRest\nBP 145/92 [high], 3 < 4\n"
    )


def test_a_faithful_sentence_has_no_unsupported_token() -> None:
    counts = supported("Denies chest pain; takes amlodipine 5 mg.", [t.text for t in TRANSCRIPT.turns[:2]])
    assert dict(counts.critical) == {"number": 1, "unit": 1, "medicine": 1, "side": 0, "negation": 1}
    assert counts.unsupported_rate == 0


@pytest.mark.parametrize(
    ("sentence", "kind"),
    [
        ("BP 146/92.", "number"),
        ("Takes amlodipine 5 mcg.", "unit"),
        ("Takes lisinopril 5 mg.", "medicine"),
        ("Swelling of the right ankle.", "side"),
        ("Blood pressure is not 145/92.", "negation"),
    ],
)
def test_a_changed_number_unit_medicine_side_or_negation_raises_the_unsupported_rate(sentence: str, kind: str) -> None:
    said = "negation" if kind == "negation" else None
    quotes = [TRANSCRIPT.turns[2].text] if said else [turn.text for turn in TRANSCRIPT.turns]
    counts = supported(sentence, quotes)
    assert {k: v for k, v in counts.unsupported_critical.items() if v} == {kind: 1}
    assert counts.unsupported_rate > 0


def test_numbers_count_in_any_spelling() -> None:
    assert (
        supported("BP 145/92, for 1 week.", ["one forty five over ninety two", "for a week now"]).unsupported_rate == 0
    )
    assert supported("For 2 weeks.", ["for a week now"]).unsupported_critical["number"] == 1


def test_right_and_left_that_are_no_sides_do_not_count() -> None:
    assert supported("All right, she has left for home right away.", ["nothing"]).critical["side"] == 0
    assert supported("Right knee pain.", ["nothing"]).critical["side"] == 1


def test_an_invented_content_word_is_unsupported() -> None:
    quotes = [TRANSCRIPT.turns[1].text]
    assert supported("Left ankle swells.", quotes).unsupported_content_rate == 0
    assert supported("Left ankle bleeds.", quotes).unsupported_content_rate == pytest.approx(1 / 3)


def test_evidence_must_be_there_and_quote_exactly() -> None:
    exact = _sentence("Left ankle swells.", 1)
    bare = Sentence("Left ankle swells badly.", ())
    wrong = Sentence("BP 145/92.", (Evidence(2, 0, 4, "your"),))
    outside = Sentence("BP 145/92 again.", (Evidence(9, 0, 4, "Your"),))
    empty = Sentence("BP 145/92 once more.", (Evidence(2, 4, 4, ""),))
    counts = count(_note(exact, bare, wrong, outside, empty), TRANSCRIPT)
    assert (counts.sentences, counts.with_evidence, counts.quoting_exactly) == (5, 4, 1)


def test_quotes_moved_to_other_sentences_raise_the_unsupported_rate() -> None:
    right = _note(_sentence("Takes amlodipine 5 mg.", 1), _sentence("BP 145/92.", 2))
    moved = with_quotes_moved(right)
    assert [sentence.text for sentence in moved.sentences] == [sentence.text for sentence in right.sentences]
    assert count(right, TRANSCRIPT).unsupported_rate == 0
    assert count(moved, TRANSCRIPT).unsupported_rate == 1


def test_a_sentence_said_twice_counts_once_as_repeated() -> None:
    assert repeated(["Denies fever.", "denies fever", "Denies cough."]) == 1
    assert count(_note(_sentence("BP 145/92.", 2), _sentence("BP 145/92.", 2)), TRANSCRIPT).repeated == 1


TABLE = """dataset,encounter_id,dialogue,note
aci,D1,"[doctor] any cough ?
[patient] yes , a dry cough .",The patient has a dry cough.
virtassist,D2,"[doctor] hello .
[patient] hello .",Nothing was found.
"""


def _write(transcript: Transcript) -> Note:
    if "cough" not in transcript.turns[0].text:
        raise NoClinicalContentError("nothing")
    said = transcript.turns[1].text
    return _note(Sentence("The patient has a dry cough.", (Evidence.cite(transcript, 1, 0, len(said)),)))


def test_notes_are_scored_against_the_table_by_subset_with_a_copy_beside_them(tmp_path: Path) -> None:
    (tmp_path / "aci-bench").mkdir()
    (tmp_path / "aci-bench" / "valid.csv").write_text(TABLE)
    report = evaluate_notes(_write, tmp_path, voice_style="GOLDILOCKS")
    assert report.all.encounters == 2
    assert report.all.not_written == 1
    assert report.subsets["virtassist"].rouge.rouge1 == 0
    assert 0.8 < report.subsets["aci"].rouge.rouge1 < 1  # the heading "HPI" is in the note, not in the reference
    assert report.all.rouge.rouge1 == pytest.approx(report.subsets["aci"].rouge.rouge1 / 2)
    assert report.all.counts.quoting_exactly == 1
    assert 0 < report.baselines["copy of the transcript"].rouge.rouge1 < report.subsets["aci"].rouge.rouge1
    text = report.to_text()
    assert "copy of the transcript" in text
    assert "1 notes were not written" in text
    assert evaluate_notes(_write, tmp_path / "aci-bench", voice_style="BRIEF", limit=1).all.encounters == 1


def test_a_missing_or_foreign_table_says_what_is_needed(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no table of that --split"):
        read_encounters(tmp_path, "valid")
    (tmp_path / "valid.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="columns dataset"):
        read_encounters(tmp_path, "valid")
