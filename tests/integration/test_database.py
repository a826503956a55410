"""Transactions of the database: what they promise on SQLite and PostgreSQL alike."""

import asyncio
import logging
import traceback

import anyio
import pytest
from sqlalchemy import Column, Integer, MetaData, Table, Text, insert, select, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError

from osler.kernel.errors import DatabaseUnavailableError
from osler.storage.database import SqlDatabase, connection_of
from tests.servers.postgresql import PostgresqlServer

pytestmark = pytest.mark.anyio

PATIENT = "Ada Quill"
"""Never written out below, as a traceback shows lines of source."""

things = Table(
    "test_things",
    MetaData(),
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("name", Text, unique=True),
    Column("count", Integer),
)


@pytest.fixture
async def stored(database: SqlDatabase) -> SqlDatabase:
    async with database.write() as transaction:
        await transaction.connection.run_sync(things.create)
        await transaction.connection.execute(insert(things).values(id=1, name="one", count=0))
    return database


async def count_of(database: SqlDatabase, id: int = 1) -> int | None:
    async with database.read() as transaction:
        return (await transaction.connection.execute(select(things.c.count).where(things.c.id == id))).scalar()


async def set_count(database: SqlDatabase, count: int) -> None:
    async with database.write() as transaction:
        await transaction.connection.execute(update(things).where(things.c.id == 1).values(count=count))


async def test_what_a_block_wrote_is_there_when_it_has_ended(stored: SqlDatabase) -> None:
    await set_count(stored, 7)
    assert await count_of(stored) == 7


async def test_a_block_that_raises_leaves_nothing(stored: SqlDatabase) -> None:
    with pytest.raises(LookupError):
        async with stored.write() as transaction:
            await transaction.connection.execute(insert(things).values(id=2, name="two", count=2))
            raise LookupError
    assert await count_of(stored, 2) is None


async def test_a_reader_sees_one_state_while_another_writes(stored: SqlDatabase) -> None:
    async with stored.read() as transaction:
        query = select(things.c.count).where(things.c.id == 1)
        before = (await transaction.connection.execute(query)).scalar_one()
        await set_count(stored, 99)
        assert (await transaction.connection.execute(query)).scalar_one() == before == 0
    assert await count_of(stored) == 99


async def test_a_reader_cannot_write(stored: SqlDatabase) -> None:
    with pytest.raises(DBAPIError):
        async with stored.read() as transaction:
            await transaction.connection.execute(update(things).values(count=5))
    assert await count_of(stored) == 0


async def test_calls_after_a_commit_run_once_it_is_seen_by_others(stored: SqlDatabase) -> None:
    seen: list[int | None] = []

    async def look() -> None:
        seen.append(await count_of(stored))

    async with stored.write() as transaction:
        transaction.after_commit(look)
        await transaction.connection.execute(update(things).values(count=3))
        assert seen == []
    assert seen == [3]


async def test_calls_after_a_commit_never_run_after_a_rollback(stored: SqlDatabase) -> None:
    async def never() -> None:
        raise AssertionError("ran")

    with pytest.raises(LookupError):
        async with stored.write() as transaction:
            transaction.after_commit(never)
            raise LookupError


