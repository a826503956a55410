"""Rotation of the master key: wraps every key anew and touches no data, while servers run.

Where the master key is a file, the former one stays beside it as ``master.key.ID.former`` until nobody needs it, and
every process finds both: at its start, when the key file changes, and when it meets a key that it does not know.
Cut off at any instant, the next ``osler master-key rotate`` goes on.
"""

import asyncio
import contextlib
import fcntl
import os
import secrets
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from sqlalchemy import bindparam, func, select, union_all, update

from osler.kernel.blobs import ObjectKey
from osler.kernel.errors import ConflictError, DatabaseUnavailableError, InvalidFieldError, MasterKeyError
from osler.kernel.progress import Progress, silent
from osler.storage.database import SqlDatabase, connection_of
from osler.storage.database_errors import BUSY
from osler.storage.database_url import LOCK_TIMEOUT
from osler.storage.sealing.deployment import DeploymentSecret
from osler.storage.sealing.keys import KEY_SIZE, DataKey, KeyRing, MasterKey
from osler.storage.sealing.sources import FileSecret, SecretSource
from osler.storage.tables.jobs import executors
from osler.storage.tables.sealing import deployment_secrets, object_keys

BATCH: Final = 500
"""Keys that are wrapped anew in one transaction: on SQLite others wait some 20 ms for it."""

HELD_PAUSE: Final = 0.1
"""Seconds between two looks whether others still hold keys that are to be wrapped anew."""

RELOAD_PAUSE: Final = 1.0
"""Seconds in which the sources are not asked again for a key that they did not have."""

SILENT_FOR: Final = timedelta(seconds=30)
"""A process that executes jobs and was not heard of for so long is dead."""


class LiveKeyRing(KeyRing):
    """A key ring that follows a rotation: it looks at its sources again when the key file has changed, before it wraps
    a new key, and when it meets a master key that it does not know. Keys that it knew it keeps."""

    def __init__(self, source: SecretSource, *, create: bool = False) -> None:
        """Raises MasterKeyError. ``create``: as of :func:`osler.storage.sealing.sources.load_key`."""
        self._source = source
        self._lock = threading.Lock()
        self._asked = 0.0
        self._seen = self._state()
        super().__init__(MasterKey(source.create() if create else source.load()), former_keys(source))

    def new_object_key(self) -> tuple[ObjectKey, DataKey]:
        """As :meth:`KeyRing.new_object_key`, by the master key that is current now."""
        if self._state() != self._seen:
            self._reload()
        return super().new_object_key()

    def _unwrap(self, key: ObjectKey) -> bytes:
        # The pause is for sources that cannot tell whether they changed, and for keys that nobody has.
        if (key.wrapped and key.master not in self._keys) and (
            self._state() != self._seen or time.monotonic() - self._asked > RELOAD_PAUSE
        ):
            self._reload()
        return super()._unwrap(key)

    def _reload(self) -> None:
        with self._lock:
            seen = self._state()
            try:
                current, former = MasterKey(self._source.load()), former_keys(self._source)
            except MasterKeyError:
                return  # what is known still holds
            finally:
                self._asked = time.monotonic()
            self._keys = {**self._keys, **{key.id: key for key in (*former, current)}}
            self.current = current
            self._seen = seen

    def _state(self) -> tuple[int, int] | None:
        if not isinstance(self._source, FileSecret):
            return None
        try:
            stat = self._source.path.stat()
        except OSError:
            return None
        return stat.st_ino, stat.st_mtime_ns


def former_files(source: SecretSource) -> tuple[Path, ...]:
    """Return the files of former master keys beside the file of the current one."""
    if not isinstance(source, FileSecret):
        return ()
    return tuple(sorted(source.path.parent.glob(f"{source.path.name}.*.former")))


def former_keys(source: SecretSource) -> tuple[MasterKey, ...]:
    """Return the master keys that :func:`former_files` hold. Raises MasterKeyError for a file that cannot be used."""
    keys = []
    for path in former_files(source):
        with contextlib.suppress(FileNotFoundError):  # destroyed meanwhile
            path.stat()
            keys.append(MasterKey(FileSecret(source.name, path).load()))
    return tuple(keys)


