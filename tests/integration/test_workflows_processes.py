"""What the dbos engine promises over several processes, of which some are killed: on SQLite and PostgreSQL."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from osler.kernel.clock import SystemClock
from osler.kernel.jobs import Job, JobState
from osler.storage.database import SqlDatabase
from osler.storage.repositories.jobs import SqlExecutorRepository
from osler.workflows.dbos_engine import DbosEngine, Timing
from tests.conftest import migrate_now
from tests.faults import engine_worker
from tests.servers.postgresql import PostgresqlServer
from tests.unit.workflow_lab import PATIENCE, a_job, jobs, until

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[2]

Start = Callable[..., "Worker"]


class Worker:
    """A child process that executes jobs."""

    def __init__(self, url: str, diary: Path, seconds: float, *options: str) -> None:
        arguments = [url, str(diary), str(seconds), *options]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.engine_worker", *arguments],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self.process.pid

    async def ready(self) -> "Worker":
        assert self.process.stdout is not None
        said = await asyncio.wait_for(asyncio.to_thread(self.process.stdout.readline), PATIENCE)
        assert said == "ready\n", f"the worker ended with {self.process.wait()}"
        return self

    def signal(self, which: signal.Signals) -> None:
        os.kill(self.pid, which)

    async def ended(self) -> int:
        return await asyncio.wait_for(asyncio.to_thread(self.process.wait), PATIENCE)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()


@pytest.fixture
def diary(tmp_path: Path) -> Path:
    path = tmp_path / "diary"
    path.touch()
    return path


@pytest.fixture
def start(database_url: str, diary: Path) -> Iterator[Start]:
    workers: list[Worker] = []

    def start(seconds: float, *options: str) -> Worker:
        workers.append(Worker(database_url, diary, seconds, *options))
        return workers[-1]

    yield start
    for worker in workers:
        worker.close()


@pytest.fixture
async def door(anyio_backend: str, database: SqlDatabase, database_url: str) -> AsyncIterator[DbosEngine]:
    """An engine that only enqueues."""
    clock = SystemClock()
    door = DbosEngine(database, jobs, SqlExecutorRepository(clock), clock, system_database_url=database_url)
    await door.start([], execute=False)
    yield door
    await door.stop()


async def enqueue(door: DbosEngine, database: SqlDatabase, *wanted: Job) -> None:
    async with database.write() as transaction:
        for job in wanted:
            await door.enqueue(transaction, job)


async def line(diary: Path, *words: object) -> None:
    """Wait until the diary holds a line with these words."""
    wanted = " ".join(map(str, words))
    await grown(diary, lambda lines: any(wanted in line for line in lines), f"no line {wanted!r}")


async def grown(diary: Path, enough: Callable[[list[str]], bool], lacking: str) -> None:
    """Wait until there is enough in the diary."""
    end = time.monotonic() + PATIENCE
    while not enough(diary.read_text().splitlines()):
        assert time.monotonic() < end, f"{lacking} in {diary.read_text()!r}"
        await asyncio.sleep(0.02)


def of(diary: Path, job: Job) -> list[str]:
    """Return what happened to a job, without process numbers."""
    return [" ".join(line.split()[:2]) for line in diary.read_text().splitlines() if job.id in line]


def test_a_process_that_died_is_missed_and_its_work_begun_anew_within_30_s() -> None:
    timing = Timing()
    # Until it counts as dead; until the others look around; until their queues are looked into.
    assert timing.stale_after + timing.heartbeat + timing.batch_poll < 30 / 2, "half of it is for a busy machine"


@pytest.mark.services  # 10 s of silence count as death: slow
async def test_another_process_ends_what_one_that_was_killed_began(
    start: Start, door: DbosEngine, database: SqlDatabase, diary: Path
) -> None:
    job = a_job()
    victim = await start(3600).ready()
    await enqueue(door, database, job)
    await line(diary, "begin draft", job.id, victim.pid)
    other = await start(0).ready()
    victim.signal(signal.SIGKILL)
    killed = time.monotonic()
    await until(database, [job])
    print(f"taken over and ended {time.monotonic() - killed:.1f} s after the kill")
    await line(diary, "end check", job.id, other.pid)
    assert of(diary, job) == ["begin draft", "begin draft", "end draft", "begin check", "end check"]


@pytest.mark.parametrize("executor_id", [(), ("--id", "ward-7")], ids=["random id", "given id"])
async def test_a_process_that_was_killed_and_started_again_alone_ends_its_work(
    start: Start, door: DbosEngine, database: SqlDatabase, diary: Path, executor_id: tuple[str, ...]
) -> None:
    job = a_job()
    victim = await start(3600, "--quick", *executor_id).ready()
    await enqueue(door, database, job)
    await line(diary, "begin draft", job.id)
    victim.signal(signal.SIGKILL)
    await victim.ended()
    start(0, "--quick", *executor_id)
    await until(database, [job])
    assert of(diary, job) == ["begin draft", "begin draft", "end draft", "begin check", "end check"]


async def test_a_step_that_ended_before_the_kill_is_not_run_again(
    start: Start, door: DbosEngine, database: SqlDatabase, diary: Path
) -> None:
    """The worker is killed again and again while it works through many jobs; ended steps stay ended."""
    wanted, chance = [a_job() for _ in range(12)], random.Random(7)
    await enqueue(door, database, *wanted)
    for _ in range(3):
        worker = await start(0.15, "--quick").ready()
        await asyncio.sleep(chance.uniform(0.3, 0.9))
        worker.signal(signal.SIGKILL)
        await worker.ended()
    await start(0, "--quick").ready()
    await until(database, wanted)
    # A step is run twice only if a kill cut it off, or came between its end and its record.
    again = Counter(len(of(diary, job)) > 4 for job in wanted)[True]
    assert again <= 3 * engine_worker.CONCURRENCY
    assert all(of(diary, job)[-1] == "end check" for job in wanted)


async def test_two_processes_with_one_executor_id_are_one_too_many(
    start: Start, door: DbosEngine, database: SqlDatabase, diary: Path
) -> None:
    job = a_job()
    # However long a busy machine keeps the first from its heartbeat, it is not silent for an hour.
    await start(0, "--patient", "--id", "ward-7").ready()
    second = start(0, "--patient", "--id", "ward-7")
    assert await second.ended() == engine_worker.TAKEN
    await enqueue(door, database, job)
    await until(database, [job])


async def test_a_clean_stop_hands_over_at_once(
    start: Start, door: DbosEngine, database: SqlDatabase, diary: Path
) -> None:
    job = a_job()
    first = await start(3600, "--patient", "--grace", "0.2").ready()
    await enqueue(door, database, job)
    await line(diary, "begin draft", job.id, first.pid)
    second = await start(0, "--patient").ready()  # which would miss the first one after an hour only
    first.signal(signal.SIGTERM)
    await until(database, [job])
    assert await first.ended() == 0
    await line(diary, "end check", job.id, second.pid)


async def test_each_process_runs_as_many_jobs_at_once_as_the_kind_allows_and_each_job_once(
    start: Start, door: DbosEngine, database: SqlDatabase, diary: Path, tmp_path: Path
) -> None:
    wanted, gate = [a_job() for _ in range(12)], tmp_path / "gate"
    both = [await start(0, "--patient", "--gate", str(gate)).ready() for _ in range(2)]
    await enqueue(door, database, *wanted)
    # Nothing ends before both have as much as they take, and a moment in which they could take more.
    await grown(diary, lambda lines: len(lines) >= 2 * engine_worker.CONCURRENCY, "too few beginnings")
    await asyncio.sleep(0.5)
    gate.touch()
    await until(database, wanted)
    running, most, begun = Counter[str](), Counter[str](), Counter[str]()
    for entry in diary.read_text().splitlines():
        what, step, job_id, pid = entry.split()
        if step == "draft":
            running[pid] += 1 if what == "begin" else -1
            most[pid] = max(most[pid], running[pid])
            begun[job_id] += what == "begin"
    assert most == {str(worker.pid): engine_worker.CONCURRENCY for worker in both}
    assert begun == {job.id: 1 for job in wanted}


async def test_a_process_that_wakes_up_after_its_work_was_taken_over_harms_nothing(
    start: Start, door: DbosEngine, database: SqlDatabase, diary: Path, tmp_path: Path
) -> None:
    job, later, gate = a_job(), a_job(), tmp_path / "gate"
    sleeper = await start(0, "--quick", "--gate", str(gate)).ready()
    await enqueue(door, database, job)
    await line(diary, "begin draft", job.id, sleeper.pid)
    sleeper.signal(signal.SIGSTOP)
    gate.touch()  # it is fast asleep in the middle of its step
    other = await start(0, "--quick").ready()
    (done,) = await until(database, [job])
    await line(diary, "end check", job.id, other.pid)
    other.signal(signal.SIGTERM)
    await other.ended()
    sleeper.signal(signal.SIGCONT)
    await enqueue(door, database, later)
    await until(database, [later])  # the sleeper works again
    await line(diary, "end check", later.id, sleeper.pid)
    (still,) = await until(database, [job], *JobState)
    assert still == done


@pytest.mark.services
async def test_a_process_told_to_stop_while_the_database_is_away_ends_and_loses_nothing(
    anyio_backend: str, diary: Path
) -> None:
    job, clock = a_job(), SystemClock()
    server = PostgresqlServer(durable=True)
    workers: list[Worker] = []
    server.start()
    url = server.create_database("osler")
    migrate_now(url)
    database = SqlDatabase(url)
    door = DbosEngine(database, jobs, SqlExecutorRepository(clock), clock, system_database_url=url)
    try:
        await door.start([], execute=False)
        workers.append(await Worker(url, diary, 1, "--quick", "--grace", "0.5").ready())
        await enqueue(door, database, job)
        await line(diary, "begin draft", job.id)
        await asyncio.to_thread(server.stop, signal.SIGQUIT)
        await asyncio.sleep(3)  # the step ends meanwhile, and its end cannot be written
        workers[0].signal(signal.SIGTERM)
        assert await workers[0].ended() == 0
        await asyncio.to_thread(server.start)
        workers.append(await Worker(url, diary, 0, "--quick").ready())
        await until(database, [job])
    finally:
        for worker in workers:
            worker.close()
        await door.stop()
        await database.dispose()
        server.close()
