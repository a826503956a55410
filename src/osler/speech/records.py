"""Stored transcripts: the one in use, the texts of a recording that still goes on, and how new ones are written."""

from collections.abc import Sequence
from datetime import datetime

from osler.audio.model import AudioRecording, Segment, transcript_awaited
from osler.audio.ports import RecordingRepository
from osler.kernel.errors import NotFoundError
from osler.kernel.transactions import Database, Transaction
from osler.speech.model import SegmentTranscript, Transcript, TranscriptVersion
from osler.speech.ports import TranscriptRepository


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
