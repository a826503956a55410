"""What a text that is composed by a template promises, read through the public door."""

import json
import re
from itertools import pairwise
from pathlib import Path

import pytest

from osler.engines.grounded.addressing import to_patient
from osler.engines.grounded.rewriting import MALE
from osler.engines.grounded.writer import GroundedNoteWriter
from osler.kernel.errors import NoClinicalContentError, UnsupportedLanguageError
from osler.notes.grounding import check
from osler.notes.model import Sentence, VoiceStyle
from osler.notes.service import NoteService
from osler.notes.template_language import parse
from osler.notes.template_library import built_in_templates
from osler.notes.writing import Brain, VisitSources, WritingTask, WrittenPart
from osler.speech.model import CLINICIAN, PATIENT, Transcript, Turn

SAID = """
D: Good morning, Mr. Hill. What brings you in today?
P: I've been having these headaches for about three weeks, mostly in the morning.
D: Where do you feel the pain?
P: It's on the left side, behind my eye. My right knee hurts when I climb stairs.
D: Have you had any fever or vomiting?
P: No.
D: Are you still taking the lisinopril ten milligrams once a day?
P: Yeah, I take it every morning.
D: And any allergies to medications?
P: I'm allergic to penicillin. I quit smoking five years ago. My mother had a stroke when she was sixty.
D: Your blood pressure today is one fifty eight over ninety six. Your lungs are clear.
D: So let's talk about my assessment and plan. For your first problem, your high blood pressure, I'm going to increase \
your lisinopril to twenty milligrams once a day.
D: And I'd like to order a lipid panel.
D: For your headaches, you can take acetaminophen as needed.
D: I want to see you back in two weeks. If the headaches get worse, go to the emergency room.
"""
VISIT = Transcript(
    tuple(
        Turn(CLINICIAN if line[0] == "D" else PATIENT, line[3:], 4.0 * number, 4.0 * number + 3)
        for number, line in enumerate(SAID.strip().splitlines())
    )
)
SAMPLE_VISIT = Path(__file__).parents[2] / "examples" / "sample-visit" / "visit.json"
FACTS = {"patient_name": "Mary *Hill*", "visit_date": "2026-11-22", "organization_name": "Hill Practice"}
SERVICE = NoteService(GroundedNoteWriter())
TEMPLATES = {template.name: template for template in built_in_templates()}
SOAP = TEMPLATES["SOAP note"].text


def compose(
    template: str = SOAP,
    *,
    style: VoiceStyle = VoiceStyle.GOLDILOCKS,
    brain: Brain = Brain.LEFT,
    transcript: Transcript = VISIT,
) -> list[WrittenPart]:
    sources = VisitSources(transcript, "transcript", facts=FACTS)
    return list(SERVICE.compose(WritingTask(sources, parse(template), "A note", style, brain)))


def text_of(parts: list[WrittenPart]) -> str:
    return "".join(part.text for part in parts)


def sentences_of(parts: list[WrittenPart]) -> list[Sentence]:
    return [sentence for part in parts for sentence in part.section.sentences]


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("style", [VoiceStyle.BRIEF, VoiceStyle.DETAILED])
def test_every_sentence_of_every_template_quotes_exactly_and_is_grounded(name: str, style: VoiceStyle) -> None:
    written = sentences_of(compose(TEMPLATES[name].text, style=style))
    assert written
    for sentence in written:
        assert sentence.evidence
        for e in sentence.evidence:
            assert VISIT.turns[e.turn].text[e.start : e.end] == e.quote
        assert not check(sentence.text, [e.quote for e in sentence.evidence]), sentence.text


def test_the_parts_hold_a_section_each_and_make_the_whole_text() -> None:
    parts = compose()
    assert [part.section.heading for part in parts] == [
        "Subjective",
        "Objective",
        "Assessment and plan",
        "Follow-up",
    ]
    text = text_of(parts)
    assert text.startswith("# Subjective\nReason for visit: ") and text.endswith("\n")
    for part in parts:
        for sentence in part.section.sentences:
            assert sentence.text in part.text
    assert "**High blood pressure.**\n- Increase lisinopril to 20 mg once a day.\n" in text
    assert "\n- Vital signs: Blood pressure: 158/96.\n" in text


def test_a_part_is_given_before_the_next_is_made() -> None:
    first = next(SERVICE.compose(WritingTask(VisitSources(VISIT), parse(SOAP), "", VoiceStyle.GOLDILOCKS)))
    assert first.section.heading == "Subjective"


def test_instructions_are_never_shown_and_quoted_text_is_copied() -> None:
    text = text_of(compose('# Plan\n(write it as a poem)\n[plan] (in rhymes)\n\n"Seen and *agreed*."\n'))
    assert "poem" not in text and "rhymes" not in text
    assert text.endswith("\nSeen and *agreed*.\n")


