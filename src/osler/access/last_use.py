"""When keys were last used: collected in memory, and written together now and then, never one write a request."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime
from typing import Final

from osler.kernel.errors import OslerError

INTERVAL: Final = 60.0
"""Seconds from the first use that is not written yet to its writing."""

logger = logging.getLogger(__name__)


class LastUse:
    """Collects uses; ``store`` writes them. Belongs to the event loop that first used it."""

    def __init__(self, store: Callable[[dict[str, datetime]], Awaitable[None]], interval: float = INTERVAL) -> None:
        self._store = store
        self._interval = interval
        self._used: dict[str, datetime] = {}
        self._timer: asyncio.Task[None] | None = None

    def note(self, key_id: str, at: datetime) -> None:
        """Remember a use, to be written within the interval. Cheap: no write, no waiting."""
        self._used[key_id] = at
        if self._timer is None:
            self._timer = asyncio.create_task(self._write_later())

    async def stop(self) -> None:
        """Write what is left. Raises what ``store`` raises."""
        if self._timer is not None:
            self._timer.cancel()
            with suppress(asyncio.CancelledError):
                await self._timer
        await self._write()

    async def _write_later(self) -> None:
        try:
            while self._used:
                await asyncio.sleep(self._interval)
                try:
                    await self._write()
                except OslerError as error:
                    # A convenience for operators must not stop the requests; it is tried again an interval later.
                    logger.warning("the times at which keys were last used are not written: %s", type(error).__name__)
        finally:
            self._timer = None

    async def _write(self) -> None:
        used, self._used = self._used, {}
        if not used:
            return
        try:
            await self._store(used)
        except BaseException:
            self._used = used | self._used
            raise
