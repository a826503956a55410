"""What the style MY_VOICE takes from a clinician's own notes, and what it never takes."""

import pytest

from osler.engines.grounded.writer import GroundedNoteWriter
from osler.notes.model import Sentence, VoiceStyle
from osler.notes.service import NoteService
from osler.notes.template_library import built_in_templates
from osler.notes.voice import heading_in_voice, in_voice, learn
from osler.notes.writing import VisitSources, VoiceProfile, WritingTask
from osler.speech.model import CLINICIAN, PATIENT, Transcript, Turn

TERSE = """## HPI
Pt has headaches x3 wks. Pt has h/o HTN, BP 158/96. Takes lisinopril 10 mg BID.

## Meds
- lisinopril 10 mg

**A/P**
- RTC in 2 wks.
"""
SAID = """
D: What brings you in today?
P: I've been having headaches for about three weeks, mostly in the morning. I sleep badly. My neck is stiff.
D: Have you had any fever or vomiting?
P: No. I take ibuprofen twice a day.
D: Your blood pressure today is 158 over 96. Your lungs are clear.
D: I'm going to order a lipid panel. I want to see you back in two weeks.
"""
VISIT = Transcript(
    tuple(Turn(CLINICIAN if line[0] == "D" else PATIENT, line[3:]) for line in SAID.strip().splitlines())
)
SERVICE = NoteService(GroundedNoteWriter())
SOAP = built_in_templates()[0].tree


def written(style: VoiceStyle, voice: VoiceProfile | None = None) -> tuple[str, list[Sentence]]:
    parts = list(SERVICE.compose(WritingTask(VisitSources(VISIT), SOAP, "SOAP note", style, voice=voice)))
    return "".join(part.text for part in parts), [s for part in parts for s in part.section.sentences]


def test_headings_abbreviations_and_length_are_learned() -> None:
    voice = learn([TERSE, TERSE, "# Note\nThe patient is well.\n"])
    assert (voice.notes, voice.words) == (3, len(TERSE.split()))
    assert heading_in_voice("Assessment and plan", voice) == "A/P"
    assert heading_in_voice("Medications", voice) == "Meds"
    assert heading_in_voice("Family history", voice) == "Family history"
    assert in_voice("The patient's blood pressure is high.", voice) == "Pt's BP is high."
    assert in_voice("Follow up in 2 weeks.", voice) == "RTC in 2 wks."


def test_a_note_in_html_is_read_as_one_in_markdown() -> None:
    voice = learn(["<h2>A/P</h2><p>Pt is well.<br>BP 120/80</p>"])
    assert heading_in_voice("assessment and plan", voice) == "A/P"
    assert in_voice("The blood pressure is 120/80.", voice) == "The BP is 120/80."


def test_plain_words_that_are_more_usual_stay() -> None:
    voice = learn(["The patient is well.", "The patient coughs.", "Pt is well."])
    assert in_voice("The patient sleeps.", voice) == "The patient sleeps."


@pytest.mark.parametrize("notes", [[], ["", "  \n"]])
def test_without_notes_nothing_is_learned(notes: list[str]) -> None:
    assert learn(notes) == VoiceProfile(0, 0)


def test_nothing_but_the_closed_tables_is_learned() -> None:
    voice = learn(["## Hill family secrets\nMary Hill told of the divorce.\n\n## HPI\nMary Hill has HTN."])
    said = {*voice.headings.values(), *voice.phrases.values()}
    assert said == {"HPI"}


def test_a_profile_from_elsewhere_cannot_bring_other_words() -> None:
    forged = VoiceProfile(1, 50, {}, {"denies": "reports", "fever": "no fever"})
    assert in_voice("Denies fever.", forged) == "Denies fever."


def test_a_note_in_a_voice_has_its_headings_labels_and_words_and_the_evidence_of_any_other() -> None:
    plain, _ = written(VoiceStyle.BRIEF)
    text, sentences = written(VoiceStyle.MY_VOICE, learn([TERSE]))
    assert "\n# A/P\n" in text and "\n- Meds: " in text and "RTC in 2 wks." in text
    assert "\n# Assessment and plan\n" in plain and "Follow up in 2 weeks." in plain
    for sentence in sentences:
        for e in sentence.evidence:
            assert VISIT.turns[e.turn].text[e.start : e.end] == e.quote
        assert sentence.text in text


def test_a_writer_of_long_notes_gets_a_longer_one() -> None:
    brief, _ = written(VoiceStyle.MY_VOICE, VoiceProfile(3, 10))
    long, _ = written(VoiceStyle.MY_VOICE, VoiceProfile(3, 500))
    assert len(long.split()) > len(brief.split())


def test_without_a_profile_my_voice_is_goldilocks() -> None:
    assert written(VoiceStyle.MY_VOICE) == written(VoiceStyle.GOLDILOCKS)
    assert written(VoiceStyle.MY_VOICE, VoiceProfile(0, 0)) == written(VoiceStyle.GOLDILOCKS)
