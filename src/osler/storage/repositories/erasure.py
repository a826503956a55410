"""Erasure over all rooms' tables: keys destroyed, sealed columns emptied, rows left as tombstones."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Select,
    Table,
    and_,
    case,
    delete,
    false,
    or_,
    select,
    true,
    union_all,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from osler.audio.model import RecordingState, SegmentStatus
from osler.coding.model import CodingStatus
from osler.encounters.model import (
    Consent,
    EncounterStanding,
    EncounterState,
    Erasure,
    ErasureReason,
    ErasureScope,
    UnfinishedErasure,
)
from osler.kernel.clock import Clock
from osler.kernel.errors import NotFoundError
from osler.kernel.jobs import JobKind, JobState
from osler.kernel.transactions import Transaction
from osler.notes.model import TextStatus
from osler.storage.database import SqlDatabase, connection_of
from osler.storage.repositories.encounters import CLINICIAN_NOTES
from osler.storage.repositories.insertion import insert_unless_there
from osler.storage.repositories.sealed import SealedRows, destroy_keys, with_key
from osler.storage.tables.audio import recordings, segments
from osler.storage.tables.coding import code_sets
from osler.storage.tables.encounters import context_documents, encounters
from osler.storage.tables.erasures import erasures
from osler.storage.tables.jobs import jobs
from osler.storage.tables.metadata import metadata
from osler.storage.tables.notes import documents, form_answers, notes
from osler.storage.tables.release import released_documents
from osler.storage.tables.sealing import object_keys
from osler.storage.tables.speech import segment_transcripts, transcripts

SIGNABLE: Final[tuple[Table, ...]] = (notes, documents)
TEXTS: Final[tuple[Table, ...]] = (transcripts, segment_transcripts, form_answers, code_sets, *SIGNABLE)
"""Tables with ``key_id``, ``sealed`` and ``created_at`` below an encounter."""

RELEASABLE: Final[tuple[Table, ...]] = (transcripts, code_sets, form_answers, *SIGNABLE)
"""Tables whose rows a released document can stand for."""

ERASED_CODE: Final = "erased"
"""Error code of work, and failure of a text, that an erasure ended."""


class SqlEncounterEraser:
    """Implements :class:`osler.encounters.ports.EncounterEraser`."""

    def __init__(self, database: SqlDatabase, sealed: SealedRows, clock: Clock) -> None:
        self._database = database
        self._sealed = sealed
        self._clock = clock

    async def lock(self, transaction: Transaction, organization_id: str, encounter_id: str) -> EncounterStanding:
        """Return how the encounter stands, held against other writers; opens nothing sealed. Raises NotFoundError."""
        connection = connection_of(transaction)
        query = select(
            encounters.c.state,
            encounters.c.consent_given,
            encounters.c.consent_changed_at,
            encounters.c.consent_erase_at,
        ).where(encounters.c.organization_id == organization_id, encounters.c.id == encounter_id)
        row = (await connection.execute(query.with_for_update(key_share=True))).one_or_none()
        if row is None:
            raise NotFoundError("there is no such encounter")
        signed = union_all(
            *(
                select(table.c.id).where(
                    _of(table, organization_id, encounter_id),
                    table.c.signed_at.is_not(None),
                    table.c.sealed.is_not(None),
                )
                for table in SIGNABLE
            )
        )
        return EncounterStanding(
            EncounterState(row.state),
            Consent(row.consent_given, row.consent_changed_at, row.consent_erase_at),
            tuple((await connection.execute(signed)).scalars()),
        )

    async def destroy(
        self, transaction: Transaction, erasure: Erasure, *, created_before: datetime | None = None
    ) -> bool:
        """Destroy what the erasure covers; see the port."""
        connection = connection_of(transaction)
        try:
            await self.lock(transaction, erasure.organization_id, erasure.encounter_id)
            is_there = True
        except NotFoundError:
            is_there = False
        noted = {
            "id": erasure.id,
            "organization_id": erasure.organization_id,
            "encounter_id": erasure.encounter_id,
            "applied_at": self._clock.now(),
            "blob_ids": [],
        }
        if not await insert_unless_there(connection, erasures, noted) or not is_there:
            return False
        work = _Destruction(connection, erasure, self._clock.now(), created_before)
        blob_ids = await work.audio()
        if erasure.scope is not ErasureScope.AUDIO:
            blob_ids += await work.context_documents()
            await work.texts()
            await work.released()
        await work.jobs()
        if erasure.scope is ErasureScope.EVERYTHING:
            await work.encounter()
        else:
            if erasure.scope is ErasureScope.AUDIO_AND_UNSIGNED:
                await self._take_clinician_notes(transaction, erasure)
            await work.encounter_without_audio()
        await connection.execute(update(erasures).where(erasures.c.id == erasure.id).values(blob_ids=blob_ids))
        return True

    async def _take_clinician_notes(self, transaction: Transaction, erasure: Erasure) -> None:
        """Seal the encounter without its clinician's notes under a new key; the old one is destroyed."""
        connection = connection_of(transaction)
        of_erasure = (
            encounters.c.organization_id == erasure.organization_id,
            encounters.c.id == erasure.encounter_id,
        )
        row = (await connection.execute(with_key(encounters).where(*of_erasure))).one()
        content = self._sealed.open(row, erasure.organization_id, encounters, erasure.encounter_id)
        if not content or not content.get(CLINICIAN_NOTES):
            return
        content[CLINICIAN_NOTES] = []
        sealed = await self._sealed.add(transaction, erasure.organization_id, encounters, erasure.encounter_id, content)
        await connection.execute(update(encounters).where(*of_erasure).values(**sealed))
        await destroy_keys(connection, [row.key_id], self._clock.now())

    async def applied(self, transaction: Transaction) -> frozenset[str]:
        """Return the ids of all erasures that were applied to this database."""
        return frozenset(await connection_of(transaction).scalars(select(erasures.c.id)))

    async def unfinished(self, transaction: Transaction, limit: int) -> Sequence[UnfinishedErasure]:
        """Return erasures that were applied, oldest first, whose blobs and traces may still be there."""
        query = select(erasures.c.id, erasures.c.blob_ids).where(erasures.c.finished_at.is_(None))
        query = query.order_by(erasures.c.applied_at, erasures.c.id).limit(limit)
        rows = await connection_of(transaction).execute(query)
        return [UnfinishedErasure(row.id, tuple(row.blob_ids)) for row in rows]

    async def finish(self, transaction: Transaction, erasure_ids: Sequence[str], at: datetime) -> None:
        """Note that blobs and traces of these erasures are gone."""
        await connection_of(transaction).execute(
            update(erasures).where(erasures.c.id.in_(list(erasure_ids))).values(finished_at=at, blob_ids=[])
        )

    async def known_blobs(self, transaction: Transaction, blob_ids: Sequence[str]) -> frozenset[str]:
        """Return those of ``blob_ids`` that any row refers to, in whatever table has blobs."""
        # What an unfinished erasure still has to remove is its own affair: no row refers to it any more.
        columns = [table.c.blob_id for table in metadata.tables.values() if "blob_id" in table.c]
        query = union_all(*(select(column).where(column.in_(list(blob_ids))) for column in columns))
        return frozenset(await connection_of(transaction).scalars(query))

    async def erase_traces(self) -> None:
        """Leave nothing of what was destroyed in the database's files. Raises DatabaseUnavailableError."""
        await self._database.erase_traces()


