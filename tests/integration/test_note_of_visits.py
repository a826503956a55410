"""Notes of many visits: exact evidence, grounding, styles and determinism on synthetic and published dialogues."""

import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from osler.engines.grounded.writer import GroundedNoteWriter
from osler.notes.grounding import check
from osler.notes.model import Note, VoiceStyle
from osler.notes.rendering import to_markdown
from osler.notes.service import NoteService
from osler.speech.dialogue import read_transcript
from osler.speech.model import Transcript

SHARED = Path(__file__).resolve().parents[3] / "shared"
SERVICE = NoteService(GroundedNoteWriter())
ORDER = [VoiceStyle.BRIEF, VoiceStyle.GOLDILOCKS, VoiceStyle.DETAILED, VoiceStyle.SUPER_DETAILED]

# Written for these tests, in the manners in which transcripts come: unmarked, tokenised, recognised, three voices.
VISITS = {
    "unmarked": """
[doctor] hi lisa how are you today what's going on with your knee
[patient] i i fell off my bike about two days ago and it's been swollen ever since
[doctor] okay and do you have any numbness or tingling in your foot
[patient] no
[doctor] okay and what have you been taking for the pain
[patient] just ibuprofen twice a day and it helps a little
[doctor] alright so on your right knee exam there is some swelling on the inside of the knee and you have pain
with palpation on the medial aspect i do n't appreciate any instability so the x-ray we did today shows no fracture so i
think you have a sprain of your right knee i'm gon na give you a knee brace and i want you to ice it three times a day
and i'll see you back in two weeks if it does n't get better call me
[patient] sounds good thank you
""",
    "tokenised": """
[doctor] hey , dragon . so mary is a 58-year-old female with a past medical history significant for diabetes , who
presents for follow-up . so mary , how have your sugars been ?
[patient] um , they've been okay . i take my metformin five hundred milligrams , uh , twice a day .
[doctor] okay . any blurry vision or , um , chest pain ?
[patient] no , none of that .
[doctor] okay . so your hemoglobin a1c was 7.2 . your lungs are clear .
[doctor] so for your first problem , your diabetes , i'm gon na go ahead and increase the metformin to 1000 milligrams
twice a day . hey , dragon , order a hemoglobin a1c .
[patient] okay .
""",
    "recognised": """
D: Hello, Mrs. Patel. How can I help you today?
P: Hi, doctor. I've had a sore throat and a cough for four days. I feel very tired.
D: Have you had a temperature?
P: Yes, it was 38.5 last night.
D: Any difficulty breathing?
P: No, not really.
D: Do you have any allergies?
P: I'm allergic to amoxicillin. It gives me a rash.
D: Your oxygen saturation is 98%. I can see your tonsils are red and swollen.
D: I think this is most likely a viral infection. I'd like you to take paracetamol, and drink plenty of fluids.
D: If you are not better in one week, please come back.
""",
    "three voices": """
[clinician] Good morning. What brings Sam in?
[other 1] He's been pulling at his left ear since yesterday and he had a fever of 101.
[clinician] Any vomiting?
[other 1] No.
[patient] My ear hurts.
[clinician] The left eardrum is red and bulging. I'm going to start him on amoxicillin 400 mg twice a day for 10 days.
[clinician] Follow up in two weeks.
""",
    "clinician alone": """
[doctor] Patient is a 71-year-old male with hypertension. Blood pressure today is 142/88. Heart is regular, no murmurs.
Continue amlodipine 5 mg daily. Return in three months.
""",
}
TRANSCRIPTS = {name: read_transcript(text.encode()) for name, text in VISITS.items()}


def broken(note: Note, transcript: Transcript) -> list[str]:
    """Say what is wrong with a note, in kinds and numbers only: never the words of a visit."""
    faults = []
    for i, sentence in enumerate(note.sentences):
        if not sentence.evidence:
            faults.append(f"sentence {i} has no evidence")
        if any(transcript.turns[e.turn].text[e.start : e.end] != e.quote for e in sentence.evidence):
            faults.append(f"sentence {i} misquotes")
        faults += [f"sentence {i}: {m.kind}" for m in check(sentence.text, [e.quote for e in sentence.evidence])]
    texts = [s.text for s in note.sentences if not s.is_problem]
    if len(texts) != len(set(texts)):
        faults.append("a sentence stands twice")
    return faults


