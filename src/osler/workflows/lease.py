"""A lease on the table of executors: what only one process may do at a time, whatever becomes of that process."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Final

from osler.kernel.errors import OslerError
from osler.kernel.ids import new_id
from osler.kernel.transactions import Database
from osler.workflows.ports import ExecutorRepository

BEAT: Final = 3.0
"""Seconds between two signs of life while the lease is held."""

STALE_AFTER: Final = timedelta(seconds=10)
"""Without a sign of life for so long, another process may take it."""

_log: Final = logging.getLogger(__name__)


class ExecutorLease:
    """Implements :class:`osler.pipeline.housekeeping.Lease`: a row under a name that no executor has.

    What is done under it must be harmless if two do it for a moment: a process that hangs longer than STALE_AFTER
    loses it without noticing at once.
    """

    def __init__(self, database: Database, executors: ExecutorRepository, name: str) -> None:
        self._database = database
        self._executors = executors
        # Executors' own names hold no space.
        self._name = f"lease {name}"

    @contextlib.asynccontextmanager
    async def held(self) -> AsyncIterator[bool]:
        """Try to take it and hold it for the block; False: another process has it."""
        holder = new_id()
        async with self._database.write() as transaction:
            mine = await self._executors.claim(transaction, self._name, holder, stale_after=STALE_AFTER)
        if not mine:
            yield False
            return
        beating = asyncio.create_task(self._beat(holder), name="lease heartbeat")
        try:
            yield True
        finally:
            beating.cancel()
            await asyncio.wait((beating,))
            # If the database is away, the lease lapses.
            with contextlib.suppress(OslerError):
                async with self._database.write() as transaction:
                    await self._executors.release(transaction, self._name, holder)

    async def _beat(self, holder: str) -> None:
        while True:
            await asyncio.sleep(BEAT)
            try:
                async with self._database.write() as transaction:
                    await self._executors.beat(transaction, self._name, holder)
            except OslerError as error:
                _log.warning("a sign of life could not be written (%s)", type(error).__name__)
