"""Ports for servers that have to be told theirs: free ones that nobody else is given before they are used."""

import contextlib
import os
import random
import socket


def free_ports(count: int) -> list[int]:
    """Return ports that are free, and that nobody gets by chance until they are bound, or while their server is down.

    They lie below those that the system gives out by itself, for each of the processes that test in a block of its own.
    """
    process = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 16
    block, found = range(16_000 + 1000 * process, 17_000 + 1000 * process), list[int]()
    for port in random.sample(block, len(block)):
        with contextlib.suppress(OSError), socket.socket() as one:
            one.bind(("127.0.0.1", port))
            found.append(port)
        if len(found) == count:
            return found
    raise RuntimeError("no port is free")
