"""An older state of a deployment, put back as a restored backup would be, on either database; the ledger stays."""

import shutil
from pathlib import Path
from typing import Any

from sqlalchemy import Table, delete, insert, select

from osler.storage.database import SqlDatabase
from osler.storage.tables import metadata


class OlderState:
    """All rows and blobs as they were when it was taken."""

    def __init__(self, database: SqlDatabase, blobs: Path, copy: Path) -> None:
        self._database = database
        self._blobs = blobs
        self._copy = copy
        self._rows: list[tuple[Table, list[dict[str, Any]]]] = []

    async def take(self) -> None:
        """Remember what stands now, while nobody else writes."""
        async with self._database.read() as transaction:
            for table in metadata.sorted_tables:
                rows = await transaction.connection.execute(select(table))
                self._rows.append((table, [dict(row._mapping) for row in rows]))
        if self._blobs.exists():
            shutil.copytree(self._blobs, self._copy)

    async def put_back(self) -> None:
        """Bring it back."""
        async with self._database.write() as transaction:
            for table, _ in reversed(self._rows):
                await transaction.connection.execute(delete(table))
            for table, rows in self._rows:
                if rows:
                    await transaction.connection.execute(insert(table), rows)
        if self._copy.exists():
            shutil.rmtree(self._blobs)
            shutil.copytree(self._copy, self._blobs)
