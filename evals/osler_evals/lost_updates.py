"""Lost updates: processes that each count one row up, many at once; what is missing at the end was lost.

``python -m osler_evals.lost_updates`` from the repository measures SQLite in a temporary folder and a PostgreSQL of its
own that waits for the disk; ``python -m osler_evals.lost_updates URL ...`` measures empty databases that stand already.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Column, Integer, MetaData, Table, insert, select, update

from osler.storage.database import SqlDatabase
from osler.storage.database_url import SqliteLocation

PROCESSES: Final = 2
WRITES: Final = 400

counter: Final = Table(
    "lost_updates_counter",
    MetaData(),
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("count", Integer, nullable=False),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """``expected`` increments were acknowledged, ``found`` are there; ``failed`` raised and count as neither."""

    expected: int
    found: int
    failed: int
    seconds: float
    slowest: float
    """Seconds that the slowest increment took, its wait for the others included."""

    @property
    def lost(self) -> int:
        """How many acknowledged increments are missing."""
        return self.expected - self.found

    @property
    def per_second(self) -> float:
        """Transactions per second of all processes together."""
        return self.expected / self.seconds


async def count_up(database: SqlDatabase, writes: int) -> tuple[int, int, float]:
    """Count up ``writes`` times at once; return how many were acknowledged, how many failed and the longest wait."""
    began = time.perf_counter()

    async def once() -> float:
        async with database.write() as transaction:
            locked = select(counter.c.count).where(counter.c.id == 1).with_for_update()
            count = (await transaction.connection.execute(locked)).scalar_one()
            await transaction.connection.execute(update(counter).where(counter.c.id == 1).values(count=count + 1))
        return time.perf_counter() - began

    results = await asyncio.gather(*(once() for _ in range(writes)), return_exceptions=True)
    waits = [result for result in results if isinstance(result, float)]
    return len(waits), len(results) - len(waits), max(waits, default=0.0)


async def measure(url: str, *, processes: int = PROCESSES, writes: int = WRITES) -> Outcome:
    """Have ``processes`` real processes count up ``writes`` times at once each, in the empty database at ``url``."""
    database = SqlDatabase(url)
    try:
        if isinstance(database.location, SqliteLocation):
            database.location.create()
        async with database.write() as transaction:
            await transaction.connection.run_sync(counter.create)
            await transaction.connection.execute(insert(counter).values(id=1, count=0))
        children = [await _start(url, writes) for _ in range(processes)]
        for child in children:
            assert child.stdout is not None and child.stdin is not None
            assert await child.stdout.readline() == b"ready\n"
        began = time.perf_counter()
        answers = await asyncio.gather(*(child.communicate(b"go\n") for child in children))
        seconds = time.perf_counter() - began
        done, failed, slowest = zip(*(json.loads(answer) for answer, _ in answers), strict=True)
        async with database.read() as transaction:
            found = (await transaction.connection.execute(select(counter.c.count))).scalar_one()
    finally:
        await database.dispose()
    return Outcome(sum(done), found, sum(failed), seconds, max(slowest))


async def _start(url: str, writes: int) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "osler_evals.lost_updates", "--child", str(writes), url, stdin=pipe, stdout=pipe
    )


async def _child(url: str, writes: int) -> None:
    database = SqlDatabase(url)
    await database.check()
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    print(json.dumps(await count_up(database, writes)), flush=True)
    await database.dispose()


@contextmanager
def _own_databases() -> Iterator[list[str]]:
    from tests.servers.postgresql import PostgresqlServer

    server = PostgresqlServer(durable=True)
    try:
        server.start()
        with tempfile.TemporaryDirectory() as folder:
            yield [f"sqlite:///{folder}/osler.db", server.url()]
    finally:
        server.close()


def _report(urls: list[str]) -> int:
    lost = 0
    for url in urls:
        outcome = asyncio.run(measure(url))
        lost += outcome.lost + outcome.failed
        print(
            f"{url.partition(':')[0]}: {PROCESSES} processes x {WRITES} increments at once: {outcome.lost} lost, "
            f"{outcome.failed} failed, {outcome.per_second:.0f} transactions/s, slowest {outcome.slowest:.1f} s"
        )
    return 1 if lost else 0


def main() -> int:
    """Measure, print, and return 1 if an update was lost or refused."""
    parser = argparse.ArgumentParser(description="Count lost updates.")
    parser.add_argument("urls", nargs="*", metavar="URL", help="an empty database")
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child is not None:
        asyncio.run(_child(given.urls[0], given.child))
        return 0
    if given.urls:
        return _report(given.urls)
    with _own_databases() as urls:
        return _report(urls)


if __name__ == "__main__":
    sys.exit(main())