async def test_a_call_that_fails_after_the_commit_is_logged_by_class_and_undoes_nothing(
    stored: SqlDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    ran: list[str] = []

    async def fail() -> None:
        raise ConnectionError(PATIENT)

    async def run() -> None:
        ran.append("second")

    with caplog.at_level(logging.ERROR):
        async with stored.write() as transaction:
            transaction.after_commit(fail)
            transaction.after_commit(run)
            await transaction.connection.execute(update(things).values(count=4))
    assert await count_of(stored) == 4 and ran == ["second"]
    assert "ConnectionError" in caplog.text and "Quill" not in caplog.text


async def test_an_error_quotes_no_value_of_the_row(stored: SqlDatabase) -> None:
    with pytest.raises(IntegrityError) as taken:
        async with stored.write() as transaction:
            await transaction.connection.execute(insert(things).values(id=2, name=PATIENT, count=2))
            await transaction.connection.execute(insert(things).values(id=3, name=PATIENT, count=2))
    with pytest.raises(DBAPIError) as unfit:
        async with stored.write() as transaction:
            await transaction.connection.execute(
                text("INSERT INTO test_things (id, name, nothing) VALUES (:id, :name, :count)"),
                {"id": 5, "name": PATIENT, "count": 3},
            )
    for error in (taken.value, unfit.value):
        assert "Quill" not in "".join(traceback.format_exception(error))


async def test_a_value_that_does_not_fit_is_not_quoted(stored: SqlDatabase) -> None:
    if stored.is_sqlite:
        return  # stores any text in any column
    for statement, value in (
        ("UPDATE test_things SET count = CAST(CAST(:value AS text) AS integer)", PATIENT),
        ("UPDATE test_things SET count = :value", PATIENT),
    ):
        with pytest.raises(DBAPIError) as unfit:
            async with stored.write() as transaction:
                await transaction.connection.execute(text(statement), {"value": value})
        assert "Quill" not in "".join(traceback.format_exception(unfit.value))


async def test_a_write_within_a_write_of_the_same_task_is_refused_at_once(stored: SqlDatabase) -> None:
    with pytest.raises(RuntimeError, match="write"):
        async with stored.write(), stored.write():
            pass
    await set_count(stored, 1)


async def test_what_is_cancelled_in_a_block_is_rolled_back_and_leaves_the_database_free(stored: SqlDatabase) -> None:
    reached = asyncio.Event()

    async def write(after: float) -> None:
        async with stored.write() as transaction:
            await transaction.connection.execute(update(things).values(count=5))
            reached.set()
            await asyncio.sleep(after)

    for _ in range(20):
        task = asyncio.create_task(write(60))
        await reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        reached.clear()
    assert await count_of(stored) == 0
    with anyio.fail_after(20):
        await set_count(stored, 6)


async def test_a_request_cancelled_at_any_moment_leaves_all_or_nothing(stored: SqlDatabase) -> None:
    """The row and its double are written together; whenever the cancellation comes, they stand or fall together."""

    called: set[int] = set()

    async def write(n: int) -> None:
        async def call() -> None:
            await asyncio.sleep(0)
            called.add(n)

        async with stored.write() as transaction:
            transaction.after_commit(call)
            await transaction.connection.execute(insert(things).values(id=n, name=f"first {n}", count=n))
            await transaction.connection.execute(insert(things).values(id=-n, name=f"second {n}", count=n))

    completed = cancelled = 0
    # A little later each time, until the cancellation comes too late; then from the beginning: a machine that is fast
    # enough leaves little time for it.
    delay = 0.0
    for n in range(10, 1000):
        task = asyncio.create_task(write(n))
        await asyncio.sleep(delay)
        task.cancel()
        await asyncio.wait((task,))
        cancelled, completed = cancelled + task.cancelled(), completed + (not task.cancelled())
        delay = delay + 0.0002 if task.cancelled() or completed < 5 else 0.0
        if completed >= 5 and cancelled > 5:
            break
    async with stored.read() as transaction:
        found = set((await transaction.connection.execute(select(things.c.id).where(things.c.id != 1))).scalars())
    assert found == {-id for id in found}
    assert called == {id for id in found if id > 0}, "what was committed is told, whenever the cancellation came"
    assert completed * 2 <= len(found) and cancelled > 5
    with anyio.fail_after(20):
        await set_count(stored, 6)


async def test_a_deadline_of_anyio_leaves_the_database_free(stored: SqlDatabase) -> None:
    for _ in range(5):
        with anyio.move_on_after(0.02):
            async with stored.write() as transaction:
                await transaction.connection.execute(update(things).values(count=5))
                await anyio.sleep(60)
    assert await count_of(stored) == 0
    with anyio.fail_after(20):
        await set_count(stored, 6)


async def test_a_writer_that_is_cancelled_while_it_waits_leaves_the_lock_free(
    stored: SqlDatabase, database_url: str
) -> None:
    other = SqlDatabase(database_url)
    try:
        async with other.write() as holding:
            await holding.connection.execute(update(things).where(things.c.id == 1).values(count=1))
            waiting = asyncio.create_task(set_count(stored, 2))
            await asyncio.sleep(0.2)
            assert not waiting.done()
            waiting.cancel()
            await asyncio.wait((waiting,))
        with anyio.fail_after(20):
            await set_count(other, 3)
            await set_count(stored, 4)
        assert await count_of(other) == 4
    finally:
        await other.dispose()


async def test_the_database_answers(database: SqlDatabase) -> None:
    await database.check()


async def test_only_a_transaction_of_this_storage_has_a_connection() -> None:
    class Foreign:
        def after_commit(self, call: object) -> None: ...

        def before_commit(self, write: object, items: object) -> None: ...

    with pytest.raises(TypeError, match="Foreign"):
        connection_of(Foreign())


async def test_a_database_that_is_not_there_is_unavailable(empty_database_url: str) -> None:
    missing = empty_database_url.replace("/empty", "/missing", 1)
    database = SqlDatabase(missing)
    try:
        with pytest.raises(DatabaseUnavailableError) as error:
            await database.check()
        assert "missing/" not in str(error.value)
        with pytest.raises(DatabaseUnavailableError):
            async with database.write():
                pass
    finally:
        await database.dispose()


async def test_every_connection_of_sqlite_keeps_what_was_acknowledged_and_overwrites_what_was_deleted(
    sqlite_url: str,
) -> None:
    database = SqlDatabase(sqlite_url)
    promised = {"journal_mode": "wal", "synchronous": 2, "secure_delete": 1, "foreign_keys": 1, "temp_store": 2}
    try:
        async with database.write() as writing, database.read() as first, database.read() as second:
            for transaction in (writing, first, second):
                for pragma, value in promised.items():
                    found = (await transaction.connection.execute(text(f"PRAGMA {pragma}"))).scalar_one()
                    assert found == value, pragma
    finally:
        await database.dispose()


@pytest.mark.services
@pytest.mark.parametrize("wrong", ["nothing_of_this_name", "postgres?sslmode=perhaps", "postgres?no_such_setting=1"])
async def test_a_url_that_leads_nowhere_is_said_without_showing_it(
    postgresql_server: PostgresqlServer, wrong: str
) -> None:
    name, _, options = wrong.partition("?")
    database = SqlDatabase(f"{postgresql_server.url(name)}&{options}".rstrip("&"))
    try:
        with pytest.raises(DatabaseUnavailableError, match="URL") as error:
            await database.check()
        assert str(postgresql_server.folder) not in str(error.value)
    finally:
        await database.dispose()