@pytest.mark.parametrize("style", ORDER)
@pytest.mark.parametrize("name", VISITS)
def test_every_sentence_is_cited_exactly_and_grounded(name: str, style: VoiceStyle) -> None:
    note = SERVICE.write(TRANSCRIPTS[name], voice_style=style)
    assert note.sentences
    assert broken(note, TRANSCRIPTS[name]) == []


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("unmarked", ["ibuprofen", "knee brace", "no fracture", "denies", "2 weeks", "the right knee"]),
        ("tokenised", ["58-year-old female", "metformin to 1000 mg twice a day", "7.2", "diabetes."]),
        ("recognised", ["sore throat", "38.5", "allergic to amoxicillin", "98%", "come back", "paracetamol"]),
        ("three voices", ["left ear", "amoxicillin 400 mg twice", "2 weeks"]),
        ("clinician alone", ["142/88", "amlodipine 5 mg", "hypertension"]),
    ],
)
def test_the_facts_that_matter_are_in_the_note(name: str, facts: list[str]) -> None:
    text = to_markdown(SERVICE.write(TRANSCRIPTS[name], voice_style=VoiceStyle.DETAILED)).lower()
    assert [fact for fact in facts if fact not in text] == []


@pytest.mark.parametrize("name", VISITS)
def test_a_shorter_note_cites_a_part_of_what_a_longer_one_cites(name: str) -> None:
    notes = [SERVICE.write(TRANSCRIPTS[name], voice_style=style) for style in ORDER]
    for shorter, longer in pairwise(notes):
        assert {s.evidence for s in shorter.sentences} <= {s.evidence for s in longer.sentences}
        assert len(to_markdown(shorter).split()) <= len(to_markdown(longer).split())


def test_two_processes_with_different_hash_seeds_write_the_same_bytes(tmp_path: Path) -> None:
    source = tmp_path / "visit.json"
    source.write_text(json.dumps(TRANSCRIPTS["tokenised"].to_json()), encoding="utf-8")
    program = (
        "import json, sys\n"
        "from osler.engines.grounded.writer import GroundedNoteWriter\n"
        "from osler.notes.service import NoteService, note_to_json\n"
        "from osler.speech.model import Transcript\n"
        "transcript = Transcript.from_json(json.load(open(sys.argv[1], encoding='utf-8')))\n"
        "print(json.dumps(note_to_json(NoteService(GroundedNoteWriter()).write(transcript))))\n"
    )
    written = [
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", program, str(source)],
            capture_output=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    ]
    assert written[0] == written[1] != b""


def shared(relative: str) -> Path:
    """Return a path of the shared test data; skip only where it cannot be expected."""
    path = SHARED / relative
    if not path.exists() and not os.environ.get("CI"):
        pytest.skip("the shared test data is not beside this clone")
    return path


def test_visits_read_by_synthetic_voices_give_grounded_notes() -> None:
    paths = sorted(shared("audio/synthetic").glob("*.json"))
    assert paths
    for path in paths:
        transcript = Transcript.from_json(json.loads(path.read_text(encoding="utf-8")))
        assert broken(SERVICE.write(transcript), transcript) == []


def test_published_validation_dialogues_give_grounded_notes() -> None:
    from osler_evals.train_selection import read_aci

    visits = read_aci(shared("data/aci-bench/valid.csv"))
    assert len(visits) == 20
    for number, visit in enumerate(visits):
        note = SERVICE.write(visit.transcript)
        assert broken(note, visit.transcript) == [], f"dialogue {number}"


def test_on_published_validation_dialogues_each_style_is_longer_than_the_one_before() -> None:
    from osler_evals.train_selection import read_aci

    for number, visit in enumerate(read_aci(shared("data/aci-bench/valid.csv"))[:3]):
        notes = [SERVICE.write(visit.transcript, voice_style=style) for style in ORDER]
        words = [len(to_markdown(note).split()) for note in notes]
        assert words == sorted(set(words)), f"dialogue {number}"
        for shorter, longer in pairwise(notes):
            assert {s.evidence for s in shorter.sentences} <= {s.evidence for s in longer.sentences}, (
                f"dialogue {number}"
            )
