"""What was read of the database a moment ago, so that not every request reads it anew."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from time import monotonic
from typing import Final, Generic, TypeVar

Name = TypeVar("Name", bound=Hashable)
Value = TypeVar("Value")

FRESH: Final = 0.8
"""Seconds for which something is taken from memory: what changed in another process holds here within one second."""

MOST: Final = 4096
"""Values that are kept; the one that was kept the longest goes first."""


class Recent(Generic[Name, Value]):
    """Values by name, each as it was read less than ``fresh`` seconds ago. Those who ask at once share one reading.

    Belongs to the event loop that first used it. Errors and None are not kept.
    """

    def __init__(self, fresh: float = FRESH, most: int = MOST) -> None:
        self._fresh = fresh
        self._most = most
        self._kept: OrderedDict[Name, tuple[float, Value]] = OrderedDict()
        self._readings: dict[Name, asyncio.Task[Value | None]] = {}

    async def get(self, name: Name, read: Callable[[], Awaitable[Value | None]]) -> Value | None:
        """Return the value, by ``read`` if it was not read lately. Raises what ``read`` raises."""
        kept = self._kept.get(name)
        if kept is not None and monotonic() - kept[0] < self._fresh:
            return kept[1]
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
