"""The database: transactions on SQLite and PostgreSQL that lose no update and leave no trace of what was erased."""

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, TypeVar
from weakref import WeakSet

from sqlalchemy import event, exc, make_url, text
from sqlalchemy.engine import Connection, ExceptionContext
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from osler.kernel.errors import DatabaseUnavailableError, OslerError
from osler.kernel.transactions import Transaction, Write, joined
from osler.storage.commit_group import PAUSE, CommitGroup, write_all
from osler.storage.database_errors import BUSY, UNAVAILABLE, UNDONE, DatabaseLockedError, of_sqlite, translate
from osler.storage.database_url import LOCK_TIMEOUT, PostgresqlLocation, SqliteLocation, read_url
from osler.storage.sqlite_driver import SqliteConnection

logger = logging.getLogger(__name__)
Result = TypeVar("Result")

BEGIN_OPTION: Final = "osler_begin"
"""Execution option with the statement that opens a transaction on SQLite; empty: none, every statement for itself."""

SQLITE_READERS: Final = 4
"""Reading connections per process. Each is a thread; more only queue for the interpreter."""

POSTGRESQL_CONNECTIONS: Final = 10
"""Connections per process; a server accepts 100 by default, for all processes together."""

SQLITE_PATIENCE: Final = 0.05
"""Seconds that a writer's thread waits for a lock in one go. It tries again until LOCK_TIMEOUT, but can be cancelled
in between, and a try to empty the log holds up other writers for no longer."""

POSTGRESQL_PATIENCE: Final = 0.5
"""Seconds for which one try to write the table of keys anew may hold up others while it waits for its lock."""


class SqlTransaction:
    """An open transaction; repositories execute on ``connection`` and never commit."""

    __slots__ = ("_calls", "connection", "held", "left", "shared", "writes")

    def __init__(self, connection: AsyncConnection, *, writes: bool, shared: dict[object, Any] | None = None) -> None:
        self.connection = connection
        self.writes = writes
        self.held: dict[object, Any] = {}
        """What was read of rows that are locked until the end, for repositories that are going to need it again."""
        self.shared: dict[object, Any] = {} if shared is None else shared
        """The same, and what was written to them, for transactions that join this one too."""
        self.left: dict[Write, list[Any]] = {}
        """What is to be written before the commit."""
        self._calls: list[Callable[[], Awaitable[None]]] = []

    def after_commit(self, call: Callable[[], Awaitable[None]]) -> None:
        """Have ``call`` awaited once the transaction is durable; never if it rolls back.

        It runs to its end even if the task is cancelled, so it must be short: wake someone, start something. If it
        fails, its error's class is logged and nothing else happens: what is committed stays committed.
        """
        self._calls.append(call)

    def before_commit(self, write: Write, items: Sequence[Any]) -> None:
        """Have ``items`` written by ``write`` right before the commit, together with those of others who share it."""
        self.left.setdefault(write, []).extend(items)

    async def _commit(self, group: CommitGroup | None) -> None:
        if group is None:
            await _commit(self)
        else:
            await _commit_in(group, self)
        for call in self._calls:
            try:
                await call()
            except Exception as error:  # noqa: BLE001  (whatever it is, the commit stands and the other calls are due)
                logger.error("a call after a commit failed: %s", type(error).__name__)


def inside(transaction: Transaction) -> SqlTransaction:
    """Return a transaction that a room handed to its repository as what it is in this storage."""
    if not isinstance(transaction, SqlTransaction):
        raise TypeError(f"not a transaction of this storage: {type(transaction).__name__}")
    return transaction


def connection_of(transaction: Transaction) -> AsyncConnection:
    """Return the SQLAlchemy connection inside a transaction that a room handed to its repository."""
    return inside(transaction).connection


