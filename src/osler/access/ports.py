"""What the access room needs from storage and from the keeper of the digest key."""

from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from osler.access.model import ApiKey, KeyKind, LinkedAccount, Organization, SigningKey, User
from osler.kernel.transactions import Transaction

if TYPE_CHECKING:
    from osler.access.idempotency import KeptRequest, RequestKey


class KeyDigest(Protocol):
    """Digests API keys with the digest key (pepper)."""

    async def digest(self, key: str) -> bytes:
        """Return HMAC-SHA256 of the whole key. Raises MasterKeyError if the digest key cannot be loaded."""
        ...


class OrganizationRepository(Protocol):
    """Organizations. The only rows that are not below one."""

    async def add(self, transaction: Transaction, organization: Organization) -> None:
        """Raises ConflictError if the id is taken."""
        ...

    async def get(self, transaction: Transaction, organization_id: str) -> Organization:
        """Raises NotFoundError."""
        ...

    async def lock(self, transaction: Transaction, organization_id: str) -> Organization:
        """As get, held against other writers. Raises NotFoundError."""
        ...

    async def save(self, transaction: Transaction, organization: Organization) -> None: ...

    async def all(self, transaction: Transaction) -> tuple[Organization, ...]:
        """Return all, by creation."""
        ...


class UserRepository(Protocol):
    """Users and their linked accounts."""

    async def add(self, transaction: Transaction, user: User, *, shares_id: bool = False) -> None:
        """Write a new user. ``shares_id``: several others have his third-party id already, with other e-mails.

        Raises ConflictError if e-mail and third-party id together are taken or, unless it is shared, the latter.
        """
        ...

    async def lock_all_of(
        self, transaction: Transaction, organization_id: str, third_party_id: str
    ) -> tuple[User, ...]:
        """Return who has a third-party id, by creation, held against other writers."""
        ...

    async def save(self, transaction: Transaction, user: User) -> None:
        """Write the e-mail of a user who is held."""
        ...

    async def get(self, transaction: Transaction, organization_id: str, user_id: str) -> User:
        """Raises NotFoundError."""
        ...

    async def find(
        self, transaction: Transaction, organization_id: str, email: str, third_party_id: str
    ) -> User | None:
        """Find by blind index; e-mail without regard to case."""
        ...

    async def all(self, transaction: Transaction, organization_id: str) -> tuple[User, ...]: ...

    async def add_account(self, transaction: Transaction, account: LinkedAccount) -> None:
        """Raises ConflictError if the user has a live account already, or the account is linked to another user."""
        ...

    async def account(
        self, transaction: Transaction, organization_id: str, user_id: str, *, lock: bool = False
    ) -> LinkedAccount | None:
        """Return the user's live account; with ``lock`` held against other writers."""
        ...

    async def save_account(self, transaction: Transaction, account: LinkedAccount) -> None: ...


class ApiKeyRepository(Protocol):
    """API keys by id and by digest."""

    async def add(self, transaction: Transaction, key: ApiKey, digest: bytes) -> None: ...

    async def find(self, transaction: Transaction, kind: KeyKind, digest: bytes) -> ApiKey | None:
        """Find by digest, in whatever organization: this is how a caller says who he is."""
        ...

    async def get(self, transaction: Transaction, organization_id: str, key_id: str) -> ApiKey:
        """Raises NotFoundError."""
        ...

    async def lock(self, transaction: Transaction, organization_id: str | None, key_id: str) -> ApiKey:
        """Raises NotFoundError. ``organization_id`` None is for the operator, who may hold any key's id."""
        ...

    async def save(self, transaction: Transaction, key: ApiKey) -> None: ...

    async def all(self, transaction: Transaction, organization_id: str | None) -> tuple[ApiKey, ...]: ...

    async def touch(self, transaction: Transaction, used: dict[str, datetime]) -> None:
        """Store when keys (by id) were last used; many at once, never one write a request."""
        ...


class PublicSwitchRepository(Protocol):
    """The switches of the public API, of the whole deployment. What has no row is off."""

    async def all(self, transaction: Transaction) -> frozenset[str]:
        """Return the names that are on."""
        ...

    async def switch_on(self, transaction: Transaction, name: str, at: datetime) -> bool:
        """Write a row. False: it was on already."""
        ...

    async def switch_off(self, transaction: Transaction, name: str) -> bool:
        """Remove a row. False: it was off already."""
        ...


class SigningKeyRepository(Protocol):
    """Keys that sign bearer tokens, sealed at rest."""

    async def add(self, transaction: Transaction, key: SigningKey) -> None: ...

    async def all(self, transaction: Transaction) -> tuple[SigningKey, ...]:
        """Return all keys, newest first."""
        ...

    async def lock_all(self, transaction: Transaction) -> tuple[SigningKey, ...]:
        """As all; until the transaction ends nobody else adds a key."""
        ...

    async def retire(self, transaction: Transaction, key_id: str, at: datetime) -> None: ...


class AccessRevisionRepository(Protocol):
    """Which state of organizations, keys, switches and signing keys the database is in.

    Whoever saves an organization or an API key, switches, or adds or retires a signing key brings another revision in
    his own transaction; the repositories above do. A new organization or API key, which nobody can have in memory, and
    the time of a key's last use bring none.
    """

    async def current(self, transaction: Transaction) -> str | None:
        """Return the revision, which never comes again; None before the first change."""
        ...


class IdempotencyRepository(Protocol):
    """Requests that carry a key of their own. The key itself is not kept, only a blind index."""

    def named(self, key: "RequestKey", claim: str, now: datetime, lease_until: datetime) -> "KeptRequest":
        """Return a request that is to be worked on, with the id that its key always has."""
        ...

    def is_digest(self, kept: "KeptRequest", digest: bytes) -> bool:
        """Say whether the kept body had this digest. What is kept of it is keyed, so that nobody can test a guess."""
        ...

    async def add_or_lock(self, transaction: Transaction, request: "KeptRequest") -> "KeptRequest | None":
        """Write a new request; return the one that stands already instead, held against other writers."""
        ...

    async def replace(self, transaction: Transaction, request: "KeptRequest") -> None:
        """Begin anew in the place of a request that was held."""
        ...

    async def renew(self, transaction: Transaction, request: "KeptRequest", lease_until: datetime) -> None:
        """Prolong the lease, while the claim is still the same."""
        ...

    async def mark_effect(self, transaction: Transaction, request: "KeptRequest") -> None:
        """Note that the work took effect. Raises ConflictError if the claim is another's by now."""
        ...

    async def keep(self, transaction: Transaction, request: "KeptRequest") -> None:
        """Write digest and answer, while the claim is still the same."""
        ...

    async def release(self, transaction: Transaction, request: "KeptRequest", at: datetime) -> None:
        """End the lease; a request that took no effect is removed."""
        ...

    async def purge(self, transaction: Transaction, begun_before: datetime, most: int) -> int:
        """Remove the oldest requests, at most so many, with the keys of their seals; returns how many."""
        ...
