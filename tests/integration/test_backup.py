"""A backup brings back everything on either database, and nothing that was erased; a damaged one changes nothing."""

import asyncio
import os
import random
import signal
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import func, insert, select, text, update

from osler.kernel.errors import BackupError, ErasedError, MasterKeyError, NewerDatabaseError, OslerError, OutputError
from osler.storage.backup.create import create_backup
from osler.storage.backup.restore import Restored, restore_backup
from osler.storage.backup.verify import Report, verify
from osler.storage.blobs.s3 import S3Objects, S3Settings
from osler.storage.database import SqlDatabase
from osler.storage.migrations import migrate
from osler.storage.repositories.secrets import deployment_secret
from osler.storage.sealing.keys import KeyRing, MasterKey
from osler.storage.tables.encounters import encounters
from osler.storage.tables.jobs import executors, jobs
from osler.storage.tables.notes import notes
from osler.storage.tables.sealing import deployment_secrets, object_keys
from tests.deployment_lab import MARKER, NOW, Laboratory, contents, files_below, null_kinds, write_until
from tests.servers.swift import SwiftServer

pytestmark = pytest.mark.anyio


@pytest.fixture
async def empty(anyio_backend: str, empty_database_url: str) -> AsyncIterator[SqlDatabase]:
    database = SqlDatabase(empty_database_url)
    yield database
    await database.dispose()


@pytest.fixture
async def sqlite(anyio_backend: str, tmp_path: Path) -> AsyncIterator[SqlDatabase]:
    """A second SQLite file that does not exist yet: a target where the kind of database makes no difference."""
    database = SqlDatabase(f"sqlite:///{tmp_path / 'second' / 'osler.db'}")
    yield database
    await database.dispose()


@pytest.fixture
def source(database: SqlDatabase, tmp_path: Path) -> Laboratory:
    return Laboratory(database, tmp_path / "source")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "osler.backup"


async def restore(target: Laboratory, file: Path) -> Restored:
    return await restore_backup(target.target, file)


def beside(source: Laboratory, database: SqlDatabase, folder: Path) -> Laboratory:
    """A target with the same master key."""
    return Laboratory(database, folder, source.key)


async def test_everything_comes_back_on_either_database(
    source: Laboratory, empty: SqlDatabase, file: Path, tmp_path: Path
) -> None:
    organization_id, user_id = await source.organization()
    visits = [await source.visit(organization_id, user_id) for _ in range(5)]
    async with source.database.write() as transaction:
        await transaction.connection.execute(
            insert(jobs).values(
                id="j", organization_id=organization_id, kind="write_note", subject={"encounter": visits[0].encounter},
                state="running", attempt=1, created_at=NOW,
            )
        )  # fmt: skip
        await transaction.connection.execute(
            insert(executors).values(executor_id="e", incarnation="i", started_at=NOW, heartbeat_at=NOW)
        )
        await transaction.connection.execute(
            text("UPDATE notes SET engine = NULL WHERE id = :id"), {"id": visits[0].note}
        )
    before = await contents(source.database, without=[executors])
    report = await create_backup(await source.deployment(), file)
    assert report.complete and report.counts.objects == 5 and report.counts.rows["segments"] == 5
    assert "executors" not in report.counts.rows
    assert stat.S_IMODE(file.stat().st_mode) == 0o600

    target = beside(source, empty, tmp_path / "target")
    restored = await restore(target, file)
    assert not restored.continued and restored.erased_again == 0
    assert await contents(target.database, without=[executors]) == before
    for visit in visits:
        assert await target.note_of(visit) == MARKER
        assert await target.sound_of(visit) == visit.sound
    async with source.database.read() as old, target.database.read() as new:
        assert await null_kinds(old) == await null_kinds(new)
        assert {None, "null"} == {kind for _, kind in await null_kinds(new)}
    # Of the same deployment: what was found by a blind index before is found again.
    assert (await target.secret()).blind_index("o", "f", "v") == (await source.secret()).blind_index("o", "f", "v")


