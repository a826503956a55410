"""Tables of the encounters room."""

from typing import Final

from sqlalchemy import (
    BigInteger,
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
    text,
)

from osler.storage.tables.metadata import JSON, Time, metadata

encounters: Final = Table(
    "encounters",
    metadata,
    Column("id", Text, primary_key=True),
    Column("organization_id", Text, ForeignKey("organizations.id"), nullable=False),
    Column("owner_id", Text, ForeignKey("users.id"), nullable=False),
    Column("created_at", Time, nullable=False),
    Column("updated_at", Time, nullable=False),
    Column("state", Text, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("patient_profile_id", Text, nullable=True),
    Column("key_id", Text, ForeignKey("object_keys.id"), nullable=False),
    Column("sealed", LargeBinary, nullable=True),  # None: erased
    Column("ehr_patient_index", LargeBinary, nullable=True),
    Column("ehr_provider", Text, nullable=True),
    Column("consent_given", Boolean, nullable=True),
    Column("consent_changed_at", Time, nullable=True),
    Column("consent_erase_at", Time, nullable=True),
    Column("duration", Integer, nullable=True),
    Column("language_code", Text, nullable=True),
    Column("output_language_code", Text, nullable=True),
    Column("transcribe_mode", Text, nullable=True),
    Column("recording_status", Text, nullable=True),
    Column("session_status", Text, nullable=True),
    Column("created_time_local", Time, nullable=True),
    Column("generate_output_without_recording", Boolean, nullable=False),
    Column("linked_encounter_ids", JSON, nullable=False),
    Column("signed_at", Time, nullable=True),
    Column("signed_by", Text, nullable=True),
    Column("audio_erased_at", Time, nullable=True),
    Column("erased_at", Time, nullable=True),
    Column("revision", Integer, nullable=False),
    # The composite key that other rooms' rows refer to: a row cannot point into another organization.
    UniqueConstraint("organization_id", "id"),
    Index("ix_encounters_organization_created", "organization_id", "created_at", "id"),
    Index("ix_encounters_owner_created", "organization_id", "owner_id", "created_at", "id"),
    # Holds all that a count needs, so that counting reads no row.
    Index("ix_encounters_counted", "organization_id", "owner_id", "state", "purpose"),
    # What outsiders may be shown, in their order: page and count read no row that is not on the page.
    Index(
        "ix_encounters_public",
        "organization_id",
        "created_at",
        "id",
        sqlite_where=text("purpose = 'care' AND state <> 'erased'"),
        postgresql_where=text("purpose = 'care' AND state <> 'erased'"),
    ),
    Index("ix_encounters_profile", "organization_id", "patient_profile_id", "created_at", "id"),
    Index("ix_encounters_ehr_patient", "organization_id", "ehr_patient_index", "created_at", "id"),
    Index(
        "ix_encounters_consent_erase_at",
        "consent_erase_at",
        sqlite_where=text("consent_erase_at IS NOT NULL"),
        postgresql_where=text("consent_erase_at IS NOT NULL"),
    ),
)

patient_profiles: Final = Table(
    "patient_profiles",
    metadata,
    Column("id", Text, primary_key=True),
    Column("organization_id", Text, ForeignKey("organizations.id"), nullable=False),
    Column("owner_id", Text, ForeignKey("users.id"), nullable=False),
    Column("created_at", Time, nullable=False),
    Column("updated_at", Time, nullable=False),
    Column("key_id", Text, ForeignKey("object_keys.id"), nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("ehr_patient_index", LargeBinary, nullable=True),
    Column("provider_index", LargeBinary, nullable=True),
    Index("ix_patient_profiles_owner", "organization_id", "owner_id", "created_at", "id"),
    Index("ix_patient_profiles_organization_created", "organization_id", "created_at", "id"),
    Index("ix_patient_profiles_ehr_patient", "organization_id", "ehr_patient_index", "created_at", "id"),
)

context_documents: Final = Table(
    "context_documents",
    metadata,
    Column("id", Text, primary_key=True),
    Column("organization_id", Text, nullable=False),
    Column("encounter_id", Text, nullable=False),
    Column("uploaded_at", Time, nullable=False),
    Column("media_type", Text, nullable=False),
    Column("unstructured", Boolean, nullable=False),
    Column("status", Text, nullable=False),
    Column("reason", Text, nullable=True),
    Column("key_id", Text, ForeignKey("object_keys.id"), nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("blob_id", Text, nullable=False),
    Column("blob_size", BigInteger, nullable=False),
    Column("blob_digest", Text, nullable=False),
    Column("blob_key_id", Text, ForeignKey("object_keys.id"), nullable=True),
    ForeignKeyConstraint(["organization_id", "encounter_id"], ["encounters.organization_id", "encounters.id"]),
    Index("ix_context_documents_encounter", "organization_id", "encounter_id"),
    Index("ix_context_documents_blob_id", "blob_id"),
)
