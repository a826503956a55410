"""What speech needs from engines (synchronous CPU work; a server calls them in a thread) and from storage."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from osler.audio.model import SAMPLE_RATE, Samples
from osler.kernel.engine_record import EngineRecord
from osler.kernel.spans import TimeSpan
from osler.kernel.transactions import Transaction
from osler.speech.model import HeardWord, SegmentTranscript, TranscriptVersion

__all__ = [
    "SAMPLE_RATE",
    "Recognition",
    "Samples",
    "SpeakerEncoder",
    "SpeechDetector",
    "Transcriber",
    "TranscriptRepository",
]


class SpeechDetector(Protocol):
    """Voice activity detection."""

    @property
    def record(self) -> EngineRecord: ...

    def regions(self, samples: Samples, *, between: Callable[[], None] = ...) -> list[TimeSpan]:
        """Return the stretches of speech in ``samples`` (shape [n]), in seconds from its start, in order, disjoint.

        They hug the speech: whoever wants a margin or wants short pauses bridged adds that himself. ``between`` is
        called before each piece of the work: ten minutes are looked through in some seconds.
        """
        ...


@dataclass(frozen=True, slots=True)
class Recognition:
    """Words of one block, times in seconds from the block's start; ``language`` is an ISO 639-1 code."""

    words: tuple[HeardWord, ...]
    language: str


class Transcriber(Protocol):
    """A speech-to-text engine."""

    @property
    def record(self) -> EngineRecord: ...

    def transcribe(
        self,
        samples: Samples,
        regions: Sequence[TimeSpan],
        *,
        language: str | None,
        vocabulary: str,
        done: Callable[[float], None] = ...,
    ) -> Recognition:
        """Transcribe the ``regions`` of one block (shape [n], at most 10 minutes).

        ``language`` None means: detect it. ``vocabulary`` biases the decoder towards its words; empty: no bias.
        ``done`` is called now and then with the seconds of the block that are transcribed. Raises EngineError.
        """
        ...


class SpeakerEncoder(Protocol):
    """Turns a voice into a vector; the same person's vectors point the same way."""

    @property
    def record(self) -> EngineRecord: ...

    def embed(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Embed ``windows`` (shape [m, n samples]) to unit vectors (shape [m, d])."""
        ...


class TranscriptRepository(Protocol):
    """Stored transcripts, and the texts of single segments while a recording goes on."""

    async def add(self, transaction: Transaction, version: TranscriptVersion) -> None:
        """Raises ConflictError if the encounter has that version already."""
        ...

    async def current(
        self, transaction: Transaction, organization_id: str, encounter_id: str
    ) -> TranscriptVersion | None:
        """Return the transcript in use: the highest version, but one of a backup only where there is no other.

        None before there is one.
        """
        ...

    async def get(self, transaction: Transaction, organization_id: str, transcript_id: str) -> TranscriptVersion:
        """Raises NotFoundError."""
        ...

    async def exists(self, transaction: Transaction, organization_id: str, transcript_id: str) -> bool:
        """Say whether that version was stored, even if it was erased since."""
        ...

    async def next_version(self, transaction: Transaction, organization_id: str, encounter_id: str) -> int:
        """Return the version that the encounter's next transcript gets, counted from 1."""
        ...

    async def of_recording(
        self, transaction: Transaction, organization_id: str, recording_id: str
    ) -> TranscriptVersion | None:
        """Return the recording's highest version."""
        ...

    async def save_segment(self, transaction: Transaction, heard: SegmentTranscript) -> None:
        """Write or replace the text of a segment."""
        ...

    async def segments(
        self, transaction: Transaction, organization_id: str, recording_id: str
    ) -> Sequence[SegmentTranscript]:
        """Return the texts of the segments so far, by index."""
        ...

    async def of_segments(
        self, transaction: Transaction, organization_id: str, segment_ids: Sequence[str]
    ) -> Sequence[SegmentTranscript]:
        """Return the texts of these segments, by recording and index; those that there are."""
        ...
