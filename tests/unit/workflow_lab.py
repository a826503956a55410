"""What the tests of workflows run on: jobs, steps that say what happened to them, and waiting for an outcome."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from osler.kernel.clock import SystemClock
from osler.kernel.ids import new_id
from osler.kernel.jobs import Job, JobKind, JobState
from osler.pipeline.ports import Step, Workflow
from osler.storage.database import SqlDatabase
from osler.storage.repositories.jobs import SqlJobRepository

jobs = SqlJobRepository()

PATIENCE = 120.0
"""Seconds, for a slow and busy machine: nothing that is promised is measured by it."""


def a_job(kind: JobKind = JobKind.WRITE_NOTE, *, id: str | None = None, organization_id: str = "clinic") -> Job:
    return Job(
        id=id or new_id(),
        organization_id=organization_id,
        kind=kind,
        subject={"encounter": "424242424242424242"},
        created_at=SystemClock().now(),
    )


async def no_pause(_seconds: float) -> None:
    """Wait for nothing."""


@dataclass
class Diary:
    """What happened, in order: ``(step, job id)``, and ``("failed: code", job id)``."""

    entries: list[tuple[str, str]] = field(default_factory=list)

    def step(self, name: str, then: Callable[[Job], Awaitable[None]] | None = None, **options: float) -> Step:
        async def run(job: Job) -> None:
            self.entries.append((name, job.id))
            if then is not None:
                await then(job)

        return Step(
            name=name, run=run, attempts=int(options.get("attempts", 5)), delay=float(options.get("delay", 1.0))
        )

    def workflow(self, *steps: Step, kind: JobKind = JobKind.WRITE_NOTE, concurrency: int = 1) -> Workflow:
        async def failed(job: Job, code: str) -> None:
            self.entries.append((f"failed: {code}", job.id))

        return Workflow(kind=kind, steps=steps, failed=failed, concurrency=concurrency)

    def of(self, job: Job) -> list[str]:
        return [what for what, job_id in self.entries if job_id == job.id]


async def state_of(database: SqlDatabase, job: Job) -> Job:
    async with database.read() as transaction:
        return await jobs.get(transaction, job.organization_id, job.id)


async def until(
    database: SqlDatabase, wanted: Sequence[Job], *states: JobState, seconds: float = PATIENCE
) -> Sequence[Job]:
    """Return the jobs once all are in one of the states (done, if none is named)."""
    end = time.monotonic() + seconds
    while True:
        seen = [await state_of(database, job) for job in wanted]
        if all(job.state in (states or (JobState.DONE,)) for job in seen):
            return seen
        assert time.monotonic() < end, f"after {seconds} s: {sorted((job.state, job.error) for job in seen)}"
        await asyncio.sleep(0.05)
