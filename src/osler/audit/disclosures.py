"""Disclosures: an entry for every read through the public API, and who saw the record of a visit by any door."""

from collections.abc import AsyncIterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final, Protocol

from osler.audit.model import Actor, AuditEntry, AuditEvent
from osler.audit.ports import AuditTrail
from osler.kernel.clock import Clock
from osler.kernel.transactions import Database, Transaction

LISTED: Final = "encounters.disclosed"
"""One entry for a page of a list; the ids of its encounters stand in ``subject``, by blanks between them."""

READ_ACTIONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "getPublicEncounter": "encounter.disclosed",
        "getPublicDocument": "document.disclosed",
        "getPublicDocumentTranscript": "transcript.disclosed",
        "getPublicDocumentAudioUrl": "recording.disclosed",
    }
)
"""What a read through a route of the public API is called; by the route's ``operationId``."""

READING_VERBS: Final = frozenset({"disclosed", "read", "asked", "listed", "url_signed"})
"""Verbs of actions by which somebody saw, or was handed the means to hear, something of a visit."""


class DisclosureRows(Protocol):
    """What disclosures need of the room's repository."""

    async def organizations(self, transaction: Transaction) -> tuple[str, ...]:
        """Return the ids of the organizations that have a chain."""
        ...

    def entries(
        self, transaction: Transaction, organization_id: str, *, encounter_id: str | None = None
    ) -> AsyncIterator[AuditEntry]:
        """Yield the entries of one encounter by ascending sequence."""
        ...

    def listings(self, transaction: Transaction, organization_id: str, encounter_id: str) -> AsyncIterator[AuditEntry]:
        """Yield the entries called :data:`LISTED` in which the encounter stands, by ascending sequence."""
        ...


class DisclosureService:
    """Writes disclosures, durable on return, and finds them again."""

    def __init__(self, *, audit: AuditTrail, repository: DisclosureRows, database: Database, clock: Clock) -> None:
        self._audit = audit
        self._repository = repository
        self._database = database
        self._clock = clock

    async def listed(
        self, actor: Actor, organization_id: str, encounter_ids: Sequence[str], *, route: str, request_id: str
    ) -> None:
        """Record that a list showed these encounters: one entry for all of them, also where it showed none.

        Durable on return, with others that come at the same time in one commit. Never call it inside a transaction.
        Raises DatabaseUnavailableError, StorageFullError: then nothing may be shown.
        """
        subject = {"encounters": " ".join(encounter_ids)}
        await self._record(actor, organization_id, LISTED, subject, route, request_id)

    async def read(
        self,
        actor: Actor,
        organization_id: str,
        encounter_id: str,
        document_id: str | None,
        *,
        route: str,
        request_id: str,
    ) -> None:
        """Record that this encounter, or this document of it, was shown by ``route`` (of :data:`READ_ACTIONS`).

        As :meth:`listed`. Raises ValueError for another route: it would be a read that nobody finds again.
        """
        action = READ_ACTIONS.get(route)
        if action is None:
            raise ValueError("no route of the public API that shows one encounter")
        subject = {"encounter": encounter_id}
        if document_id is not None:
            subject["document"] = document_id
        await self._record(actor, organization_id, action, subject, route, request_id)

    async def of_encounter(self, encounter_id: str, organization_id: str | None = None) -> Sequence[AuditEntry]:
        """Return every entry by which something of this encounter was shown, by whatever door, oldest first.

        Looks through all chains, or one organization's: also for an encounter that was erased, whose entries stay.
        """
        async with self._database.read() as transaction:
            chains = (
                await self._repository.organizations(transaction) if organization_id is None else (organization_id,)
            )
            found: list[AuditEntry] = []
            for chain in chains:
                async for entry in self._repository.entries(transaction, chain, encounter_id=encounter_id):
                    if is_reading(entry.event):
                        found.append(entry)
                async for entry in self._repository.listings(transaction, chain, encounter_id):
                    found.append(entry)
        return sorted(found, key=_when)

    async def _record(
        self, actor: Actor, organization_id: str, action: str, subject: dict[str, str], route: str, request_id: str
    ) -> None:
        # str: a member of an enumeration is no text that a driver or JSON is sure to write as one.
        detail = {"route": str(route), "request": request_id}
        await self._audit.record(
            AuditEvent(organization_id, actor, action, self._clock.now(), subject=subject, detail=detail)
        )


def is_reading(event: AuditEvent) -> bool:
    """Say whether this event showed somebody something of a visit."""
    return event.action.rpartition(".")[2] in READING_VERBS


def _when(entry: AuditEntry) -> tuple[object, str, int]:
    return entry.event.at, entry.event.organization_id, entry.sequence
