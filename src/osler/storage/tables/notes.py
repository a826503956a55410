"""Tables of the notes room."""

from typing import Final

from sqlalchemy import (
    Boolean,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
)

from osler.storage.tables.metadata import JSON, Time, metadata

notes: Final = Table(
    "notes",
    metadata,
    Column("id", Text, primary_key=True),
    Column("organization_id", Text, nullable=False),
    Column("encounter_id", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("author_id", Text, nullable=True),
    Column("created_at", Time, nullable=False),
    Column("status", Text, nullable=False),
    Column("template", Text, nullable=False),
    Column("voice_style", Text, nullable=False),
    Column("transcript_id", Text, nullable=True),
    Column("engine", JSON, nullable=True),
    Column("options", JSON, nullable=False),
    Column("completed_at", Time, nullable=True),
    Column("signed_at", Time, nullable=True),
    Column("signed_by", Text, nullable=True),
    Column("stale", Boolean, nullable=False),
    Column("failure", Text, nullable=True),
    Column("key_id", Text, ForeignKey("object_keys.id"), nullable=False),
    Column("sealed", LargeBinary, nullable=True),  # None: not written yet, or erased
    ForeignKeyConstraint(["organization_id", "encounter_id"], ["encounters.organization_id", "encounters.id"]),
    UniqueConstraint("organization_id", "encounter_id", "version"),
)

documents: Final = Table(
    "documents",
    metadata,
    Column("id", Text, primary_key=True),
    Column("organization_id", Text, nullable=False),
    Column("encounter_id", Text, nullable=False),
    Column("index", Integer, nullable=False),
    Column("created_at", Time, nullable=False),
    Column("status", Text, nullable=False),
    Column("template", Text, nullable=False),
    Column("voice_style", Text, nullable=False),
    Column("transcript_id", Text, nullable=True),
    Column("engine", JSON, nullable=True),
    Column("options", JSON, nullable=False),
    Column("completed_at", Time, nullable=True),
    Column("signed_at", Time, nullable=True),
    Column("signed_by", Text, nullable=True),
    Column("stale", Boolean, nullable=False),
    Column("failure", Text, nullable=True),
    Column("key_id", Text, ForeignKey("object_keys.id"), nullable=False),
    Column("sealed", LargeBinary, nullable=True),  # None: not written yet, or erased
    ForeignKeyConstraint(["organization_id", "encounter_id"], ["encounters.organization_id", "encounters.id"]),
    UniqueConstraint("organization_id", "encounter_id", "index"),
)
"""A document's name is sealed with its text: a template may be named after what it is for."""

checklists: Final = Table(
    "checklists",
    metadata,
    Column("id", Text, primary_key=True),
    Column("organization_id", Text, nullable=False),
    Column("encounter_id", Text, nullable=False),
    Column("created_at", Time, nullable=False),
    Column("transcript_id", Text, nullable=False),
    Column("key_id", Text, ForeignKey("object_keys.id"), nullable=False),
    Column("sealed", LargeBinary, nullable=True),  # None: erased
    ForeignKeyConstraint(["organization_id", "encounter_id"], ["encounters.organization_id", "encounters.id"]),
    UniqueConstraint("organization_id", "encounter_id"),
)
"""What a visit covered: one row an encounter, of the transcript in use."""

form_answers: Final = Table(
    "form_answers",
    metadata,
    Column("id", Text, primary_key=True),
    Column("organization_id", Text, nullable=False),
    Column("encounter_id", Text, nullable=False),
    Column("created_at", Time, nullable=False),
    Column("transcript_id", Text, nullable=True),
    Column("key_id", Text, ForeignKey("object_keys.id"), nullable=False),
    Column("sealed", LargeBinary, nullable=True),  # None: erased
    ForeignKeyConstraint(["organization_id", "encounter_id"], ["encounters.organization_id", "encounters.id"]),
    Index("ix_form_answers_encounter", "organization_id", "encounter_id"),
)
