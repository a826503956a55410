"""A process that asks again and again what a server asks for every request of the public API, and says when it ended.

Reads three lines of JSON: keys by name at its start; more of them once it printed ``ready``, which it does as soon as
all of the former were let in; and, after it printed ``asked`` because it has asked for each of them again, the names
of those that it did not ask for since ``ready``. When the last of them all is refused it prints for each when it last
asked and was let in: by the clock that all processes of a machine share, and by the time of day.
"""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable

from osler.access.model import KeyKind
from osler.access.public import PublicRoute
from osler.bootstrap import Core, open_core
from osler.kernel.errors import NotAllowedError

PATIENCE = 180.0
"""Seconds after which it gives up."""

IDLE = frozenset({"idle"})
"""Names that it asks for after ``ready`` only when it is told to."""


def question(core: Core, name: str, text: str) -> Callable[[], Awaitable[bool]]:
    """Return what the server asks: the key, or the ``token``, with ``organization`` or ``route`` also that; ``api``."""

    async def ask() -> bool:
        if name == "api":
            return (await core.public.access.recent_switches()).enabled
        try:
            if name == "token":
                return bool(await core.tokens.verify(text))
            key = await core.access.authenticate(KeyKind.PUBLIC, text)
        except NotAllowedError:
            return False
        if name == "organization":
            return await core.public.access.recent_organization_allowed(key.organization_id)
        if name == "route":
            return PublicRoute.DOCUMENT in (await core.public.access.recent_switches()).routes
        return True

    return ask


async def watch() -> dict[str, tuple[float, float]]:
    async with open_core(engine="closed") as core, asyncio.timeout(PATIENCE):
        asked = {name: question(core, name, text) for name, text in json.loads(sys.stdin.readline()).items()}
        while not all([await ask() for ask in asked.values()]):
            await asyncio.sleep(0.01)
        print("ready", flush=True)
        asked |= {name: question(core, name, text) for name, text in json.loads(sys.stdin.readline()).items()}
        told = asyncio.create_task(asyncio.to_thread(sys.stdin.readline))
        last: dict[str, tuple[float, float]] = {}
        open_still, idle = asked.keys() - IDLE, asked.keys() & IDLE
        is_first = True
        while open_still or idle:
            if idle and told.done():
                names = set(json.loads(told.result()))
                open_still, idle = open_still | names, idle - names
            for name in sorted(open_still):
                begun = time.monotonic(), time.time()
                if await asked[name]():
                    last[name] = begun
                else:
                    open_still.discard(name)
            if is_first:
                print("asked", flush=True)
                is_first = False
            await asyncio.sleep(0.01)
        return last


if __name__ == "__main__":
    print(json.dumps(asyncio.run(watch())), flush=True)
