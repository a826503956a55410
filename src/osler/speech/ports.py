"""What speech needs from engines. Every port here is synchronous CPU work; a server calls them in a thread."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from osler.audio.model import SAMPLE_RATE, Samples
from osler.kernel.engine_record import EngineRecord
from osler.kernel.spans import TimeSpan
from osler.speech.model import HeardWord

__all__ = [
    "SAMPLE_RATE",
    "Recognition",
    "Samples",
    "SpeakerEncoder",
    "SpeechDetector",
    "Transcriber",
]


class SpeechDetector(Protocol):
    """Voice activity detection."""

    @property
    def record(self) -> EngineRecord: ...

    def regions(self, samples: Samples) -> list[TimeSpan]:
        """Return the stretches of speech in ``samples`` (shape [n]), in seconds from its start, in order, disjoint.

        They hug the speech: whoever wants a margin or wants short pauses bridged adds that himself."""
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
