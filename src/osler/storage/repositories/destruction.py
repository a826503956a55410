"""One erasure at work in one transaction: keys destroyed, sealed columns emptied, rows left as tombstones."""

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

from osler.audio.model import RecordingState, SegmentStatus, transcript_awaited
from osler.coding.model import CodingStatus
from osler.encounters.model import ContextDocumentStatus, EncounterState, Erasure, ErasureReason, ErasureScope
from osler.kernel.jobs import JobKind, JobState
from osler.notes.model import TextStatus
from osler.release.model import NOTE
from osler.storage.repositories.insertion import insert_unless_there
from osler.storage.repositories.notes import sources_changed
from osler.storage.tables.audio import recordings, segments
from osler.storage.tables.coding import code_sets
from osler.storage.tables.encounters import context_documents, encounters, patient_profiles
from osler.storage.tables.idempotency import idempotent_requests, idempotent_subjects
from osler.storage.tables.jobs import jobs
from osler.storage.tables.notes import checklists, documents, form_answers, notes
from osler.storage.tables.release import released_documents
from osler.storage.tables.sealing import object_keys
from osler.storage.tables.speech import segment_transcripts, transcripts

SIGNABLE: Final[tuple[Table, ...]] = (notes, documents)
TEXTS: Final[tuple[Table, ...]] = (transcripts, segment_transcripts, checklists, form_answers, code_sets, *SIGNABLE)
"""Tables with ``key_id``, ``sealed`` and ``created_at`` below an encounter."""

RELEASABLE: Final[tuple[Table, ...]] = (transcripts, checklists, code_sets, form_answers, *SIGNABLE)
"""Tables whose rows a released document can stand for."""

ERASED_CODE: Final = "erased"
"""Error code of work, and failure of a text, that an erasure ended."""

_TO_DO: Final = (JobState.QUEUED.value, JobState.RUNNING.value)


