"""The arrow from audio to transcript: live segments as they come, and whole recordings once they are finished."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from osler.audio.assembly import AssembledSound, SegmentSound, transcription_id
from osler.audio.model import AudioRecording, RecordingState, Segment, SegmentStatus
from osler.audio.ports import RecordingRepository
from osler.audit.model import SYSTEM, AuditEvent, Outcome
from osler.audit.ports import AuditTrail
from osler.encounters.model import Encounter, EncounterState
from osler.encounters.ports import EncounterRepository
from osler.kernel.blobs import BlobVault
from osler.kernel.clock import Clock
from osler.kernel.errors import EmptyAudioError, NoSpeechError
from osler.kernel.ids import derived_id
from osler.kernel.jobs import Job
from osler.kernel.transactions import Database, Transaction
from osler.notes.checklist import ChecklistService, ReadItems
from osler.notes.records import NoteRecordService
from osler.pipeline.precedence import SpeechEngines
from osler.release.service import ReleaseService
from osler.speech.model import Transcript
from osler.speech.records import TranscriptService


@dataclass(frozen=True, slots=True)
class _Task:
    """A recording as it is to be transcribed."""

    encounter: Encounter
    recording: AudioRecording
    segments: Sequence[Segment]


class Transcription:
    """The steps of the jobs TRANSCRIBE_SEGMENT and TRANSCRIBE_RECORDING.

    A step reads, closes, computes and writes once. Done again, by a restarted process or by one that was taken for
    dead, it finds its work done or overtaken and changes nothing: what it makes is named after the job, which is named
    after the recording and the segments that it had.
    """

    def __init__(
        self,
        *,
        database: Database,
        encounters: EncounterRepository,
        recordings: RecordingRepository,
        transcripts: TranscriptService,
        notes: NoteRecordService,
        release: ReleaseService,
        vault: BlobVault,
        speech: SpeechEngines,
        audit: AuditTrail,
        clock: Clock,
        default_language: str | None = "en",
        checklists: ChecklistService | None = None,
    ) -> None:
        """``default_language`` (ISO 639-1) is that of encounters that name none; None detects it.

        Without ``checklists`` nothing is kept of what a visit covered.
        """
        self._checklists = checklists
        self._database = database
        self._encounters = encounters
        self._recordings = recordings
        self._transcripts = transcripts
        self._notes = notes
        self._release = release
        self._vault = vault
        self._speech = speech
        self._audit = audit
        self._clock = clock
        self._default_language = default_language

    async def transcribe_segment(self, job: Job) -> None:
        """Write down what was heard in one segment, while its recording goes on: later the whole is heard anyway."""
        async with self._database.read() as transaction:
            encounter = await self._encounters.get(transaction, job.organization_id, job.subject["encounter"])
            segment = await self._open_segment(transaction, job)
            if segment is None:
                return
            others = await self._recordings.segments(transaction, job.organization_id, segment.recording_id)
        sound = SegmentSound(segment, others, self._vault)
        try:
            heard = await self._speech.live(sound, self._language(encounter))
        except NoSpeechError:
            heard = Transcript(turns=(), duration=sound.seconds)
        async with self._database.write() as transaction:
            await self._encounters.lock(transaction, job.organization_id, encounter.id)
            if await self._open_segment(transaction, job) is None:
                return
            await self._transcripts.store_segment(transaction, segment, heard, self._clock.now())
            await self._recordings.set_segment_status(
                transaction, job.organization_id, segment.id, SegmentStatus.READY, seconds=sound.seconds
            )

    async def segment_failed(self, job: Job, code: str) -> None:
        """Show that a segment could not be transcribed by itself; the whole recording is tried all the same."""
        async with self._database.write() as transaction:
            if await self._open_segment(transaction, job) is not None:
                await self._recordings.set_segment_status(
                    transaction, job.organization_id, job.subject["segment"], SegmentStatus.FAILED, failure=code
                )

    async def transcribe_recording(self, job: Job) -> None:
        """Make the final transcript of a recording; notes that wait for it begin to be written.

        Without speech the recording is complete all the same, with the failure NoSpeechError, and those notes have
        failed with it. Raises what decoding, the vault and the engines raise.
        """
        async with self._database.write() as transaction:
            task = await self._task(transaction, job)
            if task is None:
                return
            if task.recording.state is RecordingState.FAILED:  # an operator has it done again
                await self._resume(transaction, task)
        sound = AssembledSound(task.segments, self._vault)
        heard, failure = None, None
        try:
            heard = await self._speech.batch(sound, self._language(task.encounter))
        except (NoSpeechError, EmptyAudioError) as error:
            failure = type(error).__name__
        covered = await self._checklists.read(heard) if self._checklists is not None and heard is not None else None
        async with self._database.write() as transaction:
            task = await self._task(transaction, job)
            if task is not None:
                await self._store(transaction, job, task, sound, heard, failure, covered)

    async def recording_failed(self, job: Job, code: str) -> None:
        """Show that a recording could not be transcribed, and that no note will come of it unless it is retried."""
        async with self._database.write() as transaction:
            task = await self._task(transaction, job)
            if task is None or task.recording.state is RecordingState.FAILED:
                return
            await self._recordings.save(transaction, replace(task.recording, state=RecordingState.FAILED, failure=code))
            for segment in task.segments:
                if segment.status is SegmentStatus.PENDING:
                    await self._recordings.set_segment_status(
                        transaction, job.organization_id, segment.id, SegmentStatus.FAILED, failure=code
                    )
            await self._settle(transaction, task.encounter, code)
            await self._trace(transaction, task, "recording.transcribed", Outcome.FAILED, {"failure": code})

    async def _store(
        self,
        transaction: Transaction,
        job: Job,
        task: _Task,
        sound: AssembledSound,
        heard: Transcript | None,
        failure: str | None,
        covered: ReadItems | None,
    ) -> None:
        """Write all that follows from a recording that was heard to its end."""
        now = self._clock.now()
        recording = replace(
            task.recording,
            state=RecordingState.COMPLETE,
            failure=failure,
            duration=sound.seconds,
        )
        await self._recordings.save(transaction, recording)
        for segment in task.segments:
            if segment.status is not SegmentStatus.READY or segment.seconds is None:
                await self._recordings.set_segment_status(
                    transaction,
                    job.organization_id,
                    segment.id,
                    SegmentStatus.READY,
                    seconds=sound.lengths.get(segment.id),
                )
        version = None
        if heard is not None:
            transcript_id = derived_id("transcript", job.id)
            version = await self._transcripts.store(transaction, recording, transcript_id, heard, now)
        await self._settle(transaction, task.encounter, failure)
        in_use = await self._transcripts.in_use(transaction, task.encounter.organization_id, task.encounter.id)
        if version is not None and in_use is not None and in_use.id == version.id:
            await self._release.release_transcript(transaction, version)
            if self._checklists is not None and covered is not None:
                checklist = await self._checklists.store(transaction, version, covered)
                await self._release.release_checklist(transaction, checklist)
        await self._trace(transaction, task, "recording.transcribed", Outcome.DONE, {"failure": failure or ""})

    async def _settle(self, transaction: Transaction, encounter: Encounter, failure: str | None) -> None:
        await self._notes.transcript_settled(transaction, encounter, failure)
        await self._release.settle(transaction, encounter)

    async def _task(self, transaction: Transaction, job: Job) -> _Task | None:
        """Return what is to be done, with the encounter and recording held; None if it is done, overtaken or erased."""
        encounter = await self._encounters.lock(transaction, job.organization_id, job.subject["encounter"])
        recording = await self._recordings.lock(transaction, job.organization_id, job.subject["recording"])
        segments = await self._recordings.segments(transaction, job.organization_id, recording.id)
        if encounter.state is EncounterState.ERASED or any(segment.blob is None for segment in segments):
            return None
        if transcription_id(recording.id, segments) != job.id:
            return None
        # A failure is final for the attempt that failed; a retry by an operator is another attempt.
        wanted = {RecordingState.FINISHED} if job.attempt == 1 else {RecordingState.FINISHED, RecordingState.FAILED}
        return _Task(encounter, recording, segments) if recording.state in wanted else None

    async def _resume(self, transaction: Transaction, task: _Task) -> None:
        resumed = replace(task.recording, state=RecordingState.FINISHED, failure=None)
        await self._recordings.save(transaction, resumed)
        await self._release.settle(transaction, task.encounter)

    async def _open_segment(self, transaction: Transaction, job: Job) -> Segment | None:
        """Return the job's segment if its recording still goes on and it was not transcribed yet."""
        recording = await self._recordings.get(transaction, job.organization_id, job.subject["recording"])
        segment = await self._recordings.get_segment(transaction, job.organization_id, job.subject["segment"])
        if recording.state is not RecordingState.OPEN or segment.blob is None:
            return None
        wanted = {SegmentStatus.PENDING} if job.attempt == 1 else {SegmentStatus.PENDING, SegmentStatus.FAILED}
        return segment if segment.status in wanted else None

    def _language(self, encounter: Encounter) -> str | None:
        """Return the ISO 639-1 part of the encounter's language (``en-US``, ``EN_GB``)."""
        if not encounter.language_code:
            return self._default_language
        return encounter.language_code.replace("_", "-").partition("-")[0].lower()

    async def _trace(
        self, transaction: Transaction, task: _Task, action: str, outcome: Outcome, detail: dict[str, str]
    ) -> None:
        event = AuditEvent(
            organization_id=task.encounter.organization_id,
            actor=SYSTEM,
            action=action,
            at=self._clock.now(),
            subject={"encounter": task.encounter.id, "recording": task.recording.id},
            outcome=outcome,
            detail={name: value for name, value in detail.items() if value},
        )
        await self._audit.append(transaction, [event])
