"""The checklists of encounters as rows; the items quote the visit and are sealed."""

from typing import Any

from sqlalchemy import delete, insert

from osler.kernel.engine_record import EngineRecord
from osler.kernel.transactions import Transaction
from osler.notes.checklist import ChecklistItem, EncounterChecklist
from osler.storage.database import connection_of
from osler.storage.repositories.sealed import SealedRows, destroy_keys, with_key
from osler.storage.tables.notes import checklists


class SqlChecklistRepository:
    """One checklist per encounter."""

    def __init__(self, rows: SealedRows) -> None:
        self._rows = rows

    async def save(self, transaction: Transaction, checklist: EncounterChecklist) -> None:
        """Write, or replace the encounter's; the key of what is replaced is destroyed."""
        connection = connection_of(transaction)
        former = await connection.scalars(
            delete(checklists)
            .where(
                checklists.c.organization_id == checklist.organization_id,
                checklists.c.encounter_id == checklist.encounter_id,
            )
            .returning(checklists.c.key_id)
        )
        await destroy_keys(connection, list(former), checklist.created_at)
        content = {"items": [item.to_json() for item in checklist.items], "engine": checklist.engine.to_json()}
        sealed = await self._rows.add(transaction, checklist.organization_id, checklists, checklist.id, content)
        values: dict[str, Any] = {
            "id": checklist.id,
            "organization_id": checklist.organization_id,
            "encounter_id": checklist.encounter_id,
            "created_at": checklist.created_at,
            "transcript_id": checklist.transcript_id,
            **sealed,
        }
        await connection.execute(insert(checklists).values(values))

    async def get(self, transaction: Transaction, organization_id: str, encounter_id: str) -> EncounterChecklist | None:
        """Return the encounter's checklist; None before there is one, or when it was erased."""
        query = with_key(checklists).where(
            checklists.c.organization_id == organization_id, checklists.c.encounter_id == encounter_id
        )
        row = (await connection_of(transaction).execute(query)).one_or_none()
        content = None if row is None else self._rows.open(row, organization_id, checklists, row.id)
        if row is None or content is None:
            return None
        return EncounterChecklist(
            id=row.id,
            organization_id=row.organization_id,
            encounter_id=row.encounter_id,
            transcript_id=row.transcript_id,
            created_at=row.created_at,
            items=tuple(ChecklistItem.from_json(item) for item in content["items"]),
            engine=EngineRecord.from_json(content["engine"]),
        )
