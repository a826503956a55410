"""Tables of the release room."""

from typing import Final

from sqlalchemy import Column, ForeignKeyConstraint, Table, Text, UniqueConstraint

from osler.storage.tables.metadata import Time, metadata

released_documents: Final = Table(
    "released_documents",
    metadata,
    Column("id", Text, primary_key=True),
    Column("organization_id", Text, nullable=False),
    Column("encounter_id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("slot", Text, nullable=False),
    Column("source_id", Text, nullable=False),
    Column("created_at", Time, nullable=False),
    Column("released_at", Time, nullable=False),
    ForeignKeyConstraint(["organization_id", "encounter_id"], ["encounters.organization_id", "encounters.id"]),
    UniqueConstraint("organization_id", "encounter_id", "slot"),
)
