"""What notes need from engines. Synchronous CPU work, as in speech."""

from typing import Protocol

from osler.kernel.engine_record import EngineRecord
from osler.notes.model import Finding, Note, VoiceStyle
from osler.notes.templates import Template
from osler.speech.model import Transcript


class FindingExtractor(Protocol):
    """Finds the clinical facts of a visit."""

    @property
    def record(self) -> EngineRecord: ...

    def extract(self, transcript: Transcript) -> list[Finding]:
        """Return the findings in the order in which they were said; the same input gives the same output."""
        ...


class NoteWriter(Protocol):
    """Writes a note from a transcript."""

    @property
    def record(self) -> EngineRecord: ...

    def write(self, transcript: Transcript, template: Template, voice_style: VoiceStyle) -> Note:
        """Return a note in which every sentence has evidence. Raises NoClinicalContentError."""
        ...
