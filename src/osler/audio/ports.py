"""What the audio room needs from storage, and sound as engines get it. Blobs are the kernel's port BlobVault."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from osler.audio.model import AudioRecording, Samples, Segment, SegmentStatus
from osler.kernel.transactions import Transaction


class Sound(Protocol):
    """Decoded sound: iterate once over its chunks, then read how the decoding went.

    Chunks have the shape [n], mono, -1..1, at SAMPLE_RATE. ``seconds`` counts what was decoded so far; ``declared`` is
    the length that the source says it has, None if it says nothing; ``truncated`` says that the source breaks off;
    ``warnings`` are lines for the user. The last two are complete once the chunks are exhausted.
    """

    seconds: float
    declared: float | None
    truncated: bool

    @property
    def warnings(self) -> tuple[str, ...]: ...

    def __iter__(self) -> Iterator[Samples]: ...


class RecordingRepository(Protocol):
    """Recordings and segments."""

    async def add(self, transaction: Transaction, recording: AudioRecording) -> None: ...

    async def get(self, transaction: Transaction, organization_id: str, recording_id: str) -> AudioRecording:
        """Raises NotFoundError."""
        ...

    async def lock(self, transaction: Transaction, organization_id: str, recording_id: str) -> AudioRecording:
        """As get, held against other writers. Raises NotFoundError."""
        ...

    async def save(self, transaction: Transaction, recording: AudioRecording) -> None: ...

    async def of_encounter(
        self, transaction: Transaction, organization_id: str, encounter_id: str
    ) -> Sequence[AudioRecording]:
        """Return the encounter's recordings by index."""
        ...

    async def add_segment(self, transaction: Transaction, segment: Segment) -> None:
        """Raises ConflictError if the recording has a segment of that index."""
        ...

    async def segment(
        self, transaction: Transaction, organization_id: str, recording_id: str, index: int
    ) -> Segment | None: ...

    async def get_segment(self, transaction: Transaction, organization_id: str, segment_id: str) -> Segment:
        """Raises NotFoundError."""
        ...

    async def segments(self, transaction: Transaction, organization_id: str, recording_id: str) -> Sequence[Segment]:
        """Return the recording's segments by index."""
        ...

    async def settled_segments(
        self, transaction: Transaction, organization_id: str, segment_ids: Sequence[str]
    ) -> Mapping[str, SegmentStatus]:
        """Return which of these segments are ready or failed."""
        ...

    async def ended(
        self, transaction: Transaction, organization_id: str, recording_ids: Sequence[str]
    ) -> Sequence[AudioRecording]:
        """Return which of these recordings are complete, failed or erased."""
        ...

    async def set_segment_status(
        self,
        transaction: Transaction,
        organization_id: str,
        segment_id: str,
        status: SegmentStatus,
        *,
        seconds: float | None = None,
        failure: str | None = None,
    ) -> None: ...

    async def segment_of_blob(self, transaction: Transaction, blob_id: str) -> Segment | None:
        """Find whose audio a signed URL serves, in whatever organization; the URL's signature is the permission."""
        ...
