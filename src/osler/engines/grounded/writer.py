"""Writes notes and documents without a language model: every sentence is said, cited and checked."""

from collections.abc import Iterator, Sequence
from typing import Final

from osler.engines.grounded.composing import NOTHING, composed_parts
from osler.engines.grounded.phrasing import Line
from osler.engines.grounded.visit import in_order, length, read_visit, sentences
from osler.kernel.engine_record import EngineRecord
from osler.kernel.errors import NoClinicalContentError
from osler.notes.model import Note, Section, VoiceStyle
from osler.notes.ports import FindingExtractor
from osler.notes.template_placeholders import resolve
from osler.notes.templates import Template
from osler.notes.writing import WritingTask, WrittenPart
from osler.speech.model import CLINICIAN, PATIENT, Transcript, Turn

VERSION: Final = "2"


class GroundedNoteWriter:
    """The deterministic note writer."""

    def __init__(self, extractor: FindingExtractor | None = None) -> None:
        if extractor is None:
            from osler.engines.grounded.findings import GroundedFindingExtractor

            extractor = GroundedFindingExtractor()
        self._extractor = extractor

    @property
    def record(self) -> EngineRecord:
        """What writes the note."""
        return EngineRecord("grounded", VERSION, {"findings": self._extractor.record.label})

    @property
    def languages(self) -> Sequence[str]:
        """English: its lexicons and rules know no other."""
        return ("en",)

    def warm(self) -> None:
        """Load lexicons, weights and ConText by reading a visit of a few words."""
        said = (Turn(CLINICIAN, "Any fever?"), Turn(PATIENT, "No. I take lisinopril 10 mg for my high blood pressure."))
        read_visit(Transcript(said), self._extractor)
        resolve("history of present illness")

    def write(self, transcript: Transcript, template: Template, voice_style: VoiceStyle) -> Note:
        """Return a note in which every sentence has evidence. Raises NoClinicalContentError."""
        visit = read_visit(transcript, self._extractor)
        if not visit.lines:
            raise NoClinicalContentError(NOTHING)
        kept = visit.lines[: length(visit.lines, voice_style)]
        sections = []
        for section in template.sections:
            inside: list[Line] = []
            for part in section.parts:
                inside += in_order([line for line in kept if line.part == part], visit.problems, part)
            if inside:
                sections.append(Section(section.heading, tuple(sentences(inside, visit.reference, voice_style))))
        return Note(tuple(sections), template.name, voice_style, self.record)

    def compose(self, task: WritingTask) -> Iterator[WrittenPart]:
        """Return the parts of a text, each when it is finished. The call itself raises NoClinicalContentError."""
        return composed_parts(task, self._extractor)
