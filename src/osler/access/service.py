"""Organizations and their policies, users, linked accounts, API keys: what doors and commands call."""

from dataclasses import fields, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, TypedDict, TypeVar, Unpack

from osler.access import fields as checks
from osler.access.key_text import hint, is_key_text, new_key_text
from osler.access.last_use import INTERVAL, LastUse
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
from osler.access.ports import (
    ApiKeyRepository,
    KeyDigest,
    OrganizationRepository,
    SigningKeyRepository,
    UserRepository,
)
from osler.access.recent import Recent, Watch
from osler.access.signing import OVERLAP, SigningKeys
from osler.audit.model import Actor, AuditEvent
from osler.audit.ports import AuditTrail
from osler.kernel.clock import Clock
from osler.kernel.errors import ConflictError, InvalidFieldError, NotAllowedError, NotFoundError
from osler.kernel.ids import new_id
from osler.kernel.transactions import Database, Transaction

Choice = TypeVar("Choice", bound=StrEnum)


class OrganizationChanges(TypedDict, total=False):
    """What :meth:`AccessService.update_organization` can change."""

    name: str
    release: ReleasePolicy
    consent: ConsentPolicy
    visibility: Visibility
    retention_days: int | None
    consent_grace: timedelta
    public_api: bool


class AccessService:
    """Who may do what. Every change leaves an audit event in its own transaction."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        organizations: OrganizationRepository,
        users: UserRepository,
        keys: ApiKeyRepository,
        signing_keys: SigningKeyRepository,
        digest: KeyDigest,
        audit: AuditTrail,
        watch: Watch | None = None,
        last_use_interval: float = INTERVAL,
    ) -> None:
        """``watch`` lets keys and organizations stay in memory until they are changed.

        ``last_use_interval``: seconds within which the time of a key's last use is written.
        """
        self._database = database
        self._clock = clock
        self._organizations = organizations
        self._users = users
        self._keys = keys
        self._digest = digest
        self._audit = audit
        self._signing = SigningKeys(database=database, clock=clock, repository=signing_keys, audit=audit)
        self._watch = watch
        self._read_keys: Recent[tuple[KeyKind, bytes], ApiKey] = Recent(watch=watch)
        self._read_organizations: Recent[str, Organization] = Recent(watch=watch)
        self._last_use = LastUse(self._store_last_use, last_use_interval)

    async def stop(self) -> None:
        """Write when keys were last used, and look no more for changes; call it before the database is closed."""
        if self._watch is not None:
            await self._watch.stop()
        await self._last_use.stop()

    # Organizations

    async def create_organization(self, actor: Actor, name: str, organization_id: str | None = None) -> Organization:
        """Add an organization with the default policies; ``organization_id`` may be chosen.

        Raises InvalidFieldError, ConflictError if the id is taken.
        """
        name = checks.checked_organization_name(name)
        chosen = new_id() if organization_id is None else checks.checked_organization_id(organization_id)
        organization = Organization(chosen, name, self._clock.now())
        async with self._database.write() as transaction:
            await self._organizations.add(transaction, organization)
            await self._trace(transaction, actor, organization.id, "organization.created")
        return organization

    async def update_organization(
        self, actor: Actor, organization_id: str, **changes: Unpack[OrganizationChanges]
    ) -> Organization:
        """Change the name or policies that are given. Raises InvalidFieldError, NotFoundError."""
        checked = _checked_changes(changes)
        async with self._database.write() as transaction:
            before = await self._organizations.lock(transaction, organization_id)
            after = replace(before, **checked)
            changed = {
                field.name: _shown(field.name, getattr(after, field.name))
                for field in fields(after)
                if getattr(after, field.name) != getattr(before, field.name)
            }
            if changed:
                await self._organizations.save(transaction, after)
                await self._trace(transaction, actor, organization_id, "organization.updated", detail=changed)
        self._read_organizations.forget()
        return after

    async def organization(self, organization_id: str) -> Organization:
        """Raises NotFoundError."""
        async with self._database.read() as transaction:
            return await self._organizations.get(transaction, organization_id)

    async def recent_organization(self, organization_id: str) -> Organization | None:
        """Return an organization as it stood less than a second ago, for requests; None if there is none.

        What :meth:`update_organization` changed in this process is seen at once.
        """

        async def read() -> Organization | None:
            try:
                return await self.organization(organization_id)
            except NotFoundError:
                return None

        return await self._read_organizations.get(organization_id, read)

    async def organizations(self) -> tuple[Organization, ...]:
        """Return all, by creation."""
        async with self._database.read() as transaction:
            return await self._organizations.all(transaction)

    # Users and their linked accounts

    async def create_user(self, actor: Actor, organization_id: str, email: str, third_party_id: str) -> User:
        """Add a user. Raises InvalidFieldError, NotFoundError (the organization), ConflictError if he is there."""
        user = User(
            id=new_id(),
            organization_id=organization_id,
            email=checks.checked_email(email),
            third_party_id=checks.checked_third_party_id(third_party_id),
            created_at=self._clock.now(),
        )
        async with self._database.write() as transaction:
            await self._organizations.get(transaction, organization_id)
            await self._users.add(transaction, user)
            await self._trace(transaction, actor, organization_id, "user.created", {"user": user.id})
        return user

    async def find_or_create_user(self, actor: Actor, organization_id: str, email: str, third_party_id: str) -> User:
        """Return the user of this third-party id; add him if he is not there, and note another e-mail if he has one.

        Where several users have the id, from before it alone made a user, it is the one of this e-mail (without regard
        to case); one of none of theirs is a user of his own. Requests of the same user that come at once get the same
        user. Raises InvalidFieldError, NotFoundError.
        """
        email, third_party_id = checks.checked_email(email), checks.checked_third_party_id(third_party_id)
        async with self._database.read() as transaction:
            known = await self._users.find(transaction, organization_id, email, third_party_id)
        if known is not None:
            return known
        try:
            return await self._meet(actor, organization_id, email, third_party_id)
        except ConflictError:  # another request was first, and is committed
            return await self._meet(actor, organization_id, email, third_party_id)

    async def user(self, organization_id: str, user_id: str) -> User:
        """Raises NotFoundError."""
        async with self._database.read() as transaction:
            return await self._users.get(transaction, organization_id, user_id)

    async def users(self, organization_id: str) -> tuple[User, ...]:
        """Return all users of an organization, by creation. Raises NotFoundError (the organization)."""
        async with self._database.read() as transaction:
            await self._organizations.get(transaction, organization_id)
            return await self._users.all(transaction, organization_id)

    async def link_account(
        self, actor: Actor, organization_id: str, user_id: str, account_id: str, ehr_provider: str | None = None
    ) -> LinkedAccount:
        """Link a user to his account elsewhere.

        Raises InvalidFieldError, NotFoundError (the user), ConflictError if he has a linked account already, or
        another user has this one.
        """
        now = self._clock.now()
        account = LinkedAccount(
            id=new_id(),
            organization_id=organization_id,
            user_id=user_id,
            account_id=checks.checked_account_id(account_id),
            ehr_provider=checks.checked_ehr_provider(ehr_provider),
            created_at=now,
            updated_at=now,
        )
        async with self._database.write() as transaction:
            await self._users.get(transaction, organization_id, user_id)
            await self._users.add_account(transaction, account)
            subject = {"user": user_id, "account": account.id}
            await self._trace(transaction, actor, organization_id, "account.linked", subject)
        return account

    async def unlink_account(self, actor: Actor, organization_id: str, user_id: str) -> LinkedAccount:
        """End the link of a user's account, which can then be linked anew. Raises NotFoundError if there is none."""
        async with self._database.write() as transaction:
            account = await self._users.account(transaction, organization_id, user_id, lock=True)
            if account is None:
                raise NotFoundError("This user has no linked account.")
            now = self._clock.now()
            account = replace(account, updated_at=now, deleted_at=now)
            await self._users.save_account(transaction, account)
            subject = {"user": user_id, "account": account.id}
            await self._trace(transaction, actor, organization_id, "account.unlinked", subject)
        return account

    async def account(self, organization_id: str, user_id: str) -> LinkedAccount | None:
        """Return the account that a user is linked to now."""
        async with self._database.read() as transaction:
            return await self._users.account(transaction, organization_id, user_id)

    # API keys

    async def create_key(
        self,
        actor: Actor,
        organization_id: str,
        kind: KeyKind,
        *,
        scopes: frozenset[Scope] = frozenset(),
        test: bool = False,
        expires_at: datetime | None = None,
        user_id: str | None = None,
    ) -> tuple[ApiKey, str]:
        """Make a key; return it and its text, which is nowhere else and cannot be had again.

        Scopes and a user are for public keys only. Raises InvalidFieldError, NotFoundError (organization or user),
        MasterKeyError if the digest key cannot be loaded.
        """
        if kind is KeyKind.TENANT and scopes:
            raise InvalidFieldError("scopes", "A tenant key has no scopes; leave them out.")
        if kind is KeyKind.TENANT and user_id is not None:
            raise InvalidFieldError("user_id", "A tenant key belongs to the organization; leave the user out.")
        text = new_key_text(kind, test=test)
        digest = await self._digest.digest(text)
        key = ApiKey(
            id=new_id(),
            organization_id=organization_id,
            kind=kind,
            hint=hint(text),
            created_at=self._clock.now(),
            scopes=scopes,
            test=test,
            user_id=user_id,
            expires_at=checks.checked_expiry(expires_at),
        )
        async with self._database.write() as transaction:
            await self._organizations.get(transaction, organization_id)
            if user_id is not None:
                await self._users.get(transaction, organization_id, user_id)
            await self._keys.add(transaction, key, digest)
            detail = {"kind": kind.value, "scopes": " ".join(sorted(scopes)), "test": str(test).lower()}
            await self._trace(transaction, actor, organization_id, "key.created", {"key": key.id}, detail)
        return key, text

    async def keys(self, organization_id: str | None = None) -> tuple[ApiKey, ...]:
        """Return the keys of an organization, or of all, by creation. Raises NotFoundError (the organization)."""
        async with self._database.read() as transaction:
            if organization_id is not None:
                await self._organizations.get(transaction, organization_id)
            return await self._keys.all(transaction, organization_id)

    async def key(self, organization_id: str, key_id: str) -> ApiKey:
        """Return a key by its id, in whatever state. Raises NotFoundError."""
        async with self._database.read() as transaction:
            return await self._keys.get(transaction, organization_id, key_id)

    async def disable_key(self, actor: Actor, key_id: str, *, organization_id: str | None = None) -> ApiKey:
        """Switch a key off until it is enabled. ``organization_id`` None is for the operator.

        Once this returns this process does not accept the key, and a second later no other. Raises NotFoundError.
        """
        return await self._change_key(actor, key_id, organization_id, "key.disabled")

    async def enable_key(self, actor: Actor, key_id: str, *, organization_id: str | None = None) -> ApiKey:
        """Switch a disabled key on again. Raises NotFoundError, ConflictError if it was revoked."""
        return await self._change_key(actor, key_id, organization_id, "key.enabled")

    async def revoke_key(self, actor: Actor, key_id: str, *, organization_id: str | None = None) -> ApiKey:
        """Switch a key off for good, as soon as :meth:`disable_key` does. Raises NotFoundError."""
        return await self._change_key(actor, key_id, organization_id, "key.revoked")

    async def authenticate(self, kind: KeyKind, presented: str) -> ApiKey:
        """Return the key whose text is ``presented``, and note its use.

        A key that was read is not read again before something of this room was changed, or for a second where that
        cannot be seen (:mod:`osler.access.recent`): one that was disabled or revoked stops at once in the process that
        did it, and within a second in every other. ``last_used_at`` is that of the time when it was read.
        Raises NotAllowedError with code ``invalid_key`` (also for what cannot be a key), ``disabled_key``,
        ``revoked_key`` or ``expired_key``, in this order; MasterKeyError if the digest key cannot be loaded.
        """
        if not is_key_text(kind, presented):
            raise _refusal("invalid_key")
        digest = await self._digest.digest(presented)

        async def read() -> ApiKey | None:
            async with self._database.read() as transaction:
                return await self._keys.find(transaction, kind, digest)

        key = await self._read_keys.get((kind, digest), read)
        if key is None:
            raise _refusal("invalid_key")
        now = self._clock.now()
        if (fault := key.fault(now)) is not None:
            raise _refusal(fault)
        self._last_use.note(key.id, now)
        return key

    # Signing keys

    async def signing_keys(self) -> tuple[SigningKey, ...]:
        """Return the keys that verify bearer tokens, the one that signs first; empty before the first is made."""
        return await self._signing.valid()

    async def current_signing_key(self) -> SigningKey:
        """Return the key that signs bearer tokens; make the first one if there is none."""
        return await self._signing.current()

    async def rotate_signing_key(self, actor: Actor, *, overlap: timedelta = OVERLAP) -> SigningKey:
        """Make a new key, which signs from now on; former ones verify for ``overlap`` more (zero: no longer)."""
        return await self._signing.rotate(actor, overlap)

    async def _meet(self, actor: Actor, organization_id: str, email: str, third_party_id: str) -> User:
        """Return a user who is not known by this e-mail, or was not a moment ago. Raises ConflictError if met twice."""
        async with self._database.write() as transaction:
            await self._organizations.get(transaction, organization_id)
            same_id = await self._users.lock_all_of(transaction, organization_id, third_party_id)
            known = await self._users.find(transaction, organization_id, email, third_party_id)
            if known is not None:
                return known
            if len(same_id) == 1:
                user = replace(same_id[0], email=email)
                await self._users.save(transaction, user)
                action = "user.email_changed"
            else:
                user = User(new_id(), organization_id, email, third_party_id, self._clock.now())
                await self._users.add(transaction, user, shares_id=bool(same_id))
                action = "user.created"
            await self._trace(transaction, actor, organization_id, action, {"user": user.id})
        return user

    async def _change_key(self, actor: Actor, key_id: str, organization_id: str | None, action: str) -> ApiKey:
        async with self._database.write() as transaction:
            before = await self._keys.lock(transaction, organization_id, key_id)
            after = _changed_key(before, action, self._clock.now())
            if after != before:
                await self._keys.save(transaction, after)
                await self._trace(transaction, actor, after.organization_id, action, {"key": key_id})
        self._read_keys.forget()
        return after

    async def _store_last_use(self, used: dict[str, datetime]) -> None:
        async with self._database.write() as transaction:
            await self._keys.touch(transaction, used)

    async def _trace(
        self,
        transaction: Transaction,
        actor: Actor,
        organization_id: str,
        action: str,
        subject: dict[str, str] | None = None,
        detail: dict[str, str] | None = None,
    ) -> None:
        event = AuditEvent(
            organization_id, actor, action, self._clock.now(), subject=subject or {}, detail=detail or {}
        )
        await self._audit.append(transaction, [event])


