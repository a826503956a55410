"""Playing audio back: whose recording a signed URL serves, and a trace of each time that it was heard."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from osler.audio.joined import JoinedRecordings, PlayableFile
from osler.audio.model import AudioRecording, Segment
from osler.audit.model import Actor, AuditEvent
from osler.audit.ports import AuditTrail
from osler.kernel.blobs import BlobVault, StoredBlob
from osler.kernel.clock import Clock
from osler.kernel.errors import ErasedError
from osler.kernel.transactions import Database, Transaction


class HeardRecordings(Protocol):
    """What playing back needs of the room's repository."""

    async def segment_of_blob(self, transaction: Transaction, blob_id: str) -> Segment | None:
        """Find whose audio a signed URL serves, in whatever organization; the URL's signature is the permission."""
        ...

    async def recording_anywhere(
        self, transaction: Transaction, recording_id: str
    ) -> tuple[AudioRecording, Sequence[Segment]] | None:
        """Find a recording with its segments by index, in whatever organization, for a signed URL."""
        ...

    async def transcribed_seconds(self, transaction: Transaction) -> float:
        """Return how many seconds of audio have a final transcript, of all organizations together."""
        ...


@dataclass(frozen=True, slots=True)
class Heard:
    """What a signed URL serves, and of whom it is: ``subject`` holds the ids for the trace."""

    organization_id: str
    subject: Mapping[str, str]
    file: PlayableFile


class PlaybackService:
    """Finds audio by what a signed URL names."""

    def __init__(
        self,
        *,
        database: Database,
        recordings: HeardRecordings,
        vault: BlobVault,
        audit: AuditTrail,
        clock: Clock,
    ) -> None:
        self._database = database
        self._recordings = recordings
        self._vault = vault
        self._joined = JoinedRecordings(vault)
        self._audit = audit
        self._clock = clock

    async def segment(self, blob_id: str, media_type: str) -> Heard:
        """Return the segment whose audio is stored there; call it only with what a signature was checked for.

        Raises ErasedError: what was signed was stored once, so what is not there any more was erased.
        """
        async with self._database.read() as transaction:
            segment = await self._recordings.segment_of_blob(transaction, blob_id)
        if segment is None or segment.blob is None:
            raise ErasedError("This recording was erased for good.")
        subject = {"encounter": segment.encounter_id, "recording": segment.recording_id, "segment": segment.id}
        return Heard(segment.organization_id, subject, _StoredFile(segment.blob, media_type, self._vault))

    async def recording(self, recording_id: str, media_type: str) -> Heard:
        """Return all of a recording as one file of that type; call it only with what a signature was checked for.

        Raises ErasedError as :meth:`segment` does, NotAudioError and EmptyAudioError for segments that cannot be
        decoded, and what the vault raises.
        """
        async with self._database.read() as transaction:
            found = await self._recordings.recording_anywhere(transaction, recording_id)
        if found is None or not found[1]:
            raise ErasedError("This recording was erased for good.")
        recording, segments = found
        file = await self._joined.open(recording, segments, media_type)
        return Heard(recording.organization_id, {"encounter": recording.encounter_id, "recording": recording.id}, file)

    async def record_access(self, actor: Actor, heard: Heard, *, start: int, end: int, method: str) -> None:
        """Leave a trace that bytes ``start:end`` are handed out. Durable on return."""
        await self._audit.record(
            AuditEvent(
                organization_id=heard.organization_id,
                actor=actor,
                action="recording.read",
                at=self._clock.now(),
                subject=dict(heard.subject),
                detail={"bytes": f"{start}-{end}", "method": method},
            )
        )

    async def transcribed_seconds(self) -> float:
        """Return how many seconds of audio have a final transcript, for metrics."""
        async with self._database.read() as transaction:
            return await self._recordings.transcribed_seconds(transaction)


class _StoredFile:
    """One object as it is stored."""

    def __init__(self, blob: StoredBlob, media_type: str, vault: BlobVault) -> None:
        self.media_type = media_type
        self.size = blob.size
        self.tag = blob.id
        self._blob = blob
        self._vault = vault

    def stream(self, start: int, end: int) -> AsyncIterator[bytes]:
        return self._vault.stream(self._blob, start, end)
