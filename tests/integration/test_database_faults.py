"""The database when the machine fails it: full disk, stopped server, lost file, erased rows that must not come back."""

import asyncio
import pwd
import secrets
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy import Column, Integer, LargeBinary, MetaData, Table, delete, func, insert, select, text, update

from osler.kernel.clock import SystemClock
from osler.kernel.errors import CorruptedError, DatabaseUnavailableError, StorageFullError
from osler.storage.database import SqlDatabase
from osler.storage.tables import sealing
from tests.conftest import migrate_now
from tests.servers.disks import small_disk
from tests.servers.postgresql import ACCOUNT, PostgresqlServer

pytestmark = pytest.mark.anyio

pieces = Table(
    "test_pieces",
    MetaData(),
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("half", Integer, primary_key=True, autoincrement=False),
    Column("content", LargeBinary, nullable=False),
)


async def fill(database: SqlDatabase, limit: int = 1000) -> int:
    """Write pairs of 60 kB until the disk is full; return how many pairs were acknowledged."""
    for id in range(limit):
        try:
            async with database.write() as transaction:
                for half in (1, 2):
                    row = {"id": id, "half": half, "content": secrets.token_bytes(60_000)}
                    await transaction.connection.execute(insert(pieces).values(row))
        except StorageFullError:
            return id
    raise AssertionError("the disk never was full")


async def halves(database: SqlDatabase) -> list[int]:
    async with database.read() as transaction:
        query = select(func.count()).select_from(pieces).group_by(pieces.c.id)
        return list((await transaction.connection.execute(query)).scalars())


async def create_pieces(database: SqlDatabase) -> None:
    async with database.write() as transaction:
        await transaction.connection.run_sync(pieces.create)


async def test_a_full_disk_is_said_plainly_and_nothing_is_half_written_on_sqlite(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", megabytes=4) as disk:
        database = SqlDatabase(f"sqlite:///{disk / 'osler.db'}")
        try:
            migrate_now(f"sqlite:///{disk / 'osler.db'}")
            await create_pieces(database)
            filler = disk / "filler"
            filler.write_bytes(bytes(1_000_000))
            acknowledged = await fill(database)
            assert acknowledged > 3
            assert await halves(database) == [2] * acknowledged
            filler.unlink()
            async with database.write() as transaction:  # works again once there is space
                await transaction.connection.execute(delete(pieces).where(pieces.c.id == 0))
            assert await halves(database) == [2] * (acknowledged - 1)
        finally:
            await database.dispose()
        with sqlite3.connect(disk / "osler.db") as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        connection.close()


async def test_a_database_at_its_size_limit_is_full_and_nothing_is_half_written(sqlite_url: str) -> None:
    """What any account can test: SQLite's own limit gives the error of a full disk."""
    database = SqlDatabase(sqlite_url)
    try:
        await create_pieces(database)
        async with database.write() as transaction:
            pages = (await transaction.connection.execute(text("PRAGMA page_count"))).scalar_one()
            await transaction.connection.execute(text(f"PRAGMA max_page_count = {pages + 200}"))
        acknowledged = await fill(database)
        assert acknowledged > 3
        assert await halves(database) == [2] * acknowledged
    finally:
        await database.dispose()


@pytest.mark.services
async def test_a_full_disk_is_said_plainly_and_nothing_is_half_written_on_postgresql(
    postgresql_server: PostgresqlServer, tmp_path: Path
) -> None:
    folder = postgresql_server.folder / f"disk-{secrets.token_hex(4)}"
    with small_disk(folder, megabytes=16, account=str(pwd.getpwnam(ACCOUNT).pw_uid)):
        name = f"full_{secrets.token_hex(4)}"
        postgresql_server.execute(f"CREATE TABLESPACE {name} LOCATION '{folder}'")
        url = postgresql_server.create_database(name)
        database = SqlDatabase(url)
        try:
            async with database.write() as transaction:
                await transaction.connection.execute(text(f"SET LOCAL default_tablespace = '{name}'"))
                await transaction.connection.run_sync(pieces.create)
            acknowledged = await fill(database)
            assert acknowledged > 3
            assert await halves(database) == [2] * acknowledged
            await database.check()
        finally:
            await database.dispose()
            postgresql_server.drop_database(name)
            postgresql_server.execute(f"DROP TABLESPACE {name}")


@pytest.fixture
def own_server() -> Iterator[PostgresqlServer]:
    server = PostgresqlServer(durable=True)
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.mark.services
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["stopped", "crashed"])
async def test_postgresql_that_goes_away_is_unavailable_and_recovers_by_itself(
    own_server: PostgresqlServer, how: signal.Signals
) -> None:
    database = SqlDatabase(own_server.url())
    try:
        await create_pieces(database)
        async with database.write() as transaction:
            await transaction.connection.execute(insert(pieces).values(id=1, half=1, content=b"acknowledged"))
        with pytest.raises(DatabaseUnavailableError):
            async with database.write() as transaction:
                await transaction.connection.execute(insert(pieces).values(id=2, half=1, content=b"never"))
                await asyncio.to_thread(own_server.stop, how)
                await transaction.connection.execute(insert(pieces).values(id=2, half=2, content=b"never"))
        for _ in range(3):
            with pytest.raises(DatabaseUnavailableError):
                await database.check()
        await asyncio.to_thread(own_server.start)
        await database.check()
        assert await halves(database) == [1]

        with pytest.raises(DatabaseUnavailableError):  # nor is a commit acknowledged that did not come about
            async with database.write() as transaction:
                await transaction.connection.execute(insert(pieces).values(id=3, half=1, content=b"never"))
                await asyncio.to_thread(own_server.stop, how)
        await asyncio.to_thread(own_server.start)
        assert await halves(database) == [1]
    finally:
        await database.dispose()


