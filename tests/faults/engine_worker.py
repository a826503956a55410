"""A process that executes jobs, for tests that kill it.

    python -m tests.faults.engine_worker URL DIARY SECONDS [--id ID] [--quick | --patient] [--gate FILE]
                                         [--grace SECONDS]

The first step takes SECONDS, and goes on until the FILE of ``--gate`` is there; each appends lines to DIARY:
``begin STEP JOB PID`` and ``end STEP JOB PID``. ``--quick`` looks around often, ``--patient`` takes nobody for dead.
The process says ``ready`` when it executes, stops cleanly at SIGTERM, and ends with code 3 if its executor id is taken.
"""

import argparse
import asyncio
import os
import signal
import sys
from pathlib import Path

from osler.kernel.clock import SystemClock
from osler.kernel.errors import ExecutorTakenError
from osler.kernel.jobs import Job, JobKind
from osler.pipeline.ports import Step, Workflow
from osler.storage.database import SqlDatabase
from osler.storage.repositories.jobs import SqlExecutorRepository, SqlJobRepository
from osler.workflows.dbos_engine import DbosEngine, Timing

TAKEN = 3
CONCURRENCY = 2
QUICK = Timing(live_poll=0.05, batch_poll=0.1, heartbeat=0.3, stale_after=1.5, sweep=1.0)
PATIENT = Timing(live_poll=0.05, batch_poll=0.1, heartbeat=0.3, stale_after=3600.0, sweep=1.0)


def append(diary: Path, *words: str) -> None:
    with os.fdopen(os.open(diary, os.O_WRONLY | os.O_APPEND | os.O_CREAT), "w") as file:
        file.write(" ".join((*words, str(os.getpid()))) + "\n")


def step(name: str, diary: Path, seconds: float, gate: Path | None = None) -> Step:
    async def run(job: Job) -> None:
        append(diary, "begin", name, job.id)
        await asyncio.sleep(seconds)
        while gate is not None and not gate.exists():
            await asyncio.sleep(0.02)
        append(diary, "end", name, job.id)

    return Step(name=name, run=run)


async def failed(job: Job, code: str) -> None:
    raise AssertionError(f"job {job.id} failed: {code}")


async def work(arguments: argparse.Namespace) -> int:
    clock = SystemClock()
    database = SqlDatabase(arguments.url)
    engine = DbosEngine(
        database,
        SqlJobRepository(),
        SqlExecutorRepository(clock),
        clock,
        system_database_url=arguments.url,
        executor_id=arguments.id,
        timing=arguments.timing,
    )
    steps = (step("draft", arguments.diary, arguments.seconds, arguments.gate), step("check", arguments.diary, 0.0))
    terminated = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, terminated.set)
    try:
        await engine.start([Workflow(JobKind.WRITE_NOTE, steps, failed, CONCURRENCY)], execute=True)
    except ExecutorTakenError:
        return TAKEN
    print("ready", flush=True)
    await terminated.wait()
    await engine.stop(grace=arguments.grace)
    await database.dispose()
    return 0


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("diary", type=Path)
    parser.add_argument("seconds", type=float)
    parser.add_argument("--id")
    parser.add_argument("--quick", dest="timing", action="store_const", const=QUICK)
    parser.add_argument("--patient", dest="timing", action="store_const", const=PATIENT)
    parser.add_argument("--gate", type=Path)
    parser.add_argument("--grace", type=float, default=10.0)
    sys.exit(asyncio.run(work(parser.parse_args())))


if __name__ == "__main__":
    main()
