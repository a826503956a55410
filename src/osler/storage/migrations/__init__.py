"""Migrations: bring a database to the tables that this version of Osler knows, and refuse those it does not."""

import importlib
import pkgutil
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection, MetaData, inspect, text

from osler.kernel.errors import DatabaseUnavailableError, NewerDatabaseError, OlderDatabaseError
from osler.storage import tables
from osler.storage.database import BEGIN_OPTION, SqlDatabase, begin
from osler.storage.database_url import SqliteLocation

if TYPE_CHECKING:
    from alembic.config import Config

LOCK: Final = 0x6F736C6572
"""Key of PostgreSQL's advisory lock that only one migrating process holds: `osler` in ASCII."""

NEWER: Final = "the database was written by a newer version of Osler: install that version, nothing was changed"
NEWER_BACKUP: Final = "the backup was written by a newer version of Osler: install that version, nothing was changed"
OLDER: Final = "the database has to be prepared for this version of Osler: run osler init"


def all_metadata() -> MetaData:
    """Return the metadata with the tables of every module in ``storage/tables``."""
    for module in pkgutil.iter_modules(tables.__path__, f"{tables.__name__}."):
        importlib.import_module(module.name)
    from osler.storage.tables.metadata import metadata

    return metadata


async def migrate(database: SqlDatabase) -> None:
    """Bring the database to the newest revision, creating a SQLite file that does not exist; all of it or nothing.

    A second process that migrates at the same moment waits, and then finds nothing to do.
    Raises NewerDatabaseError, having changed nothing, DatabaseUnavailableError, StorageFullError.
    """
    await _alone(database, _upgrade)


async def migrate_to(database: SqlDatabase, revision: str, *, check: Callable[[Connection], None]) -> None:
    """Bring an empty database, or none, to the tables of an older revision, for a backup that was written with them.

    ``check`` raises if the database is not empty, as tables of another revision are dropped.
    Raises NewerDatabaseError if this code does not know ``revision``, and as :func:`migrate`.
    """

    def change(connection: Connection) -> None:
        from alembic import command
        from alembic.script import ScriptDirectory

        config = _config(connection)
        known = {each.revision for each in ScriptDirectory.from_config(config).walk_revisions()}
        if revision not in known:
            raise NewerDatabaseError(NEWER_BACKUP)
        check(connection)
        if current_revision(connection) != revision:
            _downgrade(connection)
            command.upgrade(config, revision)

    await _alone(database, change)


async def revert(database: SqlDatabase) -> None:
    """Take every revision back: all tables are dropped, with everything in them. Raises as :func:`migrate`."""
    await _alone(database, _downgrade)


async def new_revision(database: SqlDatabase, message: str, name: str) -> None:
    """Write the revision that brings the revisions so far to the tables of the code; ``database`` is for trying them.

    It is numbered after the last and written beside it, by Alembic's autogenerate: a draft to be read.
    """

    def write(connection: Connection) -> None:
        from alembic import command
        from alembic.script import ScriptDirectory

        config = _config(connection)
        command.upgrade(config, "head")
        count = sum(1 for _ in ScriptDirectory.from_config(config).walk_revisions())
        command.revision(config, message, autogenerate=True, rev_id=f"{count + 1:04}_{name}")

    await _alone(database, write)


async def check_version(database: SqlDatabase) -> None:
    """Do nothing if the database stands at the newest revision of this code.

    Raises NewerDatabaseError for a revision that this code does not know, OlderDatabaseError if revisions are missing
    or there is no database yet, DatabaseUnavailableError.
    """
    if isinstance(database.location, SqliteLocation) and not database.location.path.exists():
        raise OlderDatabaseError(OLDER)
    async with database.read() as transaction:
        up_to_date = await transaction.connection.run_sync(_is_newest)
    if not up_to_date:
        raise OlderDatabaseError(OLDER)


async def _alone(database: SqlDatabase, change: Callable[[Connection], None]) -> None:
    """Run ``change`` in one transaction that no second migration can overlap."""
    if not isinstance(database.location, SqliteLocation):
        async with database.write() as transaction:
            await transaction.connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})
            await transaction.connection.run_sync(change)
        return
    try:
        database.location.create()
    except OSError as error:
        raise DatabaseUnavailableError(
            f"the database file cannot be created in its folder: {error.strerror or 'not permitted'}"
        ) from None
    async with database.without_transaction() as connection:
        # A batch migration drops a table to build it anew; with the keys on, rows that refer to it would go too. The
        # setting takes effect only outside of a transaction.
        await connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
        await connection.commit()
        try:
            await connection.execution_options(**{BEGIN_OPTION: "BEGIN IMMEDIATE"})
            await begin(connection)
            await connection.run_sync(change)
            broken = (await connection.exec_driver_sql("PRAGMA foreign_key_check")).first()
            if broken is not None:
                raise RuntimeError(f"the migration leaves rows of {broken[0]} that refer to nothing")
            await connection.commit()
        finally:
            await connection.rollback()
            await connection.execution_options(**{BEGIN_OPTION: ""})
            await connection.exec_driver_sql("PRAGMA foreign_keys = ON")
            await connection.commit()


def _config(connection: Connection) -> "Config":
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "osler.storage:migrations")
    config.set_main_option("file_template", "%%(rev)s")
    config.attributes["connection"] = connection
    return config


def _upgrade(connection: Connection) -> None:
    if not _is_newest(connection):
        from alembic import command

        command.upgrade(_config(connection), "head")


def _downgrade(connection: Connection) -> None:
    from alembic import command

    _is_newest(connection)
    command.downgrade(_config(connection), "base")


def newest_revision() -> str:
    """Return the newest revision, by the files' names: numbered, and each after the one before."""
    return max(module.name for module in pkgutil.iter_modules([f"{__path__[0]}/versions"]))


def _stands_at(connection: Connection, revision: str) -> bool:
    """Say whether the database stands there and nowhere else; each start asks, so without loading Alembic."""
    if not inspect(connection).has_table("alembic_version"):
        return False
    return list(connection.execute(text("SELECT version_num FROM alembic_version")).scalars()) == [revision]


def current_revision(connection: Connection) -> str:
    """Return the revision that the database stands at; empty if it has no tables of ours."""
    from alembic.migration import MigrationContext

    return ",".join(MigrationContext.configure(connection).get_current_heads())


def _is_newest(connection: Connection) -> bool:
    """Say whether the database stands at the newest revision. Raises NewerDatabaseError."""
    if _stands_at(connection, newest_revision()):
        return True
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory

    script = ScriptDirectory.from_config(_config(connection))
    standing = set(MigrationContext.configure(connection).get_current_heads())
    if standing - {revision.revision for revision in script.walk_revisions()}:
        raise NewerDatabaseError(NEWER)
    return standing == set(script.get_heads())
