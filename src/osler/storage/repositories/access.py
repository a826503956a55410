"""Organizations, users, linked accounts, API keys and signing keys as rows."""

import hmac
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Row, Select, bindparam, delete, or_, select, text, update

from osler.access.model import (
    ApiKey,
    ConsentPolicy,
    KeyKind,
    LinkedAccount,
    Organization,
    ReleasePolicy,
    Scope,
    SigningKey,
    User,
    Visibility,
)
from osler.kernel.errors import ConflictError, CorruptedError, NotFoundError
from osler.kernel.transactions import Transaction
from osler.storage.database import connection_of
from osler.storage.repositories.access_revision import bring_revision
from osler.storage.repositories.insertion import insert_unless_there
from osler.storage.repositories.sealed import BlindIndex, SealedRows, with_key
from osler.storage.tables.access import (
    api_keys,
    linked_accounts,
    organizations,
    public_switches,
    signing_keys,
    users,
)

_FIND_KEY: Final = select(api_keys).where(
    api_keys.c.kind == bindparam("wanted_kind"), api_keys.c.digest == bindparam("wanted_digest")
)


class SqlOrganizationRepository:
    """Organizations. The only rows that are not below one."""

    async def add(self, transaction: Transaction, organization: Organization) -> None:
        """Raises ConflictError if the id is taken."""
        values = {"id": organization.id, "created_at": organization.created_at, **_settings(organization)}
        if not await insert_unless_there(connection_of(transaction), organizations, values):
            raise ConflictError("There is an organization of this id already; choose another.")

    async def get(self, transaction: Transaction, organization_id: str) -> Organization:
        """Raises NotFoundError."""
        return await self._one(transaction, select(organizations).where(organizations.c.id == organization_id))

    async def lock(self, transaction: Transaction, organization_id: str) -> Organization:
        """As get, held against other writers. Raises NotFoundError."""
        query = select(organizations).where(organizations.c.id == organization_id)
        # NO KEY UPDATE: rows that merely refer to the organization can be added meanwhile.
        return await self._one(transaction, query.with_for_update(key_share=True))

    async def save(self, transaction: Transaction, organization: Organization) -> None:
        """Write all of an organization but its id and time of birth."""
        await bring_revision(transaction)
        await connection_of(transaction).execute(
            update(organizations).where(organizations.c.id == organization.id).values(_settings(organization))
        )

    async def all(self, transaction: Transaction) -> tuple[Organization, ...]:
        """Return all, by creation."""
        query = select(organizations).order_by(organizations.c.created_at, organizations.c.id)
        return tuple(_organization(row) for row in await connection_of(transaction).execute(query))

    async def _one(self, transaction: Transaction, query: Select[Any]) -> Organization:
        row = (await connection_of(transaction).execute(query)).one_or_none()
        if row is None:
            raise NotFoundError("There is no such organization; osler org list shows those that are there.")
        return _organization(row)


