"""Insertion that leaves a row that stands already as it is, and the transaction usable."""

from typing import Any

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection


async def insert_unless_there(connection: AsyncConnection, table: Table, values: dict[str, Any]) -> bool:
    """Insert a row. False: one with the same primary key or the same value of a unique index stands already.

    On PostgreSQL this waits for a transaction that is about to insert the same.
    """
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    result = await connection.execute(insert(table).on_conflict_do_nothing().values(values))
    return result.rowcount == 1
