"""The engine that runs jobs, and how many run at once."""

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from osler.config import Settings
    from osler.kernel.clock import Clock
    from osler.pipeline.ports import Workflow, WorkflowEngine
    from osler.storage.database import SqlDatabase
    from osler.storage.repositories.jobs import SqlJobRepository

EngineKind = Literal["dbos", "inline", "closed"]
"""``dbos`` for real life, ``inline`` for tests, ``closed`` for commands that make no jobs, which start faster by it."""


def with_concurrency(settings: "Settings", jobs: "tuple[Workflow, ...]") -> "tuple[Workflow, ...]":
    """Return the workflows with as many jobs at once as the settings say."""
    from osler.kernel.jobs import JobKind

    writing = (JobKind.WRITE_NOTE, JobKind.WRITE_DOCUMENT)
    return tuple(
        replace(workflow, concurrency=settings.note_workers) if workflow.kind in writing else workflow
        for workflow in jobs
    )


def workflow_engine(
    settings: "Settings", database: "SqlDatabase", jobs: "SqlJobRepository", clock: "Clock", kind: EngineKind
) -> "WorkflowEngine":
    """Return the engine of that kind."""
    from osler.storage.database_url import SqliteLocation
    from osler.storage.repositories.jobs import SqlExecutorRepository

    if kind == "closed":
        from osler.workflows.closed import ClosedEngine

        return ClosedEngine()
    if kind == "inline":
        from osler.workflows.inline import InlineEngine

        return InlineEngine(database, jobs, clock)
    from osler.workflows.dbos_engine import DbosEngine

    location = database.location
    return DbosEngine(
        database,
        jobs,
        SqlExecutorRepository(clock),
        clock,
        system_database_url=f"sqlite:///{location.path}" if isinstance(location, SqliteLocation) else location.dsn,
        executor_id=settings.executor_id,
    )
