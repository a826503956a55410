"""The table of erasures that were applied to this database; the ledger outside it tells of all that ever were."""

from typing import Final

from sqlalchemy import Column, Index, Table, Text, text

from osler.storage.tables.metadata import JSON, Time, metadata

erasures: Final = Table(
    "erasures",
    metadata,
    Column("id", Text, primary_key=True),
    Column("organization_id", Text, nullable=False),
    Column("subject_id", Text, nullable=False),
    Column("applied_at", Time, nullable=False),
    Column("blob_ids", JSON, nullable=False),  # to remove from the blob store; emptied once they are gone
    Column("finished_at", Time, nullable=True),  # when blobs and traces were gone too
    Index(
        "ix_erasures_unfinished",
        "applied_at",
        sqlite_where=text("finished_at IS NULL"),
        postgresql_where=text("finished_at IS NULL"),
    ),
    Index("ix_erasures_subject", "organization_id", "subject_id"),
)
"""No foreign key: an older state that is restored may not hold the subject at all."""
