"""Composes a text by a template of the template language: from all that a visit offers to its finished parts."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from osler.engines.grounded.additions import is_command
from osler.engines.grounded.addressing import is_for_patient, is_plain, is_to_patient, of_the_clinic, to_patient
from osler.engines.grounded.asking.editing import in_plain_words
from osler.engines.grounded.layout import arranged, pieces_by_section, with_headings
from osler.engines.grounded.phrasing import Line
from osler.engines.grounded.refining import refined, without_old_dose
from osler.engines.grounded.repetition import content
from osler.engines.grounded.rewriting import NEUTRAL
from osler.engines.grounded.searching import answered_by, measurements_asked
from osler.engines.grounded.sources import Beside, beside, differs
from osler.engines.grounded.visit import LEAST_RANK, Visit, in_order, length, read_visit, sentences
from osler.kernel.errors import NoClinicalContentError
from osler.notes.grounding import check
from osler.notes.model import Section, Sentence, SourceKind, VoiceStyle
from osler.notes.ports import FindingExtractor
from osler.notes.template_filling import Filled, FilledLine, Topic, fill
from osler.notes.template_placeholders import targets_of
from osler.notes.template_rendering import filled_markdown
from osler.notes.template_tree import TemplateText
from osler.notes.templates import part_names
from osler.notes.voice import in_voice
from osler.notes.writing import VoiceProfile, WritingTask, WrittenPart

NOTHING: Final = (
    "Nothing clinical was said in this transcript, so there is no note to write; check that it is the right recording."
)
NOTHING_BESIDE: Final = (
    "This visit has no transcript, and nothing beside it holds what belongs in a note; record it or add what is to be "
    "written."
)
NOT_ASKED_FOR: Final = (
    "Nothing of this visit is what the template asks for, so there is no text to write; choose another template."
)

Place = tuple[str, int]
"""A placeholder's id and the number of its answer."""


def composed_parts(task: WritingTask, extractor: FindingExtractor) -> Iterator[WrittenPart]:
    """Return the parts of the text; raises NoClinicalContentError before the first."""
    visit = refined(read_visit(task.sources.transcript, extractor), task.sources.transcript)
    others = beside(task.sources.others, visit, extractor)
    if not visit.lines and not others.lines:
        raise NoClinicalContentError(NOTHING if task.sources.transcript.turns else NOTHING_BESIDE)
    voice = task.voice if task.voice_style is VoiceStyle.MY_VOICE and task.voice and task.voice.notes else None
    asked = VoiceStyle.GOLDILOCKS if task.voice_style is VoiceStyle.MY_VOICE else task.voice_style
    style = others.steering.style(asked)
    filled, said = _filled(task, visit, others, style, voice)
    if voice is not None and style is asked:
        every = [_filled(task, visit, others, each, voice) for each in LEAST_RANK]
        filled, said = min(every, key=lambda one: abs(len(one[0].text.split()) - voice.words))
    if not said:
        raise NoClinicalContentError(NOT_ASKED_FOR)
    lines = arranged(
        _closed_up(filled.lines, task.template), others.steering.brain or task.brain, targets_of(task.template)
    )
    return _parts(lines if voice is None else with_headings(lines, voice), said)


