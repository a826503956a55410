"""A rotation of the master key wraps every key anew and touches no data, over kills and while others work."""

import asyncio
import os
import random
import signal
import stat
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import func, insert, select, text

from osler.kernel.blobs import ObjectKey
from osler.kernel.errors import ConflictError, InvalidFieldError, MasterKeyError
from osler.storage.database import SqlDatabase
from osler.storage.repositories.secrets import deployment_secret
from osler.storage.rotation import LiveKeyRing, former_files, rewrap_all, rotate, wrapped_by
from osler.storage.sealing.keys import KeyRing, MasterKey
from osler.storage.sealing.sources import MASTER_KEY, FileSecret, ValueSecret
from osler.storage.tables.jobs import executors
from osler.storage.tables.sealing import object_keys
from tests.deployment_lab import CLOCK, MARKER, NOW, Laboratory, files_below

pytestmark = pytest.mark.anyio

OBJECTS = 5000


@pytest.fixture
def source(tmp_path: Path) -> FileSecret:
    return FileSecret(MASTER_KEY, tmp_path / "keys" / "master.key")


@pytest.fixture
async def laboratory(database: SqlDatabase, source: FileSecret, tmp_path: Path) -> AsyncIterator[Laboratory]:
    ring = LiveKeyRing(source, create=True)
    yield Laboratory(database, tmp_path / "data", source.load(), ring)


async def fill(laboratory: Laboratory, count: int) -> dict[str, bytes]:
    """Write wrapped keys by the thousand; return what they open to."""
    made = [laboratory.ring.new_object_key() for _ in range(count)]
    async with laboratory.database.write() as transaction:
        await transaction.connection.execute(
            insert(object_keys),
            [
                {"id": key.id, "organization_id": "o", "wrapped": key.wrapped, "master": key.master, "created_at": NOW}
                for key, _ in made
            ],
        )
    return {key.id: opened.secret for key, opened in made}


async def opened_by(database: SqlDatabase, ring: KeyRing) -> dict[str, bytes]:
    """Open every key that is not destroyed."""
    async with database.read() as transaction:
        rows = (await transaction.connection.execute(select(object_keys))).all()
    return {
        row.id: ring.open_key(ObjectKey(row.id, row.wrapped, row.master)).secret
        for row in rows
        if row.wrapped is not None
    }


async def test_every_key_opens_the_same_data_and_no_object_changes(
    laboratory: Laboratory, source: FileSecret, tmp_path: Path
) -> None:
    organization_id, user_id = await laboratory.organization()
    visits = [await laboratory.visit(organization_id, user_id) for _ in range(3)]
    await laboratory.erase(organization_id, visits[2])
    await fill(laboratory, OBJECTS)
    before, objects = await opened_by(laboratory.database, laboratory.ring), files_below(tmp_path / "data" / "blobs")
    assert len(before) >= OBJECTS and len(objects) == 2
    index = (await laboratory.secret()).blind_index("o", "field", "value")
    old = MasterKey(source.load())

    done = await rotate(laboratory.database, source)
    new = MasterKey(source.load())
    assert (done.current, done.former, done.resumed) == (new.id, (old.id,), False)
    assert new.id != old.id
    assert done.rewrapped == len(before) + 1  # and the deployment's secret
    assert await wrapped_by(laboratory.database) == {new.id: done.rewrapped}
    assert files_below(tmp_path / "data" / "blobs") == objects
    assert await opened_by(laboratory.database, KeyRing(new)) == before
    assert (await deployment_secret(laboratory.database, KeyRing(new))).blind_index("o", "field", "value") == index
    # Nothing opens with the old key alone.
    with pytest.raises(MasterKeyError, match=new.id):
        await deployment_secret(laboratory.database, KeyRing(old))
    async with laboratory.database.read() as transaction:
        rows = (
            await transaction.connection.execute(select(object_keys).where(object_keys.c.wrapped.is_not(None)))
        ).all()
    for row in rows[:: len(rows) // 50]:
        with pytest.raises(MasterKeyError):
            KeyRing(old).open_key(ObjectKey(row.id, row.wrapped, row.master))
        with pytest.raises(MasterKeyError):  # nor under a false name
            KeyRing(old).open_key(ObjectKey(row.id, row.wrapped, old.id))
    fresh = Laboratory(laboratory.database, tmp_path / "data", ring=KeyRing(new))
    assert await fresh.note_of(visits[0]) == MARKER
    assert await fresh.sound_of(visits[1]) == visits[1].sound
    assert await fresh.note_of(visits[2]) is None  # what was destroyed stays destroyed
    (kept,) = done.former_files
    assert kept.name == f"master.key.{old.id}.former"
    assert MasterKey(FileSecret(MASTER_KEY, kept).load()).id == old.id
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in (kept, source.path))
    assert sorted(path.name for path in source.path.parent.iterdir()) == ["master.key", kept.name]


