"""The sound of a recording from its segments as they lie in the vault: in order, decoded as it is read."""

from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Final

import numpy as np

from osler.audio.decode import Recording, read_recording
from osler.audio.model import SAMPLE_RATE, Samples, Segment
from osler.audio.slices import TINY
from osler.audio.streams import SegmentFiles, SegmentKind
from osler.kernel.blobs import BlobVault
from osler.kernel.errors import EmptyAudioError, NotAudioError
from osler.kernel.ids import derived_id

CHECKED_SECONDS: Final = 30.0
"""Seconds of audio that are decoded before bytes are believed to be audio: enough that a live segment's length is
known exactly, and little enough that an upload is answered at once."""

MAX_NAMED: Final = 5
"""So many missing segments are named one by one."""

GAP: Final = 1.0
"""Seconds of silence in the place of segments that never came: no sentence goes on across them, by no other voice."""

_SLICES: Final = (SegmentKind.SLICE, SegmentKind.FRAGMENT)


def missing_indexes(indexes: Sequence[int]) -> tuple[int, ...]:
    """Return the gaps below the highest of ``indexes`` (which count from 0)."""
    present = set(indexes)
    return tuple(index for index in range(max(present, default=-1)) if index not in present)


def transcription_id(recording_id: str, segments: Sequence[Segment]) -> str:
    """Return the id of the work on a recording as it stands: other segments make it other work, the same ones do not.

    It is the id of the job, and what the job makes is named after it.
    """
    return derived_id("transcribe recording", recording_id, *(segment.id for segment in segments))


def segment_ends(segments: Sequence[Segment]) -> list[float]:
    """Return the second at which each of a recording's segments, by index, ends in what is put together of them."""
    ends: list[float] = []
    for place, segment in enumerate(segments):
        gap = GAP if place and segment.index > segments[place - 1].index + 1 else 0.0
        ends.append((ends[-1] if ends else 0.0) + gap + (segment.seconds or 0.0))
    return ends


@dataclass(frozen=True, slots=True)
class AudioContent:
    """What a segment's bytes are.

    ``seconds`` is exact below :data:`CHECKED_SECONDS`, else what the file says, None if it says nothing. ``media_type``
    is the content's own, None if it is not known.
    """

    seconds: float | None
    media_type: str | None


class AssembledSound:
    """The segments of one recording as one :class:`osler.audio.ports.Sound`, by index; never whole in memory.

    A segment is a file of its own, or a slice of a WebM stream that goes on where the one before it ends. Slices are
    put together byte by byte, so that nothing between them is lost; behind a missing one the stream is taken up again
    at the next block, by the header that stands before the gap, or as Opus if none does. One file is joined to the next
    without a gap, so that words at their borders are heard whole. Segments that never came are named in the warnings;
    for :data:`GAP` seconds there is silence in their place.

    Reads the vault as it goes: iterate in a worker thread. Iterating raises ErasedError for a segment without its
    bytes, and what decoding and the vault raise. ``lengths`` holds the seconds of segments that were decoded alone.
    """

    def __init__(self, segments: Sequence[Segment], vault: BlobVault) -> None:
        self._segments = sorted(segments, key=lambda segment: segment.index)
        self._vault = vault
        self._warnings: list[str] = []
        self.seconds = 0.0
        self.declared: float | None
        self.truncated = False
        self.lengths: dict[str, float] = {}
        known = [segment.seconds for segment in self._segments]
        self.declared = None if None in known else segment_ends(self._segments)[-1] if known else 0.0
        missing = missing_indexes([segment.index for segment in self._segments])
        if missing:
            named = ", ".join(str(index) for index in missing[:MAX_NAMED])
            more = f" and {len(missing) - MAX_NAMED} more" if len(missing) > MAX_NAMED else ""
            self._warnings.append(f"Parts of the recording never arrived: segments {named}{more}.")

    @property
    def warnings(self) -> tuple[str, ...]:
        """Lines for the user; complete once the chunks are exhausted."""
        return tuple(self._warnings)

    def __iter__(self) -> Iterator[Samples]:
        if not self._segments:
            raise EmptyAudioError("The recording has no segments; record again.")
        files = SegmentFiles(self._segments, self._vault)
        index: int | None = None
        for run in files.runs():
            source = files.open(run)
            if source is None:
                self._warnings.append(f"Segment {run[0].index}: too little of the recording's stream is there.")
                continue
            if index is not None and run[0].index > index + 1:
                self.seconds += GAP
                yield np.zeros(round(GAP * SAMPLE_RATE), np.float32)
            index = run[-1].index
            recording = read_recording(source)
            length = 0
            for chunk in recording:
                length += len(chunk)
                self.seconds += len(chunk) / SAMPLE_RATE
                yield chunk
            if len(run) == 1:
                self.lengths[run[0].id] = length / SAMPLE_RATE
            # Of many segments only the last can end the recording; what one before it lacks is a gap of its own length.
            self.truncated = recording.truncated
            where = "" if len(self._segments) == 1 else f"Segment {run[0].index}: "
            self._warnings += [where + line for line in recording.warnings]


