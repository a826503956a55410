"""What went wrong in the database, in the words of the kernel, and without the values that a statement held."""

import shutil
import sqlite3
from pathlib import Path
from typing import Final

from sqlalchemy.engine import ExceptionContext

from osler.kernel.errors import CorruptedError, DatabaseUnavailableError, OslerError, StorageFullError

FULL: Final = "no space is left for the database: free some on its disk; nothing that was acknowledged is lost"
UNAVAILABLE: Final = "the database cannot be reached: check that it runs and that the database URL is right"
UNDONE: Final = "the database undid what was to be committed: try again"
BUSY: Final = "the database was locked for too long by other work: try again"
MISSING: Final = (
    "the database file is missing or cannot be written: check its disk and its permissions, "
    "or run osler init if there is none yet"
)
DAMAGED: Final = "the database file is damaged or is no SQLite database: restore it from a backup (osler restore)"

POSTGRESQL_UNAVAILABLE: Final = (
    "08",  # connection exceptions
    "57P",  # the server is shut down, has crashed or is not ready yet
    "53",  # insufficient resources other than the disk: memory, connections
    "28",  # user or password refused
    "3D",  # no such database
    "58",  # errors of the server's operating system
)
POSTGRESQL_BUSY: Final = (
    "55P03",  # lock_timeout
    "57014",  # a statement was cancelled by the server
    "40001",  # serialization failure
    "40P01",  # deadlock
    "25P0",  # a transaction that idled for too long was ended
)
"""Beginnings of SQLSTATE codes: https://www.postgresql.org/docs/current/errcodes-appendix.html"""

SPACE_NEEDED: Final = 1 << 20
"""Bytes. With less than this free, SQLite's input/output errors are those of a full disk."""


class DatabaseLockedError(DatabaseUnavailableError):
    """Another holds the lock that a statement needs."""


def translate(context: ExceptionContext, file: Path | None) -> OslerError | None:
    """Return what the kernel calls this error, or None to let it pass; ``file`` is that of SQLite.

    An error that passes loses the values that the driver quotes in it.
    """
    error = context.original_exception
    if not isinstance(error, Exception):
        return None  # a cancellation, which SQLAlchemy takes for a lost connection
    if isinstance(error, sqlite3.Error):
        return _of_sqlite(error, file)
    if isinstance(error, OSError | TimeoutError):
        return DatabaseUnavailableError(UNAVAILABLE)
    state = getattr(error, "sqlstate", None) or ""
    if state == "53100":
        return StorageFullError(FULL)
    if state.startswith(POSTGRESQL_BUSY):
        return DatabaseLockedError(BUSY)
    if state.startswith(POSTGRESQL_UNAVAILABLE) or context.is_disconnect or context.connection is None:
        return DatabaseUnavailableError(UNAVAILABLE)
    _hide_values(error, context)
    return None


def of_sqlite(error: sqlite3.Error, file: Path | None = None) -> OslerError:
    """Return what the kernel calls an error of SQLite that came where SQLAlchemy does not see it."""
    return _of_sqlite(error, file) or DatabaseUnavailableError(UNDONE)


def _of_sqlite(error: sqlite3.Error, file: Path | None) -> OslerError | None:
    # Python sets no code on errors of its own, for instance on a closed connection.
    code = getattr(error, "sqlite_errorcode", 0)
    match code & 0xFF:
        case sqlite3.SQLITE_FULL:
            return StorageFullError(FULL)
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED | sqlite3.SQLITE_PROTOCOL:
            return DatabaseLockedError(BUSY)
        case sqlite3.SQLITE_IOERR | sqlite3.SQLITE_CANTOPEN:
            if _is_full(file):
                return StorageFullError(FULL)
            return DatabaseUnavailableError(MISSING)
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return CorruptedError(DAMAGED)
    return None


def _is_full(file: Path | None) -> bool:
    """Say whether the disk is full: SQLite reports a log's index that cannot grow as an error of input and output."""
    if file is None:
        return False
    try:
        return shutil.disk_usage(file.parent).free < SPACE_NEEDED
    except OSError:
        return False


def _hide_values(error: Exception, context: ExceptionContext) -> None:
    """Take away what PostgreSQL and asyncpg quote of a row: `Key (email)=(...)`, `invalid input ... '...'`."""
    chain: BaseException | None = error
    while chain is not None:
        for quoting in ("detail", "hint", "context", "internal_query"):
            if getattr(chain, quoting, None) is not None:
                setattr(chain, quoting, None)
        # Class 22, data exceptions; asyncpg's own are ValueErrors without a state.
        if (getattr(chain, "sqlstate", None) or "").startswith("22") or isinstance(chain, ValueError):
            chain.args = ("a value does not fit its column",)
            if context.sqlalchemy_exception is not None:
                context.sqlalchemy_exception.args = chain.args
        chain = chain.__cause__
