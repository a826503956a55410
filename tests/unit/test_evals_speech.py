"""Speech scores against cases counted by hand, and that each falls when the transcript gets worse."""

import json
from pathlib import Path

import pytest
from osler_evals.speech_eval import evaluate_speech, read_references, read_turns, score
from osler_evals.speech_scores import Said, diarization_errors, normalized, role_hits, word_errors

from osler.kernel.errors import InputError
from osler.speech.model import Transcript, Turn, Word

REFERENCE = (
    Said("clinician", "Any chest pain today?", 0.0, 2.0),
    Said("patient", "No, only a dry cough.", 2.0, 4.0),
    Said("clinician", "I see. Come back in a week.", 4.0, 6.0),
)


def test_word_errors_counts_each_kind() -> None:
    errors = word_errors(
        "please take the white tablets before every single long meal with cold water",
        "please take the blue tablets before every long meal with very cold water",
    )
    assert (errors.words, errors.substitutions, errors.deletions, errors.insertions) == (13, 1, 1, 1)
    assert errors.rate == pytest.approx(3 / 13)


def test_word_errors_forgives_what_the_whisper_normaliser_forgives_and_nothing_else() -> None:
    assert normalized("Um, I'm taking FIVE milligrams.") == normalized("i am taking 5 milligrams")
    assert word_errors("five milligrams", "fifty milligrams").rate == pytest.approx(0.5)


def test_word_errors_add_up_as_counts_not_as_rates() -> None:
    total = word_errors("he sleeps rather badly", "he sleeps rather badly") + word_errors("cough", "coffee")
    assert total.rate == pytest.approx(1 / 5)


def test_hearing_words_where_none_were_said_is_an_error() -> None:
    assert word_errors("", "").rate == 0
    assert word_errors("", "thank you for watching").rate == 1


def test_diarization_is_perfect_whatever_the_speakers_are_called() -> None:
    renamed = tuple(Said("A" if t.speaker == "clinician" else "B", t.text, t.start, t.end) for t in REFERENCE)
    assert diarization_errors(REFERENCE, renamed, seconds=6.0).rate == 0


def test_diarization_counts_missed_false_and_confused_seconds() -> None:
    turns = (
        Said("clinician", "", 0.0, 2.5),  # 0.5 s of the patient's
        Said("patient", "", 2.5, 4.0),
        Said("clinician", "", 4.5, 6.0),  # 0.5 s missed
        Said("patient", "", 6.2, 6.6),  # 0.4 s of silence
    )
    errors = diarization_errors(REFERENCE, turns, seconds=7.0)
    assert errors.total == pytest.approx(6.0)
    assert errors.confusion == pytest.approx(0.5)
    assert errors.missed == pytest.approx(0.5)
    assert errors.false_alarm == pytest.approx(0.4)
    assert errors.rate == pytest.approx(1.4 / 6)


def test_the_collar_forgives_a_quarter_second_on_either_side_and_no_more() -> None:
    def shifted(by: float) -> tuple[Said, ...]:
        return (Said("clinician", "", 0.0, 2.0 + by), Said("patient", "", 2.0 + by, 4.0), REFERENCE[2])

    assert diarization_errors(REFERENCE, shifted(0.24), seconds=6.0, collar=0.25).rate == 0
    assert diarization_errors(REFERENCE, shifted(-0.24), seconds=6.0, collar=0.25).rate == 0
    late = diarization_errors(REFERENCE, shifted(0.4), seconds=6.0, collar=0.25)
    assert late.confusion == pytest.approx(0.15)


def test_overlapped_speech_is_scored() -> None:
    reference = (Said("clinician", "", 0.0, 3.0), Said("patient", "", 2.0, 4.0))
    alone = (Said("clinician", "", 0.0, 3.0), Said("patient", "", 3.0, 4.0))
    errors = diarization_errors(reference, alone, seconds=4.0)
    assert errors.total == pytest.approx(5.0)
    assert errors.missed == pytest.approx(1.0)


def test_role_accuracy_falls_by_the_words_given_to_the_wrong_role() -> None:
    assert role_hits(REFERENCE, REFERENCE).accuracy == 1
    swapped = (REFERENCE[0], Said("clinician", REFERENCE[1].text, 2.0, 4.0), REFERENCE[2])
    hits = role_hits(REFERENCE, swapped)
    assert hits.aligned - hits.right == len(normalized(REFERENCE[1].text).split())