class SqlDatabase:
    """A database of SQLite or PostgreSQL; implements :class:`osler.kernel.transactions.Database`.

    SQLite: writers take the write lock at ``BEGIN`` and queue for it, within the process in order of arrival; those who
    queue share commits (see :mod:`osler.storage.commit_group`). Readers see the state of their first statement and
    never wait for writers. PostgreSQL: writers run in READ COMMITTED and lock what they change with ``FOR UPDATE``;
    readers in REPEATABLE READ, READ ONLY.

    Opens connections when they are needed, and belongs to the event loop that first used it.
    """

    def __init__(self, url: str, *, connections: int | None = None) -> None:
        """Read ``url`` (see :func:`osler.storage.database_url.read_url`) without touching the database.

        ``connections``: most connections of this process; on SQLite for readers, beside the one that writes.
        Raises InvalidFieldError for a URL of another form, MissingExtraError if PostgreSQL's driver is not installed.
        """
        self.location = read_url(url)
        if isinstance(self.location, SqliteLocation):
            self._writers = _sqlite_engine(self.location, connections=1, read_only=False)
            self._readers = _sqlite_engine(self.location, connections=connections or SQLITE_READERS, read_only=True)
            self._loose = self._writers.execution_options(**{BEGIN_OPTION: ""})
        else:
            engine = _postgresql_engine(self.location, connections=connections or POSTGRESQL_CONNECTIONS)
            self._writers = engine.execution_options(isolation_level="READ COMMITTED")
            self._readers = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            self._loose = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._group = CommitGroup(self._close_soon) if self.is_sqlite else None
        self._writing: WeakSet[asyncio.Task[Any]] = WeakSet()
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def is_sqlite(self) -> bool:
        """Whether this is SQLite; else it is PostgreSQL."""
        return isinstance(self.location, SqliteLocation)

    @asynccontextmanager
    async def read(self) -> AsyncIterator[SqlTransaction]:
        """Open a transaction that sees one consistent state and writes nothing.

        Raises DatabaseUnavailableError.
        """
        async with self._transaction(self._readers, writes=False) as transaction:
            yield transaction

    @asynccontextmanager
    async def write(self) -> AsyncIterator[SqlTransaction]:
        """Open a transaction that may write: committed when the block ends, rolled back when it raises.

        Once the block has ended the commit runs to its end even if the task is cancelled meanwhile; the calls that
        ``after_commit`` took follow. A DatabaseUnavailableError out of the commit itself, on PostgreSQL, leaves open
        whether it took place: the same work done again must be harmless.
        Raises DatabaseUnavailableError, StorageFullError; RuntimeError inside another ``write()`` of the same task.
        """
        task = asyncio.current_task()
        assert task is not None
        if task in self._writing:
            raise RuntimeError("a write() inside a write() of the same task would wait for itself for ever")
        self._writing.add(task)
        try:
            async with self._transaction(self._writers, writes=True) as transaction:
                yield transaction
                for step in joined():
                    await step(transaction)
        finally:
            self._writing.discard(task)

    @asynccontextmanager
    async def _transaction(self, engine: AsyncEngine, *, writes: bool) -> AsyncIterator[SqlTransaction]:
        group = self._group if writes else None
        connection = await (self._connect(engine) if group is None else self._connect_in(group))
        transaction = SqlTransaction(connection, writes=writes, shared=None if group is None else group.shared)
        try:
            yield transaction
        except BaseException:
            await _to_its_end(_roll_back(connection) if group is None else _roll_back_in(group, connection))
            raise
        await _to_its_end(transaction._commit(group) if writes else _roll_back(connection))

    async def _connect_in(self, group: CommitGroup) -> AsyncConnection:
        """Return SQLite's one connection that writes, in a transaction that has begun or that it has joined."""
        group.waiting += 1
        try:
            connection = await self._connect(self._writers)
            group.is_active = True
            return connection
        finally:
            group.waiting -= 1
            group.leave()  # if this one failed, others may have left their commit to it

    def _close_soon(self) -> None:
        self._closing.add(task := asyncio.create_task(self._close()))
        task.add_done_callback(self._closing.discard)

    async def _close(self) -> None:
        """Commit for those who wait for it. What goes wrong is told to them."""
        assert self._group is not None
        try:
            async with self._transaction(self._writers, writes=True):
                pass
        except BaseException as error:
            self._group.fail(error)
            if not isinstance(error, OslerError):
                raise

    async def _connect(self, engine: AsyncEngine) -> AsyncConnection:
        """Return a connection in a transaction that has begun."""
        connection = engine.connect()
        try:
            await _start(connection)
            await begin(connection)
        except BaseException:
            if connection.sync_connection is not None:
                await _to_its_end(_roll_back(connection))
            raise
        return connection

    async def check(self) -> None:
        """Do nothing if the database answers. Raises DatabaseUnavailableError."""
        async with self.read() as transaction:
            await transaction.connection.execute(text("SELECT 1"))

    async def erase_traces(self, *, patience: float = 60.0) -> None:
        """Overwrite what deleted and changed rows left behind; call it once the erasure is committed.

        SQLite overwrites deleted bytes as it goes (``secure_delete``) but keeps old pages in its log: the log is
        brought into the file and cut to nothing. PostgreSQL overwrites nothing: ``object_keys``, without whose rows
        all else is noise, is written anew (``VACUUM FULL``) and the old file removed. Its write-ahead log keeps old
        rows until it is reused, which only its operator can hasten.

        Neither can be done while another transaction still sees the old rows: then this tries again for up to
        ``patience`` seconds. Raises DatabaseUnavailableError when the traces are still there after that.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + patience
        erase: Callable[[AsyncConnection], Awaitable[bool]] = _empty_log
        if not self.is_sqlite:
            async with self.without_transaction() as connection:
                erase = await _key_table_writer(connection)
        while True:
            async with self.without_transaction() as connection:
                if await erase(connection):
                    return
            if loop.time() >= end:
                raise DatabaseUnavailableError(
                    "what was erased still stands in the database's files, as other work reads it: try again"
                )
            await asyncio.sleep(0.05)

    async def dispose(self) -> None:
        """Close all connections. The object may be used again afterwards, also in another event loop."""
        await self._writers.dispose()
        await self._readers.dispose()

    @asynccontextmanager
    async def without_transaction(self) -> AsyncIterator[AsyncConnection]:
        """Open a connection on which every statement stands for itself, for migrations."""
        connection = self._loose.connect()
        await _start(connection)
        try:
            if self._group is not None:
                await _to_its_end(_commit_open(self._group, connection))
            yield connection
        finally:
            await _to_its_end(_roll_back(connection))


def _sqlite_engine(location: SqliteLocation, *, connections: int, read_only: bool) -> AsyncEngine:
    last = "PRAGMA query_only = ON" if read_only else f"PRAGMA busy_timeout = {int(SQLITE_PATIENCE * 1000)}"

    async def connect() -> SqliteConnection:
        return await SqliteConnection(location, last).open()

    engine = create_async_engine(
        "sqlite+aiosqlite:///file",
        async_creator=connect,
        pool_size=connections,
        max_overflow=0,
        pool_timeout=LOCK_TIMEOUT,
        hide_parameters=True,
        execution_options={BEGIN_OPTION: "BEGIN" if read_only else "BEGIN IMMEDIATE"},
    )

    @event.listens_for(engine.sync_engine, "begin")
    def open_transaction(connection: Connection) -> None:
        statement = connection.get_execution_options()[BEGIN_OPTION]
        driver: Any = connection.connection.driver_connection
        if statement == "BEGIN":
            driver.begin_with_first_statement()
        elif statement and driver.is_open:
            driver.join_open()
        elif statement:
            connection.exec_driver_sql(statement)
            driver.opened()

    @event.listens_for(engine.sync_engine, "handle_error")
    def handle(context: ExceptionContext) -> OslerError | None:
        return translate(context, location.path)

    return engine


def _postgresql_engine(location: PostgresqlLocation, *, connections: int) -> AsyncEngine:
    engine = create_async_engine(
        make_url("postgresql+asyncpg://"),
        async_creator=location.connector(),
        pool_size=connections,
        max_overflow=0,
        pool_timeout=LOCK_TIMEOUT,
        hide_parameters=True,
    )

    @event.listens_for(engine.sync_engine, "checkout")
    def refuse_closed(connection: Any, _record: object, _proxy: object) -> None:
        # The pool then opens another. Costs no round trip, unlike a ping.
        if connection.driver_connection.is_closed():
            raise exc.DisconnectionError

    @event.listens_for(engine.sync_engine, "handle_error")
    def handle(context: ExceptionContext) -> OslerError | None:
        return translate(context, None)

    return engine


async def _start(connection: AsyncConnection) -> None:
    """Take a connection from the pool. Raises DatabaseUnavailableError."""
    try:
        await connection.start()
    except exc.TimeoutError:
        raise DatabaseUnavailableError(BUSY) from None
    except OSError:  # from asyncpg, before there is a connection whose errors could be handled
        raise DatabaseUnavailableError(UNAVAILABLE) from None


async def _empty_log(connection: AsyncConnection) -> bool:
    """Try once to bring SQLite's log into the file and cut it to nothing; say whether that came about."""
    try:
        busy, _, _ = (await connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))).one()
    except DatabaseLockedError:
        return False
    return not busy


