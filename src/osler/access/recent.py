"""What was read of the database and still stands there, so that not every request reads it anew."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

if TYPE_CHECKING:
    from osler.access.ports import AccessRevisionRepository
    from osler.kernel.transactions import Database

Name = TypeVar("Name", bound=Hashable)
Value = TypeVar("Value")

FRESH: Final = 0.8
"""Seconds for which something is taken from memory after it was read, or after a look at the database that began when
it still stood: what changed in another process holds here within one second."""

EVERY: Final = 0.4
"""Seconds from one look at the database to the next; one may be late by as much before anything is read anew."""

IDLE: Final = 300.0
"""Seconds without a request after which nobody looks any more."""

MOST: Final = 4096
"""Values that are kept; the one that was kept the longest goes first."""

logger = logging.getLogger(__name__)


class Watch:
    """Looks whether anything of the access room was changed, once for all that a process keeps of it.

    While values are asked for it reads the database's revision of access every ``EVERY`` seconds. Another one than the
    last has everything forgotten, so all that is kept was read since the present one was first seen, and the same one
    vouches for it. A look that fails or is late vouches for nothing: then values are read anew, with whatever error
    that has.

    Belongs to the event loop that first used it.
    """

    def __init__(self, *, database: "Database", revisions: "AccessRevisionRepository") -> None:
        self._database = database
        self._revisions = revisions
        self._kept: list[Recent[Any, Any]] = []
        self._task: asyncio.Task[None] | None = None
        self._first: asyncio.Future[None] | None = None
        self._asked = 0.0
        self._stopped = False
        self._fails = False
        self._revision: object = self  # no revision yet
        self._seen = float("-inf")  # when the last look began that found it

    def add(self, kept: "Recent[Any, Any]") -> None:
        """Have ``kept`` forget what it keeps whenever something was changed."""
        self._kept.append(kept)

    def vouches(self, now: float) -> bool:
        """Say whether what is kept stood unchanged less than FRESH ago."""
        return now - self._seen < FRESH

    def asked(self) -> None:
        """Note that a value is asked for, and look from now on."""
        self._asked = monotonic()
        if self._task is None and not self._stopped:
            self._first = asyncio.get_running_loop().create_future()
            self._task = asyncio.create_task(self._look_again_and_again(self._first))

    async def began(self) -> bool:
        """Wait for the first look, as it cannot vouch for what was read before; no longer than FRESH.

        False: there was nothing to wait for.
        """
        if self._first is None or self._first.done():
            return False
        await asyncio.wait({self._first}, timeout=FRESH)
        return True

    async def stop(self) -> None:
        """Look no more; call it before the database is closed."""
        self._stopped = True
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _look_again_and_again(self, first: "asyncio.Future[None]") -> None:
        try:
            while monotonic() - self._asked < IDLE:
                try:
                    await self._look()
                    self._fails = False
                except Exception as error:  # noqa: BLE001  (whatever it is, requests meet it themselves)
                    if not self._fails:
                        logger.warning("whether access was changed cannot be seen: %s", type(error).__name__)
                    self._fails = True
                if not first.done():
                    first.set_result(None)
                await asyncio.sleep(EVERY)
        finally:
            self._task = None
            if not first.done():
                first.set_result(None)

    async def _look(self) -> None:
        begun = monotonic()
        async with self._database.read() as transaction:
            revision = await self._revisions.current(transaction)
        if revision != self._revision:
            # Also what is being read just now: it may be of the time before.
            for kept in self._kept:
                kept.forget()
            self._revision = revision
        self._seen = begun


class Recent(Generic[Name, Value]):
    """Values by name, each as it stood less than ``fresh`` seconds ago. Those who ask at once share one reading.

    Belongs to the event loop that first used it. Errors and None are not kept.
    """

    def __init__(self, fresh: float = FRESH, most: int = MOST, *, watch: Watch | None = None) -> None:
        """``watch`` vouches for what was read longer ago; without one a value is read anew after ``fresh`` seconds."""
        self._fresh = fresh
        self._most = most
        self._watch = watch
        self._kept: OrderedDict[Name, tuple[float, Value]] = OrderedDict()
        self._readings: dict[Name, asyncio.Task[Value | None]] = {}
        if watch is not None:
            watch.add(self)

    async def get(self, name: Name, read: Callable[[], Awaitable[Value | None]]) -> Value | None:
        """Return the value, by ``read`` if it may have changed since it was. Raises what ``read`` raises."""
        if self._watch is not None:
            self._watch.asked()
        value = self._standing(name)
        if value is None and self._watch is not None and await self._watch.began():
            value = self._standing(name)
        if value is not None:
            return value
        reading = self._readings.get(name)
        if reading is None:
            reading = asyncio.create_task(self._read(name, read))
            self._readings[name] = reading
            reading.add_done_callback(_heard)
        return await asyncio.shield(reading)  # whoever gives up takes nothing from the others

    def forget(self) -> None:
        """Read everything anew from now on; what is being read just now may be of the time before, and is not kept."""
        self._kept.clear()
        self._readings.clear()

    def _standing(self, name: Name) -> Value | None:
        kept = self._kept.get(name)
        if kept is None:
            return None
        begun, value = kept
        now = monotonic()
        is_good = now - begun < self._fresh or (self._watch is not None and self._watch.vouches(now))
        return value if is_good else None

    async def _read(self, name: Name, read: Callable[[], Awaitable[Value | None]]) -> Value | None:
        task = asyncio.current_task()
        begun = monotonic()  # the value may be as old as that
        try:
            value = await read()
            if value is not None and self._readings.get(name) is task:
                self._kept.pop(name, None)
                self._kept[name] = begun, value
                if len(self._kept) > self._most:
                    self._kept.popitem(last=False)
            return value
        finally:
            if self._readings.get(name) is task:
                del self._readings[name]


def _heard(task: "asyncio.Task[Value | None]") -> None:
    """Have no error reported as missed because all who asked went away."""
    if not task.cancelled():
        task.exception()
