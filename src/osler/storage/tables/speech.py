"""Tables of the speech room."""

from typing import Final

from sqlalchemy import (
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

from osler.storage.tables.metadata import Time, metadata

transcripts: Final = Table(
    "transcripts",
    metadata,
    Column("id", Text, primary_key=True),
    Column("organization_id", Text, nullable=False),
    Column("encounter_id", Text, nullable=False),
    Column("recording_id", Text, ForeignKey("recordings.id"), nullable=False),
    Column("version", Integer, nullable=False),
    Column("created_at", Time, nullable=False),
    Column("author_id", Text, nullable=True),
    Column("key_id", Text, ForeignKey("object_keys.id"), nullable=False),
    Column("sealed", LargeBinary, nullable=True),  # None: erased
    ForeignKeyConstraint(["organization_id", "encounter_id"], ["encounters.organization_id", "encounters.id"]),
    UniqueConstraint("organization_id", "encounter_id", "version"),
    Index("ix_transcripts_recording", "organization_id", "recording_id", "version"),
)

segment_transcripts: Final = Table(
    "segment_transcripts",
    metadata,
    Column("segment_id", Text, ForeignKey("segments.id"), primary_key=True),
    Column("organization_id", Text, nullable=False),
    Column("encounter_id", Text, nullable=False),
    Column("recording_id", Text, ForeignKey("recordings.id"), nullable=False),
    Column("index", Integer, nullable=False),
    Column("created_at", Time, nullable=False),
    Column("key_id", Text, ForeignKey("object_keys.id"), nullable=False),
    Column("sealed", LargeBinary, nullable=True),  # None: erased
    ForeignKeyConstraint(["organization_id", "encounter_id"], ["encounters.organization_id", "encounters.id"]),
    Index("ix_segment_transcripts_recording", "organization_id", "recording_id", "index"),
    Index("ix_segment_transcripts_encounter", "organization_id", "encounter_id"),
)