class SegmentSound:
    """What can be heard in one segment while others may still be on their way: a Sound of its own.

    Of a slice of a stream: with the block that the slice before it began, without the one that goes on in the next. It
    is not ``truncated`` by that. One in which no block ends is silent.
    """

    def __init__(self, segment: Segment, others: Sequence[Segment], vault: BlobVault) -> None:
        """``others``: the recording's other segments, as far as they are there."""
        self._segment = segment
        there = [other for other in others if other.id != segment.id and other.blob is not None]
        self._files = SegmentFiles([segment, *there], vault)
        self._recording: Recording | None = None
        self._in_stream = False
        self.seconds = 0.0
        self.declared = segment.seconds
        self.truncated = False

    @property
    def warnings(self) -> tuple[str, ...]:
        """Lines for the user; complete once the chunks are exhausted."""
        return () if self._recording is None or self._in_stream else self._recording.warnings

    def __iter__(self) -> Iterator[Samples]:
        kind = self._files.kind(self._segment)
        self._in_stream = kind is not SegmentKind.FILE
        lead = self._files.lead(self._segment) if kind in _SLICES else None
        source = self._files.open([self._segment], lead or b"")
        if source is None:
            return
        silent = (EmptyAudioError, NotAudioError) if self._in_stream else ()
        with suppress(*silent):
            self._recording = read_recording(source)
            for chunk in self._recording:
                self.seconds += len(chunk) / SAMPLE_RATE
                yield chunk
            self.truncated = self._recording.truncated and not self._in_stream


def audio_content(segment: Segment, vault: BlobVault, others: Sequence[Segment] | None = None) -> AudioContent:
    """Make sure that a segment's bytes are audio by decoding their beginning; call it in a worker thread.

    ``others`` are the recording's other segments, None if it is a recording by itself. A slice of a WebM stream is
    decoded by the header of an earlier one, and must go on where the one before it ends. One that comes before its
    header is believed if it decodes as Opus, which needs none. Too short to hold a whole block may be the beginning of
    a stream, and any slice of which others are there.

    Raises NotAudioError (also for video), EmptyAudioError, ErasedError, and what the vault raises.
    """
    there = [other for other in others or () if other.id != segment.id and other.blob is not None]
    files = SegmentFiles([segment, *there], vault)
    kind = files.kind(segment)
    is_slice = kind in _SLICES
    lead = files.lead(segment) if is_slice else b""
    if lead is None:
        raise NotAudioError("This slice does not go on where the segment before it ends; send the slices as recorded.")
    source = files.open([segment], lead)
    if source is None:
        return AudioContent(0.0, None)
    assert segment.blob is not None
    may_be_mute = others is not None and kind is not SegmentKind.FILE and segment.blob.size <= TINY
    try:
        recording = read_recording(source)
    except NotAudioError:
        if may_be_mute:
            return AudioContent(0.0, None)
        raise
    try:
        return _decoded(recording, is_slice)
    except EmptyAudioError:
        if may_be_mute:
            return AudioContent(0.0, recording.media_type)
        raise


def _decoded(recording: Recording, is_slice: bool) -> AudioContent:
    """Decode a recording's beginning. Raises NotAudioError, EmptyAudioError."""
    with closing(iter(recording)) as chunks:
        if recording.has_video:
            raise NotAudioError("This is video; send its sound alone.")
        for _ in chunks:
            if recording.seconds >= CHECKED_SECONDS:
                return AudioContent(None if is_slice else recording.declared, recording.media_type)
    return AudioContent(recording.seconds, recording.media_type)
