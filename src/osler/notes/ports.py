"""What notes need from engines (synchronous CPU work, as in speech) and from storage."""

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from typing import Protocol

from osler.encounters.model import Encounter, EncounterFilter
from osler.kernel.engine_record import EngineRecord
from osler.kernel.pages import Page, Position
from osler.kernel.transactions import Transaction
from osler.notes.asking import AnswerPart, Question
from osler.notes.forms import FormAnswer, FormQuestion
from osler.notes.model import (
    Document,
    EncounterOverview,
    Finding,
    FormAnswers,
    Note,
    NoteVersion,
    VoiceStyle,
)
from osler.notes.templates import Template
from osler.notes.writing import VisitSources, WritingTask, WrittenPart
from osler.speech.model import Transcript


class FindingExtractor(Protocol):
    """Finds the clinical facts of a visit."""

    @property
    def record(self) -> EngineRecord: ...

    def extract(self, transcript: Transcript) -> list[Finding]:
        """Return the findings in the order in which they were said; the same input gives the same output."""
        ...


class NoteWriter(Protocol):
    """Writes notes and documents. Calls from several threads at once give what they give one after the other."""

    @property
    def record(self) -> EngineRecord: ...

    @property
    def languages(self) -> Sequence[str]:
        """The primary language subtags (ISO 639-1, small letters) that it can write in."""
        ...

    def warm(self) -> None:
        """Load what the first call would load."""
        ...

    def write(self, transcript: Transcript, template: Template, voice_style: VoiceStyle) -> Note:
        """Return a note in which every sentence has evidence. Raises NoClinicalContentError."""
        ...

    def compose(self, task: WritingTask) -> Iterator[WrittenPart]:
        """Return the parts of a text in their order, each when it is finished; every sentence has evidence.

        The call itself raises NoClinicalContentError if the sources hold nothing that the template asks for.
        """
        ...


class FormFiller(Protocol):
    """Answers the questions of forms. Calls from several threads at once give what they give one after the other."""

    @property
    def record(self) -> EngineRecord: ...

    def fill(
        self, sources: VisitSources, questions: Sequence[FormQuestion], visit_day: date
    ) -> Sequence[FormAnswer | None]:
        """Return an answer to each question, each with evidence; None where the visit does not say."""
        ...


class Assistant(Protocol):
    """Answers questions about one visit, and edits texts. As for threads, see :class:`FormFiller`."""

    @property
    def record(self) -> EngineRecord: ...

    def answer(self, question: Question) -> Iterator[AnswerPart]:
        """Return the parts of the answer in their order, at least one; what is said of the visit has evidence."""
        ...


class NoteRepository(Protocol):
    """Versions of consult notes."""

    async def add(self, transaction: Transaction, note: NoteVersion) -> None:
        """Raises ConflictError if the encounter has that version already."""
        ...

    async def current(self, transaction: Transaction, organization_id: str, encounter_id: str) -> NoteVersion | None:
        """Return the encounter's highest version, None before there is one."""
        ...

    async def get(self, transaction: Transaction, organization_id: str, note_id: str) -> NoteVersion:
        """Raises NotFoundError."""
        ...

    async def lock(self, transaction: Transaction, organization_id: str, note_id: str) -> NoteVersion:
        """As get, held against other writers. Raises NotFoundError."""
        ...

    async def save(self, transaction: Transaction, note: NoteVersion) -> None:
        """Raises ErasedError for a text whose key was destroyed."""
        ...

    async def versions(
        self, transaction: Transaction, organization_id: str, encounter_id: str
    ) -> Sequence[NoteVersion]:
        """Return all versions, oldest first."""
        ...

    async def mark_stale(
        self, transaction: Transaction, organization_id: str, encounter_id: str, but_transcript_id: str
    ) -> None:
        """Mark the unsigned notes and documents that rest on another transcript than that one."""
        ...

    async def mark_all_stale(self, transaction: Transaction, organization_id: str, encounter_id: str) -> None:
        """Mark the unsigned notes and documents that the writer made."""
        ...

    async def of_author(
        self, transaction: Transaction, organization_id: str, user_id: str, limit: int
    ) -> Sequence[NoteVersion]:
        """Return the notes that a user edited or signed, newest first, of each encounter the newest such one."""
        ...

    async def sign(
        self, transaction: Transaction, organization_id: str, encounter_id: str, user_id: str, at: datetime
    ) -> Sequence[str]:
        """Sign the newest created note and the created documents that are unsigned; returns their ids."""
        ...


class DocumentRepository(Protocol):
    """Generated documents and answered forms."""

    async def add(self, transaction: Transaction, document: Document) -> None:
        """Raises ConflictError if the encounter has a document of that index."""
        ...

    async def get(
        self, transaction: Transaction, organization_id: str, encounter_id: str, document_id: str
    ) -> Document:
        """Raises NotFoundError."""
        ...

    async def lock(
        self, transaction: Transaction, organization_id: str, encounter_id: str, document_id: str
    ) -> Document:
        """As get, held against other writers. Raises NotFoundError."""
        ...

    async def save(self, transaction: Transaction, document: Document) -> None:
        """Raises ErasedError for a text whose key was destroyed."""
        ...

    async def list(self, transaction: Transaction, organization_id: str, encounter_id: str) -> Sequence[Document]:
        """Return the encounter's documents by index."""
        ...

    async def add_answers(self, transaction: Transaction, answers: FormAnswers) -> None: ...

    async def answers(self, transaction: Transaction, organization_id: str, encounter_id: str) -> Sequence[FormAnswers]:
        """Return the answered forms, oldest first."""
        ...


class OverviewRepository(Protocol):
    """Encounters with what hangs on them, all of one moment."""

    async def of_locked(self, transaction: Transaction, encounter: Encounter) -> EncounterOverview:
        """Return the overview of an encounter that this transaction has locked and to which it has added nothing."""
        ...

    async def get(self, transaction: Transaction, organization_id: str, encounter_id: str) -> EncounterOverview:
        """Raises NotFoundError."""
        ...

    async def list(
        self,
        transaction: Transaction,
        organization_id: str,
        wanted: EncounterFilter,
        *,
        limit: int,
        after: Position | None = None,
        offset: int = 0,
    ) -> Page[EncounterOverview]:
        """Return one page, newest first, in as many statements for two hundred encounters as for one."""
        ...

    async def count(self, transaction: Transaction, organization_id: str, wanted: EncounterFilter) -> int: ...
