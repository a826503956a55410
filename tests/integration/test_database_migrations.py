"""Migrations: the revisions build exactly the tables of the code, alone, and refuse a newer database."""

import asyncio
import stat
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

from osler.kernel.errors import DatabaseUnavailableError, NewerDatabaseError, OlderDatabaseError
from osler.storage.database import SqlDatabase
from osler.storage.migrations import all_metadata, check_version, migrate, newest_revision, revert

pytestmark = pytest.mark.anyio

CHILD = Path(__file__).parents[1] / "faults" / "database_child.py"


@pytest.fixture
async def empty(anyio_backend: str, empty_database_url: str):  # type: ignore[no-untyped-def]
    database = SqlDatabase(empty_database_url)
    yield database
    await database.dispose()


def difference(connection: Connection) -> list[object]:
    """Return what Alembic would have to do to reach the metadata: types, columns, keys, indexes."""
    options = {"compare_type": True, "compare_server_default": True}
    return list(compare_metadata(MigrationContext.configure(connection, opts=options), all_metadata()))


def table_names(connection: Connection) -> set[str]:
    return set(inspect(connection).get_table_names())


def checks_and_keys(connection: Connection) -> dict[str, object]:
    """Return what Alembic does not compare: primary keys, and the texts of checks and of partial indexes."""
    found: dict[str, object] = {}
    inspector = inspect(connection)
    for table in sorted(all_metadata().tables):
        checks = sorted(str(check["sqltext"]) for check in inspector.get_check_constraints(table))
        partial = sorted(
            (str(index["name"]), str(value))
            for index in inspector.get_indexes(table)
            for key, value in index.get("dialect_options", {}).items()
            if key.endswith("_where")
        )
        found[table] = (inspector.get_pk_constraint(table), checks, partial)
    return found


async def test_an_empty_database_becomes_exactly_the_tables_of_the_code(empty: SqlDatabase) -> None:
    await migrate(empty)
    async with empty.read() as transaction:
        assert await transaction.connection.run_sync(difference) == []
        migrated = await transaction.connection.run_sync(checks_and_keys)
        assert await transaction.connection.run_sync(table_names) == {"alembic_version", *all_metadata().tables}
    await check_version(empty)
    await revert(empty)
    async with empty.write() as transaction:
        await transaction.connection.run_sync(all_metadata().create_all)
        assert await transaction.connection.run_sync(checks_and_keys) == migrated


async def test_migrating_again_changes_nothing(database: SqlDatabase) -> None:
    async with database.write() as transaction:
        await transaction.connection.execute(
            text("INSERT INTO audit_heads (organization_id, sequence, mac, at) VALUES ('o', 1, 'm', '2026-01-01')")
        )
    await migrate(database)
    async with database.read() as transaction:
        assert (await transaction.connection.execute(text("SELECT count(*) FROM audit_heads"))).scalar_one() == 1


async def test_every_revision_can_be_taken_back_and_done_again(empty: SqlDatabase) -> None:
    await migrate(empty)
    await revert(empty)
    async with empty.read() as transaction:
        assert await transaction.connection.run_sync(table_names) == {"alembic_version"}
    with pytest.raises(OlderDatabaseError):
        await check_version(empty)
    await migrate(empty)
    await check_version(empty)


async def test_a_database_of_a_newer_version_is_refused_unchanged(database: SqlDatabase) -> None:
    async with database.write() as transaction:
        await transaction.connection.execute(text("UPDATE alembic_version SET version_num = '9999_later'"))
        await transaction.connection.execute(text("CREATE TABLE of_the_later_version (id INTEGER)"))
    for attempt in (check_version, migrate, revert):
        with pytest.raises(NewerDatabaseError, match="newer version"):
            await attempt(database)
    async with database.read() as transaction:
        version = (await transaction.connection.execute(text("SELECT version_num FROM alembic_version"))).scalar_one()
        assert version == "9999_later"
        names = await transaction.connection.run_sync(table_names)
        assert names == {"alembic_version", "of_the_later_version", *all_metadata().tables}


async def test_a_database_that_was_never_prepared_names_the_command(empty: SqlDatabase) -> None:
    with pytest.raises(OlderDatabaseError, match="osler init"):
        await check_version(empty)


async def test_looking_at_a_missing_file_does_not_create_it(tmp_path: Path) -> None:
    database = SqlDatabase(f"sqlite:///{tmp_path / 'none' / 'osler.db'}")
    with pytest.raises(OlderDatabaseError, match="osler init"):
        await check_version(database)
    with pytest.raises(DatabaseUnavailableError, match="osler init"):
        await database.check()
    assert list(tmp_path.iterdir()) == []
    await database.dispose()


async def test_the_file_and_its_folder_are_their_owners_alone(tmp_path: Path) -> None:
    database = SqlDatabase(f"sqlite:///{tmp_path / 'data' / 'osler.db'}")
    await migrate(database)
    found = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "data").iterdir()}
    assert found == {"osler.db": 0o600, "osler.db-wal": 0o600, "osler.db-shm": 0o600}
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
    await database.dispose()


async def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way of a folder")
    database = SqlDatabase(f"sqlite:///{tmp_path / 'file' / 'osler.db'}")
    with pytest.raises(DatabaseUnavailableError, match="cannot be created"):
        await migrate(database)
    await database.dispose()


async def test_processes_that_migrate_at_the_same_moment_do_it_once(
    empty: SqlDatabase, empty_database_url: str
) -> None:
    children = [
        await asyncio.create_subprocess_exec(sys.executable, CHILD, "migrate", empty_database_url, "0")
        for _ in range(3)
    ]
    assert await asyncio.gather(*(child.wait() for child in children)) == [0, 0, 0]
    await check_version(empty)
    async with empty.read() as transaction:
        rows = (await transaction.connection.execute(text("SELECT version_num FROM alembic_version"))).all()
        assert len(rows) == 1
        assert await transaction.connection.run_sync(difference) == []


async def test_a_migration_that_fails_leaves_the_database_as_it_was(empty: SqlDatabase) -> None:
    """A table of the same name stands in the way of one in the middle of the revision."""
    if empty.is_sqlite:
        empty.location.create()  # type: ignore[union-attr]
    async with empty.write() as transaction:
        await transaction.connection.execute(text("CREATE TABLE notes (id INTEGER)"))
    with pytest.raises(Exception, match="notes"):
        await migrate(empty)
    async with empty.read() as transaction:
        assert await transaction.connection.run_sync(table_names) == {"notes"}
    if empty.is_sqlite:  # and the keys are enforced again
        async with empty.write() as transaction:
            assert (await transaction.connection.execute(text("PRAGMA foreign_keys"))).scalar_one() == 1


async def test_foreign_keys_are_enforced(database: SqlDatabase) -> None:
    with pytest.raises(Exception, match=r"(?i)foreign key"):
        async with database.write() as transaction:
            await transaction.connection.execute(
                text("INSERT INTO signing_keys (id, created_at, key_id, sealed) VALUES ('s', :at, 'no key', :sealed)")
                if database.is_sqlite
                else text(
                    "INSERT INTO signing_keys (id, created_at, key_id, sealed) VALUES ('s', now(), 'no key', 'x')"
                ),
                {"at": "2026-01-01", "sealed": b"x"} if database.is_sqlite else {},
            )


def test_the_newest_revision_by_name_is_the_last_of_the_chain() -> None:
    config = Config()
    config.set_main_option("script_location", "osler.storage:migrations")
    assert ScriptDirectory.from_config(config).get_heads() == [newest_revision()]
