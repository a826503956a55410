"""The arrow from what a visit offers to a document."""

from typing import ClassVar, Unpack

from osler.encounters.model import Encounter
from osler.kernel.jobs import Job
from osler.kernel.transactions import Transaction
from osler.notes.documents import DocumentRecordService
from osler.notes.model import Document
from osler.notes.ports import DocumentRepository
from osler.notes.writing import WritingTask
from osler.pipeline.composing import Composed, voice_options
from osler.pipeline.text_writing import TextWriting, WritingParts


class DocumentWriting(TextWriting[Document]):
    """The step of the job WRITE_DOCUMENT."""

    noun: ClassVar[str] = "document"

    def __init__(
        self, *, documents: DocumentRepository, document_records: DocumentRecordService, **writing: Unpack[WritingParts]
    ) -> None:
        """``writing`` is for :class:`TextWriting`."""
        super().__init__(**writing)
        self._documents = documents
        self._records = document_records

    async def _lock(self, transaction: Transaction, encounter: Encounter, job: Job) -> Document:
        return await self._documents.lock(transaction, encounter.organization_id, encounter.id, job.subject["document"])

    async def _resume(self, transaction: Transaction, text: Document) -> None:
        await self._records.resume(transaction, text)

    async def _complete(
        self, transaction: Transaction, text: Document, written: Composed, task: WritingTask, *, stale: bool
    ) -> Document:
        document = await self._records.complete(
            transaction,
            text,
            written.parts,
            written.engine,
            transcript_id=task.sources.transcript_id,
            stale=stale,
            options=voice_options(text, task),
        )
        await self._release.release_document(transaction, document)
        return document

    async def _fail(self, transaction: Transaction, text: Document, code: str) -> None:
        await self._records.fail(transaction, text, code)
