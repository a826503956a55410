"""What the engines need of storage beyond the pipeline's ports: unfinished jobs, and who executes."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol

from osler.kernel.jobs import Job
from osler.kernel.transactions import Transaction
from osler.pipeline.ports import JobRepository


class EngineJobRepository(JobRepository, Protocol):
    """The jobs as the engines see them."""

    async def unfinished(self, transaction: Transaction, *, after: str, limit: int) -> Sequence[Job]:
        """Return queued and running jobs with an id above ``after``, by id; ``after`` is empty for the first page."""
        ...


class ExecutorRepository(Protocol):
    """The processes that execute jobs. An *incarnation* is one life of a process: its id is new at each start."""

    async def claim(
        self, transaction: Transaction, executor_id: str, incarnation: str, *, stale_after: timedelta
    ) -> bool:
        """Take an id that is free, or whose holder was not heard of for ``stale_after``. False: it is held."""
        ...

    async def last_heard(self, transaction: Transaction, executor_id: str) -> datetime | None:
        """Return when the holder of an id was last heard of; None if nobody holds it."""
        ...

    async def beat(self, transaction: Transaction, executor_id: str, incarnation: str) -> bool:
        """Say that this process lives. False: it was taken for dead, and its id is free or another's now."""
        ...

    async def bury(self, transaction: Transaction, *, stale_after: timedelta) -> None:
        """Remove those who were not heard of for ``stale_after``."""
        ...

    async def living(self, transaction: Transaction) -> frozenset[str]:
        """Return the incarnations of all who stand in the table."""
        ...

    async def release(self, transaction: Transaction, executor_id: str, incarnation: str) -> None:
        """Remove this process's own row."""
        ...
