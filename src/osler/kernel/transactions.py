"""Transactions as rooms see them: opened by a service, handed to repositories, never looked into.

One request or step is one transaction. Repositories do not commit; no transaction is held over an engine, a blob or a
network call.
"""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from contextvars import ContextVar
from typing import Any, Final, Protocol


class Transaction(Protocol):
    """An open transaction. Only ``storage`` knows what is inside."""

    def after_commit(self, call: Callable[[], Awaitable[None]]) -> None:
        """Have ``call`` awaited once the transaction is durable; never if it rolls back."""
        ...

    def before_commit(self, write: "Write", items: Sequence[Any]) -> None:
        """Have ``items`` written by ``write`` right before the commit; never if the transaction rolls back.

        It is called once for all that was handed to it, by this transaction and by those that share its commit, in the
        order in which they ended. If it fails, so does the commit.
        """
        ...


Write = Callable[[Transaction, Sequence[Any]], Awaitable[None]]
"""Writes things together that many transactions left to be written."""


class Database(Protocol):
    """Opens transactions: committed when the block ends, rolled back when it raises."""

    def read(self) -> AbstractAsyncContextManager[Transaction]:
        """Open a transaction that sees one consistent state and writes nothing.

        Raises DatabaseUnavailableError.
        """
        ...

    def write(self) -> AbstractAsyncContextManager[Transaction]:
        """Open a transaction that may write. On SQLite it holds the only write lock from its start.

        What is read in order to be changed is read with a repository's ``lock``, so that no update is lost.
        Raises DatabaseUnavailableError.
        """
        ...


Step = Callable[[Transaction], Awaitable[None]]
"""Something that is written in a transaction of somebody else."""

# With the task, as a task that is begun inside of the block inherits the variable.
_joining: Final[ContextVar[tuple[tuple[object, Step], ...]]] = ContextVar("joining", default=())


@contextmanager
def joining(step: Step) -> Iterator[None]:
    """Have ``step`` awaited last in, and as a part of, every write transaction that this task commits in the block."""
    from asyncio import current_task  # here: the command line's help loads this module, and no event loop

    token = _joining.set((*_joining.get(), (current_task(), step)))
    try:
        yield
    finally:
        _joining.reset(token)


def joined() -> tuple[Step, ...]:
    """Return what is to take part in a write transaction that is about to be committed by this task."""
    joining = _joining.get()
    if not joining:
        return ()
    from asyncio import current_task

    return tuple(step for task, step in joining if task is current_task())
