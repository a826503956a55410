"""Connections of SQLite that cross to their thread once per statement; aiosqlite under SQLAlchemy crosses four times.

A crossing costs about 0.1 ms, as much as most of our statements. Measured on two cores, transactions per second: 1,020
that read one row instead of 480, 470 that read and change one instead of 280.
"""

import sqlite3
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any

import aiosqlite

from osler.storage.database_url import SQLITE_SETTINGS, SqliteLocation


class SqliteConnection(aiosqlite.Connection):
    """One connection and its thread."""

    def __init__(self, location: SqliteLocation, last_setting: str) -> None:
        """Prepare a connection that opens when it is awaited, with SQLITE_SETTINGS and then ``last_setting``."""

        def open_connection() -> sqlite3.Connection:
            # Python's own BEGIN is deferred: two writers would both read before either writes, and lose an update.
            connection = sqlite3.connect(location.uri(), uri=True, isolation_level=None)
            try:
                for setting in (*SQLITE_SETTINGS, last_setting):
                    connection.execute(setting).close()
            except BaseException:
                connection.close()
                raise
            return connection

        super().__init__(open_connection, iter_chunk_size=64)
        # Whoever forgets to close a connection must still be able to end the process.
        self._thread.daemon = True
        self._first: str | None = None

    def begin_with_first_statement(self) -> None:
        """Have the next statement open a transaction; until then nothing is read, so nothing is missed."""
        self._first = "BEGIN"

    def cursor(self) -> "SqliteCursor":  # type: ignore[override]  # SQLAlchemy enters it, as it does aiosqlite's
        """Return a cursor, without a crossing."""
        return SqliteCursor(self)

    async def rollback(self) -> None:
        """Roll back; nothing to do if no statement came."""
        if self._first is not None:
            self._first = None
            return
        await super().rollback()

    async def commit(self) -> None:
        """Commit; nothing to do if no statement came."""
        if self._first is not None:
            self._first = None
            return
        await super().commit()

    def take(self, many: bool, statement: str, parameters: Any) -> tuple[Sequence[Any], Any, int, int | None]:
        """Execute a statement in the connection's thread; return its rows, description, row count and last id."""
        if self._first is not None:
            self._conn.execute(self._first).close()
            self._first = None
        cursor = self._conn.cursor()
        try:
            (cursor.executemany if many else cursor.execute)(statement, parameters)
            rows = cursor.fetchall() if cursor.description else ()
            return rows, cursor.description, cursor.rowcount, cursor.lastrowid
        finally:
            cursor.close()


class SqliteCursor:
    """What SQLAlchemy expects of a cursor of aiosqlite; the rows are here once ``execute`` returns."""

    def __init__(self, connection: SqliteConnection) -> None:
        self._connection = connection
        self._rows: list[Any] = []
        self.description: Any = None
        self.rowcount = -1
        self.lastrowid: int | None = None
        self.arraysize = 1

    async def __aenter__(self) -> "SqliteCursor":
        return self

    async def _take(self, many: bool, statement: str, parameters: Any) -> "SqliteCursor":
        answer = await self._connection._execute(self._connection.take, many, statement, parameters)
        rows, self.description, self.rowcount, self.lastrowid = answer
        self._rows = list(rows)
        return self

    async def execute(self, statement: str, parameters: Any = ()) -> "SqliteCursor":
        """Execute one statement and take its rows. Raises sqlite3.Error."""
        return await self._take(False, statement, parameters)

    async def executemany(self, statement: str, parameters: Iterable[Any]) -> "SqliteCursor":
        """Execute one statement once per item. Raises sqlite3.Error."""
        return await self._take(True, statement, parameters)

    async def fetchall(self) -> list[Any]:
        """Return the rows that are left."""
        rows, self._rows = self._rows, []
        return rows

    async def fetchmany(self, size: int | None = None) -> list[Any]:
        """Return the next rows."""
        count = size or self.arraysize
        rows, self._rows = self._rows[:count], self._rows[count:]
        return rows

    async def fetchone(self) -> Any:
        """Return the next row, or None."""
        return self._rows.pop(0) if self._rows else None

    async def __aiter__(self) -> AsyncIterator[Any]:
        while self._rows:
            yield self._rows.pop(0)

    async def close(self) -> None:
        """Forget the rows."""
        self._rows = []
