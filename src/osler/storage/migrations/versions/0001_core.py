"""The tables of the core.

Revision 0001_core, the first.
"""

import sqlalchemy as sa
from alembic import op

from osler.storage.tables.metadata import JSON, Time

revision = "0001_core"
down_revision = None
branch_labels = None
depends_on = None

IN_ORDER = ("created_at", "id")
"""Columns by which lists are ordered."""


def _row_of_encounter(table: str) -> tuple[sa.schema.SchemaItem, ...]:
    """Return what most tables begin with: a row of its own id that belongs to an encounter of one organization."""
    return (
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("organization_id", sa.Text(), nullable=False),
        sa.Column("encounter_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=f"pk_{table}"),
        sa.ForeignKeyConstraint(
            ["organization_id", "encounter_id"],
            ["encounters.organization_id", "encounters.id"],
            name=f"fk_{table}_organization_id_encounter_id",
        ),
    )


def upgrade() -> None:
    """Bring the tables to this revision."""
    op.create_table(
        "audit_entries",
        sa.Column("organization_id", sa.Text(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("at", Time(), nullable=False),
        sa.Column("actor_kind", sa.Text(), nullable=False),
        sa.Column("actor_id", sa.Text(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("encounter_id", sa.Text()),
        sa.Column("subject", JSON, nullable=False),
        sa.Column("detail", JSON, nullable=False),
        sa.Column("mac", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("organization_id", "sequence", name="pk_audit_entries"),
    )
    op.create_index("ix_audit_entries_encounter_id", "audit_entries", ["organization_id", "encounter_id", "sequence"])
    op.create_table(
        "audit_heads",
        sa.Column("organization_id", sa.Text(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("mac", sa.Text(), nullable=False),
        sa.Column("at", Time(), nullable=False),
        sa.PrimaryKeyConstraint("organization_id", name="pk_audit_heads"),
    )
    op.create_table(
        "deployment_secrets",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
        sa.Column("master", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_deployment_secrets"),
    )
    op.create_table(
        "erasures",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("organization_id", sa.Text(), nullable=False),
        sa.Column("encounter_id", sa.Text(), nullable=False),
        sa.Column("applied_at", Time(), nullable=False),
        sa.Column("blob_ids", JSON, nullable=False),
        sa.Column("finished_at", Time()),
        sa.PrimaryKeyConstraint("id", name="pk_erasures"),
    )
    op.create_index(
        "ix_erasures_unfinished",
        "erasures",
        ["applied_at"],
        sqlite_where=sa.text("finished_at IS NULL"),
        postgresql_where=sa.text("finished_at IS NULL"),
    )
    op.create_table(
        "executors",
        sa.Column("executor_id", sa.Text(), nullable=False),
        sa.Column("incarnation", sa.Text(), nullable=False),
        sa.Column("started_at", Time(), nullable=False),
        sa.Column("heartbeat_at", Time(), nullable=False),
        sa.PrimaryKeyConstraint("executor_id", name="pk_executors"),
    )
    op.create_table(
        "jobs",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("organization_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", JSON, nullable=False),
        sa.Column("encounter_id", sa.Text()),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("error", sa.Text()),
        sa.Column("created_at", Time(), nullable=False),
        sa.Column("updated_at", Time()),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
    )
    op.create_index("ix_jobs_encounter", "jobs", ["encounter_id"])
    op.create_index("ix_jobs_organization", "jobs", ["organization_id", "state", "created_at"])
    op.create_index("ix_jobs_state", "jobs", ["state", "id"])
    op.create_table(
        "object_keys",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("organization_id", sa.Text()),
        sa.Column("wrapped", sa.LargeBinary()),
        sa.Column("master", sa.Text(), nullable=False),
        sa.Column("created_at", Time(), nullable=False),
        sa.Column("destroyed_at", Time()),
        sa.PrimaryKeyConstraint("id", name="pk_object_keys"),
    )
    op.create_index("ix_object_keys_master", "object_keys", ["master"])
    op.create_table(
        "organizations",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", Time(), nullable=False),
        sa.Column("release", sa.Text(), nullable=False),
        sa.Column("consent", sa.Text(), nullable=False),
        sa.Column("visibility", sa.Text(), nullable=False),
        sa.Column("retention_days", sa.Integer()),
        sa.Column("consent_grace_seconds", sa.Integer(), nullable=False),
        sa.Column("public_api", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_organizations"),
    )
    op.create_table(
        "signing_keys",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("created_at", Time(), nullable=False),
        sa.Column("retired_at", Time()),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["key_id"], ["object_keys.id"], name="fk_signing_keys_key_id"),
        sa.PrimaryKeyConstraint("id", name="pk_signing_keys"),
    )
    op.create_table(
        "users",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("organization_id", sa.Text(), nullable=False),
        sa.Column("created_at", Time(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("email_index", sa.LargeBinary(), nullable=False),
        sa.Column("third_party_index", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["key_id"], ["object_keys.id"], name="fk_users_key_id"),
        sa.ForeignKeyConstraint(["organization_id"], ["organizations.id"], name="fk_users_organization_id"),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.UniqueConstraint(
            "organization_id",
            "email_index",
            "third_party_index",
            name="uq_users_organization_id_email_index_third_party_index",
        ),
    )
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("organization_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("hint", sa.Text(), nullable=False),
        sa.Column("scopes", JSON, nullable=False),
        sa.Column("test", sa.Boolean(), nullable=False),
        sa.Column("user_id", sa.Text()),
        sa.Column("created_at", Time(), nullable=False),
        sa.Column("expires_at", Time()),
        sa.Column("disabled_at", Time()),
        sa.Column("revoked_at", Time()),
        sa.Column("last_used_at", Time()),
        sa.ForeignKeyConstraint(["organization_id"], ["organizations.id"], name="fk_api_keys_organization_id"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_api_keys_user_id"),
        sa.PrimaryKeyConstraint("id", name="pk_api_keys"),
        sa.UniqueConstraint("kind", "digest", name="uq_api_keys_kind_digest"),
    )
    op.create_index("ix_api_keys_organization_id", "api_keys", ["organization_id"])
    op.create_table(
        "encounters",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("organization_id", sa.Text(), nullable=False),
        sa.Column("owner_id", sa.Text(), nullable=False),
        sa.Column("created_at", Time(), nullable=False),
        sa.Column("updated_at", Time(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("patient_profile_id", sa.Text()),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary()),
        sa.Column("ehr_patient_index", sa.LargeBinary()),
        sa.Column("ehr_provider", sa.Text()),
        sa.Column("consent_given", sa.Boolean()),
        sa.Column("consent_changed_at", Time()),
        sa.Column("consent_erase_at", Time()),
        sa.Column("duration", sa.Integer()),
        sa.Column("language_code", sa.Text()),
        sa.Column("output_language_code", sa.Text()),
        sa.Column("transcribe_mode", sa.Text()),
        sa.Column("recording_status", sa.Text()),
        sa.Column("session_status", sa.Text()),
        sa.Column("created_time_local", Time()),
        sa.Column("generate_output_without_recording", sa.Boolean(), nullable=False),
        sa.Column("linked_encounter_ids", JSON, nullable=False),
        sa.Column("signed_at", Time()),
        sa.Column("signed_by", sa.Text()),
        sa.Column("audio_erased_at", Time()),
        sa.Column("erased_at", Time()),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["key_id"], ["object_keys.id"], name="fk_encounters_key_id"),
        sa.ForeignKeyConstraint(["organization_id"], ["organizations.id"], name="fk_encounters_organization_id"),
        sa.ForeignKeyConstraint(["owner_id"], ["users.id"], name="fk_encounters_owner_id"),
        sa.PrimaryKeyConstraint("id", name="pk_encounters"),
        sa.UniqueConstraint("organization_id", "id", name="uq_encounters_organization_id_id"),
    )
    op.create_index(
        "ix_encounters_consent_erase_at",
        "encounters",
        ["consent_erase_at"],
        sqlite_where=sa.text("consent_erase_at IS NOT NULL"),
        postgresql_where=sa.text("consent_erase_at IS NOT NULL"),
    )
    op.create_index("ix_encounters_counted", "encounters", ["organization_id", "owner_id", "state", "purpose"])
    op.create_index("ix_encounters_ehr_patient", "encounters", ["organization_id", "ehr_patient_index", *IN_ORDER])
    op.create_index("ix_encounters_organization_created", "encounters", ["organization_id", *IN_ORDER])
    op.create_index("ix_encounters_owner_created", "encounters", ["organization_id", "owner_id", *IN_ORDER])
    op.create_index("ix_encounters_profile", "encounters", ["organization_id", "patient_profile_id", *IN_ORDER])
    op.create_table(
        "linked_accounts",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("organization_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("ehr_provider", sa.Text()),
        sa.Column("created_at", Time(), nullable=False),
        sa.Column("updated_at", Time(), nullable=False),
        sa.Column("deleted_at", Time()),
        sa.ForeignKeyConstraint(["organization_id"], ["organizations.id"], name="fk_linked_accounts_organization_id"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_linked_accounts_user_id"),
        sa.PrimaryKeyConstraint("id", name="pk_linked_accounts"),
    )
    op.create_index(
        "uq_linked_accounts_live_account",
        "linked_accounts",
        ["organization_id", "account_id"],
        unique=True,
        sqlite_where=sa.text("deleted_at IS NULL"),
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_index(
        "uq_linked_accounts_live_user",
        "linked_accounts",
        ["organization_id", "user_id"],
        unique=True,
        sqlite_where=sa.text("deleted_at IS NULL"),
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_table(
        "patient_profiles",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("organization_id", sa.Text(), nullable=False),
        sa.Column("owner_id", sa.Text(), nullable=False),
        sa.Column("created_at", Time(), nullable=False),
        sa.Column("updated_at", Time(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("ehr_patient_index", sa.LargeBinary()),
        sa.Column("provider_index", sa.LargeBinary()),
        sa.ForeignKeyConstraint(["key_id"], ["object_keys.id"], name="fk_patient_profiles_key_id"),
        sa.ForeignKeyConstraint(["organization_id"], ["organizations.id"], name="fk_patient_profiles_organization_id"),
        sa.ForeignKeyConstraint(["owner_id"], ["users.id"], name="fk_patient_profiles_owner_id"),
        sa.PrimaryKeyConstraint("id", name="pk_patient_profiles"),
    )
    op.create_index(
        "ix_patient_profiles_ehr_patient", "patient_profiles", ["organization_id", "ehr_patient_index", *IN_ORDER]
    )
    op.create_index("ix_patient_profiles_organization_created", "patient_profiles", ["organization_id", *IN_ORDER])
    op.create_index("ix_patient_profiles_owner", "patient_profiles", ["organization_id", "owner_id", *IN_ORDER])
    op.create_table(
        "code_sets",
        *_row_of_encounter("code_sets"),
        sa.Column("coding_system", sa.Text(), nullable=False),
        sa.Column("created_at", Time(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("note_id", sa.Text()),
        sa.Column("failure", sa.Text()),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary()),
        sa.ForeignKeyConstraint(["key_id"], ["object_keys.id"], name="fk_code_sets_key_id"),
        sa.UniqueConstraint(
            "organization_id",
            "encounter_id",
            "coding_system",
            name="uq_code_sets_organization_id_encounter_id_coding_system",
        ),
    )
    op.create_table(
        "context_documents",
        *_row_of_encounter("context_documents"),
        sa.Column("uploaded_at", Time(), nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.Column("unstructured", sa.Boolean(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("blob_id", sa.Text(), nullable=False),
        sa.Column("blob_size", sa.BigInteger(), nullable=False),
        sa.Column("blob_digest", sa.Text(), nullable=False),
        sa.Column("blob_key_id", sa.Text()),
        sa.ForeignKeyConstraint(["blob_key_id"], ["object_keys.id"], name="fk_context_documents_blob_key_id"),
        sa.ForeignKeyConstraint(["key_id"], ["object_keys.id"], name="fk_context_documents_key_id"),
    )
    op.create_index("ix_context_documents_blob_id", "context_documents", ["blob_id"])
    op.create_index("ix_context_documents_encounter", "context_documents", ["organization_id", "encounter_id"])
    op.create_table(
        "documents",
        *_row_of_encounter("documents"),
        sa.Column("index", sa.Integer(), nullable=False),
        sa.Column("created_at", Time(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("template", sa.Text(), nullable=False),
        sa.Column("voice_style", sa.Text(), nullable=False),
        sa.Column("transcript_id", sa.Text()),
        sa.Column("engine", JSON),
        sa.Column("options", JSON, nullable=False),
        sa.Column("completed_at", Time()),
        sa.Column("signed_at", Time()),
        sa.Column("signed_by", sa.Text()),
        sa.Column("stale", sa.Boolean(), nullable=False),
        sa.Column("failure", sa.Text()),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary()),
        sa.ForeignKeyConstraint(["key_id"], ["object_keys.id"], name="fk_documents_key_id"),
        sa.UniqueConstraint(
            "organization_id", "encounter_id", "index", name="uq_documents_organization_id_encounter_id_index"
        ),
    )
    op.create_table(
        "form_answers",
        *_row_of_encounter("form_answers"),
        sa.Column("created_at", Time(), nullable=False),
        sa.Column("transcript_id", sa.Text()),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary()),
        sa.ForeignKeyConstraint(["key_id"], ["object_keys.id"], name="fk_form_answers_key_id"),
    )
    op.create_index("ix_form_answers_encounter", "form_answers", ["organization_id", "encounter_id"])
    op.create_table(
        "notes",
        *_row_of_encounter("notes"),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("author_id", sa.Text()),
        sa.Column("created_at", Time(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("template", sa.Text(), nullable=False),
        sa.Column("voice_style", sa.Text(), nullable=False),
        sa.Column("transcript_id", sa.Text()),
        sa.Column("engine", JSON),
        sa.Column("options", JSON, nullable=False),
        sa.Column("completed_at", Time()),
        sa.Column("signed_at", Time()),
        sa.Column("signed_by", sa.Text()),
        sa.Column("stale", sa.Boolean(), nullable=False),
        sa.Column("failure", sa.Text()),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary()),
        sa.ForeignKeyConstraint(["key_id"], ["object_keys.id"], name="fk_notes_key_id"),
        sa.UniqueConstraint(
            "organization_id", "encounter_id", "version", name="uq_notes_organization_id_encounter_id_version"
        ),
    )
    op.create_table(
        "recordings",
        *_row_of_encounter("recordings"),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("index", sa.Integer(), nullable=False),
        sa.Column("created_at", Time(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("media_type", sa.Text()),
        sa.Column("started_at", Time()),
        sa.Column("ended_at", Time()),
        sa.Column("finished_at", Time()),
        sa.Column("duration", sa.Double()),
        sa.Column("failure", sa.Text()),
        sa.UniqueConstraint(
            "organization_id", "encounter_id", "index", name="uq_recordings_organization_id_encounter_id_index"
        ),
    )
    op.create_table(
        "released_documents",
        *_row_of_encounter("released_documents"),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("slot", sa.Text(), nullable=False),
        sa.Column("source_id", sa.Text(), nullable=False),
        sa.Column("created_at", Time(), nullable=False),
        sa.Column("released_at", Time(), nullable=False),
        sa.UniqueConstraint(
            "organization_id", "encounter_id", "slot", name="uq_released_documents_organization_id_encounter_id_slot"
        ),
    )
    op.create_table(
        "segments",
        *_row_of_encounter("segments"),
        sa.Column("recording_id", sa.Text(), nullable=False),
        sa.Column("index", sa.Integer(), nullable=False),
        sa.Column("received_at", Time(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("seconds", sa.Double()),
        sa.Column("failure", sa.Text()),
        sa.Column("blob_id", sa.Text()),
        sa.Column("blob_size", sa.BigInteger()),
        sa.Column("blob_digest", sa.Text()),
        sa.Column("blob_key_id", sa.Text()),
        sa.ForeignKeyConstraint(["blob_key_id"], ["object_keys.id"], name="fk_segments_blob_key_id"),
        sa.ForeignKeyConstraint(["recording_id"], ["recordings.id"], name="fk_segments_recording_id"),
        sa.UniqueConstraint("recording_id", "index", name="uq_segments_recording_id_index"),
    )
    op.create_index("ix_segments_blob_id", "segments", ["blob_id"])
    op.create_index("ix_segments_encounter", "segments", ["organization_id", "encounter_id"])
    op.create_table(
        "transcripts",
        *_row_of_encounter("transcripts"),
        sa.Column("recording_id", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", Time(), nullable=False),
        sa.Column("author_id", sa.Text()),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary()),
        sa.ForeignKeyConstraint(["key_id"], ["object_keys.id"], name="fk_transcripts_key_id"),
        sa.ForeignKeyConstraint(["recording_id"], ["recordings.id"], name="fk_transcripts_recording_id"),
        sa.UniqueConstraint(
            "organization_id", "encounter_id", "version", name="uq_transcripts_organization_id_encounter_id_version"
        ),
    )
    op.create_index("ix_transcripts_recording", "transcripts", ["organization_id", "recording_id", "version"])
    op.create_table(
        "segment_transcripts",
        sa.Column("segment_id", sa.Text(), nullable=False),
        sa.Column("organization_id", sa.Text(), nullable=False),
        sa.Column("encounter_id", sa.Text(), nullable=False),
        sa.Column("recording_id", sa.Text(), nullable=False),
        sa.Column("index", sa.Integer(), nullable=False),
        sa.Column("created_at", Time(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary()),
        sa.ForeignKeyConstraint(["key_id"], ["object_keys.id"], name="fk_segment_transcripts_key_id"),
        sa.ForeignKeyConstraint(
            ["organization_id", "encounter_id"],
            ["encounters.organization_id", "encounters.id"],
            name="fk_segment_transcripts_organization_id_encounter_id",
        ),
        sa.ForeignKeyConstraint(["recording_id"], ["recordings.id"], name="fk_segment_transcripts_recording_id"),
        sa.ForeignKeyConstraint(["segment_id"], ["segments.id"], name="fk_segment_transcripts_segment_id"),
        sa.PrimaryKeyConstraint("segment_id", name="pk_segment_transcripts"),
    )
    op.create_index("ix_segment_transcripts_encounter", "segment_transcripts", ["organization_id", "encounter_id"])
    op.create_index(
        "ix_segment_transcripts_recording", "segment_transcripts", ["organization_id", "recording_id", "index"]
    )


def downgrade() -> None:
    """Take this revision back."""
    # Indexes go with their tables; those that refer to others go first.
    for table in (
        "segment_transcripts",
        "transcripts",
        "segments",
        "released_documents",
        "recordings",
        "notes",
        "form_answers",
        "documents",
        "context_documents",
        "code_sets",
        "patient_profiles",
        "linked_accounts",
        "encounters",
        "api_keys",
        "users",
        "signing_keys",
        "organizations",
        "object_keys",
        "jobs",
        "executors",
        "erasures",
        "deployment_secrets",
        "audit_heads",
        "audit_entries",
    ):
        op.drop_table(table)
