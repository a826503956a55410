"""Restoring a backup into an empty deployment: checked whole, loaded in one transaction, erasures applied last."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, column, delete, inspect, literal, select, table
from sqlalchemy import insert as sql_insert
from sqlalchemy.ext.asyncio import AsyncConnection

from osler.encounters.ports import ErasureLedger
from osler.kernel.blobs import ObjectKey
from osler.kernel.errors import BackupError, CorruptedError, MasterKeyError
from osler.kernel.progress import Progress, silent
from osler.storage.backup.archive import ArchiveReader
from osler.storage.backup.contents import (
    Absence,
    Erasures,
    ObjectAbsent,
    ObjectBegin,
    ObjectData,
    ObjectEnd,
    Piece,
    Rows,
    pieces,
    sql_type,
)
from osler.storage.backup.verify import Report, verify
from osler.storage.blobs.objects import ObjectStore
from osler.storage.blobs.vault import object_name
from osler.storage.database import SqlDatabase, connection_of
from osler.storage.database_url import SqliteLocation
from osler.storage.migrations import current_revision, migrate, migrate_to
from osler.storage.repositories.secrets import NAME, RESTORING, finish_restoring, restoring
from osler.storage.sealing.deployment import DeploymentSecret
from osler.storage.sealing.keys import KeyRing
from osler.storage.tables import metadata
from osler.storage.tables.sealing import deployment_secrets, object_keys

Item = TypeVar("Item")

WORKFLOW_TABLES: Final = ("workflow_status",)
"""Tables of the workflow engine that say what was done. Jobs of a backup would be taken for done by what they hold."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a backup is brought. The deployment's secret comes with it, so what needs it is made on the way.

    ``apply_ledger`` erases again what the ledger names, and returns how many erasures it applied. ``digest_key`` names
    the digest key that is configured.
    """

    database: SqlDatabase
    objects: ObjectStore
    ring: KeyRing
    open_ledger: Callable[[DeploymentSecret], ErasureLedger]
    apply_ledger: Callable[[DeploymentSecret], Awaitable[int]]
    digest_key: str | None = None


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore brought. ``erased_again``: erasures that are newer than the rows and were applied to them."""

    report: Report
    erased_again: int
    continued: bool
    """Whether this went on with a restore that was cut off."""
    objects_missing: int
    """Objects that the backup only lists, and that are not in the blob store."""
    digest_key_fits: bool
    """False: the API keys were made with another digest key, and open no door until that one is put back."""


async def restore_backup(target: Target, path: Path, *, progress: Progress = silent) -> Restored:
    """Bring a backup into a deployment whose database holds nothing, and erase again what was erased since.

    In this order, so that it can be cut off at any instant and begun again with the same file: read the whole file;
    refuse a target that holds anything; write the objects, and the erasures that the target's ledger lacks; load all
    rows in one transaction, with the deployment's secret under a name by which no process finds it; migrate to the
    newest tables; apply the ledger; give the secret its name. Cut off before the rows are there, the target is still
    empty, and a second restore starts over; after, it goes on from there. Until then no server can open the data.

    Keys that a former master key wrapped are wrapped by the current one on the way.

    Raises UnreadableFileError; BackupError for a damaged file or a target that is not empty; MasterKeyError;
    NewerDatabaseError; DatabaseUnavailableError, BlobsUnavailableError, StorageFullError.
    """
    ring = target.ring
    report = await asyncio.to_thread(verify, path, ring, progress)
    if report.objects_sealed_by_bucket and not target.objects.seals_by_itself:
        raise BackupError(
            "the backup holds recordings that a bucket sealed, and here they would lie open: restore into such a bucket"
        )
    secret = DeploymentSecret.open(ring, report.secret)
    missing = 0
    continued = await _begun(target, report)
    if not continued:
        await migrate_to(target.database, report.head.revision, check=_refuse_unless_empty)
        missing = await _objects_and_erasures(target, path, target.open_ledger(secret), progress)
        await _rows(target, path, report.id, progress)
    await migrate(target.database)
    erased = await target.apply_ledger(secret)
    async with target.database.write() as transaction:
        await finish_restoring(transaction, report.id)
    fits = report.head.digest_key in (None, target.digest_key)
    return Restored(report, erased_again=erased, continued=continued, objects_missing=missing, digest_key_fits=fits)


async def _begun(target: Target, report: Report) -> bool:
    """Say whether the rows of this very backup are there already. Raises BackupError if those of another are."""
    location = target.database.location
    if isinstance(location, SqliteLocation) and not location.path.exists():
        return False
    async with target.database.read() as transaction:
        if not await connection_of(transaction).run_sync(current_revision):
            return False
        unfinished = await restoring(transaction)
    if unfinished is None:
        return False
    if unfinished[0] != report.id:
        raise BackupError(
            "the restore of another backup into this database was cut off: run osler restore with that backup again, "
            "or name an empty database"
        )
    return True


