"""A URL by which a whole recording can be heard for a while, of as many segments as it may be."""

import asyncio
import math
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from osler.access.recent import Recent
from osler.audio.decode import MEDIA_TYPES, read_recording
from osler.audio.joined import DECODED, look_at_all
from osler.audio.model import AudioRecording, RecordingKind, RecordingState, Segment
from osler.audio.ports import RecordingRepository
from osler.audio.streams import SegmentFiles, SegmentKind
from osler.kernel.blobs import BlobVault, StoredBlob
from osler.kernel.clock import Clock
from osler.kernel.errors import BlobsUnavailableError, EmptyAudioError, ErasedError, InputError, NotFoundError
from osler.kernel.transactions import Database

CHECKS_AT_ONCE: Final = 16
"""Segments that are asked for in the blob store at a time."""

_UNKNOWN: Final = "application/octet-stream"


class RecordingVault(BlobVault, Protocol):
    """The vault, which also says whether something is there, and signs the URL of a whole recording."""

    async def holds(self, blob: StoredBlob) -> bool:
        """Say whether the object is there with the length that was written, without reading it.

        Raises ErasedError, MasterKeyError and BlobsUnavailableError.
        """
        ...

    async def recording_url(self, recording_id: str, *, media_type: str, expires_at: datetime) -> str:
        """Return a URL that serves all of a recording without a header until ``expires_at``; it names no patient."""
        ...


class RecordingUrls:
    """Makes URLs of recordings; see ``playback`` for what stands behind those that Osler serves itself."""

    def __init__(
        self,
        *,
        database: Database,
        recordings: RecordingRepository,
        vault: RecordingVault,
        clock: Clock,
        lifetime: timedelta,
    ) -> None:
        self._database = database
        self._recordings = recordings
        self._vault = vault
        self._clock = clock
        self._lifetime = lifetime
        self._types: Recent[str, str] = Recent(fresh=math.inf)

    async def url(self, organization_id: str, encounter_id: str, recording_id: str) -> tuple[str, datetime]:
        """Return a URL of the whole recording as one file, and the second (UTC) at which it stops working.

        A recording of one file is served as it came, by the bucket itself if that seals it; slices of a browser's
        recorder are served joined, and everything else as WAV (PCM of 16 bits, mono, 16 kHz). It leaves no trace: its
        caller records who asked.

        Raises NotFoundError (the encounter has no such recording), ErasedError, EmptyAudioError (the recording has no
        audio and never had any), BlobsUnavailableError, also for audio that is missing in the blob store: a URL is
        never made for nothing, and CorruptedError where damage shows.
        """
        recording, segments = await self._read(organization_id, encounter_id, recording_id)
        try:
            await self._check(segments)
        except BlobsUnavailableError:
            await self._read(organization_id, encounter_id, recording_id)  # it may have been erased just now
            raise
        expires_at = (self._clock.now() + self._lifetime).astimezone(UTC).replace(microsecond=0)
        if len(segments) == 1:
            media_type = await self._type_alone(recording, segments[0])
            if media_type is not None:
                assert segments[0].blob is not None
                url = await self._vault.signed_url(segments[0].blob, media_type=media_type, expires_at=expires_at)
                return url, expires_at
        media_type = await self._types.get(
            f"{recording_id} {len(segments)}", lambda: asyncio.to_thread(self._joined_type, segments)
        )
        assert media_type is not None
        return await self._vault.recording_url(recording_id, media_type=media_type, expires_at=expires_at), expires_at

    async def _read(
        self, organization_id: str, encounter_id: str, recording_id: str
    ) -> tuple[AudioRecording, Sequence[Segment]]:
        async with self._database.read() as transaction:
            recording = await self._recordings.get(transaction, organization_id, recording_id)
            segments = await self._recordings.segments(transaction, organization_id, recording_id)
        if recording.encounter_id != encounter_id:
            raise NotFoundError("There is no such recording.")
        if recording.state is RecordingState.ERASED or any(segment.blob is None for segment in segments):
            raise ErasedError("The audio of this recording was erased for good.")
        if not segments:
            raise EmptyAudioError("This recording has no audio; nothing was recorded.")
        return recording, segments

    async def _check(self, segments: Sequence[Segment]) -> None:
        """Make sure that all of the audio is in the blob store. Raises BlobsUnavailableError."""
        left = iter(segments)

        async def check() -> None:
            for segment in left:
                assert segment.blob is not None
                if not await self._vault.holds(segment.blob):
                    raise BlobsUnavailableError(
                        "Audio is missing from the blob store; check that it is the right one, or restore a backup."
                    )

        checks = [asyncio.create_task(check()) for _ in range(min(CHECKS_AT_ONCE, len(segments)))]
        try:
            await asyncio.gather(*checks)
        finally:
            for task in checks:
                task.cancel()

    async def _type_alone(self, recording: AudioRecording, segment: Segment) -> str | None:
        """Return the media type of a recording of one segment, None if its bytes cannot be played as they are."""
        assert segment.blob is not None
        # Of an upload it was found in the content.
        if recording.kind is RecordingKind.USER_UPLOADED and recording.media_type in MEDIA_TYPES.values():
            return recording.media_type
        found = await self._types.get(segment.blob.id, lambda: asyncio.to_thread(self._found_type, segment))
        return found or None

    def _found_type(self, segment: Segment) -> str:
        """Return the media type that a segment's content has; "" for a slice without its header."""
        files = SegmentFiles([segment], self._vault)
        if files.kind(segment) not in (SegmentKind.FILE, SegmentKind.HEADED):
            return ""
        source = files.open([segment])
        assert source is not None
        with closing(source):
            try:
                return read_recording(source).media_type or _UNKNOWN
            except InputError:
                return _UNKNOWN

    def _joined_type(self, segments: Sequence[Segment]) -> str:
        if SegmentFiles(segments[:2], self._vault).stream_type() is None:
            return DECODED
        files = SegmentFiles(segments, self._vault)
        look_at_all(files, segments)
        return files.stream_type() or DECODED
