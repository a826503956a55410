"""Tables of keys: one wrapped key per sealed object, and the deployment's secret."""

from typing import Final

from sqlalchemy import Column, Index, LargeBinary, Table, Text

from osler.storage.tables.metadata import Time, metadata

object_keys: Final = Table(
    "object_keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("organization_id", Text, nullable=True),  # None: the deployment's own (signing keys)
    Column("wrapped", LargeBinary, nullable=True),  # None: destroyed
    Column("master", Text, nullable=False),
    Column("created_at", Time, nullable=False),
    Column("destroyed_at", Time, nullable=True),
    Index("ix_object_keys_master", "master"),
)
"""Rotation of the master key rewrites only this table; erasure destroys ``wrapped``."""

deployment_secrets: Final = Table(
    "deployment_secrets",
    metadata,
    Column("name", Text, primary_key=True),
    Column("key_id", Text, nullable=False),
    Column("wrapped", LargeBinary, nullable=False),
    Column("master", Text, nullable=False),
)
"""The secret from which blind indexes, audit chains, digests of content and signed URLs are derived."""