async def test_a_backup_shows_nothing_of_a_patient_and_no_master_key(source: Laboratory, file: Path) -> None:
    organization_id, user_id = await source.organization()
    visit = await source.visit(organization_id, user_id)
    await create_backup(await source.deployment(), file)
    data = file.read_bytes()
    for secret in (MARKER.encode(), b"Quillfeather", b"Practice", visit.encounter.encode(), source.key,
                   source.key.hex().encode(), source.key.hex().upper().encode()):  # fmt: skip
        assert secret not in data


async def test_a_backup_is_of_one_moment_while_others_write(
    source: Laboratory, sqlite: SqlDatabase, file: Path, tmp_path: Path
) -> None:
    organization_id, user_id = await source.organization()
    for _ in range(30):
        await source.visit(organization_id, user_id, os.urandom(3000))
    stop = asyncio.Event()
    writer = asyncio.create_task(write_until(source, organization_id, user_id, stop))
    await asyncio.sleep(0.05)
    reports: list[Report] = []
    # On a slow disk the writer is slow, and the backups are not.
    while len(reports) < 4 or reports[-1].counts.rows["encounters"] - reports[0].counts.rows["encounters"] <= 5:
        reports.append(await create_backup(await source.deployment(), file.with_name(f"{len(reports)}.backup")))
        assert not writer.done()
    stop.set()
    assert await writer > 5
    for report in reports:
        rows = report.counts.rows
        assert rows["encounters"] == rows["segments"] == rows["notes"] == report.counts.objects >= 30
        # One key each: user, encounter, segment, transcript, note.
        assert rows["object_keys"] == 1 + 4 * rows["encounters"]
        assert report.complete
    target = beside(source, sqlite, tmp_path / "target")
    await restore(target, file.with_name(f"{len(reports) - 1}.backup"))
    async with target.database.read() as transaction:
        count = await transaction.connection.scalar(select(func.count()).select_from(encounters))
    assert count == reports[-1].counts.rows["encounters"]


async def test_what_was_erased_after_a_backup_stays_erased(
    source: Laboratory, empty: SqlDatabase, file: Path, tmp_path: Path
) -> None:
    organization_id, user_id = await source.organization()
    kept, erased_before, erased_after = [await source.visit(organization_id, user_id) for _ in range(3)]
    first = await source.erase(organization_id, erased_before)
    await create_backup(await source.deployment(), file)
    second = await source.erase(organization_id, erased_after)

    target = beside(source, empty, tmp_path / "target")
    await target.ledger_under(await source.secret()).append(second)  # the ledger outlived the database
    restored = await restore(target, file)
    ledger = await target.ledger()
    assert set(await ledger.ids()) == {first.id, second.id}
    assert await ledger.get(first.id) == first
    assert restored.erased_again == 2
    assert await target.note_of(kept) == MARKER
    assert await target.note_of(erased_before) is None
    assert await target.note_of(erased_after) is None
    with pytest.raises(ErasedError):
        await target.sound_of(erased_before)


async def test_a_flipped_bit_or_a_cut_is_found_wherever_it_is(source: Laboratory, file: Path, tmp_path: Path) -> None:
    organization_id, user_id = await source.organization()
    for _ in range(3):
        await source.visit(organization_id, user_id)
    await create_backup(await source.deployment(), file)
    whole = file.read_bytes()
    random_ = random.Random(3)
    damaged = tmp_path / "damaged"
    places = [*range(0, 40), *(random_.randrange(len(whole)) for _ in range(150)), len(whole) - 1]
    for place in places:
        changed = bytearray(whole)
        changed[place] ^= 1 << random_.randrange(8)
        damaged.write_bytes(changed)
        with pytest.raises(BackupError):
            verify(damaged, source.ring)
    for length in [*range(0, 300, 7), *(random_.randrange(len(whole)) for _ in range(100)), len(whole) - 1]:
        damaged.write_bytes(whole[:length])
        with pytest.raises(BackupError):
            verify(damaged, source.ring)
    damaged.write_bytes(whole + b"\0")
    with pytest.raises(BackupError):
        verify(damaged, source.ring)
    assert verify(file, source.ring).complete


