"""The arrow from what a visit offers to a document."""

from osler.audit.model import SYSTEM, AuditEvent, Outcome
from osler.audit.ports import AuditTrail
from osler.encounters.model import EncounterState
from osler.encounters.ports import EncounterRepository
from osler.kernel.clock import Clock
from osler.kernel.jobs import Job
from osler.kernel.transactions import Database, Transaction
from osler.notes.documents import DocumentRecordService
from osler.notes.model import Document, TextStatus
from osler.notes.ports import DocumentRepository
from osler.notes.records import ERASED
from osler.pipeline.composing import Composing, voice_options
from osler.release.service import ReleaseService
from osler.speech.ports import TranscriptRepository


class DocumentWriting:
    """The step of the job WRITE_DOCUMENT. Done again, it finds the document written and changes nothing."""

    def __init__(
        self,
        *,
        database: Database,
        encounters: EncounterRepository,
        transcripts: TranscriptRepository,
        documents: DocumentRepository,
        document_records: DocumentRecordService,
        release: ReleaseService,
        composing: Composing,
        audit: AuditTrail,
        clock: Clock,
    ) -> None:
        self._database = database
        self._encounters = encounters
        self._transcripts = transcripts
        self._documents = documents
        self._records = document_records
        self._release = release
        self._composing = composing
        self._audit = audit
        self._clock = clock

    async def write_document(self, job: Job) -> None:
        """Write a document from the sources in use. Raises NoClinicalContentError and what the writer raises."""
        async with self._database.write() as transaction:
            document = await self._task(transaction, job)
            if document is None:
                return
            if document.status is TextStatus.FAILED:  # an operator has it done again
                await self._records.resume(transaction, document)
        task = await self._composing.task(document)
        written = await self._composing.write(task)
        assert written is not None
        async with self._database.write() as transaction:
            document = await self._task(transaction, job)
            if document is None:
                return
            latest = await self._transcripts.current(transaction, job.organization_id, document.encounter_id)
            read = task.sources.transcript_id
            if read is not None and latest is None:  # what the document rests on was erased meanwhile
                await self._records.fail(transaction, document, ERASED)
                return
            document = await self._records.complete(
                transaction,
                document,
                written.parts,
                written.engine,
                transcript_id=read,
                stale=latest is not None and latest.id != read,
                options=voice_options(document, task),
            )
            await self._release.release_document(transaction, document)
            await self._trace(transaction, document, Outcome.DONE, {})

    async def failed(self, job: Job, code: str) -> None:
        """Show that the document could not be written, with the error's code."""
        async with self._database.write() as transaction:
            document = await self._task(transaction, job)
            if document is not None and document.status is TextStatus.GENERATING:
                await self._records.fail(transaction, document, code)
                await self._trace(transaction, document, Outcome.FAILED, {"failure": code})

    async def _task(self, transaction: Transaction, job: Job) -> Document | None:
        """Return the document to be written, with its encounter held; None if it is written, failed or erased."""
        encounter = await self._encounters.lock(transaction, job.organization_id, job.subject["encounter"])
        if encounter.state is EncounterState.ERASED:
            return None
        document = await self._documents.lock(transaction, job.organization_id, encounter.id, job.subject["document"])
        # A failure is final for the attempt that failed; a retry by an operator is another attempt.
        wanted = {TextStatus.GENERATING} if job.attempt == 1 else {TextStatus.GENERATING, TextStatus.FAILED}
        return document if document.status in wanted else None

    async def _trace(
        self, transaction: Transaction, document: Document, outcome: Outcome, detail: dict[str, str]
    ) -> None:
        event = AuditEvent(
            organization_id=document.organization_id,
            actor=SYSTEM,
            action="document.written",
            at=self._clock.now(),
            subject={"encounter": document.encounter_id, "document": document.id},
            outcome=outcome,
            detail=detail,
        )
        await self._audit.append(transaction, [event])
