"""The engine of commands that make no work: it needs no tables, no threads and no time to start."""

from collections.abc import Sequence

from osler.kernel.jobs import Job
from osler.kernel.transactions import Transaction
from osler.pipeline.ports import Workflow


class ClosedEngine:
    """Takes no jobs. A command that makes some has to be opened with an engine that does: that is a fault in Osler."""

    async def start(self, workflows: Sequence[Workflow], *, execute: bool) -> None:
        """Do nothing. Raises ValueError with ``execute``."""
        if execute:
            raise ValueError("this engine executes nothing")

    async def stop(self, *, grace: float = 10.0) -> None:
        """Do nothing."""

    async def enqueue(self, transaction: Transaction, job: Job) -> bool:
        """Raises RuntimeError, by which the transaction is rolled back."""
        raise RuntimeError(f"the core was opened without an engine for jobs of kind {job.kind.value}")

    async def retry(self, transaction: Transaction, job_id: str) -> Job:
        """Raises RuntimeError."""
        raise RuntimeError("the core was opened without an engine for jobs")

    async def healthy(self) -> bool:
        """Say that no jobs can be taken."""
        return False
