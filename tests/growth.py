"""How the processor time of work grows with what it is given: measured against itself, so no machine is too slow."""

import time
from collections.abc import Callable
from typing import Final

TIMES: Final = 16
"""The whole is so many times as large as the part that it is held against."""

MOST: Final = 64
"""Times as long as its part the whole may take: 16 for what grows with its size, 256 for what grows with its square. In
between there is room for caches, and for other work on the same core."""

LEAST: Final = 0.002
"""Seconds; what takes less is too short to be told from the clock's own steps."""

ROUNDS: Final = 5
"""Both are measured as often, at most, and the quickest counts: work beside it makes a round longer, never shorter."""


def assert_grows_with_its_size(work: Callable[[int], object], size: int) -> None:
    """Assert that ``work(size)`` takes about in proportion longer than ``work(size // 16)``."""
    part = whole = float("inf")
    for _ in range(ROUNDS):
        part = max(LEAST, min(part, _seconds(work, size // TIMES)))
        whole = min(whole, _seconds(work, size))
        if whole < MOST * part:
            return
    raise AssertionError(f"{TIMES} times as much took {whole / part:.0f} times as long")


def _seconds(work: Callable[[int], object], size: int) -> float:
    began = time.thread_time()
    work(size)
    return time.thread_time() - began
