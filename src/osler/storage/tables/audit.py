"""Tables of the audit room: the chains and their last links."""

from typing import Final

from sqlalchemy import BigInteger, Column, Index, PrimaryKeyConstraint, Table, Text

from osler.storage.tables.metadata import JSON, Time, metadata

audit_entries: Final = Table(
    "audit_entries",
    metadata,
    Column("organization_id", Text, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("at", Time, nullable=False),
    Column("actor_kind", Text, nullable=False),
    Column("actor_id", Text, nullable=False),
    Column("origin", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("encounter_id", Text, nullable=True),  # of ``subject``, for the list of who saw a patient's record
    Column("subject", JSON, nullable=False),
    Column("detail", JSON, nullable=False),
    Column("mac", Text, nullable=False),
    PrimaryKeyConstraint("organization_id", "sequence"),
    Index("ix_audit_entries_encounter_id", "organization_id", "encounter_id", "sequence"),
)

audit_heads: Final = Table(
    "audit_heads",
    metadata,
    Column("organization_id", Text, primary_key=True),
    Column("sequence", BigInteger, nullable=False),
    Column("mac", Text, nullable=False),
    Column("at", Time, nullable=False),
)
