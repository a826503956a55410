"""Processes keep keys and switches in memory for as long as they see that nothing was changed.

Revision 0010_access_revision, after 0009_public_api.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010_access_revision"
down_revision = "0009_public_api"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the tables to this revision."""
    op.create_table(
        "access_revision",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("revision", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_access_revision"),
    )


def downgrade() -> None:
    """Go back to the former revision."""
    op.drop_table("access_revision")
