"""Jobs and executing processes as rows."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Insert, Row, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from osler.kernel.clock import Clock
from osler.kernel.errors import NotFoundError
from osler.kernel.jobs import Job, JobFilter, JobKind, JobState
from osler.kernel.transactions import Transaction
from osler.storage.database import connection_of
from osler.storage.tables.jobs import executors, jobs

UNFINISHED: Final = (JobState.QUEUED.value, JobState.RUNNING.value)


class SqlJobRepository:
    """The jobs of all organizations."""

    async def add(self, transaction: Transaction, job: Job) -> bool:
        """Return False if a job of that id stands already."""
        connection = connection_of(transaction)
        statement = _insert_unless_there(connection, jobs).values(
            id=job.id,
            organization_id=job.organization_id,
            kind=job.kind.value,
            created_at=job.created_at,
            **_changeable(job),
        )
        return (await connection.execute(statement)).rowcount == 1

    async def get(self, transaction: Transaction, organization_id: str | None, job_id: str) -> Job:
        """Raises NotFoundError. ``organization_id`` None is for the operator, who may hold any job's id."""
        return await self._one(transaction, organization_id, job_id, lock=False)

    async def lock(self, transaction: Transaction, organization_id: str | None, job_id: str) -> Job:
        """As get, held against other writers. Raises NotFoundError."""
        return await self._one(transaction, organization_id, job_id, lock=True)

    async def set_state(
        self, transaction: Transaction, job_id: str, state: JobState, *, at: datetime, error: str | None = None
    ) -> None:
        """Write the state and the code of the last failure."""
        values = {"state": state.value, "error": error, "updated_at": at}
        await connection_of(transaction).execute(update(jobs).where(jobs.c.id == job_id).values(values))

    async def save(self, transaction: Transaction, job: Job) -> None:
        """Write all of a job but its id, organization, kind and time of birth."""
        await connection_of(transaction).execute(update(jobs).where(jobs.c.id == job.id).values(_changeable(job)))

    async def list(self, transaction: Transaction, wanted: JobFilter, *, limit: int = 100) -> Sequence[Job]:
        """Return jobs, newest first."""
        query = select(jobs)
        if wanted.organization_id is not None:
            query = query.where(jobs.c.organization_id == wanted.organization_id)
        if wanted.states is not None:
            query = query.where(jobs.c.state.in_([state.value for state in wanted.states]))
        if wanted.kinds is not None:
            query = query.where(jobs.c.kind.in_([kind.value for kind in wanted.kinds]))
        if wanted.encounter_id is not None:
            query = query.where(jobs.c.encounter_id == wanted.encounter_id)
        query = query.order_by(jobs.c.created_at.desc(), jobs.c.id.desc()).limit(limit)
        return [_job(row) for row in await connection_of(transaction).execute(query)]

    async def counts(self, transaction: Transaction) -> dict[tuple[JobKind, JobState], int]:
        """Count the jobs of each kind and state, for metrics."""
        query = select(jobs.c.kind, jobs.c.state, func.count()).group_by(jobs.c.kind, jobs.c.state)
        rows = await connection_of(transaction).execute(query)
        return {(JobKind(kind), JobState(state)): count for kind, state, count in rows}

    async def unfinished(self, transaction: Transaction, *, after: str, limit: int) -> Sequence[Job]:
        """Return queued and running jobs with an id above ``after``, by id; ``after`` is empty for the first page."""
        query = select(jobs).where(jobs.c.state.in_(UNFINISHED), jobs.c.id > after).order_by(jobs.c.id).limit(limit)
        return [_job(row) for row in await connection_of(transaction).execute(query)]

    async def _one(self, transaction: Transaction, organization_id: str | None, job_id: str, *, lock: bool) -> Job:
        query = select(jobs).where(jobs.c.id == job_id)
        if organization_id is not None:
            query = query.where(jobs.c.organization_id == organization_id)
        row = (await connection_of(transaction).execute(query.with_for_update() if lock else query)).first()
        if row is None:
            raise NotFoundError("there is no such job; osler jobs list shows those that are there")
        return _job(row)


class SqlExecutorRepository:
    """The processes that execute jobs, and when each was last heard of.

    Ages are measured by one clock for all: that of PostgreSQL where processes may run on several machines, and this
    machine's on SQLite.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def claim(
        self, transaction: Transaction, executor_id: str, incarnation: str, *, stale_after: timedelta
    ) -> bool:
        """Take an id that is free, or whose holder was not heard of for ``stale_after``. False: it is held."""
        connection = connection_of(transaction)
        now = await self._now(connection)
        await connection.execute(
            delete(executors).where(
                executors.c.executor_id == executor_id, executors.c.heartbeat_at < now - stale_after
            )
        )
        values = {"executor_id": executor_id, "incarnation": incarnation, "started_at": now, "heartbeat_at": now}
        return (await connection.execute(_insert_unless_there(connection, executors).values(values))).rowcount == 1

    async def last_heard(self, transaction: Transaction, executor_id: str) -> datetime | None:
        """Return when the holder of an id was last heard of; None if nobody holds it."""
        query = select(executors.c.heartbeat_at).where(executors.c.executor_id == executor_id)
        heard: datetime | None = (await connection_of(transaction).execute(query)).scalar_one_or_none()
        return heard

    async def beat(self, transaction: Transaction, executor_id: str, incarnation: str) -> bool:
        """Say that this process lives. False: it was taken for dead, and its id is free or another's now."""
        connection = connection_of(transaction)
        now = await self._now(connection)
        mine = (executors.c.executor_id == executor_id, executors.c.incarnation == incarnation)
        return (await connection.execute(update(executors).where(*mine).values(heartbeat_at=now))).rowcount == 1

    async def bury(self, transaction: Transaction, *, stale_after: timedelta) -> None:
        """Remove those who were not heard of for ``stale_after``."""
        connection = connection_of(transaction)
        now = await self._now(connection)
        await connection.execute(delete(executors).where(executors.c.heartbeat_at < now - stale_after))

    async def living(self, transaction: Transaction) -> frozenset[str]:
        """Return the incarnations of all who stand in the table."""
        return frozenset(await connection_of(transaction).scalars(select(executors.c.incarnation)))

    async def release(self, transaction: Transaction, executor_id: str, incarnation: str) -> None:
        """Remove this process's own row."""
        await connection_of(transaction).execute(
            delete(executors).where(executors.c.executor_id == executor_id, executors.c.incarnation == incarnation)
        )

    async def _now(self, connection: AsyncConnection) -> datetime:
        if connection.dialect.name != "postgresql":
            return self._clock.now()
        now: datetime = (await connection.execute(select(func.clock_timestamp()))).scalar_one()
        return now


def _insert_unless_there(connection: AsyncConnection, table: Any) -> Insert:
    if connection.dialect.name == "postgresql":
        return postgresql.insert(table).on_conflict_do_nothing()
    return sqlite.insert(table).on_conflict_do_nothing()


def _changeable(job: Job) -> dict[str, Any]:
    return {
        "subject": dict(job.subject),
        "encounter_id": job.subject.get("encounter"),
        "state": job.state.value,
        "attempt": job.attempt,
        "error": job.error,
        "updated_at": job.updated_at,
    }


def _job(row: Row[Any]) -> Job:
    return Job(
        id=row.id,
        organization_id=row.organization_id,
        kind=JobKind(row.kind),
        subject=row.subject,
        created_at=row.created_at,
        state=JobState(row.state),
        attempt=row.attempt,
        error=row.error,
        updated_at=row.updated_at,
    )