class _Destruction:
    """One erasure at work in one transaction."""

    def __init__(
        self, connection: AsyncConnection, erasure: Erasure, now: datetime, created_before: datetime | None
    ) -> None:
        self._connection = connection
        self._erasure = erasure
        self._now = now
        self._everything = erasure.scope is ErasureScope.EVERYTHING
        # Nothing can be added to an encounter that is erased whole.
        self._created_before = None if self._everything else created_before

    async def audio(self) -> list[str]:
        """Destroy the audio; return the ids of its blobs."""
        with_audio = and_(self._covered(segments, segments.c.received_at), segments.c.blob_id.is_not(None))
        await self._destroy_keys(select(segments.c.blob_key_id).where(with_audio))
        blob_ids = await self._connection.scalars(select(segments.c.blob_id).where(with_audio))
        found = list(blob_ids)
        unread = segments.c.status == SegmentStatus.PENDING.value
        await self._connection.execute(
            update(segments)
            .where(with_audio)
            .values(
                blob_id=None,
                blob_size=None,
                blob_digest=None,
                blob_key_id=None,
                status=case((unread, SegmentStatus.FAILED.value), else_=segments.c.status),
                failure=case((unread, ERASED_CODE), else_=segments.c.failure),
            )
        )
        await self._connection.execute(
            update(recordings)
            .where(self._covered(recordings, recordings.c.created_at))
            .values(state=RecordingState.ERASED.value)
        )
        return found

    async def context_documents(self) -> list[str]:
        """Destroy the context documents, rows too; return the ids of their blobs."""
        covered = self._covered(context_documents, context_documents.c.uploaded_at)
        for column in (context_documents.c.key_id, context_documents.c.blob_key_id):
            await self._destroy_keys(select(column).where(covered))
        deleted = delete(context_documents).where(covered).returning(context_documents.c.blob_id)
        return list(await self._connection.scalars(deleted))

    async def texts(self) -> None:
        """Destroy transcripts, codes, answers, notes and documents; those that are kept or signed only with all."""
        for table in TEXTS:
            covered = and_(self._covered(table, table.c.created_at), self._not_kept(table))
            await self._destroy_keys(select(table.c.key_id).where(covered))
            values: dict[str, Any] = {"sealed": None}
            if table is code_sets:
                values |= {"status": CodingStatus.FAILED.value, "failure": ERASED_CODE}
            elif table in SIGNABLE:
                values |= {"status": TextStatus.FAILED.value, "failure": ERASED_CODE}
            await self._connection.execute(update(table).where(covered).values(values))

    async def released(self) -> None:
        """Take from sight what has no content any more, or point to the newest that was kept."""
        live = union_all(
            *(select(table.c.id).where(self._mine(table), table.c.sealed.is_not(None)) for table in RELEASABLE)
        )
        hidden = and_(self._mine(released_documents), released_documents.c.source_id.not_in(live))
        if not self._everything:
            newest_note = (
                select(notes.c.id)
                .where(self._mine(notes), notes.c.sealed.is_not(None), notes.c.signed_at.is_not(None))
                .order_by(notes.c.version.desc())
                .limit(1)
            )
            kept = (await self._connection.execute(newest_note)).scalar_one_or_none()
            if kept is not None:
                await self._connection.execute(
                    update(released_documents).where(hidden, released_documents.c.slot == "note").values(source_id=kept)
                )
        await self._connection.execute(delete(released_documents).where(hidden))

    async def jobs(self) -> None:
        """End the work that was still to be done with what is gone."""
        kinds = [JobKind.TRANSCRIBE_SEGMENT.value, JobKind.TRANSCRIBE_RECORDING.value]
        if self._erasure.scope is not ErasureScope.AUDIO:
            kinds.append(JobKind.WRITE_NOTE.value)
        await self._connection.execute(
            update(jobs)
            .where(
                self._covered(jobs, jobs.c.created_at),
                jobs.c.kind.in_(kinds),
                jobs.c.state.in_([JobState.QUEUED.value, JobState.RUNNING.value]),
            )
            .values(state=JobState.FAILED.value, error=ERASED_CODE, updated_at=self._now)
        )

    async def encounter(self) -> None:
        """Make the encounter a tombstone: who owned it and when it was there, and nothing else."""
        this = self._this_encounter()
        await self._destroy_keys(select(encounters.c.key_id).where(this))
        await self._connection.execute(
            update(encounters)
            .where(this)
            .values(
                state=EncounterState.ERASED.value,
                erased_at=self._erasure.at,
                audio_erased_at=self._erasure.at,
                updated_at=self._now,
                revision=encounters.c.revision + 1,
                sealed=None,
                ehr_patient_index=None,
                patient_profile_id=None,
                ehr_provider=None,
                consent_given=None,
                consent_changed_at=None,
                consent_erase_at=None,
                duration=None,
                language_code=None,
                output_language_code=None,
                transcribe_mode=None,
                recording_status=None,
                session_status=None,
                created_time_local=None,
                generate_output_without_recording=False,
                linked_encounter_ids=[],
            )
        )

    async def encounter_without_audio(self) -> None:
        """Note when the audio went, and that a withdrawal of consent was followed."""
        column = encounters.c
        at = self._erasure.at
        values: dict[str, Any] = {
            "audio_erased_at": at,
            "updated_at": self._now,
            "revision": column.revision + 1,
        }
        if self._erasure.scope is ErasureScope.AUDIO_AND_UNSIGNED:
            values["consent_erase_at"] = case((column.consent_erase_at <= at, None), else_=column.consent_erase_at)
        if self._erasure.reason is ErasureReason.CONSENT_WITHDRAWN:
            # A restored older state may not know of the withdrawal yet.
            before = or_(column.consent_changed_at.is_(None), column.consent_changed_at <= at)
            taken_back = and_(column.consent_given.is_(True), before, column.consent_erase_at.is_(None))
            values["consent_given"] = case((taken_back, false()), else_=column.consent_given)
            values["consent_changed_at"] = case((taken_back, at), else_=column.consent_changed_at)
        await self._connection.execute(update(encounters).where(self._this_encounter()).values(values))

    def _mine(self, table: Table) -> ColumnElement[bool]:
        return _of(table, self._erasure.organization_id, self._erasure.encounter_id)

    def _covered(self, table: Table, created: ColumnElement[datetime]) -> ColumnElement[bool]:
        if self._created_before is None:
            return self._mine(table)
        return and_(self._mine(table), created < self._created_before)

    def _not_kept(self, table: Table) -> ColumnElement[bool]:
        if self._everything or table not in SIGNABLE:
            return true()
        # What was signed after the erasure was decided is as good as what was signed before.
        return and_(table.c.signed_at.is_(None), table.c.id.not_in(self._erasure.kept))

    def _this_encounter(self) -> ColumnElement[bool]:
        return and_(
            encounters.c.organization_id == self._erasure.organization_id,
            encounters.c.id == self._erasure.encounter_id,
        )

    async def _destroy_keys(self, key_ids: Select[Any]) -> None:
        await self._connection.execute(
            update(object_keys).where(object_keys.c.id.in_(key_ids)).values(wrapped=None, destroyed_at=self._now)
        )


def _of(table: Table, organization_id: str, encounter_id: str) -> ColumnElement[bool]:
    return and_(table.c.organization_id == organization_id, table.c.encounter_id == encounter_id)
