"""Encounters with what hangs on them, read in as few statements as there is something to read."""

from collections import defaultdict
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, bindparam, exists

from osler.audio.model import AudioRecording
from osler.encounters.model import EncounterFilter
from osler.kernel.errors import NotFoundError
from osler.kernel.pages import Page, Position
from osler.kernel.transactions import Transaction
from osler.notes.model import Document, EncounterOverview
from osler.storage.database import connection_of
from osler.storage.repositories.audio import SqlRecordingRepository
from osler.storage.repositories.encounters import SqlEncounterRepository
from osler.storage.repositories.notes import SqlDocumentRepository, SqlNoteRepository
from osler.storage.repositories.sealed import with_key
from osler.storage.tables.audio import recordings
from osler.storage.tables.encounters import encounters
from osler.storage.tables.notes import documents, notes


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
            await connection_of(transaction).execute(_ONE, {"organization": organization_id, "encounter": encounter_id})
        ).one_or_none()
        if row is None:
            raise NotFoundError("there is no such encounter")
        place = transaction, organization_id, encounter_id
        return EncounterOverview(
            self._encounters.encounter_of(row),
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
        ids = [encounter.id for encounter in page.items]
        if not ids:
            return Page((), page.following)
        recorded: defaultdict[str, list[AudioRecording]] = defaultdict(list)
        for recording in await self._recordings.of_encounters(transaction, organization_id, ids):
            recorded[recording.encounter_id].append(recording)
        newest = {n.encounter_id: n for n in await self._notes.newest_of(transaction, organization_id, ids)}
        documented: defaultdict[str, list[Document]] = defaultdict(list)
        for document in await self._documents.of_encounters(transaction, organization_id, ids):
            documented[document.encounter_id].append(document)
        overviews = (
            EncounterOverview(each, recorded[each.id], newest.get(each.id), documented[each.id]) for each in page.items
        )
        return Page(tuple(overviews), page.following)

    async def count(self, transaction: Transaction, organization_id: str, wanted: EncounterFilter) -> int:
        """Return how many encounters fit."""
        return await self._encounters.count(transaction, organization_id, wanted)


def _one() -> Select[Any]:
    """Return the query of one encounter, which also says what hangs on it: most have little, and that is not read."""

    def has(table: Any) -> ColumnElement[bool]:
        below = table.c.organization_id == encounters.c.organization_id, table.c.encounter_id == encounters.c.id
        return exists().where(*below).correlate(encounters)

    return (
        with_key(encounters)
        .add_columns(
            has(recordings).label("has_recordings"),
            has(notes).label("has_notes"),
            has(documents).label("has_documents"),
        )
        .where(encounters.c.organization_id == bindparam("organization"), encounters.c.id == bindparam("encounter"))
    )


_ONE: Final = _one()
