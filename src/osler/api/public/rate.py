"""How many requests a key may make: so many in each minute, counted in this process."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Final

WINDOW: Final = 60.0
"""Seconds."""

POLICY: Final = "key"
"""Name of the policy in the ``RateLimit`` fields."""

MOST_KEYS: Final = 10_000
"""Keys that are counted before those whose minute is over are swept out."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How a key stands after a request. ``resets_in`` is in seconds; ``exceeded``: this request was one too many."""

    quota: int
    remaining: int
    resets_in: float
    exceeded: bool

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Return ``RateLimit-Policy`` and ``RateLimit`` as draft-ietf-httpapi-ratelimit-headers-11 has them, and
        ``Retry-After`` where it is needed."""
        seconds = max(1, math.ceil(self.resets_in))
        fields = [
            (b"ratelimit-policy", f'"{POLICY}";q={self.quota};w={WINDOW:.0f}'.encode()),
            (b"ratelimit", f'"{POLICY}";r={self.remaining};t={seconds}'.encode()),
        ]
        if self.exceeded:
            fields.append((b"retry-after", str(seconds).encode()))
        return fields


class RateLimit:
    """A fixed window for each key, which begins with its first request: what the headers say is exact.

    Belongs to one event loop. Only keys that exist are counted, so that strangers cannot fill the memory.
    """

    def __init__(self, quota: int, clock: Callable[[], float] = monotonic) -> None:
        """``quota``: requests in a window; 0: any number."""
        self._quota = quota
        self._clock = clock
        self._windows: dict[str, tuple[float, int]] = {}

    def count(self, key_id: str) -> Standing | None:
        """Count a request and return how the key stands; None if nothing is limited. A refused one does not count."""
        if self._quota == 0:
            return None
        now = self._clock()
        begun, used = self._windows.get(key_id, (now, 0))
        if now - begun >= WINDOW:
            begun, used = now, 0
        exceeded = used >= self._quota
        if not exceeded:
            used += 1
            if key_id not in self._windows and len(self._windows) >= MOST_KEYS:
                self._sweep(now)
            self._windows[key_id] = begun, used
        return Standing(self._quota, self._quota - used, begun + WINDOW - now, exceeded)

    def _sweep(self, now: float) -> None:
        self._windows = {key: window for key, window in self._windows.items() if now - window[0] < WINDOW}