@dataclass(frozen=True, slots=True)
class Rotation:
    """What a rotation did. ``former``: ids of the master keys that it put out of use, oldest first."""

    current: str
    former: tuple[str, ...]
    former_files: tuple[Path, ...]
    rewrapped: int
    resumed: bool
    """Whether this only finished a rotation that had been cut off."""
    traces_left: bool
    """Whether the database's files may still hold what the former key opens, as others kept them in use."""


async def wrapped_by(database: SqlDatabase) -> Mapping[str, int]:
    """Return how many keys each master key (by id) wraps, the deployment's secret among them."""
    both = union_all(
        select(object_keys.c.master).where(object_keys.c.wrapped.is_not(None)), select(deployment_secrets.c.master)
    ).subquery()
    async with database.read() as transaction:
        query = select(both.c.master, func.count().label("number")).group_by(both.c.master)
        return {row.master: row.number for row in await connection_of(transaction).execute(query)}


async def rewrap_all(database: SqlDatabase, ring: KeyRing, *, progress: Progress = silent, batch: int = BATCH) -> int:
    """Wrap every key of the database by the ring's current master key; return how many were not yet.

    In short transactions, until none is left, those that others add meanwhile under a former key included. A key that
    is destroyed meanwhile stays destroyed, and one that others hold is waited for, last and for LOCK_TIMEOUT. Raises
    MasterKeyError where the ring lacks a master key, DatabaseUnavailableError.
    """
    total = sum(count for master, count in (await wrapped_by(database)).items() if master != ring.current.id)
    done = 0
    after, begun, end = "", 0, time.monotonic() + LOCK_TIMEOUT
    while True:
        count, last = await _rewrap_some(database, ring, after, batch)
        done += count
        progress("wrapping keys", done, max(done, total))
        if last is not None:
            after = last
        elif done != begun:  # once more from the start, for what others added meanwhile
            after, begun, end = "", done, time.monotonic() + LOCK_TIMEOUT
        elif not await _is_left(database, ring):
            break
        elif time.monotonic() < end:  # others hold what is left
            after = ""
            await asyncio.sleep(HELD_PAUSE)
        else:
            raise DatabaseUnavailableError(BUSY)
    async with database.write() as transaction:
        connection = connection_of(transaction)
        query = select(deployment_secrets).where(deployment_secrets.c.master != ring.current.id).with_for_update()
        for row in (await connection.execute(query)).all():
            key = ring.rewrap(ObjectKey(row.key_id, row.wrapped, row.master))
            await connection.execute(
                update(deployment_secrets)
                .where(deployment_secrets.c.name == row.name)
                .values(wrapped=key.wrapped, master=key.master)
            )
            done += 1
    return done


async def _is_left(database: SqlDatabase, ring: KeyRing) -> bool:
    """Say whether a key of the database is still wrapped by a former master key."""
    left = select(object_keys.c.id).where(object_keys.c.master != ring.current.id, object_keys.c.wrapped.is_not(None))
    async with database.read() as transaction:
        return (await connection_of(transaction).execute(left.limit(1))).first() is not None


async def _rewrap_some(database: SqlDatabase, ring: KeyRing, after: str, batch: int) -> tuple[int, str | None]:
    """Return how many were wrapped, and the last id of them; None if there were none above ``after``."""
    query = (
        select(object_keys.c.id, object_keys.c.wrapped, object_keys.c.master)
        .where(object_keys.c.id > after, object_keys.c.master != ring.current.id, object_keys.c.wrapped.is_not(None))
        .order_by(object_keys.c.id)
        .limit(batch)
        # An erasure holds many keys in an order of its own: who waited for it while it holds others would be crosswise.
        .with_for_update(skip_locked=True)
    )
    async with database.write() as transaction:
        connection = connection_of(transaction)
        rows = (await connection.execute(query)).all()
        values: list[dict[str, Any]] = []
        for row in rows:
            key = ring.rewrap(ObjectKey(row.id, row.wrapped, row.master))
            values.append({"key": key.id, "wrapped": key.wrapped, "master": key.master})
        if values:
            await connection.execute(
                update(object_keys)
                .where(object_keys.c.id == bindparam("key"))
                .values(wrapped=bindparam("wrapped"), master=bindparam("master")),
                values,
            )
    return len(rows), rows[-1].id if rows else None


