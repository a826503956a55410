"""A process that runs until it is told to stop: signals, its threads, and an end within bounded time."""

import asyncio
import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)

THREADS: Final = 32
"""Threads for what would block the event loop: sealing, decoding, engines, files."""

PATIENCE: Final = 3.0
"""Seconds that threads have to end once everything is closed."""

_PREFIX: Final = "osler-thread"


class Stop:
    """Tells that the process is to stop. The first signal asks it to, a second one ends it at once."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self._calls: list[Callable[[], None]] = []

    def on_request(self, call: Callable[[], None]) -> None:
        """Have ``call`` called when the stop is requested; now, if it was before."""
        if self._event.is_set():
            call()
        else:
            self._calls.append(call)

    async def wait(self) -> None:
        """Return when the stop is requested."""
        await self._event.wait()

    def request(self, number: signal.Signals) -> None:
        """Begin to stop."""
        import structlog

        if self._event.is_set():
            structlog.get_logger().warning("a second signal: ending at once", signal=number)
            _end_now(1)
        structlog.get_logger().info("stopping", signal=number)
        self._event.set()
        for call in self._calls:
            call()


def begin_start() -> None:
    """Collect no garbage until :func:`end_start`: what loads stays, and to look through it again and again costs more
    than a quarter of the start's instructions."""
    gc.disable()


def end_start() -> None:
    """Collect garbage from now on, and never look through what the start loaded."""
    gc.freeze()
    gc.enable()


def run_until_stopped(work: Callable[[Stop], Awaitable[None]]) -> None:
    """Run ``work``, which is to return soon after the stop was requested, and end the threads that it used.

    A thread inside an engine cannot be interrupted. If one still computes when all is closed, the process ends without
    it: its job was handed over, and another process does it from its start.
    """
    threads = ThreadPoolExecutor(THREADS, thread_name_prefix=_PREFIX)

    async def supervised() -> None:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(threads)
        stop = Stop()
        for number in SIGNALS:
            loop.add_signal_handler(number, stop.request, number)
        await work(stop)
        threads.shutdown(wait=False, cancel_futures=True)
        if not await _ended():
            _say_where()
            _end_now(0)

    asyncio.run(supervised())


async def _ended() -> bool:
    deadline = time.monotonic() + PATIENCE
    while any(thread.name.startswith(_PREFIX) for thread in threading.enumerate()):
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.02)
    return True


def _say_where() -> None:
    import structlog

    frames = sys._current_frames()
    for thread in threading.enumerate():
        frame = frames.get(thread.ident or 0)
        if thread.name.startswith(_PREFIX) and frame is not None:
            place = f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
            structlog.get_logger().warning("a thread still computes: ending without it", place=place)


def _end_now(code: int) -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    os._exit(code)
