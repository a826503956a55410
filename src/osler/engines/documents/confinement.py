"""What the process that reads a stranger's file may not do: write, start programs, open connections, take too much."""

import os
import resource
import sys
import threading
import time
from typing import Any, Final

_REFUSED: Final = (
    "socket.connect",
    "socket.bind",
    "socket.sendto",
    "socket.getaddrinfo",
    "subprocess.Popen",
    "os.exec",
    "os.fork",
    "os.forkpty",
    "os.posix_spawn",
    "os.spawn",
    "os.system",
    "os.remove",
    "os.rename",
    "os.mkdir",
)
_WRITING: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def confine(*, memory: int, seconds: float) -> None:
    """Take from this process, for good, what reading needs no more of.

    ``memory``: bytes of address space; ``seconds``: of processor time, summed over threads. A file of no size can be
    written, no core is dumped, and Python itself refuses to connect, to write and to start programs. The process ends
    when its parent does.
    """
    _limit(resource.RLIMIT_AS, memory)
    # At the first limit the system says why it ends the process, at the second it does not.
    _limit(resource.RLIMIT_CPU, int(seconds), int(seconds) + 5)
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_CORE, 0)
    sys.addaudithook(_refuse)
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()


def _limit(what: int, soft: int, hard: int | None = None) -> None:
    _, highest = resource.getrlimit(what)
    limits = [value if highest == resource.RLIM_INFINITY else min(value, highest) for value in (soft, hard or soft)]
    try:
        resource.setrlimit(what, (limits[0], limits[1]))
    except (ValueError, OSError):
        if sys.platform == "linux":  # elsewhere some limits are not known
            raise


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    if event in _REFUSED:
        raise PermissionError("a document is read without that")
    if event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITING and arguments[0] != os.devnull:
        raise PermissionError("a document is read without writing")


def _end_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)
