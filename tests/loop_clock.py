"""The clock of the running event loop, put forward by hand: a time limit is over at once, however fast the machine is.

For limits that a test would otherwise have to sit out, or to shorten until a slow machine breaks them. Only what waits
in this event loop notices; other processes, and clocks of another kind, do not.
"""

import asyncio


def pass_by(seconds: float) -> None:
    """Put the clock forward for good: put back, it would keep what waits now waiting for as long again."""
    loop = asyncio.get_running_loop()
    now = loop.time
    loop.time = lambda: now() + seconds  # type: ignore[method-assign]
