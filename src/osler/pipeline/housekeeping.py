"""What must happen from time to time without anybody asking: policies of erasure, answers that were kept long enough,
and orphans in the blob store."""

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
        sweep_every: timedelta = SWEEP_EVERY,
    ) -> None:
        self._erasure = erasure
        self._requests = requests
        self._lease = lease
        self._clock = clock
        self._policies_every = policies_every
        self._sweep_every = sweep_every
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

        Raises DatabaseUnavailableError, BlobsUnavailableError, StorageFullError.
        """
        async with self._lease.held() as mine:
            if not mine:
                return False
            now = self._clock.now()
            erased = await self._erasure.run_policies(now)
            if erased:
                _log.info("policies erased audio or texts of encounters", extra={"count": erased})
            if self._requests is not None:
                await self._requests.purge(now)
            if self._next_sweep is None or now >= self._next_sweep:
                removed = await self._erasure.sweep_orphan_blobs()
                self._next_sweep = now + self._sweep_every
                if removed:
                    _log.info("orphaned objects were removed", extra={"count": removed})
            return True