def _changed_key(key: ApiKey, action: str, now: datetime) -> ApiKey:
    match action:
        case "key.disabled":
            return key if key.disabled_at is not None else replace(key, disabled_at=now)
        case "key.enabled":
            if key.revoked_at is not None:
                raise ConflictError("This key was revoked for good; make a new one.")
            return replace(key, disabled_at=None)
        case _:
            return key if key.revoked_at is not None else replace(key, revoked_at=now)


def _refusal(code: str) -> NotAllowedError:
    messages = {
        "invalid_key": "This API key is not known; check it, or have a new one made.",
        "disabled_key": "This API key is disabled; have it enabled, or use another one.",
        "revoked_key": "This API key was revoked; have a new one made.",
        "expired_key": "This API key has expired; have a new one made.",
    }
    return NotAllowedError(code, messages[code])


def _checked_changes(changes: OrganizationChanges) -> dict[str, Any]:
    """Return the changes, checked. Raises InvalidFieldError; TypeError for a setting that there is not."""
    checked: dict[str, Any] = {}
    for field, value in changes.items():
        match field, value:
            case "name", str():
                checked[field] = checks.checked_organization_name(value)
            case "release", str():
                checked[field] = _choice(ReleasePolicy, field, value)
            case "consent", str():
                checked[field] = _choice(ConsentPolicy, field, value)
            case "visibility", str():
                checked[field] = _choice(Visibility, field, value)
            case "retention_days", int() | None:
                checked[field] = checks.checked_retention_days(value)
            case "consent_grace", timedelta():
                checked[field] = checks.checked_consent_grace(value)
            case "public_api", bool():
                checked[field] = value
            case _:
                raise TypeError(f"an organization's {field} cannot be changed to a {type(value).__name__}")
    return checked


def _choice(choices: type[Choice], field: str, value: str) -> Choice:
    try:
        return choices(value)
    except ValueError:
        raise InvalidFieldError(field, f"{field} is one of: {', '.join(choices)}.") from None


def _shown(field: str, value: Any) -> str:
    """Return a setting's new value for the audit trail; a name is only said to have changed."""
    if field == "name":
        return "changed"
    if isinstance(value, timedelta):
        return f"{int(value.total_seconds())} s"
    if isinstance(value, bool):
        return str(value).lower()
    return "none" if value is None else str(value)