async def test_the_database_file_keeps_nothing_that_the_old_key_opens(
    sqlite_url: str, source: FileSecret, tmp_path: Path
) -> None:
    database = SqlDatabase(sqlite_url)
    laboratory = Laboratory(database, tmp_path / "data", ring=LiveKeyRing(source, create=True))
    await laboratory.organization()
    await fill(laboratory, 300)
    async with database.read() as transaction:
        old = list(await transaction.connection.scalars(select(object_keys.c.wrapped)))
    await rotate(database, source)
    await database.dispose()
    left = b"".join(path.read_bytes() for path in (tmp_path / "database").iterdir())
    assert not [wrapped for wrapped in old if wrapped in left]


async def test_a_server_that_runs_learns_of_the_new_key(laboratory: Laboratory, source: FileSecret) -> None:
    """``laboratory`` is the running server: its ring was made before the rotation, and is asked during and after."""
    organization_id, user_id = await laboratory.organization()
    before = await laboratory.visit(organization_id, user_id)
    await fill(laboratory, 2000)
    stop, served = asyncio.Event(), 0

    async def serve() -> None:
        nonlocal served
        while not stop.is_set():
            visit = await laboratory.visit(organization_id, user_id, os.urandom(1000))
            assert await laboratory.note_of(visit) == MARKER
            assert await laboratory.note_of(before) == MARKER
            assert await laboratory.sound_of(before) == before.sound
            served += 1

    server = asyncio.create_task(serve())
    first = await rotate(laboratory.database, source)
    second = await rotate(laboratory.database, source)
    until_then = served
    while served < until_then + 3 and not server.done():
        await asyncio.sleep(0.01)
    stop.set()
    await server
    assert laboratory.ring.current.id == second.current
    # A visit that was under way may have been stored under the former key; it is read all the same, and the next run
    # wraps it anew before anything else.
    left = set(await wrapped_by(laboratory.database)) - {second.current}
    assert left <= {first.current, *first.former}
    if left:
        assert (await rotate(laboratory.database, source)).resumed
    assert set(await wrapped_by(laboratory.database)) == {second.current}


KILLED = """
import asyncio, sys, time
from pathlib import Path
from osler.storage.database import SqlDatabase
from osler.storage.rotation import rewrap_all, rotate
from osler.storage.sealing.sources import MASTER_KEY, FileSecret

rewrap_all.__kwdefaults__["batch"] = 50
most = int(sys.argv[3])

def told(*_):
    global most
    print("batch", flush=True)
    most -= 1
    if not most:
        time.sleep(3600)  # however late the kill comes, it comes before the end

async def run():
    database = SqlDatabase(sys.argv[1])
    print("ready", flush=True)
    await rotate(database, FileSecret(MASTER_KEY, Path(sys.argv[2])), progress=told)

asyncio.run(run())
"""


