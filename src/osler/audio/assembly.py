"""The sound of a whole recording from its segments as they lie in the vault: in order, decoded as it is read."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Final

from osler.audio.decode import Recording, read_recording
from osler.audio.model import SAMPLE_RATE, Samples, Segment
from osler.kernel.blobs import BlobVault
from osler.kernel.errors import EmptyAudioError, ErasedError
from osler.kernel.ids import derived_id

CHECKED_SECONDS: Final = 30.0
"""Seconds of audio that are decoded before bytes are believed to be audio: enough that a live segment's length is
known exactly, and little enough that an upload is answered at once."""

MAX_NAMED: Final = 5
"""So many missing segments are named one by one."""


def missing_indexes(indexes: Sequence[int]) -> tuple[int, ...]:
    """Return the gaps below the highest of ``indexes`` (which count from 0)."""
    present = set(indexes)
    return tuple(index for index in range(max(present, default=-1)) if index not in present)


def transcription_id(recording_id: str, segments: Sequence[Segment]) -> str:
    """Return the id of the work on a recording as it stands: other segments make it other work, the same ones do not.

    It is the id of the job, and what the job makes is named after it.
    """
    return derived_id("transcribe recording", recording_id, *(segment.id for segment in segments))


class AssembledSound:
    """The segments of one recording as one :class:`osler.audio.ports.Sound`, by index; never whole in memory.

    Each segment is a file of its own, and one is joined to the next without a gap, so that words at their borders are
    heard whole. Segments that never came are named in the warnings. Reads the vault as it goes: iterate in a worker
    thread. Iterating raises ErasedError for a segment without its bytes, and what decoding and the vault raise.

    ``lengths`` holds the seconds of each segment decoded so far, by segment id.
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
        self.declared = None if None in known else sum(length or 0.0 for length in known)
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
        for segment in self._segments:
            recording = self._read(segment)
            length = 0
            for chunk in recording:
                length += len(chunk)
                self.seconds += len(chunk) / SAMPLE_RATE
                yield chunk
            self.lengths[segment.id] = length / SAMPLE_RATE
            # Of many segments only the last can end the recording; what one before it lacks is a gap of its own length.
            self.truncated = recording.truncated
            where = "" if len(self._segments) == 1 else f"Segment {segment.index}: "
            self._warnings += [where + line for line in recording.warnings]

    def _read(self, segment: Segment) -> Recording:
        if segment.blob is None:
            raise ErasedError("The audio of this recording was erased for good.")
        return read_recording(self._vault.open(segment.blob))


def audio_length(segment: Segment, vault: BlobVault) -> float | None:
    """Make sure that a segment's bytes are audio by decoding their beginning; call it in a worker thread.

    Returns the length in seconds: exact if it is below CHECKED_SECONDS, else as the file says, None if it says nothing.
    Raises NotAudioError, EmptyAudioError, and what the vault raises.
    """
    if segment.blob is None:
        raise ErasedError("The audio of this recording was erased for good.")
    recording = read_recording(vault.open(segment.blob))
    with closing(iter(recording)) as chunks:
        for _ in chunks:
            if recording.seconds >= CHECKED_SECONDS:
                return recording.declared
    return recording.seconds