async def test_a_damaged_backup_and_another_master_key_change_nothing(
    source: Laboratory, sqlite: SqlDatabase, file: Path, tmp_path: Path
) -> None:
    organization_id, user_id = await source.organization()
    await source.visit(organization_id, user_id)
    await create_backup(await source.deployment(), file)
    target = beside(source, sqlite, tmp_path / "target")
    whole = bytearray(file.read_bytes())
    whole[-5] ^= 1
    (tmp_path / "damaged").write_bytes(whole)
    with pytest.raises(BackupError):
        await restore(target, tmp_path / "damaged")
    other = Laboratory(sqlite, tmp_path / "target", os.urandom(32))
    with pytest.raises(MasterKeyError, match=source.ring.current.id):
        await restore(other, file)
    assert files_below(tmp_path / "target") == {}
    assert not (tmp_path / "second").exists()  # no SQLite file
    assert (await restore(target, file)).report.complete


async def test_a_target_that_holds_anything_is_refused(
    source: Laboratory, sqlite: SqlDatabase, file: Path, tmp_path: Path
) -> None:
    organization_id, user_id = await source.organization()
    await source.visit(organization_id, user_id)
    await create_backup(await source.deployment(), file)
    before = await contents(source.database)
    with pytest.raises(BackupError, match="not empty"):
        await restore(source, file)
    assert await contents(source.database) == before

    target = beside(source, sqlite, tmp_path / "target")
    await migrate(sqlite)
    async with target.database.write() as transaction:
        await transaction.connection.execute(text("CREATE TABLE workflow_status (id TEXT)"))
        await transaction.connection.execute(text("INSERT INTO workflow_status VALUES ('done before')"))
    with pytest.raises(BackupError, match="not empty"):
        await restore(target, file)
    async with target.database.write() as transaction:
        await transaction.connection.execute(text("DELETE FROM workflow_status"))
    # What osler init leaves is empty: tables, and a secret that has sealed nothing.
    await target.secret()
    await restore(target, file)
    assert await contents(target.database) == before


async def test_a_restore_that_is_cut_off_goes_on_and_nobody_works_with_it_before(
    source: Laboratory, empty: SqlDatabase, file: Path, tmp_path: Path
) -> None:
    organization_id, user_id = await source.organization()
    kept, erased = [await source.visit(organization_id, user_id) for _ in range(2)]
    await create_backup(await source.deployment(), file)
    await source.visit(organization_id, user_id)
    await create_backup(await source.deployment(), file.with_name("other"))
    target = beside(source, empty, tmp_path / "target")
    await target.ledger_under(await source.secret()).append(await source.erase(organization_id, erased))

    async def killed(_secret: object) -> int:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await restore_backup(replace(target.target, apply_ledger=killed), file)
    with pytest.raises(BackupError, match="cut off"):
        await deployment_secret(target.database, target.ring)
    with pytest.raises(BackupError, match="another backup"):
        await restore(target, file.with_name("other"))
    restored = await restore(target, file)
    assert restored.continued and restored.erased_again == 1
    assert await target.note_of(kept) == MARKER
    assert await target.note_of(erased) is None
    with pytest.raises(BackupError, match="not empty"):
        await restore(target, file)