def test_what_the_author_wrote_is_no_sentence() -> None:
    parts = compose('Re: [patient name]\n\n# Plan\n- Agreed today: [plan]\n\n# Farewell\n"With kind regards,"\n')
    assert text_of(parts).startswith("Re: Mary \\*Hill\\*\n\n# Plan\n- Agreed today: ")
    assert not any("Agreed today" in s.text or "regards" in s.text or "Hill" in s.text for s in sentences_of(parts))
    assert parts[-1].section.sentences == ()


def test_an_empty_section_is_dropped() -> None:
    assert "Immunisations" not in text_of(compose("# Immunisations\n[immunisations]\n\n# Plan\n[plan]\n"))


def test_a_placeholder_of_its_own_words_gets_only_what_holds_all_of_them() -> None:
    template = "Knee: [right knee pain when climbing stairs]\nKnee: [right knee]\nEye: [eye colour]\n\n# Story\n[hpi]\n"
    text = text_of(compose(template))
    assert text.count("knee hurts") == 1
    assert re.search(r"^Knee: .*right knee hurts", text)
    assert "Eye:" not in text


def test_left_makes_lists_and_right_paragraphs_of_the_same_sentences() -> None:
    left, right = compose(brain=Brain.LEFT), compose(brain=Brain.RIGHT)
    assert sorted(s.text for s in sentences_of(left)) == sorted(s.text for s in sentences_of(right))
    assert re.search(r"^- .*headaches for about 3 weeks", text_of(left), re.MULTILINE)
    assert re.search(r"^[A-Z].*headaches for about 3 weeks.*\. [A-Z]", text_of(right), re.MULTILINE)
    assert (
        "\n**High blood pressure.** Increase lisinopril to 20 mg once a day. Order a lipid panel.\n\n**Headaches.** "
        in text_of(right)
    )


def test_a_shorter_style_says_part_of_what_a_longer_one_says() -> None:
    order = (VoiceStyle.BRIEF, VoiceStyle.GOLDILOCKS, VoiceStyle.DETAILED, VoiceStyle.SUPER_DETAILED)
    rests = [{s.evidence for s in sentences_of(compose(style=style))} for style in order]
    for shorter, longer in pairwise(rests):
        assert shorter <= longer


def test_nothing_clinical_or_nothing_asked_for_gives_no_text() -> None:
    with pytest.raises(NoClinicalContentError, match="right recording"):
        compose(transcript=Transcript((Turn(CLINICIAN, "Nice weather."),)))
    with pytest.raises(NoClinicalContentError, match="another template"):
        compose("Patient: [patient name]\n\n# Immunisations\n[immunisations]\n")


@pytest.mark.parametrize("code", ["en", "en-GB", "en_US", "EN"])
def test_english_is_written(code: str) -> None:
    SERVICE.check_language(code)


@pytest.mark.parametrize("code", ["de", "fr-CA", "", "english"])
def test_another_language_is_refused_and_said_what_it_needs(code: str) -> None:
    with pytest.raises(UnsupportedLanguageError, match=r"language model .* configured"):
        SERVICE.check_language(code)


def test_a_measurement_that_is_asked_for_by_name_is_given_as_its_value() -> None:
    visit = said("D: Your blood pressure is 158 over 96. Your heart rate is 78. Your temperature is 98.6.")
    text = text_of(
        compose(
            "BP [blood pressure], pulse [pulse], SpO2 [oxygen saturation].\nOthers: [vital signs]\n", transcript=visit
        )
    )
    assert text == "BP 158/96, pulse 78.\nOthers: Temperature: 98.6.\n"
    assert text_of(compose("BP [bp]. SpO2 [spo2].\n", transcript=visit)) == "BP 158/96.\n"


def test_a_label_is_not_said_twice() -> None:
    assert "- Pain: Location: on the left side, behind his eye." in text_of(
        compose(TEMPLATES["Physiotherapy consult"].text)
    )


def test_the_mental_state_takes_no_lungs() -> None:
    assert "# Mental state examination" not in text_of(
        compose("# Mental state examination\n[mental state examination]\n\n# Plan\n[plan]\n")
    )
    seen = said("D: On exam your mood is low and your speech is slow. Your lungs are clear.")
    text = text_of(compose("[mental state examination]\n[hpi]\n", transcript=seen, style=VoiceStyle.SUPER_DETAILED))
    assert "mood is low" in text and "lungs" not in text


def test_a_template_that_asks_for_it_speaks_to_the_patient() -> None:
    text = text_of(compose(TEMPLATES["Patient summary in plain words"].text))
    assert "You have been having these headaches for about 3 weeks" in text
    assert "Your right knee hurts when you climb stairs." in text
    assert "You can take acetaminophen as needed." in text
    assert "The patient" not in text and "Mr. Hill" not in text


