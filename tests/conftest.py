"""Fixtures for every test: databases, each its own, migrated, of SQLite and of a real PostgreSQL.

A test of anything that keeps data is asynchronous and runs once per database::

    import pytest

    from osler.storage.database import SqlDatabase

    pytestmark = pytest.mark.anyio


    async def test_what_is_promised(database: SqlDatabase) -> None:
        async with database.write() as transaction:
            await repository.add(transaction, organization_id, thing)
        async with database.read() as transaction:
            assert await repository.get(transaction, organization_id, thing.id) == thing

- ``database``: a migrated, empty ``SqlDatabase``; ``database_url`` is its URL, for a second ``SqlDatabase`` or another
  process. Both run on SQLite and, with the marker ``services``, on PostgreSQL (``pytest -m ''`` runs both,
  ``pytest -k sqlite`` only the first).
- ``sqlite_url``, ``postgresql_url``: the URL of a migrated database of that one kind. A test that takes the second
  carries ``@pytest.mark.services``.
- ``empty_database_url``: as ``database_url``, but nothing has been migrated.
- ``postgresql_server``: the server itself, shared by the session. A test that stops a server starts one of its own
  (``tests.servers.postgresql.PostgresqlServer``).
- ``swift``: a real object store with an S3 interface, shared by the session (``services``); make a bucket per test.

A repository gets its SQLAlchemy connection by ``connection_of(transaction)`` from ``osler.storage.database``.
"""

import asyncio
import os
import secrets
import shutil
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from osler.storage.database import SqlDatabase
from osler.storage.migrations import migrate
from tests.servers.postgresql import PostgresqlServer
from tests.servers.swift import swift  # noqa: F401  (a fixture)

# Each of the many processes that tests start would compile every module anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# The same examples each time, however slow the machine: a run must not fail by chance. ``--hypothesis-profile=search``
# looks for others.
settings.register_profile("search", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("osler", settings.get_profile("search"), derandomize=True, database=None)
settings.load_profile("osler")

TEMPLATE = "osler_template"
KINDS = ["sqlite", pytest.param("postgresql", marks=pytest.mark.services)]


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


def migrate_now(url: str) -> None:
    """Migrate in an event loop of its own, whatever loop the caller may be in."""

    async def run() -> None:
        database = SqlDatabase(url)
        try:
            await migrate(database)
            if database.is_sqlite:
                await database.erase_traces()
        finally:
            await database.dispose()

    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, run()).result()


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[PostgresqlServer]:
    server = PostgresqlServer()
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture(scope="session")
def postgresql_template(postgresql_server: PostgresqlServer) -> str:
    migrate_now(postgresql_server.create_database(TEMPLATE))
    return TEMPLATE


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "osler.db"
    migrate_now(f"sqlite:///{path}")
    return path


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    path = tmp_path / "database" / "osler.db"
    path.parent.mkdir(mode=0o700)
    shutil.copy(sqlite_template, path)
    return f"sqlite:///{path}"


@pytest.fixture
def postgresql_url(postgresql_server: PostgresqlServer, postgresql_template: str) -> Iterator[str]:
    name = f"test_{secrets.token_hex(6)}"
    yield postgresql_server.create_database(name, postgresql_template)
    postgresql_server.drop_database(name)


@pytest.fixture(params=KINDS)
def database_url(request: pytest.FixtureRequest) -> str:
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
async def database(anyio_backend: str, database_url: str) -> AsyncIterator[SqlDatabase]:
    database = SqlDatabase(database_url)
    yield database
    await database.dispose()


@pytest.fixture(params=KINDS)
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'empty' / 'osler.db'}"
        return
    server: PostgresqlServer = request.getfixturevalue("postgresql_server")
    name = f"empty_{secrets.token_hex(6)}"
    yield server.create_database(name)
    server.drop_database(name)
