"""Commits of SQLite that are shared: writers of one process that wait for each other anyway make one commit together.

A commit waits for the disk, longer than most of our transactions take. So a transaction that ends while others of the
same process wait to begin leaves its work uncommitted to the next, which goes on behind a savepoint, and so forth; the
last one commits for all. Nobody is told that his work is done before that commit. One who rolls back undoes his own
work only.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from osler.kernel.errors import OslerError
from osler.kernel.transactions import Transaction, Write

MOST: Final = 64
"""Transactions of one commit."""

LONGEST: Final = 0.03
"""Seconds after which a group takes no further transaction: those of other processes wait for its lock."""

PAUSE: Final = 0.002
"""Seconds between two groups that follow each other, in which another process can take the lock: it asks for it again
and again, and is not told when it is free."""

WARY: Final = 60.0
"""Seconds for which everybody writes for himself what could be written together, after that failed for all of a group:
what is wrong with the rows of one organization is to keep no other one from its work."""


class CommitGroup:
    """Who waits to write, and who waits for the commit of what he wrote. Belongs to one event loop."""

    def __init__(self, rescue: Callable[[], None]) -> None:
        """``rescue`` has an abandoned group committed soon."""
        self._rescue = rescue
        self.waiting = 0
        self.is_active = False
        self.shared: dict[object, Any] = {}
        """What was read or written of rows that only the open transaction can change, for the next who joins it."""
        self._begun = 0.0
        self._wary_until = float("-inf")
        self._left: dict[Write, list[Any]] = {}
        self._ended: list[asyncio.Future[None]] = []

    @property
    def is_pending(self) -> bool:
        """Whether somebody waits for a commit."""
        return bool(self._ended)

    def leave(self) -> None:
        """Note that somebody left, and see to it that nobody waits for a commit that nobody is going to make."""
        if self.is_pending and not self.waiting and not self.is_active:
            self._rescue()

    def begin(self) -> None:
        """Note that a transaction began that others may join."""
        self._begun = asyncio.get_running_loop().time()

    def goes_on(self) -> bool:
        """Say whether a transaction that ends now is to leave its commit to one that waits."""
        now = asyncio.get_running_loop().time()
        return self.waiting > 0 and len(self._ended) + 1 < MOST and now - self._begun < LONGEST

    def join(self) -> "asyncio.Future[None]":
        """Return what is done once the work of the caller is committed; or has what went wrong for all of the group."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._ended.append(done)
        return done

    @property
    def is_wary(self) -> bool:
        """Whether each is to write what he has before he leaves, so that what is wrong with it is told to him only."""
        return asyncio.get_running_loop().time() < self._wary_until

    def add(self, left: Mapping[Write, Sequence[Any]]) -> None:
        """Take over what one who ended has left to be written before the commit."""
        for write, items in left.items():
            self._left.setdefault(write, []).extend(items)

    async def write(self, transaction: Transaction) -> None:
        """Write what all have left, before the commit. Raises what that raises: then nobody's work is to stand."""
        try:
            await write_all(transaction, self._left)
        except BaseException:
            self._wary_until = asyncio.get_running_loop().time() + WARY
            raise
        self._left.clear()

    def succeed(self) -> None:
        """Tell all who wait that their work is durable."""
        self.shared.clear()
        ended, self._ended = self._ended, []
        for done in ended:
            if not done.done():
                done.set_result(None)

    def fail(self, error: BaseException) -> None:
        """Tell all who wait that nothing of their work is there."""
        self.shared.clear()
        self._left.clear()
        ended, self._ended = self._ended, []
        for done in ended:
            if not done.done():
                # Each his own: an error collects the places that it passes.
                done.set_exception(_same(error) if isinstance(error, OslerError) else error)


def _same(error: OslerError) -> OslerError:
    """Return an error that says the same. Whatever made the first may have taken more than its message."""
    same = type(error).__new__(type(error), *error.args)
    same.__dict__.update(error.__dict__)
    return same


async def write_all(transaction: Transaction, left: Mapping[Write, Sequence[Any]]) -> None:
    """Write what was left to be written before a commit."""
    for write, items in left.items():
        await write(transaction, items)
