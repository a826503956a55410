"""Kept answers know what they tell of; a user is one id of the EHR.

Revision 0008_subjects_of_answers, after 0004_templates.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008_subjects_of_answers"
down_revision = "0004_templates"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the tables to this revision."""
    op.create_table(
        "idempotent_subjects",
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("organization_id", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["request_id"],
            ["idempotent_requests.id"],
            name="fk_idempotent_subjects_request_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("request_id", "subject_id", name="pk_idempotent_subjects"),
    )
    op.create_index("ix_idempotent_subjects_subject", "idempotent_subjects", ["organization_id", "subject_id"])
    op.create_index("ix_erasures_subject", "erasures", ["organization_id", "subject_id"])
    op.add_column("users", sa.Column("shares_third_party_id", sa.Boolean(), nullable=True))
    # Those who are there stay who they are: what two users have seen is never put together.
    op.execute(
        "UPDATE users SET shares_third_party_id = TRUE WHERE EXISTS (SELECT 1 FROM users AS older"
        " WHERE older.organization_id = users.organization_id AND older.third_party_index = users.third_party_index"
        " AND (older.created_at < users.created_at OR (older.created_at = users.created_at AND older.id < users.id)))"
    )
    op.create_index(
        "uq_users_third_party",
        "users",
        ["organization_id", "third_party_index"],
        unique=True,
        sqlite_where=sa.text("shares_third_party_id IS NULL"),
        postgresql_where=sa.text("shares_third_party_id IS NULL"),
    )


def downgrade() -> None:
    """Go back to the former revision."""
    op.drop_index("uq_users_third_party", "users")
    # By hand, as Alembic would build the whole table anew on SQLite.
    op.execute("ALTER TABLE users DROP COLUMN shares_third_party_id")
    op.drop_index("ix_erasures_subject", "erasures")
    op.drop_table("idempotent_subjects")
