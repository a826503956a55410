"""Promises of reading transcripts that come as text or JSON."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from osler.kernel.errors import NotATranscriptError
from osler.speech.attribution import Attribution
from osler.speech.dialogue import parse_dialogue, read_transcript
from osler.speech.model import CLINICIAN, PATIENT, HeardWord, Transcript
from osler.speech.rendering import to_text
from osler.speech.turns import build_turns

SAID = "Any chest pain? I take 5 mg  of it, one forty five over ninety two."


@pytest.mark.parametrize(
    ("doctor", "patient"),
    [
        ("[doctor] ", "[patient] "),
        ("[Doctor]: ", "[PATIENT]: "),
        ("D: ", "P: "),
        ("d : ", "p : "),
        ("Doctor: ", "Patient: "),
        ("DR: ", "PT: "),
        ("Dr. Smith: ", "Patient: "),
        ("Clinician: ", "Patient: "),
        ("[00:01:02] Clinician: ", "[00:01:05] Patient: "),
        ("**Doctor:** ", "**Patient:** "),
    ],
)
def test_every_label_form_names_clinician_and_patient_and_keeps_the_words(doctor: str, patient: str) -> None:
    transcript = parse_dialogue(f"{doctor}{SAID}\n\n{patient}No.\n")
    assert [(t.speaker, t.text, t.start, t.end, t.words) for t in transcript.turns] == [
        (CLINICIAN, SAID, None, None, ()),
        (PATIENT, "No.", None, None, ()),
    ]
    assert [(s.label, s.confidence) for s in transcript.speakers] == [(CLINICIAN, 1.0), (PATIENT, 1.0)]


@pytest.mark.parametrize(
    "label", ["Guest_family:", "[patient_guest]", "Gest_family:", "Mother:", "Interpreter:", "Doctor_2:"]
)
def test_a_companion_or_second_clinician_is_neither_clinician_nor_patient(label: str) -> None:
    transcript = parse_dialogue(f"Doctor: Hello.\n{label} Hi.\nPatient: Hi.\nNurse: Hello.")
    assert [t.speaker for t in transcript.turns] == [CLINICIAN, "other 1", PATIENT, "other 2"]


def test_lines_without_a_label_go_on_with_the_turn_before_them() -> None:
    transcript = parse_dialogue("D: Well,\n\n  let me see: it is 98.6.\nP: Fine.")
    assert transcript.turns[0].text == "Well, let me see: it is 98.6."


def test_lines_before_the_first_speaker_are_left_out_with_a_warning() -> None:
    transcript = parse_dialogue("Visit transcript\nD: Hello.\nP: Hello.")
    assert len(transcript.turns) == 2
    assert transcript.warnings == ("1 line(s) before the first speaker were left out.",)


@pytest.mark.parametrize("labels", [("Speaker 1", "Speaker 2"), ("SPEAKER_00", "SPEAKER_01"), ("Anna", "Mr. Jones")])
@pytest.mark.parametrize("doctor_first", [True, False])
def test_speakers_without_a_role_get_it_by_what_they_say(labels: tuple[str, str], doctor_first: bool) -> None:
    asked = [
        "What brings you in today?",
        "Any fever or chills?",
        "I'm going to listen to your lungs. Take a deep breath.",
    ]
    said = ["I've had this cough for two weeks.", "No, I haven't noticed any.", "My chest hurts when I do that."]
    doctor, patient = labels if doctor_first else labels[::-1]
    lines = [line for a, b in zip(asked, said, strict=True) for line in (f"{doctor}: {a}", f"{patient}: {b}")]
    transcript = parse_dialogue("\n".join(lines))
    assert [t.speaker for t in transcript.turns] == [CLINICIAN, PATIENT] * 3
    assert all(0.5 < s.confidence < 1 for s in transcript.speakers)


@pytest.mark.parametrize(
    "prose",
    [
        "The patient was seen today. Plan: continue lisinopril.\nNote: he is well.",
        "S: cough\nO: lungs clear\nA: viral\nP: fluids",
        "Assessment: cough\nPlan: rest\nAssessment: fever\nPlan: fluids",
        "Remember: 3 things.\nRemember: nothing.",
        "x",
    ],
)
def test_prose_and_notes_are_no_transcript_and_the_one_line_error_says_which_forms_are_read(prose: str) -> None:
    with pytest.raises(NotATranscriptError) as error:
        parse_dialogue(prose)
    assert "[doctor]" in str(error.value)
    assert "\n" not in str(error.value)
    assert "cough" not in str(error.value)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "latin-1"])
def test_text_files_are_read_in_the_usual_encodings(encoding: str) -> None:
    data = "D: Any café au lait spots?\r\nP: No.".encode(encoding)
    assert [t.text for t in read_transcript(data).turns] == ["Any café au lait spots?", "No."]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b" \n",
        b"\x00\x01\x02\x03",
        b"ID3\x04\x00\x00",
        b"\x89PNG\r\n\x1a\n\x00",
        b'{"turns": [',
        b"{}",
        b"[1, 2]",
        b"[",
        b'{"turns": [{"speaker": "D"}]}',
        b'{"turns": [{"speaker": "D", "text": "\\ud800"}]}',
        b"[" * 100_000,
        b"\xff\xfeA",
    ],
)
def test_what_is_no_transcript_is_refused_with_one_line(data: bytes) -> None:
    with pytest.raises(NotATranscriptError) as error:
        read_transcript(data)
    assert "\n" not in str(error.value)


def test_json_speakers_are_named_by_role_and_times_are_kept() -> None:
    turns = [
        {"speaker": "Doctor", "text": "Any fevers?", "start": 0.5, "end": 1.5},
        {"speaker": "Patient", "text": "No.", "start": 2.0, "end": 2.25},
    ]
    transcript = read_transcript(json.dumps({"turns": turns}).encode())
    assert [(t.speaker, t.start) for t in transcript.turns] == [(CLINICIAN, 0.5), (PATIENT, 2.0)]
    assert [(s.label, s.seconds) for s in transcript.speakers] == [(CLINICIAN, 1.0), (PATIENT, 0.25)]


def test_oslers_own_json_comes_back_without_loss_and_its_own_text_with_the_same_turns() -> None:
    said = ["Take", "five", "milligrams", "of", "lisinopril.", "Okay."]
    words = [HeardWord(text, float(i), i + 0.5, 0.3) for i, text in enumerate(said)]
    turns, speakers = build_turns(words, Attribution((0, 0, 0, 0, 0, 1), (CLINICIAN, PATIENT), (0.9, 0.8)))
    transcript = Transcript(turns, speakers, duration=6.0)
    assert read_transcript(json.dumps(transcript.to_json()).encode()) == transcript
    again = read_transcript(to_text(transcript).encode())
    assert [(t.speaker, t.text) for t in again.turns] == [(t.speaker, t.text) for t in turns]


@given(
    st.lists(
        st.tuples(st.sampled_from(["D", "P"]), st.from_regex(r"[a-z][a-z0-9 ,.?']{0,30}[a-z.]", fullmatch=True)),
        min_size=2,
    )
)
def test_no_turn_is_lost_or_changed(turns: list[tuple[str, str]]) -> None:
    turns = [("D", "Hello."), ("P", "Hi."), *turns]
    transcript = parse_dialogue("\n".join(f"{label}: {text}" for label, text in turns))
    assert [(t.speaker[0], t.text) for t in transcript.turns] == [({"D": "c", "P": "p"}[a], b) for a, b in turns]


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused_never_a_crash(data: bytes) -> None:
    try:
        transcript = read_transcript(data)
    except NotATranscriptError:
        return
    assert isinstance(transcript, Transcript)
