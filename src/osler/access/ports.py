"""What the access room needs from storage and from the keeper of the digest key."""

from datetime import datetime
from typing import Protocol

from osler.access.model import ApiKey, KeyKind, LinkedAccount, Organization, SigningKey, User
from osler.kernel.transactions import Transaction


class KeyDigest(Protocol):
    """Digests API keys with the digest key (pepper)."""

    def digest(self, key: str) -> bytes:
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

    async def add(self, transaction: Transaction, user: User) -> None:
        """Raises ConflictError if e-mail and third-party id together are taken."""
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

    async def lock(self, transaction: Transaction, organization_id: str | None, key_id: str) -> ApiKey:
        """Raises NotFoundError. ``organization_id`` None is for the operator, who may hold any key's id."""
        ...

    async def save(self, transaction: Transaction, key: ApiKey) -> None: ...

    async def all(self, transaction: Transaction, organization_id: str | None) -> tuple[ApiKey, ...]: ...

    async def touch(self, transaction: Transaction, used: dict[str, datetime]) -> None:
        """Store when keys (by id) were last used; many at once, never one write a request."""
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
