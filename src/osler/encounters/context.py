"""Context documents: taken in, listed and removed, and what becomes of them when they have been read."""

import json
import unicodedata
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final

from osler.audit.model import SYSTEM, Actor, AuditEvent, Outcome
from osler.audit.ports import AuditTrail
from osler.encounters.document_types import HEAD, DocumentType, type_of
from osler.encounters.erasure import ErasureService
from osler.encounters.model import ContextDocument, ContextDocumentStatus, ErasureScope, ParsedDocument
from osler.encounters.ports import ContextDocumentRepository
from osler.encounters.service import EncounterService
from osler.kernel.blobs import BlobVault, StoredBlob
from osler.kernel.clock import Clock
from osler.kernel.engine_record import EngineRecord
from osler.kernel.errors import ErasedError, InputError, InvalidFieldError, NotFoundError, StorageError
from osler.kernel.ids import derived_id, new_id
from osler.kernel.jobs import Job, JobKind, JobQueue
from osler.kernel.transactions import Database, Transaction

MAX_BYTES: Final = 50 * 1000 * 1000
"""Bytes of one document at most."""

MAX_DOCUMENTS: Final = 200
"""Documents of one encounter at most."""

_MAX_NAME: Final = 255
_MAX_METADATA: Final = 64 * 1024
_UNNAMED: Final = "document"
_MARKDOWN: Final = "text/markdown"

_SENT: Final = "send a pdf, docx, doc, rtf, txt, md, jpg or png file"


@dataclass(frozen=True, slots=True)
class IncomingDocument:
    """A file on its way in; its bytes can be read once."""

    filename: str
    chunks: AsyncIterator[bytes]
    media_type_hint: str | None = None


@dataclass(frozen=True, slots=True)
class Description:
    """What is said of documents. ``metadata`` is plain JSON, ``unstructured`` the client's own word."""

    unstructured: bool = False
    metadata: Mapping[str, Any] = field(default_factory=dict)


