"""The table of the templates that organizations add."""

from typing import Final

from sqlalchemy import Column, ForeignKey, Index, Table, Text, text

from osler.storage.tables.metadata import Time, metadata

templates: Final = Table(
    "templates",
    metadata,
    Column("id", Text, primary_key=True),
    Column("organization_id", Text, ForeignKey("organizations.id"), nullable=False),
    Column("created_at", Time, nullable=False),
    Column("name", Text, nullable=False),
    Column("category", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("author_name", Text, nullable=False),
    Column("removed_at", Time, nullable=True),
    # One of a name; those that were removed stay for the notes that were written by them.
    Index(
        "uq_templates_live_name",
        "organization_id",
        "name",
        unique=True,
        sqlite_where=text("removed_at IS NULL"),
        postgresql_where=text("removed_at IS NULL"),
    ),
)
"""Not sealed: a template says what is asked of every visit, and nothing of any."""
