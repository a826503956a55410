"""The adapters of a deployment: its database, keys, blobs, ledger of erasures and workflow engine."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from osler.bootstrap.places import ledger_store, master_key_source, object_store
from osler.bootstrap.work import EngineKind, workflow_engine

if TYPE_CHECKING:
    from osler.config import Settings
    from osler.kernel.clock import Clock
    from osler.pipeline.ports import WorkflowEngine
    from osler.storage.blobs.objects import ObjectStore
    from osler.storage.blobs.vault import SealedBlobVault
    from osler.storage.database import SqlDatabase
    from osler.storage.erasure_ledger import StoredErasureLedger
    from osler.storage.repositories.jobs import SqlJobRepository
    from osler.storage.sealing.deployment import DeploymentSecret
    from osler.storage.sealing.keys import KeyRing


@dataclass(frozen=True, slots=True)
class Adapters:
    """What a deployment stands on."""

    settings: "Settings"
    clock: "Clock"
    database: "SqlDatabase"
    keyring: "KeyRing"
    secret: "DeploymentSecret"
    objects: "ObjectStore"
    vault: "SealedBlobVault"
    ledger: "StoredErasureLedger"
    jobs: "SqlJobRepository"
    engine: "WorkflowEngine"
    executes: bool = False


async def adapters(settings: "Settings", database: "SqlDatabase", clock: "Clock", engine: EngineKind) -> Adapters:
    """Open the adapters of a deployment. Raises OlderDatabaseError, NewerDatabaseError, MasterKeyError."""
    from osler.storage.blobs.vault import SealedBlobVault
    from osler.storage.erasure_ledger import StoredErasureLedger
    from osler.storage.migrations import check_version
    from osler.storage.repositories.jobs import SqlJobRepository
    from osler.storage.repositories.secrets import deployment_secret
    from osler.storage.rotation import LiveKeyRing

    await check_version(database)
    keyring = LiveKeyRing(master_key_source(settings))
    secret = await deployment_secret(database, keyring)
    objects = object_store(settings)
    jobs = SqlJobRepository()
    return Adapters(
        settings=settings,
        clock=clock,
        database=database,
        keyring=keyring,
        secret=secret,
        objects=objects,
        vault=SealedBlobVault(
            objects, keyring, secret, sealed=settings.sealed, public_url=settings.public_url, clock=clock
        ),
        ledger=StoredErasureLedger(ledger_store(settings), secret),
        jobs=jobs,
        engine=workflow_engine(settings, database, jobs, clock, engine),
    )