async def test_a_file_that_is_no_database_is_called_damaged(tmp_path: Path) -> None:
    path = tmp_path / "osler.db"
    path.write_bytes(secrets.token_bytes(8192))
    database = SqlDatabase(f"sqlite:///{path}")
    try:
        with pytest.raises(CorruptedError):
            await database.check()
    finally:
        await database.dispose()


def files_with(marker: bytes, folder: Path) -> list[str]:
    found = []
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):  # the server removes files of its own while we look
            if path.is_file() and marker in path.read_bytes():
                found.append(path.name)
    return found


async def add_key(database: SqlDatabase, id: str, wrapped: bytes) -> None:
    values = {"id": id, "wrapped": wrapped, "master": "m", "created_at": SystemClock().now()}
    async with database.write() as transaction:
        await transaction.connection.execute(insert(sealing.object_keys).values(values))


async def destroy_keys(database: SqlDatabase) -> None:
    async with database.write() as transaction:
        await transaction.connection.execute(update(sealing.object_keys).values(wrapped=None))


async def test_no_byte_of_an_erased_row_stays_in_sqlites_files(sqlite_url: str) -> None:
    database = SqlDatabase(sqlite_url)
    folder = Path(sqlite_url.removeprefix("sqlite:///")).parent
    marker = b"marker-" + secrets.token_hex(8).encode()
    try:
        await create_pieces(database)
        async with database.write() as transaction:
            for id in range(50):
                values = {"id": id, "half": 1, "content": marker + bytes(id * 100)}
                await transaction.connection.execute(insert(pieces).values(values))
        async with database.write() as transaction:
            await transaction.connection.execute(update(pieces).where(pieces.c.id < 5).values(content=b"changed"))
            await transaction.connection.execute(delete(pieces).where(pieces.c.id >= 5))
        assert files_with(marker, folder), "without erase_traces the log still holds what was deleted"
        await database.erase_traces()
        assert files_with(marker, folder) == []
        assert (folder / "osler.db-wal").exists(), "the log was looked into"
    finally:
        await database.dispose()


async def test_traces_are_erased_once_a_reader_of_another_process_lets_them_go(sqlite_url: str) -> None:
    await traces_wait_for_a_reader(sqlite_url, Path(sqlite_url.removeprefix("sqlite:///")).parent)


@pytest.mark.services
async def test_destroyed_keys_leave_the_files_of_postgresql_once_readers_let_them_go(
    postgresql_url: str, postgresql_server: PostgresqlServer
) -> None:
    await traces_wait_for_a_reader(postgresql_url, postgresql_server.data / "base", postgresql_server)


async def traces_wait_for_a_reader(url: str, folder: Path, server: PostgresqlServer | None = None) -> None:
    def found(marker: bytes) -> list[str]:
        if server is not None:
            server.execute("CHECKPOINT")
        return files_with(marker, folder)

    database, other = SqlDatabase(url), SqlDatabase(url)
    marker = b"marker-" + secrets.token_hex(8).encode()
    try:
        for n in range(20):
            await add_key(database, f"key {n}", marker)
        async with other.read() as reading:
            await reading.connection.execute(select(sealing.object_keys))
            await destroy_keys(database)
            with pytest.raises(DatabaseUnavailableError, match="erased"):
                await database.erase_traces(patience=0.3)
            assert found(marker)
            erasing = asyncio.create_task(database.erase_traces(patience=120))
            await asyncio.sleep(0.3)
            await add_key(database, "meanwhile", b"other work goes on")
            assert not erasing.done()
        await erasing
        assert found(marker) == []
    finally:
        await database.dispose()
        await other.dispose()
