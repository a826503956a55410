"""Several real processes on one database: no update is lost, and nobody is told that the database is locked."""

import asyncio
import sys
from pathlib import Path

import pytest
from osler_evals.lost_updates import count_up, counter, measure
from sqlalchemy import insert, select

from osler.storage.database import SqlDatabase

pytestmark = pytest.mark.anyio

CHILD = Path(__file__).parents[1] / "faults" / "database_child.py"


async def test_two_processes_lose_none_of_their_updates(database_url: str) -> None:
    outcome = await measure(database_url, processes=2, writes=150)
    assert (outcome.lost, outcome.failed, outcome.found) == (0, 0, 300)


async def test_readers_of_one_process_see_whole_states_while_another_writes(database_url: str) -> None:
    """The child counts up two rows together; no reader may see them apart, or be refused."""
    database = SqlDatabase(database_url)
    try:
        async with database.write() as transaction:
            await transaction.connection.run_sync(counter.create)
            await transaction.connection.execute(insert(counter), [{"id": 1, "count": 0}, {"id": 2, "count": 0}])
        seen: set[int] = set()
        written = asyncio.Event()

        async def write() -> None:
            # As often as it takes: a busy machine may hardly let the readers read while the other writes.
            while len(seen) <= 5:
                child = await asyncio.create_subprocess_exec(sys.executable, CHILD, "pairs", database_url, "150")
                assert await child.wait() == 0
            written.set()

        async def look() -> None:
            while not written.is_set():
                async with database.read() as transaction:
                    first, second = [
                        (
                            await transaction.connection.execute(select(counter.c.count).where(counter.c.id == id))
                        ).scalar_one()
                        for id in (1, 2)
                    ]
                assert first == second
                seen.add(first)

        async with asyncio.timeout(300), asyncio.TaskGroup() as group:
            for work in (look(), look(), look(), write()):
                group.create_task(work)
    finally:
        await database.dispose()


async def test_a_process_that_is_killed_in_a_transaction_leaves_nothing_and_frees_the_lock(database_url: str) -> None:
    database = SqlDatabase(database_url)
    try:
        async with database.write() as transaction:
            await transaction.connection.run_sync(counter.create)
            await transaction.connection.execute(insert(counter).values(id=1, count=0))
        pipe = asyncio.subprocess.PIPE
        child = await asyncio.create_subprocess_exec(sys.executable, CHILD, "hold", database_url, "0", stdout=pipe)
        assert child.stdout is not None
        assert await child.stdout.readline() == b"holding\n"
        waiting = asyncio.create_task(count_up(database, 1))
        await asyncio.sleep(0.3)
        assert not waiting.done()
        child.kill()
        await child.communicate()
        async with asyncio.timeout(25):
            done, failed, _ = await waiting
        assert (done, failed) == (1, 0)
        async with database.read() as transaction:
            assert (await transaction.connection.execute(select(counter.c.count))).scalar_one() == 1
    finally:
        await database.dispose()


async def test_what_was_said_to_be_done_survives_the_death_of_its_process(database_url: str) -> None:
    """Of many who write at once, and on SQLite share commits."""
    database = SqlDatabase(database_url)
    try:
        async with database.write() as transaction:
            await transaction.connection.run_sync(counter.create)
        pipe = asyncio.subprocess.PIPE
        child = await asyncio.create_subprocess_exec(sys.executable, CHILD, "many", database_url, "1000", stdout=pipe)
        assert child.stdout is not None
        said = [await child.stdout.readline() for _ in range(150)]
        child.kill()
        said += (await child.stdout.read()).splitlines(keepends=True)
        await child.wait()
        # The last line may be cut short.
        done = {int(line) for line in said if line.endswith(b"\n")}
        async with database.read() as transaction:
            there = set(await transaction.connection.scalars(select(counter.c.id)))
        assert len(done) >= 150 and done <= there
    finally:
        await database.dispose()
