"""Tables of the access room."""

from typing import Final

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, LargeBinary, Table, Text, UniqueConstraint, text

from osler.storage.tables.metadata import JSON, Time, metadata

organizations: Final = Table(
    "organizations",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("created_at", Time, nullable=False),
    Column("release", Text, nullable=False),
    Column("consent", Text, nullable=False),
    Column("visibility", Text, nullable=False),
    Column("retention_days", Integer, nullable=True),
    Column("consent_grace_seconds", Integer, nullable=False),
    Column("public_api", Boolean, nullable=False),
)

users: Final = Table(
    "users",
    metadata,
    Column("id", Text, primary_key=True),
    Column("organization_id", Text, ForeignKey("organizations.id"), nullable=False),
    Column("created_at", Time, nullable=False),
    Column("key_id", Text, ForeignKey("object_keys.id"), nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("email_index", LargeBinary, nullable=False),
    Column("third_party_index", LargeBinary, nullable=False),
    # True for those who were there under an id that an older user has too, when ids did not make a user yet.
    Column("shares_third_party_id", Boolean, nullable=True),
    UniqueConstraint("organization_id", "email_index", "third_party_index"),
    Index(
        "uq_users_third_party",
        "organization_id",
        "third_party_index",
        unique=True,
        sqlite_where=text("shares_third_party_id IS NULL"),
        postgresql_where=text("shares_third_party_id IS NULL"),
    ),
)

linked_accounts: Final = Table(
    "linked_accounts",
    metadata,
    Column("id", Text, primary_key=True),
    Column("organization_id", Text, ForeignKey("organizations.id"), nullable=False),
    Column("user_id", Text, ForeignKey("users.id"), nullable=False),
    Column("account_id", Text, nullable=False),
    Column("ehr_provider", Text, nullable=True),
    Column("created_at", Time, nullable=False),
    Column("updated_at", Time, nullable=False),
    Column("deleted_at", Time, nullable=True),
    # One live link per user and per account; those that were unlinked stay as history.
    Index(
        "uq_linked_accounts_live_user",
        "organization_id",
        "user_id",
        unique=True,
        sqlite_where=text("deleted_at IS NULL"),
        postgresql_where=text("deleted_at IS NULL"),
    ),
    Index(
        "uq_linked_accounts_live_account",
        "organization_id",
        "account_id",
        unique=True,
        sqlite_where=text("deleted_at IS NULL"),
        postgresql_where=text("deleted_at IS NULL"),
    ),
)

api_keys: Final = Table(
    "api_keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("organization_id", Text, ForeignKey("organizations.id"), nullable=False),
    Column("kind", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("hint", Text, nullable=False),
    Column("scopes", JSON, nullable=False),
    Column("test", Boolean, nullable=False),
    Column("user_id", Text, ForeignKey("users.id"), nullable=True),
    Column("created_at", Time, nullable=False),
    Column("expires_at", Time, nullable=True),
    Column("disabled_at", Time, nullable=True),
    Column("revoked_at", Time, nullable=True),
    Column("last_used_at", Time, nullable=True),
    UniqueConstraint("kind", "digest"),
    Index("ix_api_keys_organization_id", "organization_id"),
)

public_switches: Final = Table(
    "public_switches",
    metadata,
    Column("name", Text, primary_key=True),  # of a route, or of the public API as a whole; what has no row is off
    Column("switched_on_at", Time, nullable=False),
)

# One row from the first change on: another text whenever something of this room was changed that processes keep in
# memory. Not a number, as a restored database would count on from where it was.
access_revision: Final = Table(
    "access_revision",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("revision", Text, nullable=False),
)

signing_keys: Final = Table(
    "signing_keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("created_at", Time, nullable=False),
    Column("retired_at", Time, nullable=True),
    Column("key_id", Text, ForeignKey("object_keys.id"), nullable=False),
    Column("sealed", LargeBinary, nullable=False),
)
