"""Writing a backup: one state of the database while others go on writing, then its objects, then the erasures."""

import asyncio
import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, Final

from sqlalchemy import JSON, Select, Table, Text, cast, literal, select, tuple_, type_coerce
from sqlalchemy.ext.asyncio import AsyncConnection

from osler import __version__
from osler.encounters.ports import ErasureLedger
from osler.kernel.clock import Clock
from osler.kernel.errors import BackupError, CorruptedError
from osler.kernel.progress import Progress, silent
from osler.storage.backup.archive import ArchiveWriter, NewFile, new_file
from osler.storage.backup.contents import (
    BLOB_COLUMN,
    Absence,
    Column,
    Counts,
    Head,
    References,
    erasure_to_json,
    kind_of,
    referred,
    to_json,
)
from osler.storage.backup.verify import Report, verify
from osler.storage.blobs.objects import ObjectStore
from osler.storage.blobs.vault import object_name
from osler.storage.database import SqlDatabase, connection_of
from osler.storage.migrations import check_version, current_revision
from osler.storage.sealing.keys import KeyRing
from osler.storage.tables import metadata

LEFT_OUT: Final = frozenset({"executors"})
"""Tables of what is going on now. The workflow engine's own tables are not in our metadata; it makes them anew."""

ROWS_AT_ONCE: Final = 100
PIECE: Final = 1 << 20
"""Bytes of an object that are read, sealed and written at a time."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """Where everything is that a backup holds. ``digest_key`` names the digest key, which no backup holds."""

    database: SqlDatabase
    objects: ObjectStore
    ledger: ErasureLedger
    ring: KeyRing
    clock: Clock
    digest_key: str | None = None


async def create_backup(
    deployment: Deployment, path: Path, *, with_objects: bool = True, progress: Progress = silent
) -> Report:
    """Write a backup to ``path``, read it again whole, and only then give it its name.

    The rows are those of one moment, whatever is written meanwhile. Objects follow when the rows are read: they never
    change, and one that was erased in between is left out. The erasures come last, so that whatever was erased while
    this ran is erased again by a restore. Without ``with_objects`` they are only listed.

    Raises OutputError, StorageFullError, OlderDatabaseError, NewerDatabaseError, MasterKeyError,
    DatabaseUnavailableError, BlobsUnavailableError; BackupError if what was written cannot be read back.
    """
    await check_version(deployment.database)
    with new_file(path) as new:
        await _Writing(deployment, new, with_objects, progress).run()
        report = await asyncio.to_thread(verify, new.part, deployment.ring, progress)
        await asyncio.to_thread(new.put_in_place)
    return report


class _Writing:
    """The state of one backup that is being written."""

    def __init__(self, deployment: Deployment, new: NewFile, with_objects: bool, progress: Progress) -> None:
        self._from = deployment
        self._new = new
        self._with_objects = with_objects
        self._progress = progress
        self._archive = ArchiveWriter(new.file, deployment.ring)
        self._counts = Counts()
        self._references = References()

    async def run(self) -> None:
        # Random ids of objects, in order of their rows: there may be too many for the memory.
        with tempfile.TemporaryFile("w+", encoding="ascii") as spool:
            await self._tables(spool)
            await self._objects(spool)
        await self._erasures()
        self._counts.references = self._references.hexdigest()
        await asyncio.to_thread(self._finish)

    def _finish(self) -> None:
        self._frame(b"Z", asdict(self._counts))
        self._archive.close()
        self._new.sync()

    def _frame(self, kind: bytes, content: Any) -> None:
        self._archive.frame(kind, json.dumps(content, separators=(",", ":")).encode())

    async def _tables(self, spool: IO[str]) -> None:
        tables = [table for table in metadata.sorted_tables if table.name not in LEFT_OUT]
        async with self._from.database.read() as transaction:
            connection = connection_of(transaction)
            head = Head(
                osler=__version__,
                revision=await connection.run_sync(current_revision),
                created_at=self._from.clock.now(),
                database=connection.dialect.name,
                objects=self._with_objects,
                digest_key=self._from.digest_key,
            )
            self._frame(b"H", {**asdict(head), "created_at": head.created_at.isoformat()})
            for done, table in enumerate(tables):
                self._progress("reading rows", done, len(tables))
                await self._rows(connection, table, spool)
        self._progress("reading rows", len(tables), len(tables))

    async def _rows(self, connection: AsyncConnection, table: Table, spool: IO[str]) -> None:
        columns = tuple(Column(column.name, kind_of(column.type)) for column in table.columns)
        self._frame(b"T", {"table": table.name, "columns": [[c.name, c.kind] for c in columns]})
        self._counts.rows[table.name] = 0

        def write(found: Sequence[Any]) -> None:
            writers = [to_json(column.kind) for column in columns]
            rows = [
                [
                    value if value is None or write is None else write(value)
                    for value, write in zip(row, writers, strict=True)
                ]
                for row in found
            ]
            self._frame(b"R", rows)
            self._counts.rows[table.name] += len(rows)
            for blob_id in referred(columns, rows):
                self._references.add(blob_id)
                spool.write(blob_id + "\n")

        # By pages of the primary key: drivers that stream a result hold a cursor, or the whole of it.
        key = tuple_(*table.primary_key.columns)
        places = [list(table.columns).index(column) for column in table.primary_key.columns]
        query = _all_of(connection, table).order_by(*table.primary_key.columns).limit(ROWS_AT_ONCE)
        page = query
        while found := (await connection.execute(page)).all():
            await asyncio.to_thread(write, found)
            last = [literal(found[-1][place], table.columns[place].type) for place in places]
            page = query.where(key > tuple_(*last))

    async def _objects(self, spool: IO[str]) -> None:
        total = spool.tell()
        spool.seek(0)
        for done, line in enumerate(spool):
            blob_id = line.rstrip("\n")
            if done % 100 == 0:
                self._progress("reading recordings", done * len(line), total)
            if self._with_objects:
                await self._object(blob_id)
            else:
                self._absent(blob_id, Absence.LISTED)
        self._progress("reading recordings", total, total)

    async def _object(self, blob_id: str) -> None:
        start = 0
        while True:
            try:
                data, size = await self._from.objects.get(object_name(blob_id), start, start + PIECE)
            except CorruptedError:
                if start:
                    raise BackupError(
                        "a recording was removed while it was being copied; run the backup again"
                    ) from None
                wanted = await self._is_referred(blob_id)
                self._absent(blob_id, Absence.MISSING if wanted else Absence.ERASED)
                return
            await asyncio.to_thread(self._piece, blob_id, start, data, size)
            start += len(data)
            if start >= size or not data:
                return

    def _piece(self, blob_id: str, start: int, data: memoryview, size: int) -> None:
        if start == 0:
            self._frame(b"B", {"id": blob_id})
        if data:
            self._archive.frame(b"D", data)
        if start + len(data) >= size:
            self._frame(b"E", {"size": size})
            self._counts.objects += 1
            self._counts.object_bytes += size

    def _absent(self, blob_id: str, why: Absence) -> None:
        self._frame(b"M", {"id": blob_id, "why": why})
        self._counts.absent[why] = self._counts.absent.get(why, 0) + 1

    async def _is_referred(self, blob_id: str) -> bool:
        owners = [table for table in metadata.sorted_tables if BLOB_COLUMN in table.c]
        async with self._from.database.read() as transaction:
            connection = connection_of(transaction)
            for table in owners:
                query = select(table.c[BLOB_COLUMN]).where(table.c[BLOB_COLUMN] == blob_id).limit(1)
                if (await connection.execute(query)).first() is not None:
                    return True
        return False

    async def _erasures(self) -> None:
        ids = await self._from.ledger.ids()
        for start in range(0, len(ids), ROWS_AT_ONCE):
            some = [await self._from.ledger.get(each) for each in ids[start : start + ROWS_AT_ONCE]]
            self._frame(b"L", [erasure_to_json(erasure) for erasure in some])
        self._counts.erasures = len(ids)


def _all_of(connection: AsyncConnection, table: Table) -> Select[Any]:
    """Select a table's columns; JSON as its text, so that a missing value and a JSON null stay two things."""
    sqlite = connection.dialect.name == "sqlite"
    return select(
        *(
            (type_coerce(column, Text) if sqlite else cast(column, Text)).label(column.name)
            if isinstance(column.type, JSON)
            else column
            for column in table.columns
        )
    )
