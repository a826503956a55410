"""The arrow from what a visit offers to its note."""

from osler.audit.model import SYSTEM, AuditEvent, Outcome
from osler.audit.ports import AuditTrail
from osler.coding.service import CodingService
from osler.encounters.model import EncounterState
from osler.encounters.ports import EncounterRepository
from osler.kernel.clock import Clock
from osler.kernel.jobs import Job
from osler.kernel.transactions import Database, Transaction
from osler.notes.model import NoteVersion, TextStatus
from osler.notes.ports import NoteRepository
from osler.notes.records import ERASED, NoteRecordService
from osler.pipeline.composing import Composing, voice_options
from osler.release.service import ReleaseService
from osler.speech.ports import TranscriptRepository


class NoteWriting:
    """The step of the job WRITE_NOTE. Done again, it finds the note written and changes nothing."""

    def __init__(
        self,
        *,
        database: Database,
        encounters: EncounterRepository,
        transcripts: TranscriptRepository,
        notes: NoteRepository,
        note_records: NoteRecordService,
        release: ReleaseService,
        composing: Composing,
        audit: AuditTrail,
        clock: Clock,
        coding: CodingService | None = None,
    ) -> None:
        """``coding`` has codes made anew that rest on the note."""
        self._coding = coding
        self._database = database
        self._encounters = encounters
        self._transcripts = transcripts
        self._notes = notes
        self._note_records = note_records
        self._release = release
        self._composing = composing
        self._audit = audit
        self._clock = clock

    async def write_note(self, job: Job) -> None:
        """Write a note from the sources in use. Raises NoClinicalContentError and what the writer raises."""
        async with self._database.write() as transaction:
            note = await self._task(transaction, job)
            if note is None:
                return
            if note.status is TextStatus.FAILED:  # an operator has it done again
                await self._note_records.resume(transaction, note)
        task = await self._composing.task(note)

        async def keep(pieces: tuple[str, ...]) -> bool:
            async with self._database.write() as transaction:
                standing = await self._task(transaction, job)
                if standing is not None:
                    await self._note_records.keep_pieces(transaction, standing, pieces)
            return standing is not None

        written = await self._composing.write(task, keep)
        if written is None:
            return
        async with self._database.write() as transaction:
            note = await self._task(transaction, job)
            if note is None:
                return
            latest = await self._transcripts.current(transaction, job.organization_id, note.encounter_id)
            read = task.sources.transcript_id
            if read is not None and latest is None:  # what the note rests on was erased meanwhile
                await self._note_records.fail(transaction, note, ERASED)
                return
            note = await self._note_records.complete(
                transaction,
                note,
                written.parts,
                written.engine,
                heading=task.title,
                transcript_id=read,
                stale=latest is not None and latest.id != read,
                options=voice_options(note, task),
            )
            await self._settle(transaction, note)
            await self._release.release_note(transaction, note)
            if self._coding is not None:
                await self._coding.follow(transaction, note.organization_id, note.encounter_id)
            await self._trace(transaction, note, Outcome.DONE, {})

    async def failed(self, job: Job, code: str) -> None:
        """Show that the note could not be written, with the error's code."""
        async with self._database.write() as transaction:
            note = await self._task(transaction, job)
            if note is not None and note.status is TextStatus.GENERATING:
                await self._note_records.fail(transaction, note, code)
                await self._settle(transaction, note)
                await self._trace(transaction, note, Outcome.FAILED, {"failure": code})

    async def _task(self, transaction: Transaction, job: Job) -> NoteVersion | None:
        """Return the note that is to be written, with its encounter held; None if it is written, failed or erased."""
        encounter = await self._encounters.lock(transaction, job.organization_id, job.subject["encounter"])
        if encounter.state is EncounterState.ERASED:
            return None
        note = await self._notes.lock(transaction, job.organization_id, job.subject["note"])
        # A failure is final for the attempt that failed; a retry by an operator is another attempt.
        wanted = {TextStatus.GENERATING} if job.attempt == 1 else {TextStatus.GENERATING, TextStatus.FAILED}
        return note if note.status in wanted else None

    async def _settle(self, transaction: Transaction, note: NoteVersion) -> None:
        encounter = await self._encounters.lock(transaction, note.organization_id, note.encounter_id)
        await self._release.settle(transaction, encounter)

    async def _trace(
        self, transaction: Transaction, note: NoteVersion, outcome: Outcome, detail: dict[str, str]
    ) -> None:
        event = AuditEvent(
            organization_id=note.organization_id,
            actor=SYSTEM,
            action="note.written",
            at=self._clock.now(),
            subject={"encounter": note.encounter_id, "note": note.id},
            outcome=outcome,
            detail=detail,
        )
        await self._audit.append(transaction, [event])
