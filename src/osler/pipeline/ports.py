"""What the pipeline needs of a workflow engine, and what it gives it: jobs as rows of steps."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from osler.kernel.jobs import Job, JobFilter, JobKind, JobQueue, JobState
from osler.kernel.transactions import Transaction


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a workflow: idempotent, as it runs again after a crash. ``run`` gets ids and returns nothing.

    It is tried ``attempts`` times, the first pause ``delay`` seconds and each further one twice as long. An InputError,
    and an EngineError that is not ``retryable``, end the job at once: trying again would not help.
    """

    name: str
    run: Callable[[Job], Awaitable[None]]
    attempts: int = 5
    delay: float = 1.0


@dataclass(frozen=True, slots=True)
class Workflow:
    """The steps of one kind of job, in order.

    ``failed`` is told (job, error code) when a step has failed for good, before the job is shown as failed, so that
    what the user sees says so too. It is idempotent. ``concurrency`` is how many such jobs run at once in one process.
    """

    kind: JobKind
    steps: tuple[Step, ...]
    failed: Callable[[Job, str], Awaitable[None]]
    concurrency: int = 1


class JobRepository(Protocol):
    """The jobs as rows: what ``osler jobs`` shows, and what is enqueued again after a restore."""

    async def add(self, transaction: Transaction, job: Job) -> bool:
        """Return False if a job of that id stands already."""
        ...

    async def get(self, transaction: Transaction, organization_id: str | None, job_id: str) -> Job:
        """Raises NotFoundError. ``organization_id`` None is for the operator, who may hold any job's id."""
        ...

    async def lock(self, transaction: Transaction, organization_id: str | None, job_id: str) -> Job:
        """As get, held against other writers. Raises NotFoundError."""
        ...

    async def set_state(
        self, transaction: Transaction, job_id: str, state: JobState, *, at: datetime, error: str | None = None
    ) -> None: ...

    async def save(self, transaction: Transaction, job: Job) -> None: ...

    async def list(self, transaction: Transaction, wanted: JobFilter, *, limit: int = 100) -> Sequence[Job]:
        """Return jobs, newest first."""
        ...

    async def counts(self, transaction: Transaction) -> dict[tuple[JobKind, JobState], int]:
        """Count the jobs of each kind and state, for metrics."""
        ...


class WorkflowEngine(JobQueue, Protocol):
    """Runs jobs at least once, each in its queue, over crashes of the process that runs them."""

    async def start(self, workflows: Sequence[Workflow], *, execute: bool) -> None:
        """Be ready to enqueue; with ``execute`` also run jobs, and take over those of dead processes within 30 s.

        Raises ExecutorTakenError if another live process has this executor id.
        """
        ...

    async def stop(self, *, grace: float = 10.0) -> None:
        """Take no new jobs, let running steps end for ``grace`` seconds, hand over the rest."""
        ...

    async def retry(self, transaction: Transaction, job_id: str) -> Job:
        """Run a failed job again, from its first step, after the commit.

        Raises NotFoundError, ConflictError if it has not failed.
        """
        ...

    async def healthy(self) -> bool:
        """Say whether jobs can be taken and, if this process executes, are being executed."""
        ...
