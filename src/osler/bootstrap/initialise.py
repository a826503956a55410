"""What a deployment needs before it can be opened: folder, keys, database, place of objects."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from osler.bootstrap.places import blobs_folder, digest_key_source, master_key_source, object_store, read_settings

if TYPE_CHECKING:
    from osler.config import Settings
    from osler.kernel.blobs import ObjectKey
    from osler.storage.database import SqlDatabase


@dataclass(frozen=True, slots=True)
class Initialised:
    """What an initialisation found or made."""

    data: Path
    database: Literal["sqlite", "postgresql"]
    master_key_from: Literal["file", "environment", "command"]
    master_key_file: Path | None
    made: tuple[str, ...]
    """``data folder``, ``master key``, ``digest key``, ``database`` (or ``database of this version``), ``blobs``; empty
    if all stood."""


async def initialise(settings: "Settings | None" = None) -> Initialised:
    """Make what a deployment needs and bring its database to this version; what stands is left as it is.

    Raises as :func:`open_core` does. A new key is made only for a database without data: beside data that another key
    sealed it would open nothing.
    """
    from osler.storage.database import SqlDatabase
    from osler.storage.migrations import migrate
    from osler.storage.repositories.secrets import deployment_secret
    from osler.storage.rotation import LiveKeyRing
    from osler.storage.sealing.deployment import DeploymentSecret

    settings = settings or read_settings()
    made: list[str] = []
    if make_folder(settings.data_path):
        made.append("data folder")
    master, digest = master_key_source(settings), digest_key_source(settings)
    database = SqlDatabase(settings.database_url)
    try:
        wrapped = await _standing_secret(database)
        for source in (master, digest):
            if wrapped is None and not source.exists():
                source.create()
                made.append(source.name.label)
        keyring = LiveKeyRing(master)
        digest.load()
        if wrapped is not None:
            DeploymentSecret.open(keyring, wrapped)
        if not await _is_current(database):
            made.append("database" if wrapped is None else "database of this version")
        await migrate(database)
        await deployment_secret(database, keyring)
        folder = blobs_folder(settings)
        if folder is not None and not folder.is_dir():
            made.append("blobs")
        await object_store(settings, create=True).check()
    finally:
        await database.dispose()
    kind: Literal["sqlite", "postgresql"] = "sqlite" if database.is_sqlite else "postgresql"
    return Initialised(
        data=settings.data_path,
        database=kind,
        master_key_from="command" if settings.master_key_command else "environment" if settings.master_key else "file",
        master_key_file=None if settings.master_key or settings.master_key_command else settings.master_key_path,
        made=tuple(made),
    )


async def is_new(settings: "Settings") -> bool:
    """Say whether there is nothing of a deployment yet: neither key files nor a database with data.

    Raises MasterKeyError, DatabaseUnavailableError, BackupError.
    """
    from osler.storage.database import SqlDatabase

    if settings.master_key_path.exists() or settings.digest_key_path.exists():
        return False
    database = SqlDatabase(settings.database_url)
    try:
        return await _standing_secret(database) is None
    finally:
        await database.dispose()


async def _standing_secret(database: "SqlDatabase") -> "ObjectKey | None":
    """Return the wrapped secret of a database with data, of whatever version; None for one without."""
    from sqlalchemy import inspect

    from osler.storage.database_url import SqliteLocation
    from osler.storage.repositories.secrets import wrapped_secret
    from osler.storage.tables.sealing import deployment_secrets

    if isinstance(database.location, SqliteLocation) and not database.location.path.exists():
        return None
    async with database.read() as transaction:
        if not await transaction.connection.run_sync(lambda sync: inspect(sync).has_table(deployment_secrets.name)):
            return None
        return await wrapped_secret(transaction)


async def _is_current(database: "SqlDatabase") -> bool:
    from osler.kernel.errors import OlderDatabaseError
    from osler.storage.migrations import check_version

    try:
        await check_version(database)
    except OlderDatabaseError:
        return False
    return True


def make_folder(folder: Path) -> bool:
    """Make a folder for its owner alone; False if it stands. Raises OutputError."""
    from osler.kernel.errors import OutputError

    if folder.is_dir():
        return False
    try:
        folder.mkdir(mode=0o700, parents=True)
    except OSError as error:
        raise OutputError(
            f"The data folder cannot be made: {error.strerror}; make it, or name another in OSLER_DATA."
        ) from None
    return True
