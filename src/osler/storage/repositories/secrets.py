"""The deployment's secret as a row, wrapped by the master key: the first thing that a process opens."""

from typing import Final

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from osler.kernel.blobs import ObjectKey
from osler.kernel.errors import BackupError, CorruptedError
from osler.kernel.transactions import Transaction
from osler.storage.database import SqlDatabase, connection_of
from osler.storage.repositories.insertion import insert_unless_there
from osler.storage.sealing.deployment import DeploymentSecret
from osler.storage.sealing.keys import KeyRing
from osler.storage.tables.access import organizations
from osler.storage.tables.sealing import deployment_secrets, object_keys

NAME: Final = "deployment"

RESTORING: Final = "restoring "
"""How the name begins as long as a restore is not finished; the id of the backup's key follows. Until what was erased
after the backup is erased again, nobody may work with the data, and nobody can without the secret."""


async def wrapped_secret(transaction: Transaction) -> ObjectKey | None:
    """Return the deployment's secret, wrapped; None in a deployment that has none yet.

    Raises BackupError in a database whose restore was cut off.
    """
    rows = (await connection_of(transaction).execute(select(deployment_secrets))).all()
    for row in rows:
        if row.name.startswith(RESTORING):
            raise BackupError(
                "a restore into this database was cut off: run osler restore again with the same backup, "
                "it goes on where it was"
            )
    return next((ObjectKey(row.key_id, row.wrapped, row.master) for row in rows if row.name == NAME), None)


async def deployment_secret(database: SqlDatabase, ring: KeyRing) -> DeploymentSecret:
    """Return the deployment's secret; make it first in a database without data.

    Of two processes that start at once one makes it and both open that one. Nothing is written where the master key
    does not fit. Raises MasterKeyError; BackupError if a restore was cut off; CorruptedError if there is data, but
    the secret is gone.
    """
    async with database.read() as transaction:
        wrapped = await wrapped_secret(transaction)
    if wrapped is None:
        async with database.write() as transaction:
            wrapped = await wrapped_secret(transaction) or await _create(connection_of(transaction), ring)
    return DeploymentSecret.open(ring, wrapped)


async def _create(connection: AsyncConnection, ring: KeyRing) -> ObjectKey:
    for table in (object_keys, organizations):
        if (await connection.execute(select(table.c.id).limit(1))).first() is not None:
            raise CorruptedError(
                "the database holds data, but its secret is gone: restore it from a backup (osler restore)"
            )
    wrapped, _ = DeploymentSecret.create(ring)
    values = {"name": NAME, "key_id": wrapped.id, "wrapped": wrapped.wrapped, "master": wrapped.master}
    await insert_unless_there(connection, deployment_secrets, values)
    # On PostgreSQL another process may have been first since we looked; then its row is the one.
    row = (await connection.execute(select(deployment_secrets).where(deployment_secrets.c.name == NAME))).one()
    return ObjectKey(row.key_id, row.wrapped, row.master)


async def restoring(transaction: Transaction) -> tuple[str, ObjectKey] | None:
    """Return the id of the backup whose restore is not finished, and its secret; None if there is none."""
    rows = (await connection_of(transaction).execute(select(deployment_secrets))).all()
    for row in rows:
        if row.name.startswith(RESTORING):
            return row.name.removeprefix(RESTORING), ObjectKey(row.key_id, row.wrapped, row.master)
    return None


async def finish_restoring(transaction: Transaction, backup_id: str) -> None:
    """Give the secret its name, by which the deployment finds it: the restore is complete."""
    await connection_of(transaction).execute(
        update(deployment_secrets).where(deployment_secrets.c.name == RESTORING + backup_id).values(name=NAME)
    )