def _filled(
    task: WritingTask, visit: Visit, others: Beside, style: VoiceStyle, voice: VoiceProfile | None
) -> tuple[Filled, dict[Place, Sentence]]:
    """Fill the template for a style; say which answers are sentences."""
    kept = _kept(visit.lines[: length(visit.lines, style)], others, style)
    ordered = [
        line
        for part in part_names()
        for line in in_order([line for line in kept if line.part == part], visit.problems, part)
    ]
    written: dict[str, Sequence[Sentence]] = {}
    addressed, plain = is_to_patient(task.template), is_plain(task.template)
    if addressed:  # what disagrees is for the clinician to settle before a patient reads it
        ordered = [without_old_dose(line) for line in ordered if is_for_patient(line) and not differs(line)]
    alone = measurements_asked(task.template)
    labels = {use.part.id: use.label.strip(" :*").casefold() for use in task.template.uses()}
    for name, indexes in answered_by(task.template, ordered).items():
        inside = [ordered[index] for index in indexes]
        found = sentences(inside, NEUTRAL if addressed else visit.reference, style)
        if addressed:
            found = [_if_borne(each, of_the_clinic(each.text, [e.quote for e in each.evidence])) for each in found]
            found = [
                _if_borne(each, to_patient(each.text, visit.reference, [e.quote for e in each.evidence]))
                for each in found
            ]
        if plain:
            found = [_if_borne(each, in_plain_words(each.text)) for each in found]
        if voice is not None:
            found = [_if_borne(each, in_voice(each.text, voice)) for each in found]
        written[name] = [_after_label(each, labels[name], name in alone) for each in found]
    answers, said = _answers(task.template, written, task.sources.facts)
    return fill(task.template, answers), said


def _closed_up(lines: Sequence[FilledLine], template: TemplateText) -> list[FilledLine]:
    """Leave out the blank lines that what was left out leaves under headings, where the author has none there."""
    if any(section.heading and section.lines and not section.lines[0].parts for section in template.sections):
        return list(lines)
    return [line for number, line in enumerate(lines) if line.pieces or not (number and lines[number - 1].level)]


def _if_borne(sentence: Sentence, text: str) -> Sentence:
    """Return a sentence in other words, unless its quotes would bear it no more."""
    return sentence if check(text, [e.quote for e in sentence.evidence]) else replace(sentence, text=text)


def _after_label(sentence: Sentence, label: str, alone: bool) -> Sentence:
    """Leave out of a sentence what its label says already: "Pain: Pain, location: ..."; of a measurement, its name."""
    text = sentence.text
    if alone and (match := _MEASURED.fullmatch(text)):
        text = match["value"]
    elif label and text.casefold().startswith((f"{label}, ", f"{label}: ")):
        text = text[len(label) + 2 :]
        text = f"{text[:1].upper()}{text[1:]}"
    return _if_borne(sentence, text) if text else sentence


_MEASURED: Final = re.compile(r"[A-Z][A-Za-z ]+: (?P<value>\d[^:]*?)\.?")


def _kept(said: Sequence[Line], others: Beside, style: VoiceStyle) -> list[Line]:
    """Return the visit's lines of a style with those beside it; what the clinician repeats stands in his words."""
    besides = [line for line in others.lines if line.rank >= LEAST_RANK[style]]
    added = [content(line.text) for line in besides if line.evidence[0].source is SourceKind.ADDITION]
    told = [
        line for line in said if not is_command(line.text) and not any(content(line.text) <= words for words in added)
    ]
    return [line for line in (*told, *besides) if not others.steering.leaves_out(line)]


def _answers(
    template: TemplateText, written: Mapping[str, Sequence[Sentence]], facts: Mapping[str, str]
) -> tuple[dict[str, list[str]], dict[Place, Sentence]]:
    """Return the texts for each placeholder, and which of them are sentences: what is known beforehand is none."""
    answers: dict[str, list[str]] = {}
    said: dict[Place, Sentence] = {}
    for name, targets in targets_of(template).items():
        texts = [facts[target.name] for target in targets if target.is_field and facts.get(target.name, "").strip()]
        texts = [" ".join(text.split()) for text in texts]
        for sentence in written.get(name, ()):
            said[(name, len(texts))] = sentence
            texts.append(Topic(sentence.text) if sentence.is_problem else sentence.text)
        answers[name] = texts
    return answers, said


def _parts(lines: Sequence[FilledLine], said: Mapping[Place, Sentence]) -> Iterator[WrittenPart]:
    for heading, inside in pieces_by_section(lines):
        found = [
            said[(piece.placeholder, piece.answer)]
            for line in inside
            for piece in line.pieces
            if (piece.placeholder, piece.answer) in said
        ]
        yield WrittenPart(filled_markdown(Filled(tuple(inside))), Section(heading, tuple(found)))
