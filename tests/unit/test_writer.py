"""What a grounded note promises, on one visit written by hand and read through the public door."""

import json
import re
from dataclasses import replace
from itertools import pairwise

import pytest

from osler.engines.grounded.writer import GroundedNoteWriter
from osler.kernel.errors import NoClinicalContentError, UnknownNameError
from osler.notes.grounding import check
from osler.notes.model import Note, Verdict, VoiceStyle
from osler.notes.rendering import to_markdown
from osler.notes.service import NoteService, note_to_json
from osler.notes.templates import load_template, template_names
from osler.speech.model import CLINICIAN, PATIENT, Transcript, Turn

DIALOGUE = """
D: Good morning, Mr. Hill. What brings you in today?
P: Um, I've been having these headaches for about three weeks, mostly in the morning.
D: Okay. Where do you feel the pain?
P: It's on the left side, like, behind my eye.
D: Have you had any fever or vomiting?
P: No.
D: Any chest pain?
P: No, no chest pain.
D: Are you still taking the lisinopril ten milligrams once a day?
P: Yeah, I take it every morning.
D: And any allergies to medications?
P: I'm allergic to penicillin.
D: Do you smoke?
P: I quit smoking five years ago.
P: My mother had a stroke when she was sixty.
D: So let me take a listen to your heart. Your blood pressure today is one fifty eight over ninety six.
D: Your lungs are clear, and there is no swelling in your legs.
P: Okay.
D: So let's talk about my assessment and plan. For your first problem, your high blood pressure, I'm going to increase
your lisinopril to twenty milligrams once a day.
D: And I'd like to order a lipid panel.
D: For your headaches, you can take acetaminophen as needed.
D: I want to see you back in two weeks. If the headaches get worse, go to the emergency room.
P: Sounds good. Thank you, doctor.
"""


def read(dialogue: str) -> Transcript:
    """Read ``D:``/``P:`` lines; a line without a speaker goes on."""
    turns: list[Turn] = []
    for line in dialogue.strip().splitlines():
        who, mark, text = line.partition(": ")
        if mark and who in "DP":
            turns.append(Turn(CLINICIAN if who == "D" else PATIENT, text, 4.0 * len(turns), 4.0 * len(turns) + 3))
        else:
            turns[-1] = replace(turns[-1], text=f"{turns[-1].text} {line}")
    return Transcript(tuple(turns))


VISIT = read(DIALOGUE)
SERVICE = NoteService(GroundedNoteWriter())
NOTES = {style: SERVICE.write(VISIT, voice_style=style) for style in VoiceStyle}
NOTE = NOTES[VoiceStyle.GOLDILOCKS]


def section(note: Note, heading: str) -> str:
    return " ".join(s.text for part in note.sections if part.heading == heading for s in part.sentences).lower()


def test_the_complaint_and_its_story_open_the_note() -> None:
    assert "headache" in section(NOTE, "Chief Complaint")
    story = section(NOTE, "History of Present Illness")
    assert "headaches for about 3 weeks" in story and "left side" in story


def test_denied_symptoms_are_in_the_review_of_systems_as_denied() -> None:
    review = section(NOTE, "Review of Systems")
    for symptom in ("fever", "vomiting", "chest pain"):
        assert re.search(rf"denies [^.]*{symptom}", review), symptom
    assert not re.search(r"reports [^.]*(?:fever|vomiting|chest pain)", to_markdown(NOTE).lower())


def test_medicines_and_allergies_are_under_their_headings() -> None:
    assert "lisinopril 10 mg" in section(NOTE, "Medications")
    assert "allergic to penicillin" in section(NOTE, "Allergies")


def test_the_family_s_disease_is_not_the_patient_s() -> None:
    assert "mother had a stroke" in section(NOTE, "Family History")
    assert "stroke" not in section(NOTE, "Past Medical History") + section(NOTE, "Assessment and Plan")


def test_blood_pressure_is_among_the_vitals_and_lungs_in_the_examination() -> None:
    assert section(NOTE, "Vitals") == "blood pressure: 158/96."
    assert "lungs are clear" in section(NOTE, "Physical Examination")