class Destruction:
    """One erasure at work in one transaction; what it covers of an encounter, or a profile or document of its own."""

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
        return await self._delete_documents(self._covered(context_documents, context_documents.c.uploaded_at))

    async def _delete_documents(self, covered: ColumnElement[bool]) -> list[str]:
        for column in (context_documents.c.key_id, context_documents.c.blob_key_id):
            await self._destroy_keys(select(column).where(covered))
        deleted = delete(context_documents).where(covered).returning(context_documents.c.blob_id)
        return list(await self._connection.scalars(deleted))

    async def texts(self) -> None:
        """Destroy transcripts, checklists, codes, answers, notes and documents; kept or signed ones only with all."""
        for table in TEXTS:
            covered = and_(self._covered(table, table.c.created_at), self._not_kept(table))
            await self._destroy_keys(select(table.c.key_id).where(covered))
            values: dict[str, Any] = {"sealed": None}
            if table is code_sets:
                values |= {"status": CodingStatus.FAILED.value, "failure": ERASED_CODE}
            elif table in SIGNABLE:
                values |= {"status": TextStatus.FAILED.value, "failure": ERASED_CODE}
            await self._connection.execute(update(table).where(covered).values(values))

    async def answers(self) -> None:
        """Forget what requests were answered that are below what is erased or tell of it.

        Their repeats are told that they took effect.
        """
        tells_of_it = select(idempotent_subjects.c.request_id).where(
            idempotent_subjects.c.organization_id == self._erasure.organization_id,
            idempotent_subjects.c.subject_id == self._erasure.subject_id,
        )
        with_answer = and_(
            or_(self._mine(idempotent_requests), idempotent_requests.c.id.in_(tells_of_it)),
            idempotent_requests.c.sealed.is_not(None),
        )
        # Before their keys, as whoever purges requests or begins one anew holds them in that order.
        held = select(idempotent_requests.c.id).where(with_answer).order_by(idempotent_requests.c.id)
        await self._connection.execute(held.with_for_update())
        await self._destroy_keys(select(idempotent_requests.c.key_id).where(with_answer))
        await self._connection.execute(
            update(idempotent_requests)
            .where(with_answer)
            .values(sealed=None, key_id=None, took_effect=True, lease_until=self._now)
        )

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
                    update(released_documents)
                    .where(hidden, released_documents.c.slot == NOTE)
                    # The title was that of the version that is gone.
                    .values(source_id=kept, updated_at=self._now, sealed=None)
                )
        await self._connection.execute(delete(released_documents).where(hidden))

    async def jobs(self) -> None:
        """End the work that was still to be done with what is gone."""
        kinds = [JobKind.TRANSCRIBE_SEGMENT.value, JobKind.TRANSCRIBE_RECORDING.value]
        if self._erasure.scope is not ErasureScope.AUDIO:
            kinds += [JobKind.WRITE_NOTE.value, JobKind.WRITE_DOCUMENT.value]
        await self._connection.execute(
            update(jobs)
            .where(
                self._covered(jobs, jobs.c.created_at),
                jobs.c.kind.in_(kinds),
                jobs.c.state.in_(_TO_DO),
            )
            .values(state=JobState.FAILED.value, error=ERASED_CODE, updated_at=self._now)
        )

    async def waiting_notes(self) -> None:
        """Settle the notes that wait for a transcript, as the recordings that it was to come from are gone.

        They are written from the transcript that there is; without one they have failed. The rule is that of
        :meth:`osler.notes.records.NoteRecordService.transcript_settled`.
        """
        if await self._transcript_awaited():
            return
        begun = select(jobs.c.id).where(jobs.c.kind == JobKind.WRITE_NOTE.value, jobs.c.state.in_(_TO_DO))
        waiting = and_(self._mine(notes), notes.c.status == TextStatus.GENERATING.value, notes.c.id.not_in(begun))
        there = select(transcripts.c.id).where(self._mine(transcripts), transcripts.c.sealed.is_not(None)).limit(1)
        if (await self._connection.execute(there)).first() is None:
            failed = {"status": TextStatus.FAILED.value, "failure": ERASED_CODE}
            await self._connection.execute(update(notes).where(waiting).values(failed))
            return
        for note_id in (await self._connection.scalars(select(notes.c.id).where(waiting))).all():
            # The workflow engine finds by itself what stands here and is in none of its queues.
            job = {
                "id": note_id,
                "organization_id": self._erasure.organization_id,
                "kind": JobKind.WRITE_NOTE.value,
                "subject": {"encounter": self._erasure.subject_id, "note": note_id},
                "encounter_id": self._erasure.subject_id,
                "state": JobState.QUEUED.value,
                "attempt": 1,
                "created_at": self._now,
            }
            await insert_unless_there(self._connection, jobs, job)

    async def patient_profile(self) -> list[str]:
        """Destroy a patient profile, row too, and take its link from encounters. It has no blobs."""
        column = encounters.c
        await self._connection.execute(
            update(encounters)
            .where(
                column.organization_id == self._erasure.organization_id,
                column.patient_profile_id == self._erasure.subject_id,
            )
            .values(patient_profile_id=None, revision=column.revision + 1)
        )
        this = _this(patient_profiles, self._erasure)
        await self._destroy_keys(select(patient_profiles.c.key_id).where(this))
        # Its row refers to its key, which stays as a tombstone.
        await self._connection.execute(delete(patient_profiles).where(this))
        await self.answers()
        return []

    async def context_document(self) -> list[str]:
        """Destroy one context document, row too; return the ids of its blobs. What may rest on it is stale now."""
        this = _this(context_documents, self._erasure)
        was_read = and_(this, context_documents.c.status == ContextDocumentStatus.READY.value)
        for encounter_id in (
            await self._connection.scalars(select(context_documents.c.encounter_id).where(was_read))
        ).all():
            for statement in sources_changed(self._erasure.organization_id, encounter_id):
                await self._connection.execute(statement)
        blob_ids = await self._delete_documents(this)
        await self.answers()
        return blob_ids

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
        """Note when the audio went, that a withdrawal of consent was followed, and where the visit stands now."""
        column = encounters.c
        at = self._erasure.at
        unsigned = column.state.in_([EncounterState.OPEN.value, EncounterState.COMPLETED.value])
        values: dict[str, Any] = {
            "audio_erased_at": at,
            "updated_at": self._now,
            "revision": column.revision + 1,
            "state": case((unsigned, (await self._state()).value), else_=column.state),
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

    async def _transcript_awaited(self) -> bool:
        column = recordings.c
        query = select(column.index.label("place"), column.state, column.failure).where(self._mine(recordings))
        rows = (await self._connection.execute(query)).all()
        return transcript_awaited((row.place, RecordingState(row.state), row.failure) for row in rows)

    async def _state(self) -> EncounterState:
        """Return the state of an encounter that is not signed; the rule is that of the release room."""
        newest = select(notes.c.status).where(self._mine(notes)).order_by(notes.c.version.desc()).limit(1)
        written = (await self._connection.execute(newest)).scalar_one_or_none() == TextStatus.CREATED.value
        return EncounterState.COMPLETED if written and not await self._transcript_awaited() else EncounterState.OPEN

    def _mine(self, table: Table) -> ColumnElement[bool]:
        return of_encounter(table, self._erasure.organization_id, self._erasure.subject_id)

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
        return _this(encounters, self._erasure)

    async def _destroy_keys(self, key_ids: Select[Any]) -> None:
        await self._connection.execute(
            update(object_keys).where(object_keys.c.id.in_(key_ids)).values(wrapped=None, destroyed_at=self._now)
        )


def of_encounter(table: Table, organization_id: str, encounter_id: str) -> ColumnElement[bool]:
    """Return the condition that a row is one of the encounter's."""
    return and_(table.c.organization_id == organization_id, table.c.encounter_id == encounter_id)


def _this(table: Table, erasure: Erasure) -> ColumnElement[bool]:
    return and_(table.c.organization_id == erasure.organization_id, table.c.id == erasure.subject_id)