async def rotate(
    database: SqlDatabase, source: SecretSource, new_key: bytes | None = None, *, progress: Progress = silent
) -> Rotation:
    """Put a new master key into use and wrap every key by it; or finish a rotation that was cut off.

    ``new_key``: 32 bytes; None makes one, where the master key is a file. Where it is a value or a command, the new key
    wraps everything at once and the operator then changes the setting: no server may run meanwhile.

    Raises MasterKeyError, before anything is written, if the configured keys do not open what is there;
    InvalidFieldError if a new key is needed; ConflictError if another rotation runs, or was cut off with another key.
    """
    new = None if new_key is None else MasterKey(new_key)
    with _alone(source):
        current, former = MasterKey(source.load()), former_keys(source)
        known = [*former, current, *([new] if new else [])]
        wrapped = await wrapped_by(database)
        await _check(database, known, wrapped)
        if not isinstance(source, FileSecret):
            if new is None:
                raise InvalidFieldError("new_key_file", "make a new key and name its file with --new-key-file FILE")
            await _refuse_while_servers_run(database)
            count = await rewrap_all(database, KeyRing(new, [current]), progress=progress)
            left = await _traces_left(database)
            return Rotation(new.id, (current.id,), (), count, resumed=bool(wrapped.get(new.id)), traces_left=left)
        unfinished = set(wrapped) - {current.id}
        if new is not None and unfinished and new.id != current.id:
            raise ConflictError(
                "a rotation was cut off: run osler master-key rotate without a new key first, which finishes it"
            )
        if not unfinished and (new is None or new.id != current.id):
            key = new_key or os.urandom(KEY_SIZE)
            _install(source.path, key, source.load(), former=current)
            former, current = (*former, current), MasterKey(key)
        count = await rewrap_all(database, KeyRing(current, former), progress=progress)
        ids = tuple(key.id for key in former if key.id != current.id)
        left = await _traces_left(database)
        return Rotation(current.id, ids, former_files(source), count, resumed=bool(unfinished), traces_left=left)


async def _traces_left(database: SqlDatabase) -> bool:
    """Overwrite the old wrapped keys in the database's files; say whether others kept that from being done."""
    try:
        await database.erase_traces()
    except DatabaseUnavailableError:
        return True
    return False


async def _check(database: SqlDatabase, known: Sequence[MasterKey], wrapped: Mapping[str, int]) -> None:
    """Raises MasterKeyError unless the keys open the secret, and every master key that is in use is among them."""
    async with database.read() as transaction:
        rows = (await connection_of(transaction).execute(select(deployment_secrets))).all()
    for row in rows:
        DeploymentSecret.open(KeyRing(known[0], known), ObjectKey(row.key_id, row.wrapped, row.master))
    for master in set(wrapped) - {key.id for key in known}:
        raise MasterKeyError(
            f"{wrapped[master]} keys are wrapped by the master key {master}, which is not here: put it back beside "
            f"the current one, with .{master}.former at the end of its name"
        )


async def _refuse_while_servers_run(database: SqlDatabase) -> None:
    """Raises ConflictError if a process that executes jobs was heard of: it could not learn of the new key."""
    async with database.read() as transaction:
        heard = await connection_of(transaction).scalar(select(func.max(executors.c.heartbeat_at)))
    if heard is not None and datetime.now(UTC) - heard < SILENT_FOR:
        raise ConflictError(
            "servers or workers run, and cannot learn of a new key that is no file: stop them, then run this again"
        )


def _install(path: Path, key: bytes, old: bytes, *, former: MasterKey) -> None:
    """Put a new key file in the place of the one that is there, which stays beside it; at no instant is one missing."""
    try:
        for left in path.parent.glob(f".{path.name}.*"):  # of rotations that were cut off before they began
            left.unlink()
        _write(path.with_name(f"{path.name}.{former.id}.former"), old)
        _write(path, key)
    except OSError as error:
        raise MasterKeyError(f"The new master key cannot be written: {error.strerror}; nothing was changed.") from None


def _write(path: Path, key: bytes) -> None:
    """Write a key file, whole or not at all, for its owner alone. Raises OSError."""
    part = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "w") as file:
            file.write(key.hex() + "\n")
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        _sync(path.parent)
    finally:
        part.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _alone(source: SecretSource) -> Iterator[None]:
    """Hold the lock of rotations on this machine. Raises ConflictError if another holds it."""
    if not isinstance(source, FileSecret):
        yield
        return
    source.load()  # before anything is made beside it
    descriptor = os.open(source.path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ConflictError("another rotation of the master key runs: wait until it is done") from None
        yield
    finally:
        os.close(descriptor)
