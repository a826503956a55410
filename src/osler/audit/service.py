"""The audit trail: chains events, commits those of reads in groups, lists and verifies the chains."""

import asyncio
import builtins
import re
from collections.abc import Sequence
from datetime import datetime
from itertools import groupby
from typing import Final

from osler.audit.chain import ChainCheck, ChainMacs
from osler.audit.group_commit import GroupCommit
from osler.audit.model import AuditEntry, AuditEvent, ChainHead, Verification
from osler.audit.ports import AuditRepository, ChainKey
from osler.kernel.errors import InvalidFieldError
from osler.kernel.transactions import Database, Transaction

PAGE: Final = 5000
"""Entries read at once while a chain is verified."""

_NOT_STORABLE: Final = re.compile("[\0\ud800-\udfff]")


class AuditService:
    """Implements :class:`osler.audit.ports.AuditTrail` and what operators ask of the trail."""

    def __init__(self, *, database: Database, repository: AuditRepository, chain_key: ChainKey) -> None:
        self._database = database
        self._repository = repository
        self._chain_key = chain_key
        self._group = GroupCommit(self._commit)
        self._open = True

    def start(self) -> None:
        """Accept events to record (again)."""
        self._open = True

    async def stop(self) -> None:
        """Accept no more events to record, and return when those under way are durable."""
        self._open = False
        await self._group.drain()

    async def append(self, transaction: Transaction, events: Sequence[AuditEvent]) -> None:
        """Chain the events in the caller's transaction: they are recorded if and only if it commits.

        They are written right before the commit, together with those of others who share it. From here on the chain's
        head is held, and whoever else writes for this organization waits: call it late in the transaction.
        Raises InvalidFieldError for an event that cannot be stored as it is.
        """
        for event in events:
            _check_storable(event)
        for organization_id in sorted({event.organization_id for event in events}):
            await self._repository.lock_head(transaction, organization_id)
        transaction.before_commit(self._chain, events)

    async def record(self, event: AuditEvent) -> None:
        """Chain an event that has no transaction of its own (a read). Durable on return; many are committed at once.

        Survives the cancellation of its caller. Never call it inside a write transaction, whose commit it would wait
        for. Raises InvalidFieldError for an event that cannot be stored as it is, DatabaseUnavailableError,
        StorageFullError; RuntimeError after :meth:`stop`.
        """
        if not self._open:
            raise RuntimeError("the audit trail is stopped")
        _check_storable(event)  # here, so that it fails its own caller and not all of the group
        await self._group.add(event)

    async def organizations(self) -> tuple[str, ...]:
        """Return the ids that have a chain: organizations and, where it acted, the deployment."""
        async with self._database.read() as transaction:
            return await self._repository.organizations(transaction)

    async def list(
        self,
        organization_id: str,
        *,
        encounter_id: str | None = None,
        action: str | None = None,
        since: datetime | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> tuple[AuditEntry, ...]:
        """Return the last ``limit`` entries, newest first; ``before`` (a sequence) goes on from an earlier page."""
        async with self._database.read() as transaction:
            return await self._repository.newest(
                transaction,
                organization_id,
                limit,
                before=before,
                since=since,
                action=action,
                encounter_id=encounter_id,
            )

    async def head(self, organization_id: str) -> ChainHead | None:
        """Return the last link, to be kept elsewhere; None for a chain without entries."""
        async with self._database.read() as transaction:
            return await self._repository.head(transaction, organization_id)

    async def verify(self, organization_id: str, head: ChainHead | None = None) -> Verification:
        """Read the whole chain and name every fault; with a ``head`` that was kept elsewhere also what the chain alone
        cannot show: that it is an older state, or was made anew by one who has the key.

        Entries that others append meanwhile are verified too. Raises InvalidFieldError if ``head`` is of another
        organization.
        """
        if head is not None and (head.organization_id != organization_id or head.sequence < 1):
            raise InvalidFieldError(
                "head", "This head is not of this organization's chain; name the one it belongs to."
            )
        check = ChainCheck(self._chain_key, organization_id, head)
        after: int | None = None
        while True:
            # A page and its head are of one moment, and no transaction is open while the page is checked.
            async with self._database.read() as transaction:
                last = await self._repository.head(transaction, organization_id)
                page = await self._page(transaction, organization_id, after)
            await asyncio.to_thread(check.feed, page)
            if len(page) < PAGE:
                return check.finish(last)
            after = page[-1].sequence

    async def _page(
        self, transaction: Transaction, organization_id: str, after: int | None
    ) -> "builtins.list[AuditEntry]":
        # Sequences begin with 1; a row that was slipped in before that is to be seen too.
        start = -(2**63) if after is None else after
        entries = self._repository.entries(transaction, organization_id, after=start, limit=PAGE)
        return [entry async for entry in entries]

    async def _chain(self, transaction: Transaction, events: Sequence[AuditEvent]) -> None:
        # By organization, so that two transactions that append to the same chains take their heads in one order.
        for organization_id, group in groupby(sorted(events, key=_organization), _organization):
            macs = ChainMacs(self._chain_key, organization_id)
            head = await self._repository.lock_head(transaction, organization_id)
            entries = []
            for event in group:
                entry, head = macs.entry(event, head)
                entries.append(entry)
            assert head is not None
            await self._repository.append(transaction, entries, head)

    async def _commit(self, events: Sequence[AuditEvent]) -> None:
        async with self._database.write() as transaction:
            transaction.before_commit(self._chain, events)  # each was looked at when it came


def _organization(event: AuditEvent) -> str:
    return event.organization_id


def _check_storable(event: AuditEvent) -> None:
    """Raise InvalidFieldError for what a database would refuse or give back as something else."""
    if event.at.tzinfo is None:
        raise InvalidFieldError("at", "The time of an audit event needs its zone.")
    actor = event.actor
    texts = [event.organization_id, actor.id, actor.origin, event.action]
    for mapping in (event.subject, event.detail):
        texts += [*mapping.keys(), *mapping.values()]
    for text in texts:
        if not isinstance(text, str):
            raise InvalidFieldError("event", "Subject and detail of an audit event hold texts only.")
        if _NOT_STORABLE.search(text):
            raise InvalidFieldError("event", "An audit event holds a character that cannot be stored.")
