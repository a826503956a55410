"""The table of requests that carry a key of their own, and of the answers to them."""

from typing import Final

from sqlalchemy import Boolean, Column, ForeignKey, Index, LargeBinary, PrimaryKeyConstraint, Table, Text

from osler.storage.tables.metadata import Time, metadata

idempotent_requests: Final = Table(
    "idempotent_requests",
    metadata,
    # A blind index of user, route and key: what a client calls its requests may name a patient.
    Column("id", Text, primary_key=True),
    Column("organization_id", Text, ForeignKey("organizations.id"), nullable=False),
    Column("user_id", Text, ForeignKey("users.id"), nullable=False),
    # What a path named; there may be no such encounter.
    Column("encounter_id", Text, nullable=True),
    Column("claim", Text, nullable=False),
    Column("begun_at", Time, nullable=False),
    Column("lease_until", Time, nullable=False),
    Column("took_effect", Boolean, nullable=False),
    # Keyed: nobody without the key can test a guess of what was sent.
    Column("digest", LargeBinary, nullable=True),
    # The answer: status, headers, body.
    Column("key_id", Text, ForeignKey("object_keys.id"), nullable=True),
    Column("sealed", LargeBinary, nullable=True),
    Index("ix_idempotent_requests_begun_at", "begun_at"),
    Index("ix_idempotent_requests_encounter_id", "organization_id", "encounter_id"),
)

idempotent_subjects: Final = Table(
    "idempotent_subjects",
    metadata,
    Column("request_id", Text, ForeignKey("idempotent_requests.id", ondelete="CASCADE"), nullable=False),
    Column("organization_id", Text, nullable=False),
    # An encounter, patient profile or context document that the answer tells of. When it is erased, so is the answer.
    Column("subject_id", Text, nullable=False),
    PrimaryKeyConstraint("request_id", "subject_id"),
    Index("ix_idempotent_subjects_subject", "organization_id", "subject_id"),
)
