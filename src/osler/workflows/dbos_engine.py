"""The engine of real life: any number of processes claim jobs from queues in the database, over crashes of each.

A job row and its place in the queue are written in the transaction of whoever enqueues. A process that executes writes
its heartbeat every few seconds; whoever sees work claimed by a process that does not stand among the living puts it
back into its queue.
"""

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Protocol, TypeVar, cast

from sqlalchemy.ext.asyncio import AsyncConnection

from osler.kernel.clock import Clock
from osler.kernel.errors import ExecutorTakenError, NotFoundError
from osler.kernel.ids import new_id
from osler.kernel.jobs import Job, JobKind
from osler.kernel.transactions import Database, Transaction
from osler.pipeline.ports import Step, Workflow
from osler.workflows.attempts import FINAL, JobStates, attempt, place_of
from osler.workflows.dbos_library import FINAL_STATUSES, DbosLibrary, attempt_of, workflow_id
from osler.workflows.ports import EngineJobRepository, ExecutorRepository

_log: Final = logging.getLogger(__name__)
_Result = TypeVar("_Result")

PAGE: Final = 500
LONGEST_LOOK: Final = 10.0
"""Seconds that a stop waits for the heartbeat to end what it is at."""

KEEP_FINISHED: Final = 24 * 3600.0
"""Seconds for which dbos keeps its own rows of finished work."""

GIVEN_UP: Final = "GivenUpError"
"""The error code of a job that ended in dbos without saying how: it was begun too often, or cancelled by hand."""


AWAITED: Final = frozenset({JobKind.TRANSCRIBE_SEGMENT, JobKind.WRITE_NOTE, JobKind.WRITE_DOCUMENT})
"""Kinds of work whose end somebody waits for at a screen: their queues are looked into most often."""


@dataclass(frozen=True, slots=True)
class Timing:
    """How often an executing process looks around; all in seconds."""

    live_poll: float = 0.2
    batch_poll: float = 1.0
    heartbeat: float = 3.0
    stale_after: float = 10.0
    sweep: float = 30.0


class _OnConnection(Protocol):
    """What storage's transactions hold: the connection on which the caller's own statements run."""

    connection: AsyncConnection


class _StoppingError(Exception):
    """Nothing more is begun in this process."""


_one_executes = threading.Lock()


