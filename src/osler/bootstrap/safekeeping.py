"""What an operator does to keep a deployment safe: backups, restores, and the rotation of its master key."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from osler.bootstrap.initialise import make_folder
from osler.bootstrap.places import (
    blobs_folder,
    digest_key_source,
    ledger_store,
    master_key_source,
    object_store,
    read_settings,
)
from osler.kernel.progress import Progress, silent

if TYPE_CHECKING:
    from osler.audit.service import AuditService
    from osler.config import Settings
    from osler.storage.backup.create import Deployment
    from osler.storage.backup.restore import Restored as Restored
    from osler.storage.backup.restore import Target
    from osler.storage.backup.verify import Report as Report
    from osler.storage.database import SqlDatabase
    from osler.storage.rotation import Rotation as Rotation
    from osler.storage.sealing.deployment import DeploymentSecret
    from osler.storage.sealing.keys import KeyRing


@dataclass(frozen=True, slots=True)
class MasterKeys:
    """Which master keys there are, by id. ``wrapped``: how many keys each of them wraps."""

    current: str
    former_files: Mapping[str, Path]
    wrapped: Mapping[str, int]


async def create_backup(path: Path, *, with_objects: bool, progress: Progress = silent) -> "Report":
    """Back the configured deployment up, and note it in the deployment's audit chain.

    ``with_objects``: also those of a bucket; those of a folder always are in it.
    Raises as :func:`osler.storage.backup.create.create_backup`.
    """
    from osler.storage.backup.create import create_backup

    settings = read_settings()
    async with _database(settings) as database:
        deployment, audit = await _deployment(settings, database)
        with_objects = with_objects or blobs_folder(settings) is not None
        report = await create_backup(deployment, path, with_objects=with_objects, progress=progress)
        await _note(audit, "backup.created", backup=report.id)
        return report


def verify_backup(path: Path, *, former_key: Path | None = None, progress: Progress = silent) -> "Report":
    """Read a backup whole and change nothing; the database is not needed, only the master key.

    Raises as :func:`osler.storage.backup.verify.verify`.
    """
    from osler.storage.backup.verify import verify

    return verify(path, _ring(read_settings(), former_key), progress)


async def restore_backup(path: Path, *, former_key: Path | None = None, progress: Progress = silent) -> "Restored":
    """Restore a backup into the configured deployment, which must be empty.

    ``former_key``: file of the master key that the backup was made under, if it is another by now.
    Raises as :func:`osler.storage.backup.restore.restore_backup`.
    """
    from osler.storage.backup.restore import restore_backup

    settings = read_settings()
    ring = _ring(settings, former_key)
    make_folder(settings.data_path)
    async with _database(settings) as database:
        return await restore_backup(_target(settings, database, ring), path, progress=progress)


async def rotate_master_key(new_key_file: Path | None, progress: Progress = silent) -> "Rotation":
    """Rotate the master key, and note it in the deployment's audit chain.

    Raises as :func:`osler.storage.rotation.rotate`.
    """
    from osler.storage.migrations import check_version
    from osler.storage.repositories.secrets import deployment_secret
    from osler.storage.rotation import LiveKeyRing, rotate
    from osler.storage.sealing.keys import KeyRing, MasterKey

    settings = read_settings()
    source = master_key_source(settings)
    new_key = None if new_key_file is None else _key_of(new_key_file)
    async with _database(settings) as database:
        await check_version(database)
        done = await rotate(database, source, new_key, progress=progress)
        configured = LiveKeyRing(source)
        ring = configured if new_key is None else KeyRing(MasterKey(new_key), [configured.current])
        audit = _audit(database, await deployment_secret(database, ring))
        await _note(audit, "master_key.rotated", master_key=done.current)
        return done


async def master_keys() -> MasterKeys:
    """Return which master keys there are. Raises MasterKeyError, OlderDatabaseError, DatabaseUnavailableError."""
    from osler.storage.migrations import check_version
    from osler.storage.rotation import former_files, wrapped_by
    from osler.storage.sealing.keys import MasterKey
    from osler.storage.sealing.sources import FileSecret

    settings = read_settings()
    source = master_key_source(settings)
    current = MasterKey(source.load())
    former = {MasterKey(FileSecret(source.name, path).load()).id: path for path in former_files(source)}
    async with _database(settings) as database:
        await check_version(database)
        return MasterKeys(current.id, former, await wrapped_by(database))


@asynccontextmanager
async def _database(settings: "Settings") -> "AsyncIterator[SqlDatabase]":
    from osler.storage.database import SqlDatabase

    database = SqlDatabase(settings.database_url)
    try:
        yield database
    finally:
        await database.dispose()


def _key_of(path: Path) -> bytes:
    """Raises UnreadableFileError if there is no such file: no setting is at fault, but what was typed."""
    from osler.kernel.errors import UnreadableFileError
    from osler.storage.sealing.sources import FileSecret, SecretName

    given = FileSecret(SecretName("given master key", "OSLER_MASTER_KEY"), path)
    if not given.exists():
        raise UnreadableFileError("There is no key file of that name; check the name that was given. Nothing was done.")
    return given.load()


def _ring(settings: "Settings", former_key: Path | None) -> "KeyRing":
    from osler.storage.rotation import former_keys
    from osler.storage.sealing.keys import KeyRing, MasterKey

    source = master_key_source(settings)
    given = [MasterKey(_key_of(former_key))] if former_key else []
    return KeyRing(MasterKey(source.load()), [*former_keys(source), *given])


def _digest_key_name(settings: "Settings") -> str | None:
    """Name the configured digest key by a short digest of it; None if there is none."""
    import hmac

    from osler.kernel.errors import MasterKeyError

    try:
        key = digest_key_source(settings).load()
    except MasterKeyError:
        return None
    return hmac.digest(key, b"osler digest key id", "sha256")[:8].hex()


async def _deployment(settings: "Settings", database: "SqlDatabase") -> "tuple[Deployment, AuditService]":
    from osler.kernel.clock import SystemClock
    from osler.storage.backup.create import Deployment
    from osler.storage.erasure_ledger import StoredErasureLedger
    from osler.storage.migrations import check_version
    from osler.storage.repositories.secrets import deployment_secret
    from osler.storage.rotation import LiveKeyRing

    await check_version(database)
    ring = LiveKeyRing(master_key_source(settings))
    secret = await deployment_secret(database, ring)
    deployment = Deployment(
        database=database,
        objects=object_store(settings),
        ledger=StoredErasureLedger(ledger_store(settings), secret),
        ring=ring,
        clock=SystemClock(),
        digest_key=_digest_key_name(settings),
    )
    return deployment, _audit(database, secret)


def _target(settings: "Settings", database: "SqlDatabase", ring: "KeyRing") -> "Target":
    from osler.storage.backup.restore import Target
    from osler.storage.erasure_ledger import StoredErasureLedger

    objects = object_store(settings, create=True)
    ledger = ledger_store(settings)

    async def apply_ledger(secret: "DeploymentSecret") -> int:
        from osler.encounters.erasure import ErasureService
        from osler.kernel.clock import SystemClock
        from osler.storage.blobs.vault import SealedBlobVault
        from osler.storage.repositories.access import SqlOrganizationRepository
        from osler.storage.repositories.encounters import SqlEncounterRepository
        from osler.storage.repositories.erasure import SqlEncounterEraser
        from osler.storage.repositories.sealed import SealedRows

        clock = SystemClock()
        rows = SealedRows(ring, clock)
        vault = SealedBlobVault(objects, ring, secret, sealed=settings.sealed, public_url=settings.public_url)
        audit = _audit(database, secret)
        erasure = ErasureService(
            database=database,
            clock=clock,
            encounters=SqlEncounterRepository(rows, secret),
            eraser=SqlEncounterEraser(database, rows, clock),
            organizations=SqlOrganizationRepository(),
            ledger=StoredErasureLedger(ledger, secret),
            vault=vault,
            inventory=vault,
            audit=audit,
        )
        count = await erasure.apply_ledger()
        await _note(audit, "backup.restored", erased_again=str(count))
        return count

    return Target(
        database=database,
        objects=objects,
        ring=ring,
        open_ledger=lambda secret: StoredErasureLedger(ledger, secret),
        apply_ledger=apply_ledger,
        digest_key=_digest_key_name(settings),
    )


def _audit(database: "SqlDatabase", secret: "DeploymentSecret") -> "AuditService":
    from osler.audit.service import AuditService
    from osler.storage.repositories.audit import SqlAuditRepository
    from osler.storage.sealing.deployment import DerivedChainKey

    return AuditService(database=database, repository=SqlAuditRepository(), chain_key=DerivedChainKey(secret))


async def _note(audit: "AuditService", action: str, **detail: Any) -> None:
    from osler.audit.model import DEPLOYMENT, OPERATOR, AuditEvent
    from osler.kernel.clock import SystemClock

    await audit.record(AuditEvent(DEPLOYMENT, OPERATOR, action, SystemClock().now(), detail=detail))
