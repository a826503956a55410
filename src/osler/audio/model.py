"""Recordings and their segments, and the audio that every engine takes. Plain types, no decoder."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from osler.kernel.blobs import StoredBlob

SAMPLE_RATE: Final = 16_000
"""Hz; every engine port takes mono float32 samples in -1..1 at this rate."""

Samples = NDArray[np.float32]
"""Shape [n], mono, -1..1, at SAMPLE_RATE."""


class RecordingKind(StrEnum):
    """How a recording came."""

    USER_UPLOADED = "user_uploaded"
    LIVE = "live"
    BACKUP = "backup"


class RecordingState(StrEnum):
    """Where a recording stands. ``complete``: its final transcript is stored; ``failed``: an operator may retry."""

    OPEN = "open"
    FINISHED = "finished"
    COMPLETE = "complete"
    FAILED = "failed"
    ERASED = "erased"


class SegmentStatus(StrEnum):
    """Whether a segment's words are known."""

    PENDING = "pending"
    READY = "ready"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class AudioRecording:
    """One recording of a visit, of one segment (a whole file) or many. ``failure`` is an error code, no PHI.

    ``started_at`` and ``ended_at`` are the client's; ``duration`` is seconds of audio, known once decoded.
    ``index`` counts the recordings of the encounter from 0.
    """

    id: str
    organization_id: str
    encounter_id: str
    kind: RecordingKind
    index: int
    created_at: datetime
    state: RecordingState = RecordingState.OPEN
    media_type: str | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    finished_at: datetime | None = None
    duration: float | None = None
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of a recording as it was sent. ``index`` counts from 0; ``seconds`` is its length once decoded.

    ``blob`` None: erased.
    """

    id: str
    organization_id: str
    encounter_id: str
    recording_id: str
    index: int
    received_at: datetime
    blob: StoredBlob | None
    status: SegmentStatus = SegmentStatus.PENDING
    seconds: float | None = None
    failure: str | None = None


def transcript_awaited(recordings: Iterable[tuple[int, RecordingState, str | None]]) -> bool:
    """Say whether a transcript is on its way, of an encounter's recordings by index, state and failure.

    A recording that was never finished holds nothing up once a later one has its transcript: its client is gone.
    """
    opened = done = -1
    for index, state, failure in recordings:
        if state is RecordingState.FINISHED:
            return True
        if state is RecordingState.OPEN:
            opened = max(opened, index)
        elif state is RecordingState.COMPLETE and failure is None:
            done = max(done, index)
    return opened > done
