"""Sealed content of rows: JSON values sealed under a key of their own, which stands wrapped in ``object_keys``."""

import json
from typing import Any, Final, Protocol

from sqlalchemy import Row, Select, Table, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from osler.kernel.blobs import ObjectKey, StoredBlob
from osler.kernel.clock import Clock
from osler.kernel.transactions import Transaction
from osler.storage.database import connection_of, inside
from osler.storage.sealing.fields import field_context, seal, unseal
from osler.storage.sealing.keys import DataKey, KeyRing
from osler.storage.tables.sealing import object_keys


class BlindIndex(Protocol):
    """Finds sealed values again without opening them."""

    def blind_index(self, organization_id: str, field: str, value: str) -> bytes: ...


class SealedRows:
    """Seals and opens the content of rows, whose primary key is one column.

    Organization, table and row id are bound into each seal: the sealed bytes of one row mean nothing in another.
    """

    def __init__(self, keyring: KeyRing, clock: Clock) -> None:
        self._keyring = keyring
        self._clock = clock

    async def add(
        self, transaction: Transaction, organization_id: str | None, table: Table, row_id: str, content: Any
    ) -> dict[str, Any]:
        """Make a key, write it, and return the columns ``key_id`` and ``sealed`` of the new row. ``content`` is JSON;
        None makes a key for content to come."""
        key, data_key = self._keyring.new_object_key()
        await self.add_key(transaction, organization_id, key)
        sealed = None if content is None else seal(data_key, _dump(content), _context(organization_id, table, row_id))
        return {"key_id": key.id, "sealed": sealed}

    async def add_key(self, transaction: Transaction, organization_id: str | None, key: ObjectKey) -> None:
        """Write a wrapped key, for instance that of a blob."""
        await connection_of(transaction).execute(
            insert(object_keys).values(
                id=key.id,
                organization_id=organization_id,
                wrapped=key.wrapped,
                master=key.master,
                created_at=self._clock.now(),
            )
        )

    async def reseal(
        self, transaction: Transaction, organization_id: str | None, table: Table, row_id: str, content: Any
    ) -> bytes | None:
        """Return new content sealed under the row's own key; None if that key was destroyed.

        A key that was held before is not read again.
        """
        held = inside(transaction).held.get((table.name, row_id))
        if held is not None and content is not None:
            return seal(held, _dump(content), _context(organization_id, table, row_id))
        found = (
            await connection_of(transaction).execute(
                select(object_keys.c.id, object_keys.c.wrapped, object_keys.c.master)
                .join(table, table.c.key_id == object_keys.c.id)
                .where(next(iter(table.primary_key)) == row_id)
            )
        ).one_or_none()
        if found is None or found.wrapped is None or content is None:
            return None
        data_key = self._keyring.open_key(ObjectKey(found.id, found.wrapped, found.master))
        return seal(data_key, _dump(content), _context(organization_id, table, row_id))

    async def seal_under(
        self,
        transaction: Transaction,
        organization_id: str,
        owner: tuple[Table, str],
        place: tuple[Table, str],
        content: Any,
    ) -> bytes | None:
        """Return content of the row ``place`` that is sealed under the key of another row, ``owner``: where both are
        always read together, and go together. None if that key was destroyed.
        """
        table, row_id = owner
        data_key = inside(transaction).held.get((table.name, row_id))
        if data_key is None:
            found = (
                await connection_of(transaction).execute(
                    select(object_keys.c.id, object_keys.c.wrapped, object_keys.c.master)
                    .join(table, table.c.key_id == object_keys.c.id)
                    .where(next(iter(table.primary_key)) == row_id)
                )
            ).one_or_none()
            if found is None or found.wrapped is None:
                return None
            data_key = self._keyring.open_key(ObjectKey(found.id, found.wrapped, found.master))
        return seal(data_key, _dump(content), _context(organization_id, *place))

    def key_of(self, key_id: str, wrapped: bytes | None, master: str) -> DataKey | None:
        """Open a key that was read; None if it was destroyed. Raises MasterKeyError."""
        return None if wrapped is None else self._keyring.open_key(ObjectKey(key_id, wrapped, master))

    def unsealed(self, data_key: DataKey, sealed: bytes, organization_id: str, table: Table, row_id: str) -> Any:
        """Return the JSON content of a row that was sealed under this key. Raises CorruptedError."""
        return json.loads(self.plain(data_key, sealed, organization_id, table, row_id))

    def plain(self, data_key: DataKey, sealed: bytes, organization_id: str, table: Table, row_id: str) -> bytes:
        """Return the same as it was sealed, for a reader that needs but a part of it. Raises CorruptedError."""
        return unseal(data_key, sealed, _context(organization_id, table, row_id))

    def hold(self, transaction: Transaction, row: Row[Any], table: Table) -> DataKey | None:
        """Open and remember the key of a locked row, selected by :func:`with_key`, for the content to be sealed anew.

        Only where the new content is written on condition that the row is still of the same revision.
        """
        if row.sealed is None or row.wrapped is None:
            return None
        data_key = self._keyring.open_key(ObjectKey(row.key_id, row.wrapped, row.master))
        inside(transaction).held[table.name, row.id] = data_key
        return data_key

    def open(
        self, row: Row[Any], organization_id: str | None, table: Table, row_id: str, held: DataKey | None = None
    ) -> Any:
        """Return the JSON content of a row selected by :func:`with_key`; None if it was erased or is yet to come.

        Raises CorruptedError, MasterKeyError.
        """
        if row.sealed is None or row.wrapped is None:
            return None
        data_key = held or self._keyring.open_key(ObjectKey(row.key_id, row.wrapped, row.master))
        return json.loads(unseal(data_key, row.sealed, _context(organization_id, table, row_id)))


def with_key(table: Table) -> Select[Any]:
    """Select a sealed table's columns with those of its key: what :meth:`SealedRows.open` needs."""
    return select(table, object_keys.c.wrapped, object_keys.c.master).join(
        object_keys, object_keys.c.id == table.c.key_id
    )


async def destroy_keys(connection: AsyncConnection, key_ids: list[str], at: Any) -> None:
    """Destroy keys: what they sealed can never be read again."""
    if key_ids:
        await connection.execute(
            update(object_keys).where(object_keys.c.id.in_(key_ids)).values(wrapped=None, destroyed_at=at)
        )


def blob_columns(blob: StoredBlob) -> dict[str, Any]:
    """Return the columns ``blob_...`` of a row that owns a blob."""
    return {
        "blob_id": blob.id,
        "blob_size": blob.size,
        "blob_digest": blob.digest,
        "blob_key_id": blob.key.id if blob.key else None,
    }


_encode: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def _dump(content: Any) -> bytes:
    return _encode(content).encode()


def _context(organization_id: str | None, table: Table, row_id: str) -> bytes:
    return field_context(table.name, row_id, "sealed", organization_id or "")