class SqlUserRepository:
    """Users, sealed and found by blind index, and their linked accounts."""

    def __init__(self, rows: SealedRows, index: BlindIndex) -> None:
        self._rows = rows
        self._index = index

    async def add(self, transaction: Transaction, user: User, *, shares_id: bool = False) -> None:
        """Write a new user. ``shares_id``: several others have his third-party id already, with other e-mails.

        Raises ConflictError if e-mail and third-party id together are taken or, unless it is shared, the latter.
        """
        content = {"email": user.email, "third_party_id": user.third_party_id}
        sealed = await self._rows.add(transaction, user.organization_id, users, user.id, content)
        values = {
            "id": user.id,
            "organization_id": user.organization_id,
            "created_at": user.created_at,
            "shares_third_party_id": True if shares_id else None,
            **self._indexes(user.organization_id, user.email, user.third_party_id),
            **sealed,
        }
        if not await insert_unless_there(connection_of(transaction), users, values):
            raise ConflictError("This user is there already.")

    async def get(self, transaction: Transaction, organization_id: str, user_id: str) -> User:
        """Raises NotFoundError."""
        query = with_key(users).where(users.c.organization_id == organization_id, users.c.id == user_id)
        row = (await connection_of(transaction).execute(query)).one_or_none()
        if row is None:
            raise NotFoundError("There is no such user.")
        return self._user(row)

    async def find(
        self, transaction: Transaction, organization_id: str, email: str, third_party_id: str
    ) -> User | None:
        """Find by blind index; e-mail without regard to case, third-party id exactly."""
        indexes = self._indexes(organization_id, email, third_party_id)
        query = with_key(users).where(
            users.c.organization_id == organization_id,
            users.c.email_index == indexes["email_index"],
            users.c.third_party_index == indexes["third_party_index"],
        )
        row = (await connection_of(transaction).execute(query)).one_or_none()
        return None if row is None else self._user(row)

    async def lock_all_of(
        self, transaction: Transaction, organization_id: str, third_party_id: str
    ) -> tuple[User, ...]:
        """Return who has a third-party id, by creation, held against other writers."""
        found_by = self._indexes(organization_id, "", third_party_id)["third_party_index"]
        query = (
            with_key(users)
            .where(users.c.organization_id == organization_id, users.c.third_party_index == found_by)
            .order_by(users.c.created_at, users.c.id)
            .with_for_update(of=users)
        )
        return tuple(self._user(row) for row in await connection_of(transaction).execute(query))

    async def save(self, transaction: Transaction, user: User) -> None:
        """Write the e-mail of a user who is held."""
        content = {"email": user.email, "third_party_id": user.third_party_id}
        sealed = await self._rows.reseal(transaction, user.organization_id, users, user.id, content)
        if sealed is None:
            raise CorruptedError("A user's key is gone; restore the database from a backup.")
        indexes = self._indexes(user.organization_id, user.email, user.third_party_id)
        await connection_of(transaction).execute(
            update(users)
            .where(users.c.organization_id == user.organization_id, users.c.id == user.id)
            .values(sealed=sealed, email_index=indexes["email_index"])
        )

    async def all(self, transaction: Transaction, organization_id: str) -> tuple[User, ...]:
        """Return all users of an organization, by creation."""
        query = (
            with_key(users).where(users.c.organization_id == organization_id).order_by(users.c.created_at, users.c.id)
        )
        return tuple(self._user(row) for row in await connection_of(transaction).execute(query))

    async def add_account(self, transaction: Transaction, account: LinkedAccount) -> None:
        """Raises ConflictError if the user has a live account already, or the account is linked to another user."""
        values = {
            "id": account.id,
            "organization_id": account.organization_id,
            "user_id": account.user_id,
            "account_id": account.account_id,
            "ehr_provider": account.ehr_provider,
            "created_at": account.created_at,
            "updated_at": account.updated_at,
            "deleted_at": account.deleted_at,
        }
        if not await insert_unless_there(connection_of(transaction), linked_accounts, values):
            raise ConflictError("This user or this account is linked already; unlink it first.")

    async def account(
        self, transaction: Transaction, organization_id: str, user_id: str, *, lock: bool = False
    ) -> LinkedAccount | None:
        """Return the user's live account; with ``lock`` held against other writers."""
        query = select(linked_accounts).where(
            linked_accounts.c.organization_id == organization_id,
            linked_accounts.c.user_id == user_id,
            linked_accounts.c.deleted_at.is_(None),
        )
        row = (await connection_of(transaction).execute(query.with_for_update() if lock else query)).one_or_none()
        return None if row is None else LinkedAccount(**row._mapping)

    async def save_account(self, transaction: Transaction, account: LinkedAccount) -> None:
        """Write what can change of a linked account."""
        await connection_of(transaction).execute(
            update(linked_accounts)
            .where(linked_accounts.c.organization_id == account.organization_id, linked_accounts.c.id == account.id)
            .values(ehr_provider=account.ehr_provider, updated_at=account.updated_at, deleted_at=account.deleted_at)
        )

    def _indexes(self, organization_id: str, email: str, third_party_id: str) -> dict[str, bytes]:
        # A blind index disregards case. In an EHR's own ids case can matter, so they go in as hexadecimal.
        exact = third_party_id.encode().hex()
        return {
            "email_index": self._index.blind_index(organization_id, "user.email", email),
            "third_party_index": self._index.blind_index(organization_id, "user.third_party_id", exact),
        }

    def _user(self, row: Row[Any]) -> User:
        content = self._rows.open(row, row.organization_id, users, row.id)
        if content is None:
            raise CorruptedError("A user's key is gone; restore the database from a backup.")
        return User(row.id, row.organization_id, content["email"], content["third_party_id"], row.created_at)


