"""Tables of the release room."""

from typing import Final

from sqlalchemy import Column, Double, ForeignKeyConstraint, LargeBinary, Table, Text, UniqueConstraint

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
    Column("updated_at", Time, nullable=True),  # None: as it was released
    Column("audio_duration", Double, nullable=True),
    Column("sealed", LargeBinary, nullable=True),  # a title that someone chose, under the encounter's own key
    ForeignKeyConstraint(["organization_id", "encounter_id"], ["encounters.organization_id", "encounters.id"]),
    UniqueConstraint("organization_id", "encounter_id", "slot"),
)