def test_roles_exchanged_throughout_score_nothing() -> None:
    names = {"clinician": "patient", "patient": "clinician"}
    exchanged = [Said(names[t.speaker], t.text, t.start, t.end) for t in REFERENCE]
    assert role_hits(REFERENCE, exchanged).accuracy == 0


def test_roles_follow_the_words_through_insertions_and_deletions() -> None:
    turns = (
        Said("clinician", "chest pain today", 0.0, 2.0),
        Said("patient", "no only a really dry dry cough", 2.0, 4.0),
        Said("clinician", "I see. Come back in a week.", 4.0, 6.0),
    )
    hits = role_hits(REFERENCE, turns)
    assert hits.accuracy == 1
    assert hits.aligned < sum(len(t.text.split()) for t in turns)


def test_which_further_person_is_number_one_is_not_judged_but_who_is_the_clinician_is() -> None:
    reference = (Said("other 1", "he fell twice", 0, 1), Said("other 2", "call me later", 1, 2), REFERENCE[0])
    renumbered = (Said("other 2", "he fell twice", 0, 1), Said("other 1", "call me later", 1, 2), REFERENCE[0])
    assert role_hits(reference, renumbered).accuracy == 1
    as_patient = (Said("patient", "he fell twice", 0, 1), *renumbered[1:])
    assert role_hits(reference, as_patient).accuracy < 1


def test_heard_words_and_written_words_are_scored_apart() -> None:
    heard = ("one", "forty", "five", "over", "ninety", "two")
    words = (Word("145/92", " ".join(heard), 0.0, 2.0, 0.9, 0),)
    transcript = Transcript((Turn("clinician", "145/92", 0.0, 2.0, words),), duration=2.0)
    reference = (Said("clinician", "one forty five over ninety two", 0.0, 2.0),)
    scores = score(reference, transcript, elapsed=0.5)
    assert scores.heard.rate == 0
    assert scores.written.rate > 0
    assert scores.real_time_factor == pytest.approx(0.25)


class Echo:
    """A speech service that says what it is told to."""

    def __init__(self, transcript: Transcript) -> None:
        self.transcript = transcript

    def transcribe(self, path: Path, **_: object) -> Transcript:
        return self.transcript


def _pair(folder: Path, name: str, data: object) -> None:
    (folder / f"{name}.wav").write_bytes(b"RIFF")
    (folder / f"{name}.json").write_text(json.dumps(data))


def test_a_folder_is_scored_pair_by_pair_and_what_is_no_pair_is_named_with_its_reason(tmp_path: Path) -> None:
    turns = [{"speaker": t.speaker, "text": t.text, "start": t.start, "end": t.end} for t in REFERENCE]
    _pair(tmp_path, "good", {"turns": turns})
    _pair(tmp_path, "empty", {"turns": []})
    _pair(tmp_path, "backwards", {"turns": [{**turns[0], "start": 3.0}]})
    _pair(tmp_path, "other", ["no", "turns"])
    (tmp_path / "alone.ogg").write_bytes(b"OggS")
    (tmp_path / "stray.json").write_text("{}")
    said = Transcript(tuple(Turn(t.speaker, t.text, t.start, t.end) for t in REFERENCE), duration=6.0)

    report = evaluate_speech(lambda: Echo(said), tmp_path, model="echo")

    assert list(report.rows) == ["good"]
    assert report.total.heard.rate == report.total.der.rate == 0
    assert set(report.problems) == {"alone.ogg", "empty.wav", "backwards.wav", "other.wav", "stray.json"}
    assert "good" in report.to_text()
    assert "alone.ogg: left out, it has no JSON of its turns beside it" in report.to_text()
    assert json.loads(json.dumps(report.to_json()))["total"]["role_accuracy"] == 1


def test_a_folder_without_pairs_says_what_it_needs(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="needs recordings with a JSON"):
        evaluate_speech(lambda: Echo(Transcript(())), tmp_path, model="echo")
    with pytest.raises(InputError, match="cannot be read"):
        read_references(tmp_path / "nowhere")


def test_a_broken_reference_is_told_without_its_words(tmp_path: Path) -> None:
    path = tmp_path / "visit.json"
    path.write_text('{"turns": [{"speaker": "patient", "text": "my secret", "start": "soon"}]}')
    with pytest.raises(InputError) as raised:
        read_turns(path)
    assert "secret" not in str(raised.value)
