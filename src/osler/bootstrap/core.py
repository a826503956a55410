"""The core of a deployment, opened: adapters, and the services that stand on them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from osler.bootstrap.places import master_key_source, object_store, read_settings

if TYPE_CHECKING:
    from osler.config import Settings
    from osler.kernel.clock import Clock
    from osler.pipeline.ports import WorkflowEngine
    from osler.storage.blobs.vault import SealedBlobVault
    from osler.storage.database import SqlDatabase
    from osler.storage.sealing.deployment import DeploymentSecret
    from osler.storage.sealing.keys import KeyRing


@dataclass(frozen=True, slots=True)
class Core:
    """An open deployment: its services, and the adapters that doors ask about their health."""

    settings: "Settings"
    clock: "Clock"
    database: "SqlDatabase"
    keyring: "KeyRing"
    secret: "DeploymentSecret"
    vault: "SealedBlobVault"
    engine: "WorkflowEngine"


@asynccontextmanager
async def open_core(
    settings: "Settings | None" = None, *, execute: bool = False, engine: Literal["dbos", "inline"] = "dbos"
) -> AsyncIterator[Core]:
    """Open the deployment that the settings name; with ``execute`` also run its jobs in this process.

    Nothing is written before the version of the database and the master key are known to be right. Raises
    OlderDatabaseError where ``osler init`` is to be run, NewerDatabaseError, MasterKeyError, DatabaseUnavailableError,
    BlobsUnavailableError, ExecutorTakenError.
    """
    from osler.kernel.clock import SystemClock
    from osler.storage.blobs.vault import SealedBlobVault
    from osler.storage.database import SqlDatabase
    from osler.storage.migrations import check_version
    from osler.storage.repositories.secrets import deployment_secret
    from osler.storage.sealing.keys import KeyRing
    from osler.storage.sealing.sources import load_key

    settings = settings or read_settings()
    clock = SystemClock()
    database = SqlDatabase(settings.database_url)
    try:
        await check_version(database)
        keyring = KeyRing(load_key(master_key_source(settings)))
        secret = await deployment_secret(database, keyring)
        vault = SealedBlobVault(
            object_store(settings),
            keyring,
            secret,
            sealed=settings.sealed,
            public_url=settings.public_url,
            clock=clock,
        )
        workflow_engine = _workflow_engine(settings, database, clock, engine)
        await workflow_engine.start((), execute=execute)
        try:
            yield Core(
                settings=settings,
                clock=clock,
                database=database,
                keyring=keyring,
                secret=secret,
                vault=vault,
                engine=workflow_engine,
            )
        finally:
            await workflow_engine.stop()
    finally:
        await database.dispose()


def _workflow_engine(
    settings: "Settings", database: "SqlDatabase", clock: "Clock", kind: Literal["dbos", "inline"]
) -> "WorkflowEngine":
    from osler.storage.database_url import SqliteLocation
    from osler.storage.repositories.jobs import SqlExecutorRepository, SqlJobRepository

    jobs = SqlJobRepository()
    if kind == "inline":
        from osler.workflows.inline import InlineEngine

        return InlineEngine(database, jobs, clock)
    from osler.workflows.dbos_engine import DbosEngine

    location = database.location
    url = f"sqlite:///{location.path}" if isinstance(location, SqliteLocation) else location.dsn
    return DbosEngine(
        database,
        jobs,
        SqlExecutorRepository(clock),
        clock,
        system_database_url=url,
        executor_id=settings.executor_id,
    )