async def test_a_backup_replaces_no_file_and_leaves_none_when_it_fails(
    source: Laboratory, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    organization_id, user_id = await source.organization()
    visit = await source.visit(organization_id, user_id)
    folder = tmp_path / "backups"
    folder.mkdir()
    (folder / "a").write_text("precious")
    with pytest.raises(OutputError):
        await create_backup(await source.deployment(), folder / "a")
    assert (folder / "a").read_text() == "precious"
    with pytest.raises(OutputError):
        await create_backup(await source.deployment(), tmp_path / "nowhere" / "b")

    def full(_archive: object, kind: bytes, _payload: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("osler.storage.backup.archive.ArchiveWriter.frame", full)
    with pytest.raises(OslerError, match="space"):
        await create_backup(await source.deployment(), folder / "b")
    assert [path.name for path in folder.iterdir()] == ["a"]
    assert visit.sound


async def test_a_lost_object_is_counted_and_one_that_was_erased_meanwhile_is_no_loss(
    source: Laboratory, sqlite: SqlDatabase, file: Path, tmp_path: Path
) -> None:
    organization_id, user_id = await source.organization()
    kept, lost, erased = [await source.visit(organization_id, user_id) for _ in range(3)]
    vault = await source.vault()
    await vault.delete([lost.blob.id])
    get = source.objects.get

    async def erase_while_copying(name: str, start: int, end: int) -> tuple[memoryview, int]:
        if name.endswith(erased.blob.id) and not await (await source.ledger()).ids():
            await source.erase(organization_id, erased)
        return await get(name, start, end)

    source.objects.get = erase_while_copying  # type: ignore[method-assign]
    report = await create_backup(await source.deployment(), file)
    assert not report.complete
    assert report.counts.absent == {"missing": 1, "erased": 1}
    target = beside(source, sqlite, tmp_path / "target")
    await restore(target, file)
    assert await target.sound_of(kept) == kept.sound
    assert await target.note_of(erased) is None


async def test_objects_can_be_listed_instead(
    source: Laboratory, sqlite: SqlDatabase, file: Path, tmp_path: Path
) -> None:
    organization_id, user_id = await source.organization()
    visits = [await source.visit(organization_id, user_id) for _ in range(3)]
    report = await create_backup(await source.deployment(), file, with_objects=False)
    assert report.counts.absent == {"listed": 3} and report.counts.objects == 0
    assert len(file.read_bytes()) < 50_000
    target = beside(source, sqlite, tmp_path / "source")  # the same blob store
    await (await source.vault()).delete([visits[0].blob.id])
    restored = await restore(target, file)
    assert restored.objects_missing == 1
    assert await target.sound_of(visits[1]) == visits[1].sound


async def test_keys_of_a_former_master_key_come_back_under_the_current_one(
    source: Laboratory, sqlite: SqlDatabase, file: Path, tmp_path: Path
) -> None:
    organization_id, user_id = await source.organization()
    visit = await source.visit(organization_id, user_id)
    await create_backup(await source.deployment(), file)
    ring = KeyRing(MasterKey(os.urandom(32)), [MasterKey(source.key)])
    target = Laboratory(sqlite, tmp_path / "target", ring=ring)
    await restore(target, file)
    async with target.database.read() as transaction:
        masters = set(await transaction.connection.scalars(select(object_keys.c.master)))
        masters |= set(await transaction.connection.scalars(select(deployment_secrets.c.master)))
    assert masters == {ring.current.id}
    assert await target.note_of(visit) == MARKER


async def test_a_backup_of_a_newer_version_is_refused(
    source: Laboratory, sqlite: SqlDatabase, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await source.organization()
    monkeypatch.setattr("osler.storage.backup.create.current_revision", lambda _connection: "9999_future")
    await create_backup(await source.deployment(), file)
    with pytest.raises(NewerDatabaseError):
        await restore(beside(source, sqlite, tmp_path / "target"), file)


async def test_a_key_that_does_not_open_is_counted_not_fatal(source: Laboratory, file: Path) -> None:
    organization_id, user_id = await source.organization()
    visit = await source.visit(organization_id, user_id)
    async with source.database.write() as transaction:
        await transaction.connection.execute(
            update(object_keys)
            .where(object_keys.c.id == select(notes.c.key_id).where(notes.c.id == visit.note).scalar_subquery())
            .values(wrapped=os.urandom(60))
        )
    report = await create_backup(await source.deployment(), file)
    assert report.unreadable_keys == 1 and not report.complete


KILLED = """
import asyncio, sys, time
from pathlib import Path
from osler.storage.backup.create import create_backup
from osler.storage.database import SqlDatabase
from tests.deployment_lab import Laboratory


async def run(url, folder, key, file, until):
    source = Laboratory(SqlDatabase(url), folder, bytes.fromhex(key))

    def progress(what, *_):
        print(what, flush=True)
        if what.startswith(until):
            time.sleep(600)  # it is killed here, however fast the rest would be

    await create_backup(await source.deployment(), file, progress=progress)


asyncio.run(run(sys.argv[1], Path(sys.argv[2]), sys.argv[3], Path(sys.argv[4]), sys.argv[5]))
"""


async def test_a_backup_that_is_killed_leaves_no_file_of_its_name(
    anyio_backend: str, sqlite_url: str, tmp_path: Path
) -> None:
    source = Laboratory(SqlDatabase(sqlite_url), tmp_path / "source")
    organization_id, user_id = await source.organization()
    for _ in range(4):
        await source.visit(organization_id, user_id, os.urandom(5_000_000))
    file = tmp_path / "backups" / "osler.backup"
    file.parent.mkdir()
    command = [sys.executable, "-c", KILLED, sqlite_url, str(source.folder), source.key.hex(), str(file)]
    for doing in ("reading rows", "reading recordings", "checking"):
        with subprocess.Popen(
            [*command, doing],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        ) as process:
            assert process.stdout
            assert any(line.startswith(doing) for line in process.stdout)
            process.kill()
        assert process.returncode == -signal.SIGKILL
        assert not file.exists()
        (part,) = file.parent.iterdir()
        assert stat.S_IMODE(part.stat().st_mode) == 0o600
        part.unlink()
    assert (await create_backup(await source.deployment(), file)).complete
    await source.database.dispose()


@pytest.mark.services
async def test_objects_of_a_bucket_come_back_in_another_or_stay_where_they_are(
    anyio_backend: str, sqlite_url: str, swift: SwiftServer, file: Path, tmp_path: Path
) -> None:
    database = SqlDatabase(sqlite_url)
    source = Laboratory(database, tmp_path / "source", objects=bucket(swift))
    organization_id, user_id = await source.organization()
    ours = await source.visit(organization_id, user_id, os.urandom(3_000_000))
    source.sealed = "bucket"
    theirs = await source.visit(organization_id, user_id)
    source.sealed = "osler"
    await create_backup(await source.deployment(), file)
    await create_backup(await source.deployment(), tmp_path / "listed", with_objects=False)
    assert MARKER.encode() not in file.read_bytes()

    folder = beside(source, SqlDatabase(f"sqlite:///{tmp_path / 'folder' / 'osler.db'}"), tmp_path / "target")
    with pytest.raises(BackupError, match="lie open"):
        await restore(folder, file)
    elsewhere = SqlDatabase(f"sqlite:///{tmp_path / 'elsewhere' / 'osler.db'}")
    target = Laboratory(elsewhere, tmp_path / "target", source.key, objects=bucket(swift))
    await restore(target, file)
    assert await target.sound_of(ours) == ours.sound and await target.sound_of(theirs) == theirs.sound
    here = SqlDatabase(f"sqlite:///{tmp_path / 'here' / 'osler.db'}")
    target = Laboratory(here, tmp_path / "here", source.key, objects=source.objects)
    assert (await restore(target, tmp_path / "listed")).objects_missing == 0
    assert await target.sound_of(ours) == ours.sound and await target.sound_of(theirs) == theirs.sound
    for each in (database, folder.database, elsewhere, here):
        await each.dispose()


def bucket(swift: SwiftServer) -> S3Objects:
    name = f"backup-{os.urandom(6).hex()}"
    swift.make_bucket(name)
    return S3Objects(
        S3Settings(
            name,
            endpoint=swift.endpoint,
            region=swift.region,
            access_key_id=swift.access_key_id,
            secret_access_key=swift.secret_access_key,
        )
    )
