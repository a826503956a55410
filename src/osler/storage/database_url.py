"""Which database an operator's URL names, and the connections it is reached by."""

import os
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from osler.kernel.errors import InvalidFieldError, MissingExtraError

SQLITE_SCHEMES: Final = ("sqlite", "sqlite+aiosqlite")
POSTGRESQL_SCHEMES: Final = ("postgresql", "postgres", "postgresql+asyncpg", "postgresql+psycopg")

LOCK_TIMEOUT: Final = 30.0
"""Seconds that a statement waits for another's lock, and a transaction for a free connection."""

CONNECT_TIMEOUT: Final = 10.0
"""Seconds in which PostgreSQL must accept a connection."""

SQLITE_SETTINGS: Final = (
    # The first, so that the others wait too.
    f"PRAGMA busy_timeout = {int(LOCK_TIMEOUT * 1000)}",
    # Before anything that could write: what a page held is overwritten when it is given up.
    "PRAGMA secure_delete = ON",
    "PRAGMA journal_mode = WAL",
    # NORMAL would lose the last commits of WAL at a power cut.
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    # Sorting never spills to a file in a folder for temporary files.
    "PRAGMA temp_store = MEMORY",
    # After a checkpoint the log shrinks to 16 MiB instead of keeping the size of its largest burst.
    f"PRAGMA journal_size_limit = {16 * 1024 * 1024}",
)


LIBPQ_ONLY: Final = frozenset(
    {
        "client_encoding",
        "connect_timeout",
        "fallback_application_name",
        "gssencmode",
        "keepalives",
        "keepalives_count",
        "keepalives_idle",
        "keepalives_interval",
        "tcp_user_timeout",
    }
)
"""Parameters of https://www.postgresql.org/docs/current/libpq-connect.html that asyncpg has no part in."""


@dataclass(frozen=True, slots=True)
class SqliteLocation:
    """One SQLite file, by its absolute path."""

    path: Path

    def create(self) -> None:
        """Make the file, for its owner only (0600, in a folder 0700), unless it stands. Raises OSError."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # SQLite gives the files beside it (-wal, -shm) the permissions of this one.
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))

    def uri(self) -> str:
        """Return SQLite's own URI. By it a file that is missing stays missing, which a plain path would create."""
        return f"{self.path.as_uri()}?mode=rw"


@dataclass(frozen=True, slots=True)
class PostgresqlLocation:
    """One PostgreSQL database, by the URL that libpq understands. It may hold a password: never show it."""

    dsn: str

    def known_to_asyncpg(self) -> str:
        """Return the URL without what only libpq knows and nothing depends on; asyncpg sends it to the server."""
        place, _, query = self.dsn.partition("?")
        options = [option for option in query.split("&") if option and option.partition("=")[0] not in LIBPQ_ONLY]
        return f"{place}?{'&'.join(options)}" if options else place

    def connector(self) -> Callable[..., Coroutine[Any, Any, Any]]:
        """Return what opens a connection of asyncpg, which reads every part of the URL itself (TLS, sockets, hosts).

        Raises MissingExtraError if asyncpg is not installed.
        """
        try:
            import asyncpg
        except ImportError:
            raise MissingExtraError(
                "PostgreSQL needs a part that is not installed: pip install 'osler[postgres]'"
            ) from None

        dsn = self.known_to_asyncpg()

        async def connect() -> Any:
            return await asyncpg.connect(
                dsn,
                timeout=CONNECT_TIMEOUT,
                # SQLAlchemy prepares and keeps statements itself.
                statement_cache_size=0,
                server_settings={
                    "application_name": "osler",
                    # Compiling costs more than our short statements take.
                    "jit": "off",
                    "lock_timeout": f"{int(LOCK_TIMEOUT * 1000)}ms",
                    # A process that hangs in a transaction must not hold its locks for ever.
                    "idle_in_transaction_session_timeout": "120s",
                },
            )

        return connect


Location = SqliteLocation | PostgresqlLocation


def read_url(url: str) -> Location:
    """Read ``sqlite:///relative``, ``sqlite:////absolute`` or ``postgresql://...`` (also with a driver's name).

    Raises InvalidFieldError for anything else; its message never shows the URL, as that may hold a password.
    """
    scheme, separator, rest = url.partition("://")
    scheme = scheme.lower()
    if separator and scheme in SQLITE_SCHEMES:
        # As SQLAlchemy reads it: the path is not percent-encoded.
        if not rest.startswith("/") or rest in ("/", "/:memory:") or "?" in rest:
            raise InvalidFieldError(
                "database_url",
                "a SQLite database is a file, without options: sqlite:////absolute/path or sqlite:///relative/path",
            )
        return SqliteLocation(Path(rest[1:]).expanduser().absolute())
    if separator and scheme in POSTGRESQL_SCHEMES:
        dsn = f"postgresql://{rest}"
        try:
            if "," not in dsn:  # several hosts, which only PostgreSQL's URLs have
                urlsplit(dsn).port  # noqa: B018  (reading it is what checks it)
        except ValueError:
            raise InvalidFieldError("database_url", "the port of the PostgreSQL URL is no number") from None
        return PostgresqlLocation(dsn)
    raise InvalidFieldError("database_url", "the database URL must begin with sqlite:/// or postgresql://")