class SqlApiKeyRepository:
    """API keys by id and by digest."""

    async def add(self, transaction: Transaction, key: ApiKey, digest: bytes) -> None:
        """Write a new key. Raises ConflictError if its id or digest is taken."""
        values = {
            "id": key.id,
            "organization_id": key.organization_id,
            "kind": key.kind.value,
            "digest": digest,
            "hint": key.hint,
            "test": key.test,
            "created_at": key.created_at,
            "user_id": key.user_id,
            **_key_settings(key),
        }
        if not await insert_unless_there(connection_of(transaction), api_keys, values):
            raise ConflictError("This key is there already.")

    async def find(self, transaction: Transaction, kind: KeyKind, digest: bytes) -> ApiKey | None:
        """Find by digest, in whatever organization: this is how a caller says who he is."""
        wanted = {"wanted_kind": kind.value, "wanted_digest": digest}
        row = (await connection_of(transaction).execute(_FIND_KEY, wanted)).one_or_none()
        return _key(row) if row is not None and hmac.compare_digest(row.digest, digest) else None

    async def get(self, transaction: Transaction, organization_id: str, key_id: str) -> ApiKey:
        """Raises NotFoundError."""
        query = select(api_keys).where(api_keys.c.organization_id == organization_id, api_keys.c.id == key_id)
        row = (await connection_of(transaction).execute(query)).one_or_none()
        if row is None:
            raise NotFoundError("There is no such key; osler key list shows those that are there.")
        return _key(row)

    async def lock(self, transaction: Transaction, organization_id: str | None, key_id: str) -> ApiKey:
        """Raises NotFoundError. ``organization_id`` None is for the operator, who may hold any key's id."""
        query = select(api_keys).where(api_keys.c.id == key_id)
        if organization_id is not None:
            query = query.where(api_keys.c.organization_id == organization_id)
        row = (await connection_of(transaction).execute(query.with_for_update())).one_or_none()
        if row is None:
            raise NotFoundError("There is no such key; osler key list shows those that are there.")
        return _key(row)

    async def save(self, transaction: Transaction, key: ApiKey) -> None:
        """Write what can change of a key but when it was last used."""
        await bring_revision(transaction)
        await connection_of(transaction).execute(
            update(api_keys)
            .where(api_keys.c.organization_id == key.organization_id, api_keys.c.id == key.id)
            .values(_key_settings(key))
        )

    async def all(self, transaction: Transaction, organization_id: str | None) -> tuple[ApiKey, ...]:
        """Return all keys of an organization, or of all of them, by creation."""
        query = select(api_keys).order_by(api_keys.c.created_at, api_keys.c.id)
        if organization_id is not None:
            query = query.where(api_keys.c.organization_id == organization_id)
        return tuple(_key(row) for row in await connection_of(transaction).execute(query))

    async def touch(self, transaction: Transaction, used: dict[str, datetime]) -> None:
        """Store when keys (by id) were last used; an earlier time than the stored one changes nothing."""
        if not used:
            return
        statement = update(api_keys).where(
            api_keys.c.id == bindparam("key"),
            or_(api_keys.c.last_used_at.is_(None), api_keys.c.last_used_at < bindparam("used")),
        )
        # In one order, so that two processes that write the same keys cannot wait for each other.
        rows = [{"key": key_id, "used": used[key_id]} for key_id in sorted(used)]
        await connection_of(transaction).execute(statement.values(last_used_at=bindparam("used")), rows)