class ContextDocumentService:
    """Takes documents in: the bytes sealed in the vault first, then row, job and trace in one transaction.

    Bytes that no row comes to refer to are removed at once, or later by the sweep of orphans if the process dies.
    ``user_id``, where it is given, is whose eyes the caller looks through.
    """

    def __init__(
        self,
        *,
        database: Database,
        documents: ContextDocumentRepository,
        encounters: EncounterService,
        erasure: ErasureService,
        vault: BlobVault,
        queue: JobQueue,
        audit: AuditTrail,
        clock: Clock,
    ) -> None:
        self._database = database
        self._documents = documents
        self._encounters = encounters
        self._erasure = erasure
        self._vault = vault
        self._queue = queue
        self._audit = audit
        self._clock = clock

    async def add(
        self,
        actor: Actor,
        organization_id: str,
        encounter_id: str,
        chunks: AsyncIterator[bytes],
        *,
        filename: str,
        media_type_hint: str | None = None,
        unstructured: bool = False,
        metadata: Mapping[str, Any] | None = None,
        user_id: str | None = None,
    ) -> ContextDocument:
        """Store a document and have it read: :meth:`add_all` for one whose description is known before its bytes."""
        described = Description(unstructured, _metadata(metadata or {}))

        async def files() -> AsyncIterator[IncomingDocument]:
            yield IncomingDocument(filename, chunks, media_type_hint)

        added = await self.add_all(
            actor, organization_id, encounter_id, files(), describe=lambda: described, user_id=user_id
        )
        return added[0]

    async def add_all(
        self,
        actor: Actor,
        organization_id: str,
        encounter_id: str,
        files: AsyncIterator[IncomingDocument],
        *,
        describe: Callable[[], Description],
        user_id: str | None = None,
    ) -> Sequence[ContextDocument]:
        """Store documents and have them read, all or none; what type one is, its bytes say.

        Each file's bytes are taken before the next file is asked for. ``describe`` is asked once all are in, as a form
        may say what its files are only behind them. A hint of the type and the file's name only tell Markdown from
        other plain text. Metadata is plain JSON.

        Raises NotFoundError, ErasedError, StorageError, and InvalidFieldError for ``file`` (none, empty, larger than
        50 MB, of no known type), ``metadata``. After an error, also one of ``files`` itself, nothing is kept.
        """
        await self._encounters.standing(organization_id, encounter_id, user_id=user_id)
        # Only read, and asked again when all are in: a write would tell whoever takes part in it that the request took
        # effect, while what it sends may still be cut off or refused.
        async with self._database.read() as transaction:
            await self._refuse_too_many(transaction, organization_id, encounter_id, 1)
        documents: list[ContextDocument] = []
        stored: list[str] = []
        try:
            async for file in files:
                intake = _Intake(file.chunks)
                blob = await self._store(organization_id, intake)
                stored.append(blob.id)
                documents.append(
                    ContextDocument(
                        id=new_id(),
                        organization_id=organization_id,
                        encounter_id=encounter_id,
                        filename=_name(file.filename),
                        media_type=_media_type(intake.type, file.filename, file.media_type_hint),
                        blob=blob,
                        uploaded_at=self._clock.now(),
                    )
                )
            if not documents:
                raise InvalidFieldError("file", f"no file came; {_SENT}")
            said = describe()
            metadata = _metadata(said.metadata)
            documents = [replace(each, unstructured=said.unstructured, metadata=metadata) for each in documents]
        except BaseException:
            await self._remove(stored)
            raise
        try:
            async with self._database.write() as transaction:
                await self._allowed(transaction, organization_id, encounter_id, len(documents))
                for document in documents:
                    await self._documents.add(transaction, document)
                    await self._queue.enqueue(transaction, _job(document))
                for document in documents:
                    await self._trace(transaction, actor, document, "context_document.added")
        except InputError:
            # Rolled back for certain. After any other error the commit may have come about: the sweep will see.
            await self._remove(stored)
            raise
        return documents

    async def list(
        self, organization_id: str, encounter_id: str, *, user_id: str | None = None
    ) -> Sequence[ContextDocument]:
        """Return the encounter's documents, oldest first. Raises NotFoundError, ErasedError."""
        await self._encounters.standing(organization_id, encounter_id, user_id=user_id)
        async with self._database.read() as transaction:
            return await self._documents.list(transaction, organization_id, encounter_id)

    async def get(
        self, organization_id: str, encounter_id: str, document_id: str, *, user_id: str | None = None
    ) -> ContextDocument:
        """Return one document, with its text if it is READY. Raises NotFoundError, ErasedError."""
        await self._encounters.standing(organization_id, encounter_id, user_id=user_id)
        async with self._database.read() as transaction:
            return await self._documents.get(transaction, organization_id, encounter_id, document_id)

    async def delete(
        self,
        actor: Actor,
        organization_id: str,
        encounter_id: str,
        ids: Sequence[str],
        *,
        user_id: str | None = None,
    ) -> None:
        """Delete documents for good: keys and rows at once, bytes after the commit; no restore brings them back.

        All or none: raises NotFoundError if one of ``ids`` is not there, and also for another's encounter. Raises
        ErasedError, BlobsUnavailableError, StorageFullError (the erasure ledger could not be written).
        """
        await self._encounters.standing(organization_id, encounter_id, user_id=user_id)
        wanted = sorted(set(ids))
        async with self._database.read() as transaction:
            found = {
                each: await self._documents.get(transaction, organization_id, encounter_id, each) for each in wanted
            }
        announced = await self._erasure.announce(organization_id, ErasureScope.CONTEXT_DOCUMENT, found)
        async with self._database.write() as transaction:
            deleted = [
                found[erasure.subject_id]
                for erasure in announced
                if await self._erasure.carry_out(transaction, erasure)  # else another request was faster
            ]
            for document in deleted:  # once nothing more is to be held
                await self._trace(transaction, actor, document, "context_document.deleted")
        await self._erasure.finish()

    # What the pipeline calls, within its own transactions

    async def to_read(self, transaction: Transaction, job: Job, *, again: bool = False) -> ContextDocument | None:
        """Return the document that a job is to read, held; None if it is read, failed, deleted or erased.

        ``again``: one that failed in an earlier attempt of the job, which an operator has retried, is PARSING again.
        """
        try:
            await self._encounters.content_allowed(transaction, job.organization_id, job.subject["encounter"])
            document = await self._documents.lock(
                transaction, job.organization_id, job.subject["encounter"], job.subject["document"]
            )
        except (NotFoundError, ErasedError):
            return None
        if again and document.status is ContextDocumentStatus.FAILED and job.attempt > 1:
            document = replace(document, status=ContextDocumentStatus.PARSING, reason=None)
            await self._documents.save(transaction, document)
        return document if document.status is ContextDocumentStatus.PARSING else None

    async def ready(
        self, transaction: Transaction, document: ContextDocument, parsed: ParsedDocument, by: EngineRecord
    ) -> None:
        """Store the text of a document that :meth:`to_read` returned."""
        media_type = document.media_type if document.media_type == _MARKDOWN else parsed.media_type
        document = replace(
            document, status=ContextDocumentStatus.READY, reason=None, text=parsed.text, media_type=media_type
        )
        await self._documents.save(transaction, document)
        detail = {
            "engine": f"{by.label} {by.version}",
            "pages": str(parsed.pages),
            "pages_by_ocr": str(parsed.pages_by_ocr),
        }
        await self._trace(transaction, SYSTEM, document, "context_document.read", detail=detail)

    async def failed(self, transaction: Transaction, document: ContextDocument, code: str, sentence: str) -> None:
        """Show why a document could not be read: a code, and what its sender can do."""
        document = replace(document, status=ContextDocumentStatus.FAILED, reason=f"{code}: {sentence}", text=None)
        await self._documents.save(transaction, document)
        await self._trace(
            transaction, SYSTEM, document, "context_document.read", outcome=Outcome.FAILED, detail={"failure": code}
        )

    async def _remove(self, blob_ids: Sequence[str]) -> None:
        with suppress(StorageError):
            await self._vault.delete(blob_ids)

    async def _allowed(self, transaction: Transaction, organization_id: str, encounter_id: str, more: int) -> None:
        """Hold the encounter, if it takes so many more. Raises NotFoundError, ErasedError, InvalidFieldError."""
        await self._encounters.content_allowed(transaction, organization_id, encounter_id)
        await self._refuse_too_many(transaction, organization_id, encounter_id, more)

    async def _refuse_too_many(
        self, transaction: Transaction, organization_id: str, encounter_id: str, more: int
    ) -> None:
        standing = await self._documents.list(transaction, organization_id, encounter_id)
        if len(standing) + more > MAX_DOCUMENTS:
            raise InvalidFieldError("file", f"an encounter takes {MAX_DOCUMENTS} documents; delete some first")

    async def _store(self, organization_id: str, intake: "_Intake") -> StoredBlob:
        try:
            return await self._vault.store(organization_id, intake.checked(), limit=MAX_BYTES)
        except InvalidFieldError as error:
            if error.field == "file":
                raise
            limit = MAX_BYTES // 1_000_000
            raise InvalidFieldError("file", f"the file is larger than {limit} MB; send a smaller one") from None

    async def _trace(
        self,
        transaction: Transaction,
        actor: Actor,
        document: ContextDocument,
        action: str,
        *,
        outcome: Outcome = Outcome.DONE,
        detail: Mapping[str, str] | None = None,
    ) -> None:
        event = AuditEvent(
            organization_id=document.organization_id,
            actor=actor,
            action=action,
            at=self._clock.now(),
            subject={"encounter": document.encounter_id, "context_document": document.id},
            outcome=outcome,
            detail=detail or {},
        )
        await self._audit.append(transaction, [event])