async def test_a_rotation_that_is_killed_goes_on_where_it_was(
    laboratory: Laboratory, source: FileSecret, database_url: str
) -> None:
    await laboratory.organization()
    await fill(laboratory, 3000)
    before = await opened_by(laboratory.database, laboratory.ring)
    original = MasterKey(source.load()).id
    instants = random.Random(7)
    cut_off = 0
    for batches in (0, 1, 7, 0, 20):
        command = [sys.executable, "-c", KILLED, database_url, str(source.path), str(batches + 4)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            for expected in ("ready", *["batch"] * batches):
                assert process.stdout.readline() == f"{expected}\n"
            time.sleep(instants.uniform(0, 0.02))
            process.send_signal(signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL
        cut_off += len(await wrapped_by(laboratory.database)) > 1
        # Whatever the instant, the key files open everything.
        ring = LiveKeyRing(source)
        assert await opened_by(laboratory.database, ring) == before
        await deployment_secret(laboratory.database, ring)
    assert cut_off >= 3, "a batch was told of and is not there"
    assert (await rotate(laboratory.database, source)).resumed
    current = MasterKey(source.load())
    assert current.id != original
    assert set(await wrapped_by(laboratory.database)) == {current.id}
    assert await opened_by(laboratory.database, KeyRing(current)) == before


async def test_keys_that_do_not_fit_change_nothing(laboratory: Laboratory, tmp_path: Path) -> None:
    await laboratory.organization()
    other = FileSecret(MASTER_KEY, tmp_path / "other" / "master.key")
    other.create()
    before = other.load()
    with pytest.raises(MasterKeyError):
        await rotate(laboratory.database, other)
    assert other.load() == before and not former_files(other)
    assert set(await wrapped_by(laboratory.database)) == {laboratory.ring.current.id}


async def test_a_key_of_ones_own_can_be_given(laboratory: Laboratory, source: FileSecret) -> None:
    await laboratory.organization()
    new = os.urandom(32)
    done = await rotate(laboratory.database, source, new)
    assert source.load() == new and done.current == MasterKey(new).id
    again = await rotate(laboratory.database, source, new)
    assert again.rewrapped == 0 and again.current == done.current
    # Back to the first key is a rotation like any other.
    assert (await rotate(laboratory.database, source, laboratory.key)).current == MasterKey(laboratory.key).id


async def test_a_key_that_is_no_file_is_rotated_by_hand_while_no_server_runs(
    database: SqlDatabase, tmp_path: Path
) -> None:
    old, new = os.urandom(32), os.urandom(32)
    source = ValueSecret(MASTER_KEY, old.hex())
    laboratory = Laboratory(database, tmp_path, old)
    await laboratory.organization()
    before = await opened_by(database, laboratory.ring)
    with pytest.raises(InvalidFieldError, match="--new-key-file"):
        await rotate(database, source)
    async with database.write() as transaction:
        await transaction.connection.execute(
            insert(executors).values(executor_id="e", incarnation="i", started_at=CLOCK.now(), heartbeat_at=CLOCK.now())
        )
    with pytest.raises(ConflictError, match="stop them"):
        await rotate(database, source, new)
    async with database.write() as transaction:
        await transaction.connection.execute(text("DELETE FROM executors"))
    done = await rotate(database, source, new)
    assert done.rewrapped == len(before) + 1
    assert await opened_by(database, KeyRing(MasterKey(new))) == before
    # The same again, before the operator has changed the setting, has nothing to do.
    assert (await rotate(database, source, new)).rewrapped == 0


async def test_a_key_that_is_destroyed_meanwhile_stays_destroyed(laboratory: Laboratory) -> None:
    await laboratory.organization()
    made = list(await fill(laboratory, 2000))
    destroyed = random.Random(1).sample(made, 200)

    async def destroy() -> None:
        for key_id in destroyed:
            async with laboratory.database.write() as transaction:
                await transaction.connection.execute(
                    text("UPDATE object_keys SET wrapped = NULL WHERE id = :id"), {"id": key_id}
                )

    ring = KeyRing(MasterKey(os.urandom(32)), [MasterKey(laboratory.key)])
    await asyncio.gather(destroy(), rewrap_all(laboratory.database, ring, batch=20))
    async with laboratory.database.read() as transaction:
        query = select(func.count()).where(object_keys.c.id.in_(destroyed), object_keys.c.wrapped.is_not(None))
        assert await transaction.connection.scalar(query) == 0


async def test_keys_that_are_destroyed_together_and_keys_that_are_wrapped_together_are_not_held_crosswise(
    laboratory: Laboratory,
) -> None:
    first, *_, last = sorted(await fill(laboratory, 20))
    destroyed, rewrapping = "UPDATE object_keys SET wrapped = NULL WHERE id = :id", asyncio.Event()

    async def destroy() -> None:
        async with laboratory.database.write() as transaction:
            await transaction.connection.execute(text(destroyed), {"id": last})
            rewrapping.set()
            await asyncio.sleep(0.5)  # the rotation comes as far as it can
            await transaction.connection.execute(text(destroyed), {"id": first})

    async def rewrap() -> int:
        await rewrapping.wait()
        return await rewrap_all(laboratory.database, ring)

    ring = KeyRing(MasterKey(os.urandom(32)), [MasterKey(laboratory.key)])
    _, count = await asyncio.gather(destroy(), rewrap())
    assert count in (18, 19)  # the first may have been wrapped anew before it was destroyed
    assert await wrapped_by(laboratory.database) == {ring.current.id: 18}


async def test_two_processes_that_start_at_once_agree_on_the_secret(database: SqlDatabase, database_url: str) -> None:
    ring = KeyRing(MasterKey(os.urandom(32)))
    other = SqlDatabase(database_url)
    try:
        found = await asyncio.gather(*(deployment_secret(each, ring) for each in (database, other) * 5))
    finally:
        await other.dispose()
    assert len({secret.url_key() for secret in found}) == 1
    with pytest.raises(MasterKeyError):
        await deployment_secret(database, KeyRing(MasterKey(os.urandom(32))))
    assert (await deployment_secret(database, ring)).url_key() == found[0].url_key()
