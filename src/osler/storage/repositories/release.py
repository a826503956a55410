"""The documents that outsiders see, as rows."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, case, delete, insert, select, update

from osler.kernel.errors import NotFoundError
from osler.kernel.transactions import Transaction
from osler.release.model import ReleasedDocument, ReleasedKind
from osler.storage.database import connection_of
from osler.storage.repositories.sealed import SealedRows
from osler.storage.tables.encounters import encounters
from osler.storage.tables.release import released_documents as released


class SqlReleaseRepository:
    """One row per released document. A title of its own is sealed under its encounter's key, and goes with it."""

    def __init__(self, sealed: SealedRows) -> None:
        self._sealed = sealed

    async def put(self, transaction: Transaction, document: ReleasedDocument) -> ReleasedDocument:
        """Write the encounter's document of that slot, or show its newer source; returns the row with its stable id.

        The row of a slot keeps its id and the times of its first release; ``updated_at`` changes with the source. The
        caller holds the encounter, so that no other writes the slot.
        """
        connection = connection_of(transaction)
        title = await self._title(transaction, document)
        changed = (
            await connection.execute(
                update(released)
                .where(
                    released.c.organization_id == document.organization_id,
                    released.c.encounter_id == document.encounter_id,
                    released.c.slot == document.slot,
                )
                .values(
                    source_id=document.source_id,
                    updated_at=case(
                        (released.c.source_id == document.source_id, released.c.updated_at),
                        else_=document.updated_at,
                    ),
                    audio_duration=document.audio_duration,
                    sealed=title,
                )
                .returning(released)
            )
        ).one_or_none()
        if changed is not None:
            return released_document(changed, document.title)
        await connection.execute(
            insert(released).values(
                id=document.id,
                organization_id=document.organization_id,
                encounter_id=document.encounter_id,
                kind=document.kind.value,
                slot=document.slot,
                source_id=document.source_id,
                created_at=document.created_at,
                released_at=document.released_at,
                updated_at=document.updated_at,
                audio_duration=document.audio_duration,
                sealed=title,
            )
        )
        return document

    async def _title(self, transaction: Transaction, document: ReleasedDocument) -> bytes | None:
        if document.title is None:
            return None
        owner, place = (encounters, document.encounter_id), (released, document.id)
        return await self._sealed.seal_under(transaction, document.organization_id, owner, place, document.title)

    async def get(self, transaction: Transaction, organization_id: str, document_id: str) -> ReleasedDocument:
        """Return a document without its title. Raises NotFoundError."""
        query = select(released).where(released.c.organization_id == organization_id, released.c.id == document_id)
        row = (await connection_of(transaction).execute(query)).one_or_none()
        if row is None:
            raise NotFoundError("There is no such document.")
        return released_document(row)

    async def of_encounters(
        self, transaction: Transaction, organization_id: str, encounter_ids: Sequence[str]
    ) -> Sequence[ReleasedDocument]:
        """Return the released documents of these encounters, by creation then id, without their titles."""
        if not encounter_ids:
            return []
        query = (
            select(released)
            .where(released.c.organization_id == organization_id, released.c.encounter_id.in_(list(encounter_ids)))
            .order_by(released.c.created_at, released.c.id)
        )
        return [released_document(row) for row in await connection_of(transaction).execute(query)]

    async def withdraw(self, transaction: Transaction, organization_id: str, encounter_id: str) -> int:
        """Take everything of an encounter from sight; returns how many rows."""
        statement = delete(released).where(
            released.c.organization_id == organization_id, released.c.encounter_id == encounter_id
        )
        return (await connection_of(transaction).execute(statement)).rowcount


def released_document(row: Row[Any], title: str | None = None) -> ReleasedDocument:
    """Return the document of a row, with the title that was sealed in it."""
    return ReleasedDocument(
        id=row.id,
        organization_id=row.organization_id,
        encounter_id=row.encounter_id,
        kind=ReleasedKind(row.kind),
        slot=row.slot,
        source_id=row.source_id,
        created_at=row.created_at,
        released_at=row.released_at,
        updated_at=row.updated_at or row.released_at,
        audio_duration=row.audio_duration,
        title=title,
    )
