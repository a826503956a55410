"""What the public API reads: switches, checklists, what released documents show of themselves, lists in order.

Revision 0009_public_api, after 0008_subjects_of_answers.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

from osler.storage.tables.metadata import Time

revision = "0009_public_api"
down_revision = "0008_subjects_of_answers"
branch_labels = None
depends_on = None

_SHOWN = "purpose = 'care' AND state <> 'erased'"
_COLUMNS: dict[str, sa.types.TypeEngine[Any]] = {
    "updated_at": Time(),
    "audio_duration": sa.Double(),
    "sealed": sa.LargeBinary(),
}
_LISTED = "action = 'encounters.disclosed'"


def upgrade() -> None:
    """Bring the tables to this revision."""
    op.create_table(
        "public_switches",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("switched_on_at", Time(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_public_switches"),
    )
    op.create_table(
        "checklists",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("organization_id", sa.Text(), nullable=False),
        sa.Column("encounter_id", sa.Text(), nullable=False),
        sa.Column("created_at", Time(), nullable=False),
        sa.Column("transcript_id", sa.Text(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=True),
        sa.ForeignKeyConstraint(["key_id"], ["object_keys.id"], name="fk_checklists_key_id"),
        sa.ForeignKeyConstraint(
            ["organization_id", "encounter_id"],
            ["encounters.organization_id", "encounters.id"],
            name="fk_checklists_organization_id_encounter_id",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_checklists"),
        sa.UniqueConstraint("organization_id", "encounter_id", name="uq_checklists_organization_id_encounter_id"),
    )
    for name, kind in _COLUMNS.items():
        op.add_column("released_documents", sa.Column(name, kind, nullable=True))
    op.execute(
        "UPDATE released_documents SET audio_duration = (SELECT recordings.duration FROM transcripts"
        " JOIN recordings ON recordings.id = transcripts.recording_id"
        " WHERE transcripts.id = released_documents.source_id) WHERE kind = 'ambient_transcript'"
    )
    op.create_index(
        "ix_encounters_public",
        "encounters",
        ["organization_id", "created_at", "id"],
        sqlite_where=sa.text(_SHOWN),
        postgresql_where=sa.text(_SHOWN),
    )
    op.create_index(
        "ix_audit_entries_encounters_disclosed",
        "audit_entries",
        ["organization_id", "sequence"],
        sqlite_where=sa.text(_LISTED),
        postgresql_where=sa.text(_LISTED),
    )


def downgrade() -> None:
    """Go back to the former revision."""
    op.drop_index("ix_audit_entries_encounters_disclosed", "audit_entries")
    op.drop_index("ix_encounters_public", "encounters")
    # By hand, as Alembic would build the whole table anew on SQLite.
    for column in reversed(_COLUMNS):
        op.execute(f"ALTER TABLE released_documents DROP COLUMN {column}")
    op.drop_table("checklists")
    op.drop_table("public_switches")
