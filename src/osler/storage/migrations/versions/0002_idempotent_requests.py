"""Requests that carry a key of their own, and the answers to them.

Revision 0002_idempotent_requests, after 0001_core.
"""

import sqlalchemy as sa
from alembic import op

from osler.storage.tables.metadata import Time

revision = "0002_idempotent_requests"
down_revision = "0001_core"
branch_labels = None
depends_on = None

TABLE = "idempotent_requests"


def upgrade() -> None:
    """Bring the tables to this revision."""
    op.create_table(
        TABLE,
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("organization_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("encounter_id", sa.Text()),
        sa.Column("claim", sa.Text(), nullable=False),
        sa.Column("begun_at", Time(), nullable=False),
        sa.Column("lease_until", Time(), nullable=False),
        sa.Column("took_effect", sa.Boolean(), nullable=False),
        sa.Column("digest", sa.LargeBinary()),
        sa.Column("key_id", sa.Text()),
        sa.Column("sealed", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("id", name=f"pk_{TABLE}"),
        sa.ForeignKeyConstraint(["organization_id"], ["organizations.id"], name=f"fk_{TABLE}_organization_id"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=f"fk_{TABLE}_user_id"),
        sa.ForeignKeyConstraint(["key_id"], ["object_keys.id"], name=f"fk_{TABLE}_key_id"),
    )
    op.create_index(f"ix_{TABLE}_begun_at", TABLE, ["begun_at"])
    op.create_index(f"ix_{TABLE}_encounter_id", TABLE, ["organization_id", "encounter_id"])


def downgrade() -> None:
    """Go back to the former revision."""
    op.drop_table(TABLE)
