"""Tables of the coding room."""

from typing import Final

from sqlalchemy import Column, ForeignKey, ForeignKeyConstraint, LargeBinary, Table, Text, UniqueConstraint

from osler.storage.tables.metadata import Time, metadata

code_sets: Final = Table(
    "code_sets",
    metadata,
    Column("id", Text, primary_key=True),
    Column("organization_id", Text, nullable=False),
    Column("encounter_id", Text, nullable=False),
    Column("coding_system", Text, nullable=False),
    Column("created_at", Time, nullable=False),
    Column("status", Text, nullable=False),
    Column("note_id", Text, nullable=True),
    Column("failure", Text, nullable=True),
    Column("key_id", Text, ForeignKey("object_keys.id"), nullable=False),
    Column("sealed", LargeBinary, nullable=True),  # None: erased
    ForeignKeyConstraint(["organization_id", "encounter_id"], ["encounters.organization_id", "encounters.id"]),
    UniqueConstraint("organization_id", "encounter_id", "coding_system"),
)
