"""Jobs as operators see them: listed, counted, retried."""

from collections.abc import Sequence

from osler.audit.model import Actor, AuditEvent
from osler.audit.ports import AuditTrail
from osler.kernel.clock import Clock
from osler.kernel.errors import ConflictError
from osler.kernel.jobs import Job, JobFilter, JobKind, JobState
from osler.kernel.transactions import Database
from osler.pipeline.ports import JobRepository, WorkflowEngine


class JobService:
    """Shows the work and has failed work done again."""

    def __init__(
        self, *, database: Database, jobs: JobRepository, engine: WorkflowEngine, audit: AuditTrail, clock: Clock
    ) -> None:
        self._database = database
        self._jobs = jobs
        self._engine = engine
        self._audit = audit
        self._clock = clock

    async def list(self, wanted: JobFilter, *, limit: int = 100) -> Sequence[Job]:
        """Return jobs, newest first."""
        async with self._database.read() as transaction:
            return await self._jobs.list(transaction, wanted, limit=limit)

    async def counts(self) -> dict[tuple[JobKind, JobState], int]:
        """Count the jobs of each kind and state."""
        async with self._database.read() as transaction:
            return await self._jobs.counts(transaction)

    async def retry(self, actor: Actor, job_id: str) -> Job:
        """Have a failed job done again. Raises NotFoundError, ConflictError if it has not failed."""
        async with self._database.write() as transaction:
            job = await self._engine.retry(transaction, job_id)
            event = AuditEvent(
                organization_id=job.organization_id,
                actor=actor,
                action="job.retried",
                at=self._clock.now(),
                subject={**job.subject, "job": job.id},
                detail={"kind": job.kind.value, "attempt": str(job.attempt)},
            )
            await self._audit.append(transaction, [event])
        return job

    async def retry_failed(self, actor: Actor, organization_id: str | None = None) -> Sequence[Job]:
        """Have all failed jobs done again, of one organization or of all; returns them."""
        failed = JobFilter(organization_id=organization_id, states=frozenset({JobState.FAILED}))
        retried: dict[str, Job] = {}
        while True:
            # Where jobs run in line, one may have failed again by now: each is tried once.
            found = [job for job in await self.list(failed, limit=len(retried) + 100) if job.id not in retried]
            if not found:
                return list(retried.values())
            for job in found:
                try:
                    retried[job.id] = await self.retry(actor, job.id)
                except ConflictError:
                    retried[job.id] = job  # another operator was faster