def _refuse_unless_empty(connection: Connection) -> None:
    """Raises BackupError if any table holds a row; a secret alone, as ``osler init`` makes, is nothing yet."""
    inspector = inspect(connection)
    there = set(inspector.get_table_names())
    ours = [each for each in metadata.sorted_tables if each.name in there and each is not deployment_secrets]
    of_workflows = [
        table(name, schema=schema)
        for schema in inspector.get_schema_names()
        for name in WORKFLOW_TABLES
        if inspector.has_table(name, schema=schema)
    ]
    for each in (*ours, *of_workflows):
        if connection.execute(select(literal(1)).select_from(each).limit(1)).first() is not None:
            raise BackupError(
                "the database is not empty, and a restore replaces nothing: name an empty database or data folder"
            )


async def _objects_and_erasures(target: Target, path: Path, ledger: ErasureLedger, progress: Progress) -> int:
    """Return how many of the objects that the backup only lists are not in the blob store."""
    known = set(await ledger.ids())
    done = missing = 0
    async with _reading(path, target.ring) as read:
        async for piece in read:
            match piece:
                case ObjectBegin():
                    await target.objects.put(object_name(piece.id), _object(read))
                case ObjectAbsent(blob_id, Absence.LISTED):
                    missing += not await _is_there(target, blob_id)
                case Erasures():
                    for erasure in piece.erasures:
                        if erasure.id not in known:
                            await ledger.append(erasure)
                            known.add(erasure.id)
                case _:
                    continue
            done += 1
            progress("writing recordings", done, None)
    return missing


async def _is_there(target: Target, blob_id: str) -> bool:
    try:
        await target.objects.get(object_name(blob_id), 0, 1)
    except CorruptedError:
        return False
    return True


async def _object(read: AsyncIterator[Piece]) -> AsyncIterator[bytes]:
    async for piece in read:
        match piece:
            case ObjectData():
                yield piece.data
            case ObjectEnd():
                return


async def _rows(target: Target, path: Path, backup_id: str, progress: Progress) -> None:
    """Load all rows in one transaction; they come first in a backup, and what follows is not read again."""
    async with _reading(path, target.ring) as read, target.database.write() as transaction:
        connection = connection_of(transaction)
        await connection.run_sync(_refuse_unless_empty)
        # The secret that osler init made has sealed nothing.
        await connection.execute(delete(deployment_secrets))
        loaded = 0
        async for piece in read:
            match piece:
                case Rows():
                    loaded += await _load(connection, piece, target.ring, backup_id)
                    progress("writing rows", loaded, None)
                case ObjectBegin() | Erasures():
                    return


async def _load(connection: AsyncConnection, rows: Rows, ring: KeyRing, backup_id: str) -> int:
    values = await asyncio.to_thread(
        lambda: [_under_current_key(rows.table, row, ring, backup_id) for row in rows.values()]
    )
    if values:
        into = table(rows.table, *(column(each.name, sql_type(each.kind)) for each in rows.columns))
        await connection.execute(sql_insert(into), values)
    return len(values)


def _under_current_key(name: str, row: dict[str, Any], ring: KeyRing, backup_id: str) -> dict[str, Any]:
    if name == deployment_secrets.name and row["name"] == NAME:
        wrapped = ring.rewrap(ObjectKey(row["key_id"], row["wrapped"], row["master"]))
        return {**row, "name": RESTORING + backup_id, "wrapped": wrapped.wrapped, "master": wrapped.master}
    if name == object_keys.name and row["wrapped"] is not None:
        try:
            wrapped = ring.rewrap(ObjectKey(row["id"], row["wrapped"], row["master"]))
        except MasterKeyError:
            return row  # counted when the file was checked: it stays as unreadable as it was
        return {**row, "wrapped": wrapped.wrapped, "master": wrapped.master}
    return row


@asynccontextmanager
async def _reading(path: Path, ring: KeyRing) -> AsyncIterator[AsyncIterator[Piece]]:
    archive = await asyncio.to_thread(ArchiveReader, path, ring)
    with archive:
        yield _in_thread(pieces(archive))


async def _in_thread(items: Iterator[Item]) -> AsyncIterator[Item]:
    """Yield what an iterator yields whose steps take their time."""
    end = object()
    while (item := await asyncio.to_thread(next, items, end)) is not end:
        yield item  # type: ignore[misc]
