"""Which state of access the database is in: one row, written with everything that processes keep in memory."""

from typing import Final

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite

from osler.kernel.ids import new_id
from osler.kernel.transactions import Transaction
from osler.storage.database import connection_of
from osler.storage.tables.access import access_revision

_THE_ROW: Final = 1
_CURRENT: Final = select(access_revision.c.revision)


class SqlAccessRevisionRepository:
    """Which state of organizations, keys, switches and signing keys the database is in."""

    async def current(self, transaction: Transaction) -> str | None:
        """Return the revision, which never comes again; None before the first change."""
        return (await connection_of(transaction).execute(_CURRENT)).scalar_one_or_none()


async def bring_revision(transaction: Transaction) -> None:
    """Have every process read anew what it keeps of access, once the transaction is committed.

    Before the change itself: on PostgreSQL writers of several rows wait for each other here, and not crosswise.
    """
    connection = connection_of(transaction)
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    row = insert(access_revision).values(id=_THE_ROW, revision=new_id())
    await connection.execute(
        row.on_conflict_do_update(index_elements=[access_revision.c.id], set_={"revision": row.excluded.revision})
    )
