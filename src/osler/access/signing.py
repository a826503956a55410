"""The keys that sign bearer tokens: the newest signs, former ones verify until they are retired."""

import secrets
from datetime import timedelta
from typing import Final

from osler.access.model import SigningKey
from osler.access.ports import SigningKeyRepository
from osler.audit.model import DEPLOYMENT, SYSTEM, Actor, AuditEvent
from osler.audit.ports import AuditTrail
from osler.kernel.clock import Clock
from osler.kernel.errors import InvalidFieldError
from osler.kernel.ids import new_id
from osler.kernel.transactions import Database, Transaction

SECRET_SIZE: Final = 32
"""Bytes of a signing key: as many as HMAC-SHA256 puts out (RFC 7518, section 3.2)."""

OVERLAP: Final = timedelta(hours=24)
"""How long a former key verifies after a rotation: far longer than a bearer token lives."""


class SigningKeys:
    """Makes, lists and rotates signing keys. They belong to the deployment, not to an organization."""

    def __init__(
        self, *, database: Database, clock: Clock, repository: SigningKeyRepository, audit: AuditTrail
    ) -> None:
        self._database = database
        self._clock = clock
        self._repository = repository
        self._audit = audit

    async def valid(self) -> tuple[SigningKey, ...]:
        """Return the keys that verify, newest first; empty before the first one is made."""
        async with self._database.read() as transaction:
            keys = await self._repository.all(transaction)
        return self._unretired(keys)

    async def current(self) -> SigningKey:
        """Return the key that signs; make the first one if there is none."""
        if keys := await self.valid():
            return keys[0]
        async with self._database.write() as transaction:
            if keys := self._unretired(await self._repository.lock_all(transaction)):
                return keys[0]  # another process was first
            key = await self._add(transaction)
            await self._leave_trace(transaction, SYSTEM, "signing_key.created", key)
            return key

    async def rotate(self, actor: Actor, overlap: timedelta = OVERLAP) -> SigningKey:
        """Make a new key, which signs from now on; those before it verify for ``overlap`` more.

        ``overlap`` of zero ends every token that was signed before. Raises InvalidFieldError for a negative one.
        """
        if overlap < timedelta(0):
            raise InvalidFieldError("overlap", "The overlap of signing keys cannot be negative.")
        async with self._database.write() as transaction:
            former = await self._repository.lock_all(transaction)
            key = await self._add(transaction)
            until = key.created_at + overlap
            for old in former:
                if old.retired_at is None or old.retired_at > until:
                    await self._repository.retire(transaction, old.id, until)
            await self._leave_trace(transaction, actor, "signing_key.rotated", key)
            return key

    def _unretired(self, keys: tuple[SigningKey, ...]) -> tuple[SigningKey, ...]:
        now = self._clock.now()
        left = [key for key in keys if key.retired_at is None or key.retired_at > now]
        # The one that signs has no end; that it is also the youngest holds only as long as no clock is set back.
        return tuple(sorted(left, key=lambda key: key.retired_at is not None))

    async def _add(self, transaction: Transaction) -> SigningKey:
        key = SigningKey(new_id(), secrets.token_bytes(SECRET_SIZE), self._clock.now())
        await self._repository.add(transaction, key)
        return key

    async def _leave_trace(self, transaction: Transaction, actor: Actor, action: str, key: SigningKey) -> None:
        event = AuditEvent(DEPLOYMENT, actor, action, key.created_at, {"signing_key": key.id})
        await self._audit.append(transaction, [event])