def test_the_plan_holds_the_change_of_medicine_and_the_order() -> None:
    plan = section(NOTE, "Assessment and Plan")
    assert "lisinopril to 20 mg" in plan
    assert "order a lipid panel" in plan
    assert "listen" not in plan


def test_problems_head_their_plans_and_say_that_this_is_inferred() -> None:
    (plan,) = [s for s in NOTE.sections if s.heading == "Assessment and Plan"]
    problems = [s.text for s in plan.sentences if s.is_problem]
    assert problems == ["High blood pressure.", "Headaches."]
    assert all(s.verdict is Verdict.INFERRED for s in plan.sentences if s.is_problem)
    texts = [s.text for s in plan.sentences]
    assert texts.index("High blood pressure.") < texts.index("Order a lipid panel.") < texts.index("Headaches.")


def test_follow_up_and_what_to_do_if_it_gets_worse_are_instructions() -> None:
    instructions = section(NOTE, "Instructions")
    assert "2 weeks" in instructions and "emergency room" in instructions


def test_small_talk_and_greetings_are_not_written() -> None:
    text = to_markdown(NOTE).lower()
    for phrase in ("good morning", "sounds good", "thank you", " um", "mr. hill"):
        assert phrase not in text


def test_the_patient_is_he_because_the_visit_says_mister() -> None:
    assert re.search(r"\b(?:he|his)\b", to_markdown(NOTE).lower())
    assert not re.search(r"\b(?:she|her)\b", section(NOTE, "History of Present Illness"))
    unnamed = SERVICE.write(read(DIALOGUE.replace(", Mr. Hill", "")))
    assert not re.search(r"\b(?:he|his|him)\b", section(unnamed, "History of Present Illness"))


@pytest.mark.parametrize("style", list(VoiceStyle))
def test_every_sentence_has_evidence_that_quotes_exactly(style: VoiceStyle) -> None:
    for sentence in NOTES[style].sentences:
        assert sentence.evidence
        for e in sentence.evidence:
            assert VISIT.turns[e.turn].text[e.start : e.end] == e.quote
            assert (e.audio_start, e.audio_end) == (4.0 * e.turn, 4.0 * e.turn + 3)


@pytest.mark.parametrize("style", list(VoiceStyle))
def test_every_sentence_passes_the_grounding_check(style: VoiceStyle) -> None:
    for sentence in NOTES[style].sentences:
        assert check(sentence.text, [e.quote for e in sentence.evidence]) == []


def test_an_answer_cites_its_question_too() -> None:
    (denial,) = [s for s in NOTE.sentences if s.text.startswith("Denies") and "fever" in s.text]
    quotes = " | ".join(e.quote.lower() for e in denial.evidence)
    assert "fever" in quotes and "no" in quotes


def test_quotes_shuffled_between_sentences_turn_the_check_red() -> None:
    checkable = [
        s
        for s in NOTES[VoiceStyle.SUPER_DETAILED].sentences
        if re.search(r"\d|denies|no |penicillin|left", s.text.lower())
    ]
    assert len(checkable) >= 8
    red = total = 0
    for shift in range(1, len(checkable)):
        for i, sentence in enumerate(checkable):
            other = checkable[(i + shift) % len(checkable)]
            if set(other.evidence) & set(sentence.evidence):
                continue
            total += 1
            red += bool(check(sentence.text, [e.quote for e in other.evidence]))
    assert total >= 40
    assert red / total >= 0.85


def test_a_longer_style_has_more_words_and_everything_that_a_shorter_one_has() -> None:
    order = [VoiceStyle.BRIEF, VoiceStyle.GOLDILOCKS, VoiceStyle.DETAILED, VoiceStyle.SUPER_DETAILED]
    words = [len(to_markdown(NOTES[style]).split()) for style in order]
    assert words == sorted(set(words))
    for shorter, longer in pairwise(order):
        kept = {(s.evidence, s.text.split()[-1]) for s in NOTES[shorter].sentences}
        assert kept <= {(s.evidence, s.text.split()[-1]) for s in NOTES[longer].sentences}


