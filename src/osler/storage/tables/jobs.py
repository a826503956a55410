"""Tables of the work to be done, and of the processes that do it."""

from typing import Final

from sqlalchemy import Column, Index, Integer, Table, Text

from osler.storage.tables.metadata import JSON, Time, metadata

jobs: Final = Table(
    "jobs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("organization_id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("subject", JSON, nullable=False),
    # What the subject names as "encounter", so that an encounter's jobs are found without looking into JSON.
    Column("encounter_id", Text, nullable=True),
    Column("state", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("error", Text, nullable=True),
    Column("created_at", Time, nullable=False),
    Column("updated_at", Time, nullable=True),
    Index("ix_jobs_organization", "organization_id", "state", "created_at"),
    Index("ix_jobs_state", "state", "id"),
    Index("ix_jobs_encounter", "encounter_id"),
)

executors: Final = Table(
    "executors",
    metadata,
    Column("executor_id", Text, primary_key=True),
    # One life of the process: new at each start, so that a process finds out that another took its place.
    Column("incarnation", Text, nullable=False),
    Column("started_at", Time, nullable=False),
    Column("heartbeat_at", Time, nullable=False),
)
"""The processes that execute jobs now. One that does not write its heartbeat any more is removed by another."""
