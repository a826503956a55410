"""Transactions as rooms see them: opened by a service, handed to repositories, never looked into.

One request or step is one transaction. Repositories do not commit; no transaction is held over an engine, a blob or a
network call.
"""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol


class Transaction(Protocol):
    """An open transaction. Only ``storage`` knows what is inside."""

    def after_commit(self, call: Callable[[], Awaitable[None]]) -> None:
        """Have ``call`` awaited once the transaction is durable; never if it rolls back."""
        ...


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
