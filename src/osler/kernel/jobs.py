"""Work to be done after a commit: what rooms say of it. How it runs is the workflow engine's affair."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from osler.kernel.transactions import Transaction


class JobKind(StrEnum):
    """Kinds of work, most urgent first. Each has a queue of its own with its own concurrency."""

    TRANSCRIBE_SEGMENT = "transcribe_segment"
    TRANSCRIBE_RECORDING = "transcribe_recording"
    PARSE_CONTEXT = "parse_context"
    WRITE_NOTE = "write_note"
    WRITE_DOCUMENT = "write_document"
    CODE_ENCOUNTER = "code_encounter"


class JobState(StrEnum):
    """Where a job stands. ``failed`` is final until an operator retries it."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Job:
    """One piece of work. ``subject`` names rows by id (``{"encounter": "...", "recording": "..."}``), never text.

    ``id`` is chosen by whoever enqueues; the same id twice is one job. ``attempt`` counts from 1 and grows with each
    retry by an operator; ``error`` is the code of the last failure (an error class, no PHI).
    """

    id: str
    organization_id: str
    kind: JobKind
    subject: Mapping[str, str]
    created_at: datetime
    state: JobState = JobState.QUEUED
    attempt: int = 1
    error: str | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs to list; None: any."""

    organization_id: str | None = None
    states: frozenset[JobState] | None = None
    kinds: frozenset[JobKind] | None = None
    encounter_id: str | None = field(default=None)


class JobQueue(Protocol):
    """Takes work inside the transaction that makes it necessary."""

    async def enqueue(self, transaction: Transaction, job: Job) -> bool:
        """Have ``job`` run after the commit, at least once, and never if the transaction rolls back.

        Returns False, and changes nothing, if a job of that id stands already.
        """
        ...
