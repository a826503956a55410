"""What the audit room needs from storage, and the key that its chains are made with."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Protocol

from osler.audit.model import AuditEntry, AuditEvent, ChainHead
from osler.kernel.transactions import Transaction


class ChainKey(Protocol):
    """Makes the keyed digests of an organization's chain."""

    def mac(self, organization_id: str, data: bytes) -> str:
        """Return HMAC-SHA256 (hexadecimal) of ``data`` under the organization's chain key."""
        ...


class AuditRepository(Protocol):
    """The rows of the chains. Nothing here changes or removes a row."""

    async def lock_head(self, transaction: Transaction, organization_id: str) -> ChainHead | None:
        """Return the last link, held against other writers until the transaction ends; None for an empty chain."""
        ...

    async def append(self, transaction: Transaction, entries: Sequence[AuditEntry], head: ChainHead) -> None:
        """Write the entries and make ``head`` the last link."""
        ...

    async def head(self, transaction: Transaction, organization_id: str) -> ChainHead | None:
        """Return the last link, None for an empty chain."""
        ...

    def entries(
        self,
        transaction: Transaction,
        organization_id: str,
        *,
        after: int = 0,
        since: datetime | None = None,
        action: str | None = None,
        encounter_id: str | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[AuditEntry]:
        """Yield entries by ascending sequence; ``after`` skips those up to that sequence.

        A row that holds no entry (another hand wrote it) is yielded as an event that its ``mac`` does not fit.
        """
        ...

    async def organizations(self, transaction: Transaction) -> tuple[str, ...]:
        """Return the ids of the organizations that have a chain."""
        ...

    async def newest(
        self,
        transaction: Transaction,
        organization_id: str,
        limit: int,
        *,
        before: int | None = None,
        since: datetime | None = None,
        action: str | None = None,
        encounter_id: str | None = None,
    ) -> tuple[AuditEntry, ...]:
        """Return the last ``limit`` entries, newest first; ``before`` skips those from that sequence on."""
        ...


class AuditTrail(Protocol):
    """What other rooms use to leave a trace."""

    async def append(self, transaction: Transaction, events: Sequence[AuditEvent]) -> None:
        """Chain the events in the caller's transaction: they are recorded if and only if it commits.

        They are written right before the commit. From here on the chain's head is held, and whoever else writes for
        this organization waits: call it late in the transaction.
        """
        ...

    async def record(self, event: AuditEvent) -> None:
        """Chain an event that has no transaction of its own (a read). Durable on return; many are committed at once.

        Never call it inside a write transaction, whose commit it would wait for.
        """
        ...
