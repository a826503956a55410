"""What the public API opens at all: one switch for it, one for each route, and the organizations that it serves."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Protocol

from osler.access.model import Organization, Scope
from osler.audit.model import DEPLOYMENT, Actor, AuditEvent

if TYPE_CHECKING:
    from osler.access.ports import PublicSwitchRepository
    from osler.access.recent import Watch
    from osler.audit.ports import AuditTrail
    from osler.kernel.clock import Clock
    from osler.kernel.transactions import Database

API: Final = "api"
"""Name of the switch of the public API as a whole. No route is called so."""


class PublicRoute(StrEnum):
    """A route of the public API by its ``operationId``, the name that it is switched on by."""

    LIST_ENCOUNTERS = "listPublicEncounters"
    ENCOUNTER = "getPublicEncounter"
    DOCUMENT = "getPublicDocument"
    TRANSCRIPT = "getPublicDocumentTranscript"
    AUDIO = "getPublicDocumentAudioUrl"


_ENCOUNTER: Final = frozenset({Scope.ENCOUNTERS, Scope.PATIENTS, Scope.DOCUMENTS})
_DOCUMENT: Final = frozenset({Scope.ENCOUNTERS, Scope.DOCUMENTS})

REQUIRED_SCOPES: Final[Mapping[PublicRoute, frozenset[Scope]]] = MappingProxyType(
    {
        PublicRoute.LIST_ENCOUNTERS: _ENCOUNTER,
        PublicRoute.ENCOUNTER: _ENCOUNTER,
        PublicRoute.DOCUMENT: _DOCUMENT,
        PublicRoute.TRANSCRIPT: _DOCUMENT,
        PublicRoute.AUDIO: _DOCUMENT | {Scope.RECORDINGS},
    }
)
"""What a key must carry for a route, all of it (the contract's ``x-charthero-required-scopes``)."""


@dataclass(frozen=True, slots=True)
class PublicSwitches:
    """What is switched on. Without the API as a whole no route answers; nothing is on until somebody switched it on."""

    enabled: bool = False
    routes: frozenset[PublicRoute] = frozenset()


class RecentOrganizations(Protocol):
    """What is needed of :class:`osler.access.service.AccessService`."""

    async def recent_organization(self, organization_id: str) -> Organization | None:
        """Return an organization as it stood less than a second ago; None if there is none."""
        ...


class PublicAccess:
    """The switches of the deployment, for requests and for operators. Every change leaves an audit event.

    What requests ask is taken from memory for as long as nothing was changed: a change holds at once in the process
    that made it and within a second in every other.
    """

    def __init__(
        self,
        *,
        database: "Database",
        clock: "Clock",
        switches: "PublicSwitchRepository",
        organizations: RecentOrganizations,
        audit: "AuditTrail",
        watch: "Watch | None" = None,
    ) -> None:
        """``organizations`` is the AccessService, so that what it changes holds here at once.

        ``watch`` lets the switches stay in memory until they are changed.
        """
        from osler.access.recent import Recent  # here: the command line's help loads this module, and no event loop

        self._database = database
        self._clock = clock
        self._repository = switches
        self._organizations = organizations
        self._audit = audit
        self._recent: Recent[None, PublicSwitches] = Recent(watch=watch)

    async def switches(self) -> PublicSwitches:
        """Return the switches as they stand now."""
        async with self._database.read() as transaction:
            on = await self._repository.all(transaction)
        return PublicSwitches(API in on, frozenset(route for route in PublicRoute if route.value in on))

    async def recent_switches(self) -> PublicSwitches:
        """Return the switches as they stood less than a second ago, for requests."""
        switches = await self._recent.get(None, self.switches)
        assert switches is not None
        return switches

    async def recent_organization_allowed(self, organization_id: str) -> bool:
        """Say whether the public API served this organization less than a second ago, for requests."""
        organization = await self._organizations.recent_organization(organization_id)
        return organization is not None and organization.public_api

    async def switch_api(self, actor: Actor, on: bool) -> PublicSwitches:
        """Switch the API as a whole; what is so already stays, and leaves no event. Return what stands then."""
        return await self._switch(actor, {API: "public_api"}, on)

    async def switch_route(self, actor: Actor, route: PublicRoute, on: bool) -> PublicSwitches:
        """Switch one route, as :meth:`switch_api`."""
        return await self._switch(actor, {route.value: "public_route"}, on)

    async def switch_routes(self, actor: Actor, on: bool) -> PublicSwitches:
        """Switch every route in one transaction, as :meth:`switch_api`; an event for each that changes."""
        return await self._switch(actor, {route.value: "public_route" for route in PublicRoute}, on)

    async def _switch(self, actor: Actor, names: Mapping[str, str], on: bool) -> PublicSwitches:
        """Switch these names; the value is the noun of their event."""
        async with self._database.write() as transaction:
            now = self._clock.now()
            events = []
            for name, noun in names.items():
                if on:
                    changed = await self._repository.switch_on(transaction, name, now)
                else:
                    changed = await self._repository.switch_off(transaction, name)
                if changed:
                    action = f"{noun}.{'enabled' if on else 'disabled'}"
                    events.append(AuditEvent(DEPLOYMENT, actor, action, now, subject={"switch": name}))
            if events:
                await self._audit.append(transaction, events)
        self._recent.forget()
        return await self.switches()
