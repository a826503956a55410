"""Tables of the audit room: the chains and their last links."""

from typing import Final

from sqlalchemy import BigInteger, Column, Index, PrimaryKeyConstraint, Table, Text, text

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
    # Entries that tell of many encounters at once, whose ids stand in ``subject``.
    Index(
        "ix_audit_entries_encounters_disclosed",
        "organization_id",
        "sequence",
        sqlite_where=text("action = 'encounters.disclosed'"),
        postgresql_where=text("action = 'encounters.disclosed'"),
    ),
)

audit_heads: Final = Table(
    "audit_heads",
    metadata,
    Column("organization_id", Text, primary_key=True),
    Column("sequence", BigInteger, nullable=False),
    Column("mac", Text, nullable=False),
    Column("at", Time, nullable=False),
)