@pytest.mark.parametrize(
    ("about", "told"),
    [
        ("The patient has not had fever, and he takes his pills.", "You have not had fever, and you take your pills."),
        ("The patient's mother has diabetes and he worries.", "Your mother has diabetes and he worries."),
        ("Denies fever and chills.", "You reported no fever or chills."),
        ("I will see him in two weeks.", "I will see you in two weeks."),
    ],
)
def test_what_is_told_to_the_patient_names_nobody_else_as_him(about: str, told: str) -> None:
    assert to_patient(about, MALE) == told


def test_a_medicine_whose_dose_the_plan_changes_is_not_listed_as_if_it_stayed() -> None:
    assert "Lisinopril 10 mg daily (changed at this visit)." in text_of(compose(SOAP))


def test_a_patient_reads_no_dose_that_is_not_to_be_taken_any_more() -> None:
    text = text_of(compose(TEMPLATES["Patient summary in plain words"].text))
    assert "Lisinopril (changed at this visit)." in text and "20 mg" in text and "10 mg" not in text


def test_a_template_that_asks_for_plain_words_has_them_and_says_who_orders() -> None:
    seen = said("D: You have hypertension. We're going to order a lipid panel. Any fatigue?", "P: Yes, some fatigue.")
    plain = text_of(compose(TEMPLATES["Patient summary in plain words"].text, transcript=seen))
    assert (
        "We will order a lipid panel" in plain and "igh blood pressure" in plain and "hypertension" not in plain.lower()
    )
    assert "hypertension" in text_of(compose(SOAP, transcript=seen)).lower()


def test_where_it_hurts_is_not_where_the_caller_is() -> None:
    heard = json.loads(SAMPLE_VISIT.read_text(encoding="utf-8"))["turns"]
    seen = Transcript(tuple(Turn(turn["speaker"], turn["text"]) for turn in heard))
    text = text_of(compose(TEMPLATES["Telehealth or phone call"].text, transcript=seen))
    assert "# Call" not in text and "at the back of his head" in text


def test_a_time_that_is_told_apart_from_its_symptom_is_written_with_it() -> None:
    seen = Transcript(
        (
            Turn(CLINICIAN, "What brings you in today?"),
            Turn(PATIENT, "I've been getting headaches, mostly in the morning. For about 2 weeks now."),
        )
    )
    assert "headaches, mostly in the morning, for about 2 weeks now." in text_of(compose(SOAP, transcript=seen))


def test_what_the_patient_blames_on_a_medicine_that_was_asked_for_is_written_with_its_name() -> None:
    seen = said(
        "D: Are you still taking amlodipine? 10 mg once a day?",
        "P: Yes, every morning. I think the swelling started after we went up on that.",
    )
    text = text_of(compose(SOAP, transcript=seen, style=VoiceStyle.SUPER_DETAILED))
    assert "the swelling started after they went up on amlodipine" in text
    assert "Amlodipine 10 mg" in text


def said(*lines: str) -> Transcript:
    """Make a visit of ``D:`` and ``P:`` lines, the first of which tells of headaches."""
    told = ("P: I've been having headaches for about three weeks.", *lines)
    return Transcript(tuple(Turn(CLINICIAN if line[0] == "D" else PATIENT, line[3:]) for line in told))


def test_a_problem_that_the_plan_names_in_passing_heads_its_own_plan() -> None:
    visit = said(
        "D: Okay. How is the asthma? Any wheezing?",
        "P: No.",
        "D: So for your first problem, your migraines, I'm going to order an MRI of the brain.",
        "D: Lastly, for your high blood pressure, I want you to continue the lisinopril 20 milligrams a day.",
    )
    text = text_of(compose(transcript=visit))
    assert re.search(r"\*\*High blood pressure\.\*\*\n- Continue (?:the )?lisinopril 20 mg", text), text
    assert re.search(r"\*\*Migraines\.\*\*\n- Order an MRI of the brain\.\n\n", text), text


def test_what_is_not_to_be_done_is_no_reason_for_a_referral() -> None:
    visit = said(
        "D: My plan is to start propranolol 20 milligrams twice a day.",
        "D: I don't think you need a referral to the neurologist anymore.",
    )
    text = text_of(compose(TEMPLATES["Referral letter"].text, transcript=visit, style=VoiceStyle.SUPER_DETAILED))
    assert "# Reason for referral" not in text
    assert "neurologist" in text.partition("# Assessment and plan so far")[2]


def test_a_suspicion_stands_in_the_assessment_and_speech_to_a_device_nowhere() -> None:
    visit = said(
        "D: Hey dragon, show me the chest x-ray.",
        "D: Other potential causes of the headaches could be stress or dehydration.",
        "D: I'm going to order an mri of the brain in january.",
    )
    text = text_of(compose(transcript=visit, style=VoiceStyle.SUPER_DETAILED))
    assert "how me the" not in text
    assert "Other potential causes of the headaches" in text.partition("# Assessment and plan")[2]
    assert "Order an MRI of the brain in January." in text
