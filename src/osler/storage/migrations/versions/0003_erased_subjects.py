"""Erasures of what is no encounter: the account of them names a subject.

Revision 0003_erased_subjects, after 0002_idempotent_requests.
"""

from alembic import op

revision = "0003_erased_subjects"
down_revision = "0002_idempotent_requests"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the tables to this revision."""
    # By hand, as Alembic would build the whole table anew on SQLite.
    op.execute("ALTER TABLE erasures RENAME COLUMN encounter_id TO subject_id")


def downgrade() -> None:
    """Go back to the former revision."""
    op.execute("ALTER TABLE erasures RENAME COLUMN subject_id TO encounter_id")
