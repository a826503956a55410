"""How a step is tried, and how a job goes from queued to done or failed: the same for every engine."""

import asyncio
import logging
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Final, TypeVar

from osler.kernel.clock import Clock
from osler.kernel.errors import ConflictError, EngineError, InputError, NotFoundError
from osler.kernel.jobs import Job, JobState
from osler.kernel.transactions import Database, Transaction
from osler.pipeline.ports import JobRepository, Step, Workflow

_log: Final = logging.getLogger(__name__)

Pause = Callable[[float], Awaitable[None]]
"""Waits for so many seconds; tests give one that does not."""

LONGEST_PAUSE: Final = 30.0
"""Seconds between two tries to write a job's state while the database is away."""

FINAL: Final = frozenset({JobState.DONE, JobState.FAILED})

_Result = TypeVar("_Result")


def is_final(error: Exception) -> bool:
    """Say whether trying again cannot help: the input is to blame, or the engine said so."""
    return isinstance(error, InputError) or (isinstance(error, EngineError) and not error.retryable)


async def attempt(step: Step, job: Job, *, pause: Pause = asyncio.sleep) -> str | None:
    """Run a step as often as it allows. Return None, or the class name of the error that ended it.

    The name is all that leaves: an error's text may quote what was said in the visit.
    """
    for tried in range(1, step.attempts + 1):
        try:
            await step.run(job)
            return None
        except Exception as error:  # noqa: BLE001 - whatever a step raises is the job's failure, not the engine's
            code = type(error).__name__
            last = tried == step.attempts or is_final(error)
            _log.warning(
                "a step of a job failed",
                extra={
                    "job_id": job.id,
                    "job_kind": job.kind,
                    "organization_id": job.organization_id,
                    "attempt": tried,
                    "attempts": step.attempts,
                    "given_up": last,
                    "error": error.__class__,
                    "place": place_of(error),
                },
            )
            if last:
                return code
        await pause(step.delay * 2 ** (tried - 1))
    raise AssertionError("a step allows at least one attempt")


def place_of(error: BaseException) -> str:
    """Return where an error was raised (``file.py:12``): its text and values stay out of the log."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "nowhere"


class JobStates:
    """Moves jobs from state to state. A job that is done or failed stays so, whoever still works on it."""

    def __init__(self, database: Database, jobs: JobRepository, clock: Clock, *, pause: Pause = asyncio.sleep) -> None:
        self._database = database
        self._jobs = jobs
        self._clock = clock
        self._pause = pause

    async def begin(self, job_id: str, number: int) -> Job | None:
        """Show attempt ``number`` of a job as running; None if there is nothing to do any more."""

        async def write() -> Job | None:
            async with self._database.write() as transaction:
                job = await self._current(transaction, None, job_id, number)
                if job is not None and job.state is not JobState.RUNNING:
                    await self._jobs.set_state(transaction, job.id, JobState.RUNNING, at=self._clock.now())
            return None if job is None else replace(job, state=JobState.RUNNING)

        return await self._until_written(write)

    async def finish(self, workflow: Workflow, job: Job, code: str | None) -> None:
        """Show an attempt as done, or tell the workflow that it failed and show that."""
        if code is not None:

            async def still_current() -> bool:
                async with self._database.write() as transaction:
                    return await self._current(transaction, job.organization_id, job.id, job.attempt) is not None

            if not await self._until_written(still_current):
                return
            told = Step(name="failed", run=lambda failed: workflow.failed(failed, code))
            await attempt(told, job, pause=self._pause)

        async def write() -> None:
            async with self._database.write() as transaction:
                if await self._current(transaction, job.organization_id, job.id, job.attempt) is not None:
                    state = JobState.DONE if code is None else JobState.FAILED
                    await self._jobs.set_state(transaction, job.id, state, at=self._clock.now(), error=code)

        await self._until_written(write)

    async def again(self, transaction: Transaction, job_id: str) -> Job:
        """Make a failed job a queued one with the next attempt number. Raises NotFoundError, ConflictError."""
        job = await self._jobs.lock(transaction, None, job_id)
        if job.state is not JobState.FAILED:
            raise ConflictError(f"the job is {job.state.value}; only one that failed can be retried")
        job = replace(job, state=JobState.QUEUED, attempt=job.attempt + 1, error=None, updated_at=self._clock.now())
        await self._jobs.save(transaction, job)
        return job

    async def _current(
        self, transaction: Transaction, organization_id: str | None, job_id: str, number: int
    ) -> Job | None:
        try:
            job = await self._jobs.lock(transaction, organization_id, job_id)
        except NotFoundError:
            return None
        return None if job.attempt != number or job.state in FINAL else job

    async def _until_written(self, write: Callable[[], Awaitable[_Result]]) -> _Result:
        """A job must not hang between two states because the database was away: try until it is back."""
        wait = 0.5
        while True:
            try:
                return await write()
            except Exception as error:  # noqa: BLE001 - whatever the database said, the state must be written
                _log.error(
                    "the state of a job could not be written: it is tried again",
                    extra={"error": error.__class__, "place": place_of(error)},
                )
            await self._pause(wait)
            wait = min(2 * wait, LONGEST_PAUSE)
