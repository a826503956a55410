"""Stored transcripts: the one in use, the texts of a recording that still goes on, and how new ones are written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from osler.audio.model import AudioRecording, RecordingState, Segment, transcript_awaited
from osler.audio.ports import RecordingRepository
from osler.kernel.errors import NotFoundError
from osler.kernel.ids import new_id
from osler.kernel.transactions import Database, Transaction
from osler.speech.model import SegmentTranscript, Transcript, TranscriptVersion
from osler.speech.ports import TranscriptRepository


@dataclass(frozen=True, slots=True)
class HeardRecording:
    """A recording with what was heard in it: its segments by index, the text of each so far, its final transcript."""

    recording: AudioRecording
    segments: Sequence[Segment]
    heard: Mapping[str, SegmentTranscript]
    version: TranscriptVersion | None


@dataclass(frozen=True, slots=True)
class TranscriptStanding:
    """Where the transcript of an encounter stands: the recordings by index, and the version in use."""

    recordings: Sequence[AudioRecording]
    version: TranscriptVersion | None

    @property
    def is_settled(self) -> bool:
        """Whether there is nothing to wait for: no recording is being transcribed, and there is a text or none to come.

        One that still goes on, or was left open, keeps the text of an earlier one from nobody.
        """
        states = {recording.state for recording in self.recordings}
        if RecordingState.FINISHED in states:
            return False
        return self.version is not None or RecordingState.OPEN not in states


class TranscriptService:
    """Reads stored transcripts; the pipeline writes them through it, in its own transactions."""

    def __init__(
        self, *, database: Database, transcripts: TranscriptRepository, recordings: RecordingRepository
    ) -> None:
        self._database = database
        self._transcripts = transcripts
        self._recordings = recordings

    async def current(self, organization_id: str, encounter_id: str) -> TranscriptVersion | None:
        """Return the encounter's transcript in use; None before there is one, or when it was erased."""
        async with self._database.read() as transaction:
            return await self._transcripts.current(transaction, organization_id, encounter_id)

    async def in_use(
        self, transaction: Transaction, organization_id: str, encounter_id: str
    ) -> TranscriptVersion | None:
        """As :meth:`current`, in the caller's transaction."""
        return await self._transcripts.current(transaction, organization_id, encounter_id)

    async def get(self, organization_id: str, transcript_id: str) -> TranscriptVersion:
        """Return one version. Raises NotFoundError, ErasedError."""
        async with self._database.read() as transaction:
            return await self._transcripts.get(transaction, organization_id, transcript_id)

    async def live(
        self, organization_id: str, encounter_id: str, recording_id: str
    ) -> tuple[AudioRecording, Sequence[Segment], Sequence[SegmentTranscript]]:
        """Return a recording with its segments and what was heard in each so far, both by index.

        Raises NotFoundError.
        """
        async with self._database.read() as transaction:
            recording = await self._recordings.get(transaction, organization_id, recording_id)
            if recording.encounter_id != encounter_id:
                raise NotFoundError("There is no such recording.")
            segments = await self._recordings.segments(transaction, organization_id, recording_id)
            heard = await self._transcripts.segments(transaction, organization_id, recording_id)
        return recording, segments, heard

    async def standing(self, organization_id: str, encounter_id: str) -> TranscriptStanding:
        """Say where the transcript stands. It may be asked for often: the text is read once it is settled."""
        async with self._database.read() as transaction:
            recordings = await self._recordings.of_encounter(transaction, organization_id, encounter_id)
            if any(recording.state is RecordingState.FINISHED for recording in recordings):
                return TranscriptStanding(recordings, None)
            return TranscriptStanding(
                recordings, await self._transcripts.current(transaction, organization_id, encounter_id)
            )

    async def heard(
        self, organization_id: str, encounter_id: str
    ) -> tuple[Sequence[HeardRecording], TranscriptVersion | None]:
        """Return all that was heard in an encounter so far, by recording, and the transcript in use; of one moment."""
        async with self._database.read() as transaction:
            found = []
            for recording in await self._recordings.of_encounter(transaction, organization_id, encounter_id):
                segments = await self._recordings.segments(transaction, organization_id, recording.id)
                heard = await self._transcripts.segments(transaction, organization_id, recording.id)
                version = await self._transcripts.of_recording(transaction, organization_id, recording.id)
                found.append(HeardRecording(recording, segments, {each.segment_id: each for each in heard}, version))
            return found, await self._transcripts.current(transaction, organization_id, encounter_id)

    async def pending(self, organization_id: str, encounter_id: str) -> bool:
        """Say whether a transcript newer than the one in use is on its way."""
        async with self._database.read() as transaction:
            return await self.awaits_transcript(transaction, organization_id, encounter_id)

    async def awaits_transcript(self, transaction: Transaction, organization_id: str, encounter_id: str) -> bool:
        """As :meth:`pending`, in the caller's transaction; see :func:`osler.audio.model.transcript_awaited`."""
        recordings = await self._recordings.of_encounter(transaction, organization_id, encounter_id)
        return transcript_awaited((each.index, each.state, each.failure) for each in recordings)

    async def store(
        self,
        transaction: Transaction,
        recording: AudioRecording,
        transcript_id: str,
        transcript: Transcript,
        at: datetime,
    ) -> TranscriptVersion:
        """Write a recording's final transcript as the encounter's newest version, which is then the one in use.

        The caller holds the encounter.
        """
        version = TranscriptVersion(
            id=transcript_id,
            organization_id=recording.organization_id,
            encounter_id=recording.encounter_id,
            recording_id=recording.id,
            version=await self._transcripts.next_version(
                transaction, recording.organization_id, recording.encounter_id
            ),
            created_at=at,
            transcript=transcript,
        )
        await self._transcripts.add(transaction, version)
        return version

    async def store_correction(
        self,
        transaction: Transaction,
        former: TranscriptVersion,
        transcript: Transcript,
        *,
        author_id: str,
        at: datetime,
    ) -> TranscriptVersion:
        """Write what a person corrected in ``former`` as the newest version. The caller holds the encounter."""
        version = replace(
            former,
            id=new_id(),
            version=await self._transcripts.next_version(transaction, former.organization_id, former.encounter_id),
            created_at=at,
            transcript=transcript,
            author_id=author_id,
        )
        await self._transcripts.add(transaction, version)
        return version

    async def store_segment(
        self, transaction: Transaction, segment: Segment, transcript: Transcript, at: datetime
    ) -> None:
        """Write what was heard in one segment."""
        await self._transcripts.save_segment(
            transaction,
            SegmentTranscript(
                segment_id=segment.id,
                organization_id=segment.organization_id,
                encounter_id=segment.encounter_id,
                recording_id=segment.recording_id,
                index=segment.index,
                created_at=at,
                transcript=transcript,
            ),
        )
