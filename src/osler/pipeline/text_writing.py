"""What the arrows to a note and to a document have in common: taken up, written, stored, released; or failed."""

from abc import ABC, abstractmethod
from typing import ClassVar, Generic, TypedDict, TypeVar, Unpack

from osler.audit.model import SYSTEM, AuditEvent, Outcome
from osler.audit.ports import AuditTrail
from osler.encounters.model import Encounter, EncounterState
from osler.encounters.ports import EncounterRepository
from osler.kernel.clock import Clock
from osler.kernel.jobs import Job
from osler.kernel.transactions import Database, Transaction
from osler.notes.model import Document, NoteVersion, TextStatus
from osler.notes.records import ERASED
from osler.notes.writing import WritingTask
from osler.pipeline.composing import Composed, Composing, KeepPieces
from osler.release.service import ReleaseService
from osler.speech.ports import TranscriptRepository

Text = TypeVar("Text", NoteVersion, Document)


class WritingParts(TypedDict):
    """What every writing stands on."""

    database: Database
    encounters: EncounterRepository
    transcripts: TranscriptRepository
    release: ReleaseService
    composing: Composing
    audit: AuditTrail
    clock: Clock


class TextWriting(ABC, Generic[Text]):
    """The step of a job that writes. Done again, it finds the text written and changes nothing."""

    noun: ClassVar[str]
    """What is written, as the audit trail names it."""

    def __init__(self, **parts: Unpack[WritingParts]) -> None:
        self._database = parts["database"]
        self._encounters = parts["encounters"]
        self._transcripts = parts["transcripts"]
        self._release = parts["release"]
        self._composing = parts["composing"]
        self._audit = parts["audit"]
        self._clock = parts["clock"]

    async def write(self, job: Job) -> None:
        """Write from the sources in use. Raises NoClinicalContentError and what the writer raises."""
        async with self._database.write() as transaction:
            text = await self._to_write(transaction, job)
            if text is None:
                return
            if text.status is TextStatus.FAILED:  # an operator has it done again
                await self._resume(transaction, text)
        task = await self._composing.task(text)
        written = await self._composing.write(task, self._keeper(job))
        if written is None:
            return
        async with self._database.write() as transaction:
            text = await self._to_write(transaction, job)
            if text is None:
                return
            latest = await self._transcripts.current(transaction, text.organization_id, text.encounter_id)
            read = task.sources.transcript_id
            if read is not None and latest is None:  # what it rests on was erased meanwhile
                await self._fail(transaction, text, ERASED)
                return
            # What changes while a text is written finds nothing written yet that it could mark as stale.
            stale = latest is not None and latest.id != read
            stale = stale or await self._composing.is_outdated(transaction, text, task)
            text = await self._complete(transaction, text, written, task, stale=stale)
            await self._trace(transaction, text, Outcome.DONE, {})

    async def failed(self, job: Job, code: str) -> None:
        """Show that it could not be written, with the error's code."""
        async with self._database.write() as transaction:
            text = await self._to_write(transaction, job)
            if text is not None and text.status is TextStatus.GENERATING:
                await self._fail(transaction, text, code)
                await self._trace(transaction, text, Outcome.FAILED, {"failure": code})

    async def _to_write(self, transaction: Transaction, job: Job) -> Text | None:
        """Return what is to be written, with its encounter held; None if it is written, failed or erased."""
        encounter = await self._encounters.lock(transaction, job.organization_id, job.subject["encounter"])
        if encounter.state is EncounterState.ERASED:
            return None
        text = await self._lock(transaction, encounter, job)
        # A failure is final for the attempt that failed; a retry by an operator is another attempt.
        wanted = {TextStatus.GENERATING} if job.attempt == 1 else {TextStatus.GENERATING, TextStatus.FAILED}
        return text if text.status in wanted else None

    def _keeper(self, job: Job) -> KeepPieces | None:
        """Return what keeps the finished pieces for whoever reads along; None: nobody does."""
        return None

    @abstractmethod
    async def _lock(self, transaction: Transaction, encounter: Encounter, job: Job) -> Text:
        """Return the text of a job, held."""

    @abstractmethod
    async def _resume(self, transaction: Transaction, text: Text) -> None:
        """Show a failed text as being written."""

    @abstractmethod
    async def _complete(
        self, transaction: Transaction, text: Text, written: Composed, task: WritingTask, *, stale: bool
    ) -> Text:
        """Store and release what was written; ``stale``: it would be written from something else by now."""

    @abstractmethod
    async def _fail(self, transaction: Transaction, text: Text, code: str) -> None:
        """Store that it could not be written."""

    async def _trace(self, transaction: Transaction, text: Text, outcome: Outcome, detail: dict[str, str]) -> None:
        event = AuditEvent(
            organization_id=text.organization_id,
            actor=SYSTEM,
            action=f"{self.noun}.written",
            at=self._clock.now(),
            subject={"encounter": text.encounter_id, self.noun: text.id},
            outcome=outcome,
            detail=detail,
        )
        await self._audit.append(transaction, [event])
