"""Templates that organizations add.

Revision 0004_templates, after 0003_erased_subjects.
"""

import sqlalchemy as sa
from alembic import op

from osler.storage.tables.metadata import Time

revision = "0004_templates"
down_revision = "0003_erased_subjects"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the tables to this revision."""
    op.create_table(
        "templates",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("organization_id", sa.Text(), nullable=False),
        sa.Column("created_at", Time(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("category", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("author_name", sa.Text(), nullable=False),
        sa.Column("removed_at", Time()),
        sa.ForeignKeyConstraint(["organization_id"], ["organizations.id"], name="fk_templates_organization_id"),
        sa.PrimaryKeyConstraint("id", name="pk_templates"),
    )
    op.create_index(
        "uq_templates_live_name",
        "templates",
        ["organization_id", "name"],
        unique=True,
        sqlite_where=sa.text("removed_at IS NULL"),
        postgresql_where=sa.text("removed_at IS NULL"),
    )


def downgrade() -> None:
    """Go back to the former revision."""
    op.drop_table("templates")