class _Intake:
    """A document on its way in: its first bytes are looked at before any goes on."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks
        self.type: DocumentType | None = None

    async def checked(self) -> AsyncIterator[bytes]:
        """Yield the bytes. Raises InvalidFieldError, before any is stored, if they are no document of a known type."""
        head = b""
        async for chunk in self._chunks:
            if self.type is not None:
                yield chunk
                continue
            head += chunk
            if len(head) >= HEAD:
                yield self._known(head)
        if self.type is None:
            yield self._known(head)

    def _known(self, head: bytes) -> bytes:
        if not head:
            raise InvalidFieldError("file", f"the file is empty; {_SENT}")
        self.type = type_of(head[:HEAD])
        if self.type is None:
            raise InvalidFieldError("file", f"the file is of no type that is read here; {_SENT}")
        return head


def _job(document: ContextDocument) -> Job:
    return Job(
        id=derived_id("parse context", document.id),
        organization_id=document.organization_id,
        kind=JobKind.PARSE_CONTEXT,
        subject={"encounter": document.encounter_id, "document": document.id},
        created_at=document.uploaded_at,
    )


def _name(filename: str) -> str:
    """Return a file name without folders, control characters and what cannot be shown, of at most 255 characters."""
    last = filename.replace("\\", "/").rpartition("/")[2]
    shown = "".join(each for each in last if unicodedata.category(each) not in ("Cc", "Cs", "Cf"))
    shown = unicodedata.normalize("NFC", shown).strip()
    if len(shown) <= _MAX_NAME:
        return shown or _UNNAMED
    stem, dot, suffix = shown.rpartition(".")
    return stem[: _MAX_NAME - len(suffix) - 1] + dot + suffix if dot and len(suffix) < 10 else shown[:_MAX_NAME]


def _media_type(found: DocumentType | None, filename: str, hint: str | None) -> str:
    if found is None:
        raise InvalidFieldError("file", _SENT)
    said = (hint or "").partition(";")[0].strip().lower()
    if found is DocumentType.TEXT and (said == _MARKDOWN or filename.lower().endswith((".md", ".markdown"))):
        return _MARKDOWN
    return found.value


def _metadata(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metadata as plain JSON. Raises InvalidFieldError."""
    try:
        written = json.dumps(dict(given), allow_nan=False, ensure_ascii=False).encode()
    except (TypeError, ValueError, RecursionError):
        raise InvalidFieldError("metadata", "metadata must be a JSON object") from None
    if len(written) > _MAX_METADATA:
        raise InvalidFieldError("metadata", f"metadata takes {_MAX_METADATA} bytes at most; send less")
    read: dict[str, Any] = json.loads(written)
    return read
