"""Threads that give way: what they compute waits while other threads of the process have work for the cores."""

import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Final, TypeVar

Made = TypeVar("Made")

LOWER: Final = 10
"""How much lower than the thread that starts it, in the units of nice(2): on a full core about a tenth of the time."""


def in_background(make: Callable[[], Made]) -> Made:
    """Return what ``make`` returns, called in a thread of low priority, which the threads that it starts inherit.

    An engine that starts its threads while it is made so computes in the background, and the thread that waits for it
    keeps its priority: it holds the interpreter's lock between calls, and nobody should wait for it then. Linux gives
    each thread its own priority; elsewhere, and where a sandbox forbids it, that of the process stays.

    Raises what ``make`` raises.
    """
    with ThreadPoolExecutor(1, initializer=_lower) as pool:
        return pool.submit(make).result()


def _lower() -> None:
    if sys.platform == "linux":
        thread = threading.get_native_id()
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, thread, min(19, os.getpriority(os.PRIO_PROCESS, thread) + LOWER))
