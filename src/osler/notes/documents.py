"""Stored documents (letters, certificates, summaries): asked for, written by the pipeline, kept by index."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from osler.audio.ports import RecordingRepository
from osler.audit.model import Actor, AuditEvent
from osler.audit.ports import AuditTrail
from osler.encounters.model import EncounterState
from osler.encounters.ports import EncounterRepository
from osler.encounters.service import ERASED
from osler.kernel.clock import Clock
from osler.kernel.engine_record import EngineRecord
from osler.kernel.errors import ConflictError, ErasedError
from osler.kernel.ids import new_id
from osler.kernel.jobs import Job, JobKind, JobQueue
from osler.kernel.transactions import Database, Transaction
from osler.notes.model import Document, RequestTexts, TextStatus, VoiceStyle
from osler.notes.ports import DocumentRepository
from osler.notes.records import check_source, text_of
from osler.notes.template_library import TemplateService
from osler.notes.writing import WrittenPart
from osler.speech.ports import TranscriptRepository
from osler.speech.records import TranscriptService


class DocumentRecordService:
    """Keeps documents. What takes a transaction is called by the pipeline, which holds the encounter."""

    def __init__(
        self,
        *,
        database: Database,
        documents: DocumentRepository,
        encounters: EncounterRepository,
        recordings: RecordingRepository,
        transcripts: TranscriptRepository,
        hearing: TranscriptService,
        templates: TemplateService,
        queue: JobQueue,
        audit: AuditTrail,
        clock: Clock,
    ) -> None:
        self._database = database
        self._documents = documents
        self._encounters = encounters
        self._recordings = recordings
        self._transcripts = transcripts
        self._hearing = hearing
        self._templates = templates
        self._queue = queue
        self._audit = audit
        self._clock = clock

    async def request(
        self,
        actor: Actor,
        organization_id: str,
        encounter_id: str,
        *,
        template_id: str,
        voice_style: VoiceStyle = VoiceStyle.GOLDILOCKS,
        options: Mapping[str, str] | None = None,
        texts: RequestTexts | None = None,
    ) -> Document:
        """Have a document written from the transcript in use; it is named after its template.

        Its index is the next one of the encounter, whatever became of those before.

        Raises NotFoundError (encounter or template), ErasedError, NoSpeechError, ConflictError (no recording, none
        could be transcribed, or the transcript is still on its way: wait for that first).
        """
        template = await self._templates.get(organization_id, template_id)
        async with self._database.write() as transaction:
            encounter = await self._encounters.lock(transaction, organization_id, encounter_id)
            if encounter.state is EncounterState.ERASED:
                raise ErasedError(ERASED)
            if await self._hearing.awaits_transcript(transaction, organization_id, encounter_id):
                raise ConflictError("The transcript is still being made; ask for the document when it is there.")
            await check_source(transaction, encounter, self._recordings, self._transcripts)
            # The encounter is held, so nobody else counts at the same time.
            standing = await self._documents.list(transaction, organization_id, encounter_id)
            document = Document(
                id=new_id(),
                organization_id=organization_id,
                encounter_id=encounter_id,
                index=standing[-1].index + 1 if standing else 0,
                name=template.name,
                created_at=self._clock.now(),
                status=TextStatus.GENERATING,
                template=template.id,
                voice_style=voice_style.value,
                options=dict(options or {}),
                texts=texts or RequestTexts(),
            )
            await self._documents.add(transaction, document)
            await self._queue.enqueue(
                transaction,
                Job(
                    id=document.id,
                    organization_id=organization_id,
                    kind=JobKind.WRITE_DOCUMENT,
                    subject={"encounter": encounter_id, "document": document.id},
                    created_at=document.created_at,
                ),
            )
            event = AuditEvent(
                organization_id=organization_id,
                actor=actor,
                action="document.requested",
                at=document.created_at,
                subject={"encounter": encounter_id, "document": document.id},
            )
            await self._audit.append(transaction, [event])
        return document

    async def get(self, organization_id: str, encounter_id: str, document_id: str) -> Document:
        """Return one document. Raises NotFoundError."""
        async with self._database.read() as transaction:
            return await self._documents.get(transaction, organization_id, encounter_id, document_id)

    async def list(self, organization_id: str, encounter_id: str) -> Sequence[Document]:
        """Return the encounter's documents by index, also those that are being written or failed."""
        async with self._database.read() as transaction:
            return await self._documents.list(transaction, organization_id, encounter_id)

    async def resume(self, transaction: Transaction, document: Document) -> None:
        """Show a failed document that an operator has written again as being written."""
        await self._documents.save(transaction, replace(document, status=TextStatus.GENERATING, failure=None))

    async def complete(
        self,
        transaction: Transaction,
        document: Document,
        parts: Sequence[WrittenPart],
        engine: EngineRecord,
        *,
        transcript_id: str | None,
        stale: bool,
        options: Mapping[str, str] | None = None,
    ) -> Document:
        """Store what the writer wrote from that transcript; ``stale``: what it rests on is another by now."""
        document = replace(
            document,
            status=TextStatus.CREATED,
            content=text_of(parts, document.name),
            engine=engine,
            transcript_id=transcript_id,
            completed_at=self._clock.now(),
            stale=stale,
            failure=None,
            options={**document.options, **(options or {})},
        )
        await self._documents.save(transaction, document)
        return document

    async def fail(self, transaction: Transaction, document: Document, failure: str) -> None:
        """Say that a document could not be written, with the code ``failure``."""
        await self._documents.save(transaction, replace(document, status=TextStatus.FAILED, failure=failure))
