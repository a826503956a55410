"""Encounters with what hangs on them, read in as few statements as there is something to read."""

import logging
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row

from osler.audio.model import AudioRecording
from osler.encounters.model import Encounter, EncounterFilter
from osler.kernel.errors import CorruptedError, MasterKeyError, NotFoundError
from osler.kernel.pages import Page, Position
from osler.kernel.transactions import Transaction
from osler.notes.model import Document, EncounterOverview
from osler.storage.database import connection_of, inside
from osler.storage.repositories.audio import SqlRecordingRepository
from osler.storage.repositories.encounters import HANGING, ONE, SqlEncounterRepository
from osler.storage.repositories.notes import SqlDocumentRepository, SqlNoteRepository

logger = logging.getLogger(__name__)


class SqlOverviewRepository:
    """Implements :class:`osler.notes.ports.OverviewRepository` on the repositories of the rooms."""

    def __init__(
        self,
        *,
        encounters: SqlEncounterRepository,
        recordings: SqlRecordingRepository,
        notes: SqlNoteRepository,
        documents: SqlDocumentRepository,
    ) -> None:
        self._encounters = encounters
        self._recordings = recordings
        self._notes = notes
        self._documents = documents

    async def get(self, transaction: Transaction, organization_id: str, encounter_id: str) -> EncounterOverview:
        """Raises NotFoundError."""
        row = (
            await connection_of(transaction).execute(ONE, {"organization": organization_id, "encounter": encounter_id})
        ).one_or_none()
        if row is None:
            raise NotFoundError("there is no such encounter")
        return await self._with_rest(transaction, self._encounters.encounter_of(row), row)

    async def of_locked(self, transaction: Transaction, encounter: Encounter) -> EncounterOverview:
        """Return the overview of an encounter that this transaction has locked and to which it has added nothing."""
        row = inside(transaction).held[HANGING, encounter.id]
        return await self._with_rest(transaction, encounter, row)

    async def _with_rest(self, transaction: Transaction, encounter: Encounter, row: Row[Any]) -> EncounterOverview:
        place = transaction, encounter.organization_id, encounter.id
        return EncounterOverview(
            encounter,
            await self._recordings.of_encounter(*place) if row.has_recordings else (),
            await self._notes.current(*place) if row.has_notes else None,
            await self._documents.list(*place) if row.has_documents else (),
        )

    async def list(
        self,
        transaction: Transaction,
        organization_id: str,
        wanted: EncounterFilter,
        *,
        limit: int,
        after: Position | None = None,
        offset: int = 0,
    ) -> Page[EncounterOverview]:
        """Return one page, newest first."""
        page = await self._encounters.list(
            transaction, organization_id, wanted, limit=limit, after=after, offset=offset
        )
        if not page.items:
            return Page((), page.following, page.damaged)
        try:
            overviews = await self._of_page(transaction, organization_id, page.items)
        except (CorruptedError, MasterKeyError):
            return await self._one_by_one(transaction, page)
        return Page(overviews, page.following, page.damaged)

    async def _one_by_one(self, transaction: Transaction, page: Page[Encounter]) -> Page[EncounterOverview]:
        """Return what can be read of a page on which something that hangs on an encounter is damaged."""
        found: list[EncounterOverview] = []
        damaged = list(page.damaged)
        for each in page.items:
            try:
                found += await self._of_page(transaction, each.organization_id, [each])
            except (CorruptedError, MasterKeyError) as error:
                damaged.append(each.id)
                logger.error("damaged row", extra={"encounter_id": each.id, "error": type(error)})
        return Page(tuple(found), page.following, tuple(damaged))

    async def _of_page(
        self, transaction: Transaction, organization_id: str, items: Sequence[Encounter]
    ) -> tuple[EncounterOverview, ...]:
        ids = [each.id for each in items]
        recorded: defaultdict[str, list[AudioRecording]] = defaultdict(list)
        for recording in await self._recordings.of_encounters(transaction, organization_id, ids):
            recorded[recording.encounter_id].append(recording)
        newest = {n.encounter_id: n for n in await self._notes.newest_of(transaction, organization_id, ids)}
        documented: defaultdict[str, list[Document]] = defaultdict(list)
        for document in await self._documents.of_encounters(transaction, organization_id, ids):
            documented[document.encounter_id].append(document)
        overviews = (
            EncounterOverview(each, recorded[each.id], newest.get(each.id), documented[each.id]) for each in items
        )
        return tuple(overviews)

    async def count(self, transaction: Transaction, organization_id: str, wanted: EncounterFilter) -> int:
        """Return how many encounters fit."""
        return await self._encounters.count(transaction, organization_id, wanted)