class DbosEngine:
    """Runs jobs through dbos, whose tables stand beside Osler's own.

    ``system_database_url`` names the same database as ``database`` in SQLAlchemy's form for synchronous use:
    ``sqlite:////absolute/path`` or ``postgresql://...``. ``executor_id`` must be another for each process; None takes a
    random one. Only one engine of a process may execute at a time.
    """

    def __init__(
        self,
        database: Database,
        jobs: EngineJobRepository,
        executors: ExecutorRepository,
        clock: Clock,
        *,
        system_database_url: str,
        executor_id: str | None = None,
        timing: Timing | None = None,
    ) -> None:
        self._database = database
        self._jobs = jobs
        self._executors = executors
        self._clock = clock
        self._states = JobStates(database, jobs, clock)
        self._url = system_database_url
        self._executor_id = executor_id or new_id()
        self._timing = timing or Timing()
        self._workflows: dict[JobKind, Workflow] = {}
        self._library: DbosLibrary | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._incarnation: str | None = None  # None: this process does not execute
        self._executes = False
        self._stopping = False
        self._last_beat = clock.now()
        self._watch: asyncio.Task[None] | None = None
        self._watch_ended = asyncio.Event()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._at_work = 0

    async def start(self, workflows: Sequence[Workflow], *, execute: bool) -> None:
        """Be ready to enqueue; with ``execute`` also run jobs, and take over those of dead processes.

        Under a given executor id this waits until its last holder has been silent for ``Timing.stale_after``, and
        raises ExecutorTakenError if that one is heard of meanwhile.
        """
        if self._library is not None:
            raise RuntimeError("the workflow engine was started already")
        if execute and not _one_executes.acquire(blocking=False):
            raise RuntimeError("another engine of this process executes already")
        self._executes = execute
        self._workflows = {workflow.kind: workflow for workflow in workflows}
        self._loop = asyncio.get_running_loop()
        self._stopping = False
        self._watch_ended = asyncio.Event()
        try:
            self._library = DbosLibrary(self._url)
            await asyncio.to_thread(self._library.migrate)
            if execute:
                await self._claim(wait=True)
                await self._launch(self._library)
                self._watch = asyncio.create_task(self._keep_watch(self._library), name="workflow heartbeat")
        except BaseException:
            await self.stop(grace=0)
            raise

    async def stop(self, *, grace: float = 10.0) -> None:
        """Take no new jobs, let running steps end for ``grace`` seconds, hand over the rest."""
        self._stopping = True
        library, self._library = self._library, None
        try:
            if library is not None:
                await self._stop_library(library, grace)
        finally:
            if self._executes:
                self._executes = False
                _one_executes.release()

    async def _stop_library(self, library: DbosLibrary, grace: float) -> None:
        library.take_no_more()
        # The heartbeat goes on meanwhile: nobody else may begin what is just being ended here.
        deadline = time.monotonic() + grace
        while self._at_work and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        if self._watch is not None:
            self._watch_ended.set()
            await asyncio.wait((self._watch,), timeout=LONGEST_LOOK)
            self._watch.cancel()
            self._watch = None
        await self._stop_executing(library)
        await asyncio.to_thread(library.close)

    async def enqueue(self, transaction: Transaction, job: Job) -> bool:
        """Have ``job`` run after the commit, at least once, and never if the transaction rolls back.

        Returns False, and changes nothing, if a job of that id stands already.
        """
        if not await self._jobs.add(transaction, job):
            return False
        await _put_in_queue(self._ready(), transaction, job)
        return True

    async def retry(self, transaction: Transaction, job_id: str) -> Job:
        """Run a failed job again, from its first step, after the commit.

        Raises NotFoundError, ConflictError if it has not failed.
        """
        job = await self._states.again(transaction, job_id)
        await _put_in_queue(self._ready(), transaction, job)
        return job

    async def healthy(self) -> bool:
        """Say whether jobs can be taken and, if this process executes, are being executed."""
        library = self._library
        if library is None or self._stopping:
            return False
        try:
            await asyncio.wait_for(asyncio.to_thread(library.ping), 5.0)
        except Exception as error:  # noqa: BLE001 - any error means that jobs cannot be taken
            _log.warning("the tables of the work queues cannot be read", extra=_of(error))
            return False
        if not self._executes:
            return True
        return self._heard_lately() and self._incarnation is not None and library.alive()

    # Running a job. dbos calls _run_job on an event loop of its own; everything of ours runs on the loop of start.

    async def _run_job(self, job_id: str) -> None:
        number = attempt_of(DbosLibrary.current_workflow())
        self._at_work += 1
        try:
            await self._run_steps(job_id, number)
            return
        except _StoppingError:
            pass
        finally:
            self._at_work -= 1
        # It stays claimed until the end of this process's work cancels this, and hands it over.
        await asyncio.Event().wait()

    async def _run_steps(self, job_id: str, number: int) -> None:
        self._go_on_unless_stopping()
        job = await self._on_our_loop(self._states.begin(job_id, number))
        if job is None:
            return
        workflow = self._workflows[job.kind]
        code = None
        for step in workflow.steps:
            self._go_on_unless_stopping()
            code = await self._run_step(step, job)
            if code is not None:
                break
        await self._on_our_loop(self._states.finish(workflow, job, code))

    async def _run_step(self, step: Step, job: Job) -> str | None:
        try:
            return await DbosLibrary.checkpoint(step.name, lambda: self._on_our_loop(attempt(step, job)))
        except Exception as error:  # noqa: BLE001 - dbos cannot go on; the job is shown as failed instead of hanging
            if self._stopping or DbosLibrary.ending():
                raise _StoppingError from None
            _log.error("the end of a step could not be recorded", extra={"job_id": job.id, **_of(error)})
            return type(error).__name__

    def _go_on_unless_stopping(self) -> None:
        if self._stopping:
            raise _StoppingError

    async def _on_our_loop(self, call: Coroutine[Any, Any, _Result]) -> _Result:
        async def tracked() -> _Result:
            task = cast("asyncio.Task[Any]", asyncio.current_task())
            self._tasks.add(task)
            try:
                return await call
            finally:
                self._tasks.discard(task)

        assert self._loop is not None
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(tracked(), self._loop))

    def _ready(self) -> DbosLibrary:
        if self._library is None:
            raise RuntimeError("the workflow engine was not started")
        return self._library

    # Who executes.

    async def _claim(self, *, wait: bool) -> None:
        """Stand among the living. Raises ExecutorTakenError if another live process has this executor id."""
        incarnation = new_id()
        stale_after = timedelta(seconds=self._timing.stale_after)
        first_heard = None
        while True:
            async with self._database.write() as transaction:
                if await self._executors.claim(transaction, self._executor_id, incarnation, stale_after=stale_after):
                    break
                heard = await self._executors.last_heard(transaction, self._executor_id)
            first_heard = first_heard or heard
            if not wait or heard != first_heard:
                raise ExecutorTakenError(
                    "another running process has this executor id; give each process its own, or none"
                )
            await asyncio.sleep(self._timing.heartbeat / 4)
        self._incarnation = incarnation
        self._last_beat = self._clock.now()

    async def _launch(self, library: DbosLibrary) -> None:
        assert self._incarnation is not None
        queues = {
            kind: (
                workflow.concurrency,
                self._timing.live_poll if kind in AWAITED else self._timing.batch_poll,
            )
            for kind, workflow in self._workflows.items()
        }
        await asyncio.to_thread(library.launch, self._incarnation, self._run_job, queues)

    async def _stop_executing(self, library: DbosLibrary) -> None:
        """Cancel what runs, put it back into its queue, and leave the living."""
        await asyncio.to_thread(library.destroy)
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=5.0)
        if self._incarnation is None:
            return
        incarnation, self._incarnation = self._incarnation, None
        # If the database is away, others find this process silent and take over all the same.
        with contextlib.suppress(Exception):
            await asyncio.to_thread(library.take_over, [incarnation])
            async with self._database.write() as transaction:
                await self._executors.release(transaction, self._executor_id, incarnation)

    async def _keep_watch(self, library: DbosLibrary) -> None:
        next_sweep = 0.0
        while not self._watch_ended.is_set():
            try:
                await self._look_around(library)
                if time.monotonic() >= next_sweep and not self._stopping:
                    await self._sweep(library)
                    next_sweep = time.monotonic() + self._timing.sweep
            except ExecutorTakenError:
                _log.error("another process took this executor id: this one executes nothing any more")
                return
            except Exception as error:  # noqa: BLE001 - the next round may find the database again
                _log.error("the heartbeat of this process failed: it is tried again", extra=_of(error))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._watch_ended.wait(), self._timing.heartbeat)

    async def _look_around(self, library: DbosLibrary) -> None:
        """Write the heartbeat, and take over the work of whoever is not heard of any more."""
        if self._incarnation is None:
            await self._rejoin(library)
            return
        # First who has claimed work, then who lives: a process stands among the living before it claims anything.
        at_work = await asyncio.to_thread(library.executors_at_work)
        async with self._database.write() as transaction:
            counted = await self._executors.beat(transaction, self._executor_id, self._incarnation)
            if counted and self._heard_lately():
                # If this process was silent too, the database was away or the machine asleep: all get a round's time.
                await self._executors.bury(transaction, stale_after=timedelta(seconds=self._timing.stale_after))
            living = await self._executors.living(transaction)
        if not counted:
            _log.warning("this process was taken for dead; what it ran is another's now")
            await self._stop_executing(library)
            await self._rejoin(library)
            return
        self._last_beat = self._clock.now()
        dead = at_work - living
        if dead:
            taken = await asyncio.to_thread(library.take_over, dead)
            _log.warning("work of a dead process was taken over", extra={"count": taken})

    def _heard_lately(self) -> bool:
        return abs((self._clock.now() - self._last_beat).total_seconds()) < self._timing.stale_after

    async def _rejoin(self, library: DbosLibrary) -> None:
        if self._stopping:
            return
        await self._claim(wait=False)
        await self._launch(library)

    async def _sweep(self, library: DbosLibrary) -> None:
        """Enqueue unfinished jobs that dbos does not know (after a restore), and end those that it has given up."""
        after = ""
        while True:
            async with self._database.read() as transaction:
                page = await self._jobs.unfinished(transaction, after=after, limit=PAGE)
            if not page:
                break
            after = page[-1].id
            statuses = await asyncio.to_thread(library.statuses, [workflow_id(job) for job in page])
            for job in page:
                status = statuses.get(workflow_id(job))
                if status is None:
                    await self._enqueue_again(library, job)
                elif status in FINAL_STATUSES and job.kind in self._workflows:
                    # A job that just ended shows so in its row by now, and finish leaves it alone.
                    await self._states.finish(self._workflows[job.kind], job, GIVEN_UP)
        await asyncio.to_thread(library.forget_finished, older_than=KEEP_FINISHED, limit=PAGE)

    async def _enqueue_again(self, library: DbosLibrary, seen: Job) -> None:
        async with self._database.write() as transaction:
            try:
                job = await self._jobs.lock(transaction, seen.organization_id, seen.id)
            except NotFoundError:
                return
            if job.state not in FINAL:
                await _put_in_queue(library, transaction, job)


async def _put_in_queue(library: DbosLibrary, transaction: Transaction, job: Job) -> None:
    await cast(_OnConnection, transaction).connection.run_sync(library.enqueue, job)


def _of(error: Exception) -> dict[str, object]:
    """Return what a log line may say of an error."""
    return {"error": error.__class__, "place": place_of(error)}
