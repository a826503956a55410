"""Tables of the audio room."""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
)

from osler.storage.tables.metadata import Time, metadata

recordings: Final = Table(
    "recordings",
    metadata,
    Column("id", Text, primary_key=True),
    Column("organization_id", Text, nullable=False),
    Column("encounter_id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("index", Integer, nullable=False),
    Column("created_at", Time, nullable=False),
    Column("state", Text, nullable=False),
    Column("media_type", Text, nullable=True),
    Column("started_at", Time, nullable=True),
    Column("ended_at", Time, nullable=True),
    Column("finished_at", Time, nullable=True),
    Column("duration", Double, nullable=True),
    Column("failure", Text, nullable=True),
    ForeignKeyConstraint(["organization_id", "encounter_id"], ["encounters.organization_id", "encounters.id"]),
    UniqueConstraint("organization_id", "encounter_id", "index"),
)

segments: Final = Table(
    "segments",
    metadata,
    Column("id", Text, primary_key=True),
    Column("organization_id", Text, nullable=False),
    Column("encounter_id", Text, nullable=False),
    Column("recording_id", Text, ForeignKey("recordings.id"), nullable=False),
    Column("index", Integer, nullable=False),
    Column("received_at", Time, nullable=False),
    Column("status", Text, nullable=False),
    Column("seconds", Double, nullable=True),
    Column("failure", Text, nullable=True),
    Column("blob_id", Text, nullable=True),  # None: erased
    Column("blob_size", BigInteger, nullable=True),
    Column("blob_digest", Text, nullable=True),
    Column("blob_key_id", Text, ForeignKey("object_keys.id"), nullable=True),
    ForeignKeyConstraint(["organization_id", "encounter_id"], ["encounters.organization_id", "encounters.id"]),
    UniqueConstraint("recording_id", "index"),
    Index("ix_segments_encounter", "organization_id", "encounter_id"),
    Index("ix_segments_blob_id", "blob_id"),
)
