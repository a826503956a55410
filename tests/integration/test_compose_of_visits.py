"""Texts of several visits by every template, in every style and form: evidence, grounding, no instruction shown."""

from itertools import cycle

import pytest

from osler.engines.grounded.writer import GroundedNoteWriter
from osler.kernel.errors import NoClinicalContentError
from osler.notes.grounding import check
from osler.notes.model import SourceKind, VoiceStyle
from osler.notes.service import NoteService
from osler.notes.template_library import built_in_templates
from osler.notes.template_model import StoredTemplate
from osler.notes.template_tree import PartKind
from osler.notes.voice import learn
from osler.notes.writing import Brain, Source, VisitSources, WritingTask, WrittenPart
from tests.integration.test_note_of_visits import TRANSCRIPTS

SERVICE = NoteService(GroundedNoteWriter())
VOICE = learn(
    ["## HPI\nPt has h/o HTN, BP high. RTC in 2 wks. Takes meds BID, ibuprofen PRN.\n\n## A/P\n- RTC in 2 wks"]
)
LETTER = Source(
    SourceKind.CONTEXT_DOCUMENT,
    "letter",
    (
        "Discharge summary",
        "Medications:\n- Metformin 850 mg twice daily\n- Ramipril 2.5 mg once daily",
        "Allergies: amoxicillin (rash)\nNo history of asthma.\nLeft knee arthroscopy in 2011.",
    ),
)
ADDED = Source(SourceKind.ADDITION, "", ("Add: BP 130/80 after rest. He does not smoke. Keep it factual, no jargon.",))


def compose(visit: str, template: StoredTemplate, style: VoiceStyle, brain: Brain) -> list[WrittenPart]:
    sources = VisitSources(TRANSCRIPTS[visit], "transcript", (LETTER, ADDED), {"patient_name": "Sam Hill"})
    return list(SERVICE.compose(WritingTask(sources, template.tree, template.name, style, brain, VOICE)))


@pytest.mark.parametrize("visit", TRANSCRIPTS)
def test_no_token_of_any_text_is_without_evidence(visit: str) -> None:
    """Names templates and kinds of faults only: never the words of a visit."""
    faults, written, brains = [], 0, cycle(Brain)
    for template in built_in_templates():
        for style in (VoiceStyle.BRIEF, VoiceStyle.SUPER_DETAILED, VoiceStyle.MY_VOICE):
            try:
                parts = compose(visit, template, style, next(brains))
            except NoClinicalContentError:
                assert template.name == "Medical certificate"
                continue
            for sentence in (sentence for part in parts for sentence in part.section.sentences):
                written += 1
                for e in sentence.evidence:
                    turns = [turn.text for turn in TRANSCRIPTS[visit].turns]
                    texts = {SourceKind.CONTEXT_DOCUMENT: LETTER.paragraphs, SourceKind.ADDITION: ADDED.paragraphs}
                    if texts.get(e.source, turns)[e.turn][e.start : e.end] != e.quote:
                        faults.append(f"{template.name}: a quote is not exact")
                missing = check(sentence.text, [e.quote for e in sentence.evidence])
                faults += [f"{template.name}: {each.kind}" for each in missing]
                if not sentence.evidence:
                    faults.append(f"{template.name}: no evidence")
    assert faults == []
    assert written > 100


@pytest.mark.parametrize("template", built_in_templates(), ids=lambda template: template.name)
def test_no_instruction_and_no_bracket_of_a_template_is_shown(template: StoredTemplate) -> None:
    parts = compose("recognised", template, VoiceStyle.SUPER_DETAILED, Brain.LEFT)
    text = "".join(part.text for part in parts)
    for part in (part for section in template.tree.sections for line in section.lines for part in line.parts):
        if part.kind in (PartKind.INSTRUCTION, PartKind.PLACEHOLDER):
            assert part.source not in text
        if part.kind is PartKind.VERBATIM:
            assert part.text in text


def test_the_same_task_gives_the_same_text() -> None:
    template = built_in_templates()[0]
    once = compose("unmarked", template, VoiceStyle.DETAILED, Brain.RIGHT)
    assert compose("unmarked", template, VoiceStyle.DETAILED, Brain.RIGHT) == once
