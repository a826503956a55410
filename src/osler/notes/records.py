"""Stored consult notes: asked for, written by the pipeline, kept version by version."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from osler.audio.model import RecordingState
from osler.audio.ports import RecordingRepository
from osler.audit.model import Actor, AuditEvent
from osler.audit.ports import AuditTrail
from osler.encounters.model import Encounter, EncounterState
from osler.encounters.ports import EncounterRepository
from osler.kernel.clock import Clock
from osler.kernel.errors import ConflictError, ErasedError, NoSpeechError
from osler.kernel.ids import new_id
from osler.kernel.jobs import Job, JobKind, JobQueue
from osler.kernel.transactions import Database, Transaction
from osler.notes.model import ContentType, Note, NoteVersion, TextStatus, VoiceStyle, WrittenText
from osler.notes.ports import NoteRepository
from osler.notes.rendering import to_markdown
from osler.notes.templates import load_template
from osler.speech.model import TranscriptVersion
from osler.speech.ports import TranscriptRepository
from osler.speech.records import TranscriptService

WITHOUT_WORDS: Final = frozenset({"NoSpeechError", "EmptyAudioError"})
"""Failure codes of recordings that were heard to their end and hold nothing to write down."""

BY_HAND: Final = "by hand"
"""Template of a note that a person wrote where there was none before."""

ERASED: Final = "erased"
"""Failure code that an erasure leaves: the key is destroyed, and nothing can be written there any more."""


class NoteRecordService:
    """Keeps consult notes. What takes a transaction is called by the pipeline, which holds the encounter."""

    def __init__(
        self,
        *,
        database: Database,
        notes: NoteRepository,
        encounters: EncounterRepository,
        recordings: RecordingRepository,
        transcripts: TranscriptRepository,
        hearing: TranscriptService,
        queue: JobQueue,
        audit: AuditTrail,
        clock: Clock,
    ) -> None:
        self._database = database
        self._notes = notes
        self._encounters = encounters
        self._recordings = recordings
        self._transcripts = transcripts
        self._hearing = hearing
        self._queue = queue
        self._audit = audit
        self._clock = clock

    async def request(
        self,
        actor: Actor,
        organization_id: str,
        encounter_id: str,
        *,
        template: str = "full",
        voice_style: VoiceStyle = VoiceStyle.GOLDILOCKS,
        options: Mapping[str, str] | None = None,
    ) -> NoteVersion:
        """Have a new version of the note written: at once if the transcript is final, else as soon as it is.

        ``options`` are the request's own words (no text), kept with the note. Former versions stay.
        Raises NotFoundError, ErasedError, UnknownNameError (template), NoSpeechError (nothing was said in any
        recording), ConflictError (no recording, and none is to be done without; or none could be transcribed).
        """
        load_template(template)
        async with self._database.write() as transaction:
            encounter = await self._encounters.lock(transaction, organization_id, encounter_id)
            if encounter.state is EncounterState.ERASED:
                raise ErasedError("This encounter was erased for good.")
            waits = await self._hearing.awaits_transcript(transaction, organization_id, encounter_id)
            if not waits:
                await self._check_source(transaction, encounter)
            former = await self._notes.current(transaction, organization_id, encounter_id)
            note = NoteVersion(
                id=new_id(),
                organization_id=organization_id,
                encounter_id=encounter_id,
                version=former.version + 1 if former else 1,
                created_at=self._clock.now(),
                status=TextStatus.GENERATING,
                template=template,
                voice_style=voice_style.value,
                options=dict(options or {}),
            )
            await self._notes.add(transaction, note)
            if encounter.state is EncounterState.COMPLETED:
                opened = replace(encounter, state=EncounterState.OPEN, updated_at=self._clock.now())
                await self._encounters.save(transaction, opened)
            if not waits:
                await self._begin(transaction, note)
            await self._audit.append(transaction, [_event(note, actor, "note.requested", note.created_at)])
        return note

    async def edit(
        self,
        transaction: Transaction,
        actor: Actor,
        encounter: Encounter,
        text: str,
        *,
        author_id: str,
        heading: str | None = None,
    ) -> NoteVersion | None:
        """Store a note that a person wrote or edited as the newest version; None if it says what the current one says.

        The caller holds ``encounter``. Former versions stay; what the former one was asked for (template, options)
        and rested on is taken over, and so is its heading unless there is another.
        """
        former = await self._notes.current(transaction, encounter.organization_id, encounter.id)
        standing = former.content if former is not None else None
        if heading is None:
            heading = standing.heading if standing is not None else ""
        if standing is not None and (standing.text, standing.heading) == (text, heading):
            return None
        now = self._clock.now()
        note = NoteVersion(
            id=new_id(),
            organization_id=encounter.organization_id,
            encounter_id=encounter.id,
            version=former.version + 1 if former else 1,
            created_at=now,
            status=TextStatus.CREATED,
            template=former.template if former else BY_HAND,
            voice_style=former.voice_style if former else VoiceStyle.GOLDILOCKS.value,
            content=WrittenText(
                text=text,
                heading=heading,
                content_type=standing.content_type if standing is not None else ContentType.MARKDOWN,
            ),
            author_id=author_id,
            transcript_id=former.transcript_id if former else None,
            options=former.options if former else {},
            completed_at=now,
            stale=former.stale if former else False,
        )
        await self._notes.add(transaction, note)
        await self._audit.append(transaction, [_event(note, actor, "note.edited", now)])
        return note

    async def current(self, organization_id: str, encounter_id: str) -> NoteVersion | None:
        """Return the encounter's newest version, None before there is one."""
        async with self._database.read() as transaction:
            return await self._notes.current(transaction, organization_id, encounter_id)

    async def get(self, organization_id: str, note_id: str) -> NoteVersion:
        """Return one version. Raises NotFoundError."""
        async with self._database.read() as transaction:
            return await self._notes.get(transaction, organization_id, note_id)

    async def versions(self, organization_id: str, encounter_id: str) -> Sequence[NoteVersion]:
        """Return all versions, oldest first."""
        async with self._database.read() as transaction:
            return await self._notes.versions(transaction, organization_id, encounter_id)

    async def transcript_settled(self, transaction: Transaction, encounter: Encounter, failure: str | None) -> None:
        """Go on with the notes that wait for a transcript, now that a recording has been dealt with.

        They are written if the encounter has a transcript and no newer one is on its way; if it has none and none is to
        come they have failed, with the code ``failure``. Those that failed for want of a transcript get another chance.
        Unsigned ones that rest on a transcript that is no longer in use are marked stale.
        """
        in_use = await self._transcripts.current(transaction, encounter.organization_id, encounter.id)
        if in_use is not None:
            await self._notes.mark_stale(transaction, encounter.organization_id, encounter.id, in_use.id)
        if await self._hearing.awaits_transcript(transaction, encounter.organization_id, encounter.id):
            return
        for note in await self._notes.versions(transaction, encounter.organization_id, encounter.id):
            if in_use is None:
                if note.status is TextStatus.GENERATING:
                    await self._save_failure(transaction, note, None, failure or "NoSpeechError")
            elif note.status is TextStatus.GENERATING:
                await self._begin(transaction, note)
            elif _for_want_of_transcript(note) and await self._begin(transaction, note):
                await self._notes.save(transaction, replace(note, status=TextStatus.GENERATING, failure=None))

    async def resume(self, transaction: Transaction, note: NoteVersion) -> None:
        """Show a failed note that an operator has written again as being written."""
        await self._notes.save(transaction, replace(note, status=TextStatus.GENERATING, failure=None))

    async def complete(
        self,
        transaction: Transaction,
        note: NoteVersion,
        written: Note,
        transcript: TranscriptVersion | None,
        *,
        stale: bool,
    ) -> NoteVersion:
        """Store what the writer wrote from ``transcript``; ``stale``: another one is in use by now."""
        text = WrittenText(
            text=to_markdown(written), heading=load_template(note.template).title, sections=written.sections
        )
        note = replace(
            note,
            status=TextStatus.CREATED,
            content=text,
            engine=written.engine,
            transcript_id=transcript.id if transcript else None,
            completed_at=self._clock.now(),
            stale=stale,
            failure=None,
        )
        await self._notes.save(transaction, note)
        return note

    async def fail(self, transaction: Transaction, note: NoteVersion, failure: str) -> None:
        """Say that a note could not be written from the transcript in use, with the code ``failure``."""
        in_use = await self._transcripts.current(transaction, note.organization_id, note.encounter_id)
        await self._save_failure(transaction, note, in_use.id if in_use else None, failure)

    async def _save_failure(
        self, transaction: Transaction, note: NoteVersion, transcript_id: str | None, failure: str
    ) -> None:
        failed = replace(note, status=TextStatus.FAILED, failure=failure, transcript_id=transcript_id)
        await self._notes.save(transaction, failed)

    async def _begin(self, transaction: Transaction, note: NoteVersion) -> bool:
        """Have a note written; False if that work stands already."""
        return await self._queue.enqueue(
            transaction,
            Job(
                id=note.id,
                organization_id=note.organization_id,
                kind=JobKind.WRITE_NOTE,
                subject={"encounter": note.encounter_id, "note": note.id},
                created_at=self._clock.now(),
            ),
        )

    async def _check_source(self, transaction: Transaction, encounter: Encounter) -> None:
        """Make sure that there is something to write from, as no transcript is on its way."""
        if encounter.generate_output_without_recording:
            return
        if await self._transcripts.current(transaction, encounter.organization_id, encounter.id) is not None:
            return
        recordings = await self._recordings.of_encounter(transaction, encounter.organization_id, encounter.id)
        if not recordings:
            raise ConflictError(
                "There is no recording to write a note from; upload one, or ask for a note without a recording."
            )
        if any(recording.state is RecordingState.ERASED for recording in recordings):
            raise ErasedError("What was said in this encounter was erased for good.")
        if all(recording.failure in WITHOUT_WORDS for recording in recordings):
            raise NoSpeechError("No speech was heard in this encounter's recordings, so there is no note to write.")
        raise ConflictError("The recording could not be transcribed; the operator can retry it (osler jobs retry).")


def _for_want_of_transcript(note: NoteVersion) -> bool:
    return note.status is TextStatus.FAILED and note.transcript_id is None and note.failure != ERASED


def _event(note: NoteVersion, actor: Actor, action: str, at: datetime) -> AuditEvent:
    return AuditEvent(
        organization_id=note.organization_id,
        actor=actor,
        action=action,
        at=at,
        subject={"encounter": note.encounter_id, "note": note.id},
    )
