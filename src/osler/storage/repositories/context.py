"""Context documents as rows: file name, text and metadata are sealed; the file itself is a blob."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, delete, insert, select, update

from osler.encounters.model import ContextDocument, ContextDocumentStatus
from osler.kernel.blobs import ObjectKey, StoredBlob
from osler.kernel.clock import Clock
from osler.kernel.errors import NotFoundError
from osler.kernel.transactions import Transaction
from osler.storage.database import connection_of
from osler.storage.repositories.sealed import SealedRows, blob_columns, destroy_keys
from osler.storage.tables.encounters import context_documents
from osler.storage.tables.sealing import object_keys

blob_keys = object_keys.alias("blob_keys")


class SqlContextDocumentRepository:
    """Implements :class:`osler.encounters.ports.ContextDocumentRepository`."""

    def __init__(self, sealed: SealedRows, clock: Clock) -> None:
        self._sealed = sealed
        self._clock = clock

    async def add(self, transaction: Transaction, document: ContextDocument) -> None:
        """Write a new document and the keys of its row and its blob."""
        if document.blob.key is not None:
            await self._sealed.add_key(transaction, document.organization_id, document.blob.key)
        sealed = await self._sealed.add(
            transaction, document.organization_id, context_documents, document.id, _content(document)
        )
        await connection_of(transaction).execute(
            insert(context_documents).values(
                id=document.id,
                organization_id=document.organization_id,
                encounter_id=document.encounter_id,
                uploaded_at=document.uploaded_at,
                media_type=document.media_type,
                unstructured=document.unstructured,
                status=document.status.value,
                reason=document.reason,
                **blob_columns(document.blob),
                **sealed,
            )
        )

    async def get(
        self, transaction: Transaction, organization_id: str, encounter_id: str, document_id: str
    ) -> ContextDocument:
        """Raises NotFoundError."""
        query = _with_keys().where(_of(organization_id, encounter_id), context_documents.c.id == document_id)
        row = (await connection_of(transaction).execute(query)).one_or_none()
        if row is None:
            raise NotFoundError("there is no such context document")
        return self._document(row)

    async def lock(
        self, transaction: Transaction, organization_id: str, encounter_id: str, document_id: str
    ) -> ContextDocument:
        """As get, held against other writers. Raises NotFoundError."""
        query = select(context_documents.c.id).where(
            _of(organization_id, encounter_id), context_documents.c.id == document_id
        )
        await connection_of(transaction).execute(query.with_for_update())
        return await self.get(transaction, organization_id, encounter_id, document_id)

    async def save(self, transaction: Transaction, document: ContextDocument) -> None:
        """Write all of a locked document but its blob. Raises NotFoundError."""
        sealed = await self._sealed.reseal(
            transaction, document.organization_id, context_documents, document.id, _content(document)
        )
        done = await connection_of(transaction).execute(
            update(context_documents)
            .where(_of(document.organization_id, document.encounter_id), context_documents.c.id == document.id)
            .values(
                media_type=document.media_type,
                unstructured=document.unstructured,
                status=document.status.value,
                reason=document.reason,
                sealed=sealed,
            )
        )
        if done.rowcount != 1:
            raise NotFoundError("there is no such context document")

    async def list(
        self, transaction: Transaction, organization_id: str, encounter_id: str
    ) -> Sequence[ContextDocument]:
        """Return the encounter's documents, oldest first."""
        query = _with_keys().where(_of(organization_id, encounter_id))
        query = query.order_by(context_documents.c.uploaded_at, context_documents.c.id)
        return [self._document(row) for row in await connection_of(transaction).execute(query)]

    async def delete(
        self, transaction: Transaction, organization_id: str, encounter_id: str, document_ids: Sequence[str]
    ) -> Sequence[str]:
        """Destroy keys and rows; returns the ids of the blobs to remove after the commit."""
        connection = connection_of(transaction)
        query = (
            delete(context_documents)
            .where(_of(organization_id, encounter_id), context_documents.c.id.in_(list(document_ids)))
            .returning(context_documents.c.key_id, context_documents.c.blob_key_id, context_documents.c.blob_id)
        )
        rows = (await connection.execute(query)).all()
        keys = [key for row in rows for key in (row.key_id, row.blob_key_id) if key is not None]
        await destroy_keys(connection, keys, self._clock.now())
        return [row.blob_id for row in rows]

    def _document(self, row: Row[Any]) -> ContextDocument:
        content = self._sealed.open(row, row.organization_id, context_documents, row.id) or {}
        key = None
        if row.blob_key_id is not None:
            key = ObjectKey(row.blob_key_id, row.blob_wrapped or b"", row.blob_master)
        return ContextDocument(
            id=row.id,
            organization_id=row.organization_id,
            encounter_id=row.encounter_id,
            filename=content.get("filename", ""),
            media_type=row.media_type,
            blob=StoredBlob(row.blob_id, row.blob_size, row.blob_digest, key),
            uploaded_at=row.uploaded_at,
            unstructured=row.unstructured,
            status=ContextDocumentStatus(row.status),
            reason=row.reason,
            text=content.get("text"),
            metadata=content.get("metadata", {}),
        )


def _with_keys() -> Select[Any]:
    return (
        select(
            context_documents,
            object_keys.c.wrapped,
            object_keys.c.master,
            blob_keys.c.wrapped.label("blob_wrapped"),
            blob_keys.c.master.label("blob_master"),
        )
        .join(object_keys, object_keys.c.id == context_documents.c.key_id)
        .join(blob_keys, blob_keys.c.id == context_documents.c.blob_key_id, isouter=True)
    )


def _of(organization_id: str, encounter_id: str) -> ColumnElement[bool]:
    return (context_documents.c.organization_id == organization_id) & (context_documents.c.encounter_id == encounter_id)


def _content(document: ContextDocument) -> dict[str, Any]:
    return {"filename": document.filename, "text": document.text, "metadata": dict(document.metadata)}
