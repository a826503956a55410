"""Writers of one process that wait for each other share commits: each is told that his work is done when it is durable,
and one who fails takes nothing from the others."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from sqlalchemy import text

from osler.kernel.errors import EngineError, InvalidFieldError, NotFoundError, OslerError, StorageFullError
from osler.kernel.transactions import Transaction
from osler.storage import commit_group
from osler.storage.database import SqlDatabase, connection_of
from osler.storage.sqlite_driver import SqliteConnection

pytestmark = pytest.mark.anyio

PATIENCE = 120.0
"""Seconds after which somebody is said to wait for ever."""


@pytest.fixture
async def stored(database: SqlDatabase) -> AsyncIterator[SqlDatabase]:
    async with database.write() as transaction:
        await transaction.connection.execute(text("CREATE TABLE kept (id INTEGER PRIMARY KEY)"))
    yield database


class Hold:
    """Keeps a writer in its transaction until it is let go; ``reached`` once it is there."""

    def __init__(self) -> None:
        self.reached, self.let_go = asyncio.Event(), asyncio.Event()

    async def wait(self) -> None:
        self.reached.set()
        await self.let_go.wait()


async def insert(database: SqlDatabase, number: int, *, fails: bool = False, hold: Hold | None = None) -> int:
    async with database.write() as transaction:
        await transaction.connection.execute(text("INSERT INTO kept VALUES (:number)"), {"number": number})
        if hold is not None:
            await hold.wait()
        if fails:
            raise LookupError
    # Another connection sees what is committed, and nothing else.
    async with database.read() as transaction:
        query = text("SELECT count(*) FROM kept WHERE id = :number")
        assert (await transaction.connection.execute(query, {"number": number})).scalar_one() == 1
    return number


async def kept(database: SqlDatabase) -> list[int]:
    async with database.read() as transaction:
        return list(await transaction.connection.scalars(text("SELECT id FROM kept ORDER BY id")))


async def test_of_many_at_once_those_who_fail_leave_nothing_and_all_others_are_there(stored: SqlDatabase) -> None:
    ended = await asyncio.gather(
        *(insert(stored, number, fails=number % 3 == 0) for number in range(200)), return_exceptions=True
    )
    done = [number for number in range(200) if number % 3]
    assert [each for each in ended if isinstance(each, int)] == done == await kept(stored)
    assert all(isinstance(each, LookupError) for each in ended if not isinstance(each, int))


@pytest.mark.parametrize("last", ["fails", "is cancelled while it writes", "is cancelled while it waits"])
async def test_one_who_leaves_last_keeps_nobody_waiting(stored: SqlDatabase, last: str) -> None:
    holding, writing = Hold(), Hold()
    first = asyncio.create_task(insert(stored, 1, hold=holding))
    await holding.reached.wait()
    others = [asyncio.create_task(insert(stored, number)) for number in (2, 3)]
    last_hold = writing if "writes" in last else None
    leaving = asyncio.create_task(insert(stored, 4, fails=last == "fails", hold=last_hold))
    await asyncio.sleep(0)  # on SQLite they wait for the first now, in this order
    if "waits" in last:
        leaving.cancel()
    holding.let_go.set()
    if "writes" in last:
        await writing.reached.wait()
        leaving.cancel()
    async with asyncio.timeout(PATIENCE):
        assert await asyncio.gather(first, *others) == [1, 2, 3]
        (ended,) = await asyncio.gather(leaving, return_exceptions=True)
    assert type(ended) is (LookupError if last == "fails" else asyncio.CancelledError)
    assert await kept(stored) == [1, 2, 3]
    assert await insert(stored, 5) == 5


async def test_writers_that_are_cancelled_at_any_moment_leave_all_or_nothing(stored: SqlDatabase) -> None:
    tasks = [asyncio.create_task(insert(stored, number)) for number in range(120)]
    for number, task in enumerate(tasks):
        if number % 4 == 0:
            await asyncio.sleep(0.0003 * (number % 7))
            task.cancel()
    async with asyncio.timeout(PATIENCE):
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    there = await kept(stored)
    assert {each for each in ended if isinstance(each, int)} <= set(there)
    assert all(number in there for number in range(120) if number % 4)
    assert await insert(stored, 500) == 500


async def test_a_commit_that_fails_is_told_to_all_whose_work_it_was(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = SqlDatabase(sqlite_url)
    async with database.write() as transaction:
        await transaction.connection.execute(text("CREATE TABLE kept (id INTEGER PRIMARY KEY)"))
    commits = 0
    call = SqliteConnection._call

    async def counted(connection: SqliteConnection, work: Any) -> Any:
        nonlocal commits
        if "COMMIT" in work.__code__.co_consts:
            commits += 1
            error = sqlite3.OperationalError("full")
            error.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise error
        return await call(connection, work)

    with monkeypatch.context() as broken:
        broken.setattr(SqliteConnection, "_call", counted)
        ended = await asyncio.gather(*(insert(database, number) for number in range(20)), return_exceptions=True)
    assert all(type(each) is StorageFullError for each in ended)
    assert 0 < commits < 20
    assert await kept(database) == []
    assert await asyncio.gather(*(insert(database, number) for number in range(20))) == list(range(20))
    await database.dispose()


async def test_commits_are_shared(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    database = SqlDatabase(sqlite_url)
    async with database.write() as transaction:
        await transaction.connection.execute(text("CREATE TABLE kept (id INTEGER PRIMARY KEY)"))
    begins = 0
    opened = SqliteConnection.opened

    def counted(connection: SqliteConnection) -> None:
        nonlocal begins
        begins += 1
        opened(connection)

    monkeypatch.setattr(SqliteConnection, "opened", counted)
    # However slow the machine: a group takes all who wait, up to the number that it may take.
    monkeypatch.setattr(commit_group, "LONGEST", PATIENCE)
    await asyncio.gather(*(insert(database, number) for number in range(60)))
    assert begins == 1
    begins = 0
    for number in range(100, 105):
        await insert(database, number)
    assert begins == 5
    await database.dispose()


async def test_a_transaction_that_sqlite_itself_rolled_back_is_not_taken_for_committed(sqlite_url: str) -> None:
    database = SqlDatabase(sqlite_url)
    async with database.write() as transaction:
        await transaction.connection.execute(text("CREATE TABLE kept (id INTEGER PRIMARY KEY)"))
    holding = Hold()
    before = asyncio.create_task(insert(database, 1, hold=holding))
    await holding.reached.wait()

    async def swallows() -> None:
        async with database.write() as transaction:
            await transaction.connection.execute(text("INSERT INTO kept VALUES (2)"))
            with pytest.raises(Exception):  # noqa: B017  (as a full disk would)
                await transaction.connection.execute(text("INSERT OR ROLLBACK INTO kept VALUES (2)"))

    joining = asyncio.create_task(swallows())
    await asyncio.sleep(0)  # he waits now, so the one before leaves his commit to him
    holding.let_go.set()
    ended = await asyncio.gather(before, joining, return_exceptions=True)
    assert all(isinstance(each, Exception) for each in ended)
    assert await kept(database) == []
    await database.dispose()


# What is left to be written before the commit


class Together:
    """Writes numbers together, and notes which it was given at once."""

    def __init__(self, refused: int | None = None, error: Exception | None = None) -> None:
        self.given: list[list[int]] = []
        self._refused = refused
        self._error = error or LookupError()

    async def write(self, transaction: Transaction, numbers: Sequence[int]) -> None:
        self.given.append(list(numbers))
        if self._refused in numbers:
            raise self._error
        for number in numbers:
            await connection_of(transaction).execute(text("INSERT INTO kept VALUES (:number)"), {"number": number})


async def leave(database: SqlDatabase, together: Together, number: int, *, fails: bool = False) -> int:
    async with database.write() as transaction:
        transaction.before_commit(together.write, [number])
        await asyncio.sleep(0)
        if fails:
            raise ZeroDivisionError
    assert number in await kept(database)
    return number


async def test_what_many_leave_is_there_once_they_are_told_and_nothing_of_those_who_fail(
    stored: SqlDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commit_group, "LONGEST", PATIENCE)
    together = Together()
    tasks = [leave(stored, together, number, fails=number % 5 == 0) for number in range(100)]
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    done = [number for number in range(100) if number % 5]
    assert [each for each in ended if isinstance(each, int)] == done == await kept(stored)
    assert sorted(number for given in together.given for number in given) == done
    # Each in the order of those who share; where nobody shares, each for himself.
    assert all(given == sorted(given) for given in together.given)
    assert len(together.given) == (2 if stored.is_sqlite else len(done))


async def test_what_one_transaction_leaves_in_parts_is_written_at_once(stored: SqlDatabase) -> None:
    together = Together()
    async with stored.write() as transaction:
        transaction.before_commit(together.write, [1, 2])
        transaction.before_commit(together.write, [3])
        assert together.given == []
    assert together.given == [[1, 2, 3]]


async def test_what_is_left_is_written_before_others_use_the_connection(stored: SqlDatabase) -> None:
    together = Together()
    tasks = [asyncio.create_task(leave(stored, together, number)) for number in range(20)]
    while not any(map(bool, together.given)) and not all(task.done() for task in tasks):
        async with stored.without_transaction() as connection:
            await connection.execute(text("SELECT count(*) FROM kept"))
    assert await asyncio.gather(*tasks) == list(range(20)) == await kept(stored)


async def test_what_cannot_be_written_keeps_others_from_their_work_once_at_most(stored: SqlDatabase) -> None:
    together = Together(refused=7)
    ended = await asyncio.gather(*(leave(stored, together, number) for number in range(20)), return_exceptions=True)
    done = [each for each in ended if isinstance(each, int)]
    assert await kept(stored) == done
    assert isinstance(ended[7], LookupError)
    rest = [number for number in range(20) if number not in done]
    ended = await asyncio.gather(*(leave(stored, together, number) for number in rest), return_exceptions=True)
    assert [each for each in ended if isinstance(each, LookupError)] == [ended[rest.index(7)]]
    assert await kept(stored) == [number for number in range(20) if number != 7]


@pytest.mark.parametrize(
    "error",
    [InvalidFieldError("at", "Not a time."), NotFoundError("Gone.", field="at"), EngineError("Busy.", retryable=True)],
)
async def test_whatever_keeps_a_commit_from_being_made_is_told_to_all_as_it_is(
    stored: SqlDatabase, monkeypatch: pytest.MonkeyPatch, error: OslerError
) -> None:
    monkeypatch.setattr(commit_group, "LONGEST", PATIENCE)
    together = Together(refused=1, error=error)
    async with asyncio.timeout(PATIENCE):
        ended = await asyncio.gather(*(leave(stored, together, n) for n in range(3)), return_exceptions=True)
    told = [each for each in ended if isinstance(each, BaseException)]
    assert len(told) == (3 if stored.is_sqlite else 1)
    assert all((type(each), str(each), vars(each)) == (type(error), str(error), vars(error)) for each in told)


async def test_what_cannot_be_written_is_told_also_where_others_use_the_connection(stored: SqlDatabase) -> None:
    together = Together(refused=1)

    holding = Hold()

    async def first() -> None:
        async with stored.write() as transaction:
            transaction.before_commit(together.write, [1])
            await holding.wait()

    async def other() -> None:
        async with stored.without_transaction() as connection:
            await connection.execute(text("SELECT count(*) FROM kept"))

    tasks = []
    for work in (first(), other(), leave(stored, together, 2)):
        tasks.append(asyncio.create_task(work))
        await holding.reached.wait()  # so that those who come then wait, in this order
    await asyncio.sleep(0)
    holding.let_go.set()
    async with asyncio.timeout(PATIENCE):
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(each) for each in ended] == [LookupError, type(None), int]
    assert await kept(stored) == [2]
