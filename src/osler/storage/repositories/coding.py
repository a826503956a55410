"""The codes of encounters as rows; the entities quote the visit and are sealed."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, delete, insert

from osler.coding.model import CodeSet, CodingStatus
from osler.kernel.transactions import Transaction
from osler.storage.database import connection_of
from osler.storage.repositories.sealed import SealedRows, destroy_keys, with_key
from osler.storage.tables.coding import code_sets


class SqlCodeSetRepository:
    """One set of codes per encounter and coding system."""

    def __init__(self, rows: SealedRows) -> None:
        self._rows = rows

    async def save(self, transaction: Transaction, codes: CodeSet) -> None:
        """Write, or replace the encounter's codes of the same system; the key of what is replaced is destroyed."""
        connection = connection_of(transaction)
        former = (
            await connection.execute(
                delete(code_sets)
                .where(
                    code_sets.c.organization_id == codes.organization_id,
                    code_sets.c.encounter_id == codes.encounter_id,
                    code_sets.c.coding_system == codes.coding_system,
                )
                .returning(code_sets.c.key_id)
            )
        ).scalars()
        await destroy_keys(connection, list(former), codes.created_at)
        content = {"entities": [dict(entity) for entity in codes.entities], "basis": codes.basis}
        sealed = await self._rows.add(transaction, codes.organization_id, code_sets, codes.id, content)
        values: dict[str, Any] = {
            "id": codes.id,
            "organization_id": codes.organization_id,
            "encounter_id": codes.encounter_id,
            "coding_system": codes.coding_system,
            "created_at": codes.created_at,
            "status": codes.status.value,
            "note_id": codes.note_id,
            "failure": codes.failure,
            **sealed,
        }
        await connection.execute(insert(code_sets).values(values))

    async def get(
        self, transaction: Transaction, organization_id: str, encounter_id: str, coding_system: str
    ) -> CodeSet | None:
        """Return the encounter's codes of that system; None before there are any, or when they were erased."""
        query = with_key(code_sets).where(
            code_sets.c.organization_id == organization_id,
            code_sets.c.encounter_id == encounter_id,
            code_sets.c.coding_system == coding_system,
        )
        row = (await connection_of(transaction).execute(query)).one_or_none()
        return None if row is None else self._codes(row)

    async def of_encounter(
        self, transaction: Transaction, organization_id: str, encounter_id: str
    ) -> Sequence[CodeSet]:
        """Return the encounter's codes of every system that was asked for, by system; without those erased."""
        query = (
            with_key(code_sets)
            .where(code_sets.c.organization_id == organization_id, code_sets.c.encounter_id == encounter_id)
            .order_by(code_sets.c.coding_system)
        )
        read = [self._codes(row) for row in await connection_of(transaction).execute(query)]
        return [codes for codes in read if codes is not None]

    def _codes(self, row: Row[Any]) -> CodeSet | None:
        content = self._rows.open(row, row.organization_id, code_sets, row.id)
        if content is None:
            return None
        return CodeSet(
            id=row.id,
            organization_id=row.organization_id,
            encounter_id=row.encounter_id,
            coding_system=row.coding_system,
            created_at=row.created_at,
            status=CodingStatus(row.status),
            note_id=row.note_id,
            entities=tuple(content["entities"]),
            failure=row.failure,
            basis=content["basis"],
        )
