"""Connections of SQLite that cross to their thread once per statement; aiosqlite under SQLAlchemy crosses four times.

A crossing costs about 0.1 ms, as much as most of our statements. Measured on two cores, transactions per second: 1,020
that read one row instead of 480, 470 that read and change one instead of 280.

SQLAlchemy's dialect for aiosqlite takes these in place of aiosqlite's own, by its parameter ``async_creator``.
"""

import asyncio
import sqlite3
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Thread
from typing import Any, Final

from osler.storage.database_url import SQLITE_SETTINGS, SqliteLocation

SWITCH: Final = 0.0005
"""Seconds after which a busy thread lets another one of Python run. By default it is 5 ms, which every statement waits
for twice while the event loop is busy: longer than the statement takes."""

SAVEPOINT: Final = "SAVEPOINT member"
RELEASE: Final = "RELEASE member"
UNDO: Final = "ROLLBACK TO member"

LOST: Final = "the transaction was rolled back by SQLite"

Work = tuple[asyncio.Future[Any] | None, Callable[[], Any]]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a statement gave: rows, and what the cursor said of them (see PEP 249)."""

    rows: Sequence[Any]
    description: Any
    rowcount: int
    lastrowid: int | None


class SqliteConnection:
    """One connection in a thread of its own. ``open`` it before anything else."""

    def __init__(self, location: SqliteLocation, last_setting: str) -> None:
        """Prepare a connection that gets SQLITE_SETTINGS and then ``last_setting``."""
        self._location = location
        self._settings = (*SQLITE_SETTINGS, last_setting)
        self._work: SimpleQueue[Work | None] = SimpleQueue()
        self._connection: sqlite3.Connection | None = None  # SQLAlchemy asks whether it is None
        self._first: tuple[str, ...] = ()  # to be executed with the next statement
        # Of a connection that writes; see commit_group.py.
        self._is_open = False
        self._in_member = False
        self._is_joined = False
        self._has_savepoint = False
        self._stays_open = False
        self._is_lost = False

    async def open(self) -> "SqliteConnection":
        """Open the file, which must exist. Raises sqlite3.Error."""
        sys.setswitchinterval(min(SWITCH, sys.getswitchinterval()))
        # A daemon: whoever forgets to close a connection must still be able to end the process.
        Thread(target=self._serve, name="sqlite", daemon=True).start()
        try:
            await self._call(self._open)
        except BaseException:
            self.stop()
            raise
        return self

    def _open(self) -> None:
        # Python's own BEGIN is deferred: two writers would both read before either writes, and lose an update.
        connection = sqlite3.connect(self._location.uri(), uri=True, isolation_level=None)
        try:
            for setting in self._settings:
                connection.execute(setting).close()
        except BaseException:
            connection.close()
            raise
        self._connection = connection

    def _serve(self) -> None:
        """Do the work that is put into the queue; close the connection and end at None."""
        while (work := self._work.get()) is not None:
            future, call = work
            result: Any = None
            error: BaseException | None = None
            try:
                result = call()
            except BaseException as raised:  # noqa: BLE001  (whatever it is, the caller gets it)
                error = raised
            if future is not None:
                with suppress(RuntimeError):  # the event loop was closed meanwhile: nobody waits
                    future.get_loop().call_soon_threadsafe(_settle, future, result, error)
            # Else they would live, with their rows, until the next work comes.
            del work, future, call, result, error
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    async def _call(self, call: Callable[[], Any]) -> Any:
        future = asyncio.get_running_loop().create_future()
        self._work.put((future, call))
        return await future

    @property
    def _live(self) -> sqlite3.Connection:
        if self._connection is None:
            raise sqlite3.ProgrammingError("the connection is closed")
        return self._connection

    def begin_with_first_statement(self) -> None:
        """Have the next statement open a transaction; until then nothing is read, so nothing is missed."""
        self._first = ("BEGIN",)

    @property
    def is_open(self) -> bool:
        """Whether a transaction that others can join is open."""
        return self._is_open

    def opened(self) -> None:
        """Note that a transaction was begun that others can join, by its first member."""
        self._is_open = self._in_member = True
        self._is_joined = self._has_savepoint = False

    def join_open(self) -> None:
        """Begin another member of the open transaction, who can be rolled back by himself."""
        self._in_member = self._is_joined = True
        # With his first statement: that spares a crossing.
        self._first = (RELEASE, SAVEPOINT) if self._has_savepoint else (SAVEPOINT,)

    def leave_open(self) -> None:
        """Have the next ``commit`` end the member and leave the transaction open to the next one."""
        self._stays_open = True

    def end_all(self) -> None:
        """Note that what comes now is of all members: if it is rolled back, so is everything."""
        self._in_member, self._is_joined = True, False

    async def execute(self, statement: str, parameters: Any, *, many: bool) -> Answer:
        """Execute a statement, once or once per item of ``parameters``. Raises sqlite3.Error."""

        # Taken here and not in the thread: who is cancelled now rolls back what is executed after that.
        first, self._first = self._first, ()
        if first:
            self._has_savepoint = first[-1] == SAVEPOINT

        def run() -> Answer:
            if self._is_lost:
                raise sqlite3.OperationalError(LOST)
            for before in first:
                self._live.execute(before).close()
            cursor = self._live.cursor()
            try:
                (cursor.executemany if many else cursor.execute)(statement, parameters)
                rows = cursor.fetchall() if cursor.description else ()
                return Answer(rows, cursor.description, cursor.rowcount, cursor.lastrowid)
            except sqlite3.Error:
                # After some errors (a full disk) SQLite rolls back by itself; what came then would be outside of it.
                self._is_lost = self._is_open and not self._live.in_transaction
                raise
            finally:
                cursor.close()

        answer: Answer = await self._call(run)
        return answer

    async def rollback(self) -> None:
        """Roll back, a member of a transaction that others joined by himself; nothing to do if no statement came."""
        first, self._first = self._first, ()
        if self._is_lost:
            self._is_lost = self._is_open = self._in_member = self._has_savepoint = False
        elif not self._is_open:
            if not first:
                await self._call(lambda: self._live.rollback())
        elif self._in_member:
            self._in_member = False
            if not self._is_joined:
                self._is_open = self._has_savepoint = False
                await self._call(lambda: self._live.rollback())
            elif not first:
                await self._call(lambda: self._live.execute(UNDO).close())

    async def commit(self) -> None:
        """Commit; nothing to do if no statement came. Raises sqlite3.Error, and then ``rollback`` undoes all."""
        stays_open, self._stays_open = self._stays_open, False
        if self._is_lost:
            raise sqlite3.OperationalError(LOST)
        first, self._first = self._first, ()
        if not self._is_open:
            if not first:
                await self._call(lambda: self._live.commit())
            return
        if not stays_open:
            self.end_all()  # if this fails, nothing is left for anybody
            await self._call(lambda: self._live.execute("COMMIT").close())
            self._is_open = self._has_savepoint = False
        self._in_member = False

    async def close(self) -> None:
        """Close when all work is done; what was not committed is rolled back."""
        if self._connection is not None:
            await self._call(lambda: self._live.close())
            self._connection = None
        self.stop()

    def stop(self) -> None:
        """As ``close``, but without waiting for it."""
        self._work.put(None)

    async def create_function(self, name: str, arguments: int, function: Callable[..., Any], **options: Any) -> None:
        """Give SQL a function of Python; SQLAlchemy does so for ``REGEXP``."""
        await self._call(lambda: self._live.create_function(name, arguments, function, **options))

    def cursor(self) -> "SqliteCursor":
        """Return a cursor, without a crossing."""
        return SqliteCursor(self)


def _settle(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():
        return  # cancelled
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)


class SqliteCursor:
    """What SQLAlchemy expects of an asynchronous cursor; the rows are here once ``execute`` returns."""

    def __init__(self, connection: SqliteConnection) -> None:
        self._connection = connection
        self._rows: list[Any] = []
        self.description: Any = None
        self.rowcount = -1
        self.lastrowid: int | None = None
        self.arraysize = 1

    async def __aenter__(self) -> "SqliteCursor":
        return self

    async def _execute(self, statement: str, parameters: Any, *, many: bool) -> "SqliteCursor":
        answer = await self._connection.execute(statement, parameters, many=many)
        self._rows = list(answer.rows)
        self.description, self.rowcount, self.lastrowid = answer.description, answer.rowcount, answer.lastrowid
        return self

    async def execute(self, statement: str, parameters: Any = ()) -> "SqliteCursor":
        """Execute one statement and take its rows. Raises sqlite3.Error."""
        return await self._execute(statement, parameters, many=False)

    async def executemany(self, statement: str, parameters: Iterable[Any]) -> "SqliteCursor":
        """Execute one statement once per item. Raises sqlite3.Error."""
        return await self._execute(statement, parameters, many=True)

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
