"""What must happen from time to time without anybody asking: policies of erasure, erasures that were cut off, answers
that were kept long enough, and orphans in the blob store."""

import asyncio
import logging
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from typing import Final, Protocol

from osler.access.idempotency import IdempotencyService
from osler.encounters.erasure import ErasureService
from osler.kernel.clock import Clock

POLICIES_EVERY: Final = timedelta(minutes=1)
"""How often consent withdrawals and retention are looked at: what is due is erased within about that time."""

LEDGER_EVERY: Final = timedelta(minutes=5)
"""How often the erasure ledger is looked at for what a process died over while others went on; it is listed whole."""

DIED_OVER: Final = timedelta(minutes=10)
"""Age of an erasure that stands in the ledger alone, after which nobody is still about to carry it out."""

SWEEP_EVERY: Final = timedelta(hours=6)
"""How often objects are compared with rows; it lists the whole blob store."""

_log: Final = logging.getLogger(__name__)


class Lease(Protocol):
    """Something that one process at a time holds, and that a dead process loses by itself."""

    def held(self) -> AbstractAsyncContextManager[bool]:
        """Try to take it and hold it for the block; False: another process has it."""
        ...


class Housekeeping:
    """Runs the policies and the sweep, in one process of the deployment at a time."""

    def __init__(
        self,
        *,
        erasure: ErasureService,
        requests: IdempotencyService | None = None,
        lease: Lease,
        clock: Clock,
        policies_every: timedelta = POLICIES_EVERY,
        ledger_every: timedelta = LEDGER_EVERY,
        sweep_every: timedelta = SWEEP_EVERY,
    ) -> None:
        self._erasure = erasure
        self._requests = requests
        self._lease = lease
        self._clock = clock
        self._policies_every = policies_every
        self._ledger_every = ledger_every
        self._sweep_every = sweep_every
        self._next_ledger: datetime | None = None
        self._next_sweep: datetime | None = None

    async def run(self) -> None:
        """Do it again and again until cancelled. A failure is logged, and tried again at the next time."""
        while True:
            try:
                await self.once()
            except Exception as error:  # noqa: BLE001  (the database may be away; the next run may find it again)
                _log.error("housekeeping failed and is tried again", exc_info=error)
            await asyncio.sleep(self._policies_every.total_seconds())

    async def once(self) -> bool:
        """Do what is due now; False if another process is at it.

        Raises DatabaseUnavailableError, BlobsUnavailableError, StorageFullError, CorruptedError (an entry of the
        erasure ledger; all others were applied).
        """
        async with self._lease.held() as mine:
            if not mine:
                return False
            now = self._clock.now()
            # Finishes too what is committed but for its objects and traces, whoever began it.
            erased = await self._erasure.run_policies(now)
            if erased:
                _log.info("policies erased audio or texts of encounters", extra={"count": erased})
            if self._requests is not None:
                await self._requests.purge(now)
            if self._next_ledger is None or now >= self._next_ledger:
                self._next_ledger = now + self._ledger_every
                applied = await self._erasure.apply_ledger(older_than=DIED_OVER)
                if applied:
                    _log.info("erasures that were cut off were carried out", extra={"count": applied})
            if self._next_sweep is None or now >= self._next_sweep:
                removed = await self._erasure.sweep_orphan_blobs()
                self._next_sweep = now + self._sweep_every
                if removed:
                    _log.info("orphaned objects were removed", extra={"count": removed})
            return True
