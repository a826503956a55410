"""Stored consult notes: asked for, written by the pipeline, kept version by version."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import accumulate
from typing import Final

from osler.audio.model import RecordingState
from osler.audio.ports import RecordingRepository
from osler.audit.model import Actor, AuditEvent
from osler.audit.ports import AuditTrail
from osler.encounters.model import Encounter, EncounterState
from osler.encounters.ports import EncounterRepository
from osler.kernel.clock import Clock
from osler.kernel.engine_record import EngineRecord
from osler.kernel.errors import ConflictError, ErasedError, NoSpeechError, NotFoundError, UnknownNameError
from osler.kernel.ids import new_id
from osler.kernel.jobs import Job, JobKind, JobQueue
from osler.kernel.transactions import Database, Transaction
from osler.notes.html import asked_for_html, shown
from osler.notes.model import (
    ContentType,
    NoteVersion,
    RequestTexts,
    TextStatus,
    VoiceStyle,
    WrittenText,
)
from osler.notes.ports import NoteRepository
from osler.notes.template_library import TemplateService, built_in_templates
from osler.notes.template_model import StoredTemplate
from osler.notes.writing import WrittenPart
from osler.speech.ports import TranscriptRepository
from osler.speech.records import TranscriptService

WITHOUT_WORDS: Final = frozenset({"NoSpeechError", "EmptyAudioError"})
"""Failure codes of recordings that were heard to their end and hold nothing to write down."""

BY_HAND: Final = "by hand"
"""Template of a note that a person wrote where there was none before."""

THIRD_PARTY: Final = "third party"
"""Template of a text that was written by a template which the client sent with the request."""

FORMER_NAMES: Final = {
    "full": "9a2984b116e062444e92d053",
    "soap": "17cf925978450961a853cd40",
    "progress": "17fa7cd934deab529731c2f5",
    "problem-based": "7c8e091745f4f86341706f88",
}
"""The templates of the library that stand for names of before there was one."""

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
        templates: TemplateService,
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
        self._templates = templates
        self._queue = queue
        self._audit = audit
        self._clock = clock

    async def request(
        self,
        actor: Actor,
        organization_id: str,
        encounter_id: str,
        *,
        template: str | None = None,
        voice_style: VoiceStyle = VoiceStyle.GOLDILOCKS,
        options: Mapping[str, str] | None = None,
        texts: RequestTexts | None = None,
        join: bool = False,
    ) -> NoteVersion:
        """Have a new version of the note written: at once if the transcript is final, else as soon as it is.

        ``template`` is the id of one of the library or of the organization; without one, or a template among the
        ``texts``, it is the library's first. ``options`` are the request's own words (no text), kept with the note;
        ``texts`` are sealed with it. Former versions stay. With ``join`` a current version that was asked for in the
        same words and is still to be written is returned instead of another one.

        Raises NotFoundError, ErasedError, UnknownNameError (template), NoSpeechError (nothing was said in any
        recording), ConflictError (no recording, and none is to be done without; or none could be transcribed).
        """
        texts = texts or RequestTexts()
        named = THIRD_PARTY if texts.template else await template_id(self._templates, organization_id, template)
        async with self._database.write() as transaction:
            encounter = await self._encounters.lock(transaction, organization_id, encounter_id)
            if encounter.state is EncounterState.ERASED:
                raise ErasedError("This encounter was erased for good.")
            waits = await self._hearing.awaits_transcript(transaction, organization_id, encounter_id)
            if not waits:
                await check_source(transaction, encounter, self._recordings, self._transcripts)
            former = await self._notes.current(transaction, organization_id, encounter_id)
            note = NoteVersion(
                id=new_id(),
                organization_id=organization_id,
                encounter_id=encounter_id,
                version=former.version + 1 if former else 1,
                created_at=self._clock.now(),
                status=TextStatus.GENERATING,
                template=named,
                voice_style=voice_style.value,
                options=dict(options or {}),
                texts=texts,
            )
            if join and former is not None and _is_same_request(former, note):
                return former
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
        if former is not None and standing is not None and (shown(former), standing.heading) == (text, heading):
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
                content_type=ContentType.HTML if asked_for_html(former) else ContentType.MARKDOWN,
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

    async def sources_changed(self, transaction: Transaction, organization_id: str, encounter_id: str) -> None:
        """Mark what was written as stale, now that something beside the transcript that it could rest on changed."""
        await self._notes.mark_all_stale(transaction, organization_id, encounter_id)

    async def resume(self, transaction: Transaction, note: NoteVersion) -> None:
        """Show a failed note that an operator has written again as being written."""
        await self._notes.save(transaction, replace(note, status=TextStatus.GENERATING, failure=None))

    async def keep_pieces(self, transaction: Transaction, note: NoteVersion, pieces: tuple[str, ...]) -> None:
        """Store the finished pieces of a note that is being written, for whoever reads along."""
        await self._notes.save(transaction, replace(note, pieces=pieces))

    async def complete(
        self,
        transaction: Transaction,
        note: NoteVersion,
        parts: Sequence[WrittenPart],
        engine: EngineRecord,
        *,
        heading: str,
        transcript_id: str | None,
        stale: bool,
        options: Mapping[str, str] | None = None,
    ) -> NoteVersion:
        """Store what the writer wrote from that transcript; ``stale``: what it rests on is another by now.

        ``options`` are added to those of the request.
        """
        note = replace(
            note,
            status=TextStatus.CREATED,
            content=text_of(parts, heading),
            engine=engine,
            transcript_id=transcript_id,
            completed_at=self._clock.now(),
            stale=stale,
            failure=None,
            pieces=(),
            options={**note.options, **(options or {})},
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
        failed = replace(note, status=TextStatus.FAILED, failure=failure, transcript_id=transcript_id, pieces=())
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


async def check_source(
    transaction: Transaction,
    encounter: Encounter,
    recordings: RecordingRepository,
    transcripts: TranscriptRepository,
) -> None:
    """Make sure that there is something to write from, as no transcript is on its way.

    Raises ConflictError, ErasedError, NoSpeechError.
    """
    if encounter.generate_output_without_recording:
        return
    if await transcripts.current(transaction, encounter.organization_id, encounter.id) is not None:
        return
    found = await recordings.of_encounter(transaction, encounter.organization_id, encounter.id)
    if not found:
        raise ConflictError(
            "There is no recording to write a note from; upload one, or ask for a note without a recording."
        )
    if any(recording.state is RecordingState.ERASED for recording in found):
        raise ErasedError("What was said in this encounter was erased for good.")
    if all(recording.failure in WITHOUT_WORDS for recording in found):
        raise NoSpeechError("No speech was heard in this encounter's recordings, so there is no note to write.")
    raise ConflictError("The recording could not be transcribed; the operator can retry it (osler jobs retry).")


async def template_id(templates: TemplateService, organization_id: str, name: str | None) -> str:
    """Return the id of a template to write by; for None that of the library's first. Raises UnknownNameError."""
    if name is None:
        return default_template().id
    try:
        return (await templates.get(organization_id, FORMER_NAMES.get(name, name))).id
    except NotFoundError:
        raise UnknownNameError("There is no such template; osler template list shows those that there are.") from None


def default_template() -> StoredTemplate:
    """Return the template of notes for which nobody named one."""
    return built_in_templates()[0]


def text_of(parts: Sequence[WrittenPart], heading: str) -> WrittenText:
    """Return what was written in parts as one text."""
    ends = tuple(accumulate(len(part.text) for part in parts))
    sections = tuple(part.section for part in parts)
    return WrittenText(text="".join(part.text for part in parts), heading=heading, sections=sections, ends=ends)


def _is_same_request(former: NoteVersion, asked: NoteVersion) -> bool:
    return former.status is TextStatus.GENERATING and all(
        getattr(former, name) == getattr(asked, name) for name in ("template", "voice_style", "options", "texts")
    )


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