async def _key_table_writer(connection: AsyncConnection) -> Callable[[AsyncConnection], Awaitable[bool]]:
    """Return what tries once to write PostgreSQL's table of keys anew without the rows that changed before now."""
    now = (await connection.execute(text("SELECT pg_current_xact_id()::xid::text"))).scalar_one()
    seen = text(
        "SELECT coalesce(max(greatest(age(backend_xmin), age(backend_xid))), 0) > age(CAST(CAST(:now AS text) AS xid))"
        " FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )

    async def write_anew(connection: AsyncConnection) -> bool:
        # A row that an older transaction may still see would be copied.
        if (await connection.execute(seen, {"now": now})).scalar_one():
            return False
        # Whoever waits for this lock makes all others wait behind it.
        await connection.execute(text(f"SET lock_timeout = {int(POSTGRESQL_PATIENCE * 1000)}"))
        try:
            await connection.execute(text("VACUUM (FULL) object_keys"))
        except DatabaseLockedError:
            return False
        finally:
            await connection.execute(text("RESET lock_timeout"))
        return True

    return write_anew


async def begin(connection: AsyncConnection) -> None:
    """Begin a transaction; on SQLite, wait up to LOCK_TIMEOUT for the write lock.

    Raises DatabaseUnavailableError.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + LOCK_TIMEOUT
    while True:
        try:
            await connection.begin()
            return
        except DatabaseLockedError:
            if loop.time() >= end:
                raise


async def _commit(transaction: SqlTransaction) -> None:
    """Commit and give the connection back."""
    connection = transaction.connection
    try:
        await write_all(transaction, transaction.left)
        await connection.commit()
    except BaseException:
        await _roll_back(connection)
        raise
    await connection.close()


async def _roll_back(connection: AsyncConnection) -> None:
    """Undo and give the connection back; one that cannot be rolled back is thrown away."""
    await _undo(connection)
    await connection.close()


async def _undo(connection: AsyncConnection) -> None:
    try:
        await connection.rollback()
    except (OslerError, exc.SQLAlchemyError, OSError):
        with suppress(OslerError, exc.SQLAlchemyError, OSError):
            await connection.invalidate()


async def _commit_in(group: CommitGroup, transaction: SqlTransaction) -> None:
    """End a transaction of SQLite, by a commit or by that of one who waits; return when it is durable."""
    connection = transaction.connection
    driver = _driver_of(connection)
    if not group.is_pending:
        group.begin()
    try:
        if group.is_wary:
            await write_all(transaction, transaction.left)
            transaction.left.clear()
        if goes_on := group.goes_on():
            driver.leave_open()
            await connection.commit()
    except BaseException:
        await _roll_back_in(group, connection)
        raise
    group.add(transaction.left)
    if goes_on:
        durable = group.join()
        group.is_active = False
        await connection.close()
        group.leave()
        await durable
        return
    try:
        driver.end_all()
        await group.write(transaction)
        await connection.commit()
    except BaseException as error:
        await _undo(connection)
        group.fail(error)
        group.is_active = False
        await connection.close()
        raise
    was_shared = group.is_pending
    group.succeed()
    if was_shared and group.waiting:
        await asyncio.sleep(PAUSE)
    group.is_active = False
    await connection.close()


async def _roll_back_in(group: CommitGroup, connection: AsyncConnection) -> None:
    """Undo one transaction of SQLite; if nobody else comes to do it, have committed what others left."""
    await _undo(connection)
    group.shared.clear()
    if group.is_pending and (connection.closed or connection.invalidated or not _driver_of(connection).is_open):
        group.fail(DatabaseUnavailableError(UNDONE))
    group.is_active = False
    await connection.close()
    group.leave()


async def _commit_open(group: CommitGroup, connection: AsyncConnection) -> None:
    """Commit what others left on this connection, which is in no transaction of its own."""
    driver = _driver_of(connection)
    if not driver.is_open:
        return
    try:
        driver.end_all()
        await group.write(SqlTransaction(connection, writes=True, shared=group.shared))
        await driver.commit()
    except Exception as error:  # noqa: BLE001  (whatever it is, it is theirs who wait, and not the caller's)
        with suppress(sqlite3.Error):
            await driver.rollback()
        group.fail(of_sqlite(error) if isinstance(error, sqlite3.Error) else error)
    else:
        group.succeed()
    await connection.rollback()  # of SQLAlchemy's own: it begins one with the first statement


def _driver_of(connection: AsyncConnection) -> SqliteConnection:
    assert connection.sync_connection is not None
    driver = connection.sync_connection.connection.driver_connection
    assert isinstance(driver, SqliteConnection)
    return driver


async def _to_its_end(work: Coroutine[Any, Any, Result]) -> Result:
    """Await ``work`` to its end even if the task is cancelled meanwhile, and only then pass the cancellation on."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait((task,))
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        if task.cancelled() or task.exception() is None:
            raise cancelled
        raise cancelled from task.exception()
    return task.result()
