"""The engine of tests: jobs run in this process, one after the other, as soon as their transaction is committed."""

import asyncio
from collections import deque
from collections.abc import Sequence

from osler.kernel.clock import Clock
from osler.kernel.jobs import Job, JobKind
from osler.kernel.transactions import Database, Transaction
from osler.pipeline.ports import Workflow
from osler.workflows.attempts import JobStates, Pause, attempt
from osler.workflows.ports import EngineJobRepository

PAGE = 500


class InlineEngine:
    """Runs each job to its end before the commit that enqueued it returns. What is enqueued meanwhile runs after it.

    ``pause`` waits between two attempts of a step; tests give one that does not wait.
    """

    def __init__(
        self, database: Database, jobs: EngineJobRepository, clock: Clock, *, pause: Pause = asyncio.sleep
    ) -> None:
        self._database = database
        self._jobs = jobs
        self._states = JobStates(database, jobs, clock, pause=pause)
        self._pause = pause
        self._workflows: dict[JobKind, Workflow] = {}
        self._waiting: deque[Job] = deque()
        self._running = False
        self._executing = False
        self._started = False

    async def start(self, workflows: Sequence[Workflow], *, execute: bool) -> None:
        """Be ready; with ``execute`` also run what an earlier process left unfinished."""
        self._workflows = {workflow.kind: workflow for workflow in workflows}
        self._started, self._executing = True, execute
        if execute:
            await self._find_unfinished()
            await self._run_waiting()

    async def stop(self, *, grace: float = 10.0) -> None:
        """Run nothing any more."""
        self._started = self._executing = False

    async def enqueue(self, transaction: Transaction, job: Job) -> bool:
        """Have ``job`` run after the commit. False, and nothing changed, if a job of that id stands already."""
        if not await self._jobs.add(transaction, job):
            return False
        self._after_commit(transaction, job)
        return True

    async def retry(self, transaction: Transaction, job_id: str) -> Job:
        """Run a failed job again, from its first step, after the commit.

        Raises NotFoundError, ConflictError if it has not failed.
        """
        job = await self._states.again(transaction, job_id)
        self._after_commit(transaction, job)
        return job

    async def healthy(self) -> bool:
        """Say whether the engine was started."""
        return self._started

    def _after_commit(self, transaction: Transaction, job: Job) -> None:
        async def run() -> None:
            self._waiting.append(job)
            await self._run_waiting()

        transaction.after_commit(run)

    async def _find_unfinished(self) -> None:
        after = ""
        while True:
            async with self._database.read() as transaction:
                page = await self._jobs.unfinished(transaction, after=after, limit=PAGE)
            if not page:
                return
            self._waiting.extend(page)
            after = page[-1].id

    async def _run_waiting(self) -> None:
        # A step's own commits come here too: its jobs wait for the job that is running.
        if self._running or not self._executing:
            return
        self._running = True
        try:
            while self._waiting and self._executing:
                await self._run(self._waiting.popleft())
        finally:
            self._running = False

    async def _run(self, enqueued: Job) -> None:
        workflow = self._workflows.get(enqueued.kind)
        job = None if workflow is None else await self._states.begin(enqueued.id, enqueued.attempt)
        if workflow is None or job is None:
            return
        code = None
        for step in workflow.steps:
            code = await attempt(step, job, pause=self._pause)
            if code is not None:
                break
        await self._states.finish(workflow, job, code)