def test_the_shortest_note_keeps_allergy_blood_pressure_and_the_change_of_medicine() -> None:
    text = to_markdown(NOTES[VoiceStyle.BRIEF]).lower()
    for fact in ("penicillin", "158/96", "lisinopril to 20 mg", "emergency room"):
        assert fact in text


@pytest.mark.parametrize("style", list(VoiceStyle))
def test_nothing_is_said_twice(style: VoiceStyle) -> None:
    texts = [s.text.lower() for s in NOTES[style].sentences if not s.is_problem]
    assert len(texts) == len(set(texts))
    assert sum("lipid panel" in t for t in texts) == 1
    assert sum("158/96" in t for t in texts) == 1


@pytest.mark.parametrize("name", template_names())
def test_every_template_holds_the_same_sentences_under_its_own_headings(name: str) -> None:
    note = SERVICE.write(VISIT, template=name)
    headings = [s.heading for s in load_template(name).sections]
    assert [s.heading for s in note.sections] == [h for h in headings if h in {s.heading for s in note.sections}]
    assert {s.evidence for s in note.sentences} == {s.evidence for s in NOTE.sentences}
    assert all(s.sentences for s in note.sections)


def test_json_is_complete() -> None:
    data = json.loads(json.dumps(note_to_json(NOTE)))
    assert data["engine"]["label"] == "grounded"
    assert sum(len(s["sentences"]) for s in data["sections"]) == len(NOTE.sentences)


@pytest.mark.parametrize(
    "dialogue",
    [
        "D: Hello, can you hear me?\nP: Yes, I can hear you.\nD: Lovely weather today.\nP: Yes, we went to the beach.",
        "D: Um.\nP: Mm-hmm.",
    ],
)
def test_a_talk_without_clinical_content_gives_no_note_but_a_line_that_says_so(dialogue: str) -> None:
    with pytest.raises(NoClinicalContentError) as caught:
        SERVICE.write(read(dialogue))
    message = str(caught.value)
    assert "\n" not in message and "recording" in message
    assert "beach" not in message


@pytest.mark.parametrize("transcript", [Transcript(()), Transcript((Turn(PATIENT, "  "),))])
def test_an_empty_transcript_gives_no_note(transcript: Transcript) -> None:
    with pytest.raises(NoClinicalContentError):
        SERVICE.write(transcript)


def test_an_unknown_template_is_refused_before_anything_is_written() -> None:
    with pytest.raises(UnknownNameError):
        SERVICE.write(VISIT, template="nonsense")


def test_an_allergy_is_written_with_what_it_does() -> None:
    note = SERVICE.write(read("D: Are you allergic to anything?\nP: Amoxicillin. It gives me hives."))
    assert section(note, "Allergies") == "allergic to amoxicillin (hives)."


ONE_PROBLEM = """
D: Hello, Mrs. Park. I see you have asthma. How is it going?
P: I've been wheezing at night for two weeks.
D: Your pulse is 80. I'm going to start a steroid inhaler, fluticasone, twice a day.
D: And I'm ordering a chest x-ray.
"""


def test_the_one_problem_that_the_clinician_names_heads_the_plan_as_inferred() -> None:
    plan = next(part for part in SERVICE.write(read(ONE_PROBLEM)).sections if part.heading == "Assessment and Plan")
    assert [s.text for s in plan.sentences if s.is_problem] == ["Asthma."]
    assert plan.sentences[0].is_problem and plan.sentences[0].verdict is Verdict.INFERRED
    assert "asthma" in plan.sentences[0].evidence[0].quote.lower()
    assert "Order a chest x-ray." in [s.text for s in plan.sentences]


def test_a_problem_that_the_plan_comes_back_to_heads_it_once() -> None:
    visit = read(
        """
        P: My back pain is worse and I have migraines.
        D: Let's talk about the plan. For your back pain, I'm going to order an x-ray.
        D: For your migraines, I'm going to start sumatriptan 50 mg as needed.
        D: For your back pain, we'll also start physical therapy.
        """.replace("        ", "")
    )
    headings = [s.text for s in SERVICE.write(visit).sentences if s.is_problem]
    assert sorted(headings) == ["Back pain.", "Migraines."]