class SqlPublicSwitchRepository:
    """The switches of the public API, of the whole deployment. What has no row is off."""

    async def all(self, transaction: Transaction) -> frozenset[str]:
        """Return the names that are on."""
        return frozenset(await connection_of(transaction).scalars(select(public_switches.c.name)))

    async def switch_on(self, transaction: Transaction, name: str, at: datetime) -> bool:
        """Write a row. False: it was on already."""
        await bring_revision(transaction)
        return await insert_unless_there(
            connection_of(transaction), public_switches, {"name": name, "switched_on_at": at}
        )

    async def switch_off(self, transaction: Transaction, name: str) -> bool:
        """Remove a row. False: it was off already."""
        await bring_revision(transaction)
        result = await connection_of(transaction).execute(delete(public_switches).where(public_switches.c.name == name))
        return bool(result.rowcount)


class SqlSigningKeyRepository:
    """Keys that sign bearer tokens, sealed at rest."""

    def __init__(self, rows: SealedRows) -> None:
        self._rows = rows

    async def add(self, transaction: Transaction, key: SigningKey) -> None:
        """Write a new key."""
        await bring_revision(transaction)
        sealed = await self._rows.add(transaction, None, signing_keys, key.id, {"secret": key.secret.hex()})
        values = {"id": key.id, "created_at": key.created_at, "retired_at": key.retired_at, **sealed}
        await connection_of(transaction).execute(signing_keys.insert().values(values))

    async def all(self, transaction: Transaction) -> tuple[SigningKey, ...]:
        """Return all keys, newest first. Raises CorruptedError, MasterKeyError."""
        query = with_key(signing_keys).order_by(signing_keys.c.created_at.desc(), signing_keys.c.id.desc())
        keys = []
        for row in await connection_of(transaction).execute(query):
            content = self._rows.open(row, None, signing_keys, row.id)
            if content is None:
                raise CorruptedError("The key of a signing key is gone; restore the database from a backup.")
            keys.append(SigningKey(row.id, bytes.fromhex(content["secret"]), row.created_at, row.retired_at))
        return tuple(keys)

    async def lock_all(self, transaction: Transaction) -> tuple[SigningKey, ...]:
        """As all; until the transaction ends nobody else adds a key."""
        connection = connection_of(transaction)
        if connection.dialect.name == "postgresql":  # on SQLite there is only one writer
            await connection.execute(text("LOCK TABLE signing_keys IN SHARE ROW EXCLUSIVE MODE"))
        return await self.all(transaction)

    async def retire(self, transaction: Transaction, key_id: str, at: datetime) -> None:
        """Have a key verify until ``at`` only."""
        await bring_revision(transaction)
        await connection_of(transaction).execute(
            update(signing_keys).where(signing_keys.c.id == key_id).values(retired_at=at)
        )


def _settings(organization: Organization) -> dict[str, Any]:
    return {
        "name": organization.name,
        "release": organization.release.value,
        "consent": organization.consent.value,
        "visibility": organization.visibility.value,
        "retention_days": organization.retention_days,
        "consent_grace_seconds": int(organization.consent_grace.total_seconds()),
        "public_api": organization.public_api,
    }


def _organization(row: Row[Any]) -> Organization:
    return Organization(
        id=row.id,
        name=row.name,
        created_at=row.created_at,
        release=ReleasePolicy(row.release),
        consent=ConsentPolicy(row.consent),
        visibility=Visibility(row.visibility),
        retention_days=row.retention_days,
        consent_grace=timedelta(seconds=row.consent_grace_seconds),
        public_api=row.public_api,
    )


def _key_settings(key: ApiKey) -> dict[str, Any]:
    return {
        "scopes": sorted(key.scopes),
        "expires_at": key.expires_at,
        "disabled_at": key.disabled_at,
        "revoked_at": key.revoked_at,
    }


def _key(row: Row[Any]) -> ApiKey:
    return ApiKey(
        id=row.id,
        organization_id=row.organization_id,
        kind=KeyKind(row.kind),
        hint=row.hint,
        created_at=row.created_at,
        scopes=frozenset(map(Scope, row.scopes)),
        test=row.test,
        user_id=row.user_id,
        expires_at=row.expires_at,
        disabled_at=row.disabled_at,
        revoked_at=row.revoked_at,
        last_used_at=row.last_used_at,
    )
