"""Reads an encounter at a glance: itself, its recordings, its newest note and its documents."""

from osler.access.model import Visibility
from osler.access.ports import OrganizationRepository
from osler.encounters.model import Encounter, EncounterFilter
from osler.encounters.service import NO_ENCOUNTER
from osler.kernel.errors import NotFoundError
from osler.kernel.pages import Page, Position
from osler.kernel.transactions import Database, Transaction
from osler.notes.model import EncounterOverview
from osler.notes.ports import OverviewRepository


class OverviewService:
    """Reads for doors that show an encounter whole. ``user_id`` is whose eyes the caller looks through."""

    def __init__(
        self, *, database: Database, overviews: OverviewRepository, organizations: OrganizationRepository
    ) -> None:
        self._database = database
        self._overviews = overviews
        self._organizations = organizations

    async def get(self, organization_id: str, encounter_id: str, *, user_id: str | None = None) -> EncounterOverview:
        """Return an encounter with what hangs on it. Raises NotFoundError, also for what the user may not see."""
        async with self._database.read() as transaction:
            found = await self._overviews.get(transaction, organization_id, encounter_id)
            if user_id not in (None, found.encounter.owner_id):
                organization = await self._organizations.get(transaction, organization_id)
                if organization.visibility is not Visibility.TENANT:
                    raise NotFoundError(NO_ENCOUNTER)
        return found

    async def within(self, transaction: Transaction, organization_id: str, encounter_id: str) -> EncounterOverview:
        """Return an encounter as it stands in the caller's transaction, whoever may see it. Raises NotFoundError."""
        return await self._overviews.get(transaction, organization_id, encounter_id)

    async def of_locked(self, transaction: Transaction, encounter: Encounter) -> EncounterOverview:
        """Return what hangs on an encounter that the caller's transaction has locked and added nothing to."""
        return await self._overviews.of_locked(transaction, encounter)

    async def page(
        self,
        organization_id: str,
        wanted: EncounterFilter,
        *,
        limit: int,
        after: Position | None = None,
        offset: int = 0,
    ) -> tuple[Page[EncounterOverview], int]:
        """Return one page, newest first, and how many encounters all pages have; both of one moment.

        What is made while a caller goes from page to page by ``after`` comes before his first page: he sees nothing
        twice and misses nothing that was there when he began.
        """
        async with self._database.read() as transaction:
            page = await self._overviews.list(
                transaction, organization_id, wanted, limit=limit, after=after, offset=offset
            )
            return page, await self._overviews.count(transaction, organization_id, wanted)