@pytest.mark.parametrize(
    ("value", "written", "verdict"),
    [
        ("135/182", "The blood pressure was heard as 135/182; check the recording.", Verdict.INFERRED),
        ("90/90", "The blood pressure was heard as 90/90; check the recording.", Verdict.INFERRED),
        ("135/82", "Blood pressure: 135/82.", Verdict.SUPPORTED),
    ],
)
def test_a_blood_pressure_that_cannot_be_is_no_plain_fact(value: str, written: str, verdict: Verdict) -> None:
    visit = read(f"D: Your blood pressure is {value} today, and your pulse is 72.\nP: I have had a cough for a week.")
    for style in VoiceStyle:
        note = SERVICE.write(visit, voice_style=style)
        assert {(s.text, s.verdict) for s in note.sentences if value in s.text} == {(written, verdict)}


def written_of(visit: str) -> str:
    return to_markdown(SERVICE.write(read(f"P: I have had a cough for a week.\n{visit}")))


@pytest.mark.parametrize(
    ("visit", "kept", "left_out"),
    [
        ("P: I had a fever on Monday. Scratch that, I had a fever on Tuesday.", "Tuesday", "Monday"),
        ("P: I had a fever for two, no wait, three days.", "3 days", "2"),
        ("P: I took my aspirin, no wait, my ibuprofen this morning.", "ibuprofen", "aspirin"),
    ],
)
def test_what_a_speaker_takes_back_is_not_written(visit: str, kept: str, left_out: str) -> None:
    note = written_of(visit)
    assert kept in note and left_out not in note and "wait" not in note.lower()


@pytest.mark.parametrize(
    "talk",
    [
        "D: Bronchitis is when the airways get inflamed, and it can last for weeks.",
        "D: Most coughs are viral, so antibiotics do nothing for them.",
        "D: If a lung is left collapsed, it can scar.",
        "P: My mother is going strong at 92, she plays bridge.",
        "P: My colleague is waiting in the car.",
    ],
)
def test_teaching_and_talk_of_others_are_not_written(talk: str) -> None:
    note = written_of(talk).lower()
    for word in ("inflamed", "viral", "collapsed", "bridge", "colleague"):
        assert word not in note


def test_a_no_that_says_itself_twice_is_a_denial() -> None:
    assert "denies pain at night" in written_of("D: Any pain at night, or in the morning?\nP: No, never at night.")
    assert "denies swelling" not in written_of("D: Any swelling, or redness?\nP: No, just a little swelling.")


@pytest.mark.parametrize(("drug", "does", "reaction"), [("Codeine", "vomit", "vomit"), ("Naproxen", "dizzy", "dizzy")])
def test_a_medicine_that_is_not_borne_is_an_intolerance(drug: str, does: str, reaction: str) -> None:
    note = SERVICE.write(read(f"P: I have had a cough for a week. {drug} makes me {does}."))
    assert section(note, "Allergies") == f"intolerance: {drug.lower()} ({reaction})."


@pytest.mark.parametrize(
    "warning",
    ["If you cough up blood, go to the emergency room.", "If the fever comes back, call our office."],
)
def test_when_to_come_back_is_an_instruction_in_every_style(warning: str) -> None:
    visit = read(f"P: I have had a cough for a week.\nD: Your pulse is 80. Start albuterol as needed.\nD: {warning}")
    end = warning.split(", ")[1].lower()
    for style in VoiceStyle:
        assert end in section(SERVICE.write(visit, voice_style=style), "Instructions")


@pytest.mark.parametrize("talk", ["Metformin works slowly.", "Amoxicillin does nothing for a cold."])
def test_a_medicine_that_a_clinician_only_talks_about_is_not_the_patient_s(talk: str) -> None:
    note = SERVICE.write(read(f"P: I have had a cough for a week. I take lisinopril 10 mg.\nD: {talk}\nP: I see."))
    assert section(note, "Medications") == "lisinopril 10 mg."
