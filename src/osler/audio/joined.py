"""A recording of many segments as one file that a player reads in any part: joined bytes, or decoded as it is read."""

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from typing import Final, Protocol

import numpy as np

from osler.access.recent import Recent
from osler.audio.assembly import GAP
from osler.audio.decode import read_recording
from osler.audio.model import SAMPLE_RATE, AudioRecording, RecordingState, Samples, Segment, SegmentStatus
from osler.audio.streaming import SAMPLE_BYTES, wav_header
from osler.audio.streams import SegmentFiles, SegmentKind
from osler.kernel.blobs import BlobVault
from osler.kernel.errors import CorruptedError, ErasedError
from osler.kernel.ids import derived_id

DECODED: Final = "audio/wav"
"""What is served where the bytes of the segments cannot be joined: PCM of 16 bits, little-endian, mono, 16 kHz."""

PIECE: Final = 8 * SAMPLE_RATE
"""Samples that are decoded in one step, and held."""

AT_ONCE: Final = 2
"""Steps of decoding at a time, and recordings whose samples are counted: playing must not take all processors."""

LOOKS_AT_ONCE: Final = 4
"""Segments that are looked at together: where they lie in a bucket, each look takes a journey there."""

KEPT: Final = 512
"""Recordings of which it is remembered how their samples lie in the segments (some 100 bytes a segment)."""

HEADER: Final = len(wav_header(0))

_WHOLE_FILES: Final = (SegmentKind.FILE, SegmentKind.HEADED)
_LONGEST: Final = 0xFFFFFFFF - 36
"""Bytes of samples that a WAV header can name (37 hours)."""


class PlayableFile(Protocol):
    """Bytes that are served under a signed URL. ``tag`` names them: equal bytes have equal tags."""

    @property
    def media_type(self) -> str: ...

    @property
    def size(self) -> int: ...

    @property
    def tag(self) -> str: ...

    def stream(self, start: int, end: int) -> AsyncIterator[bytes]:
        """Yield bytes ``start:end``. Raises ErasedError, CorruptedError, BlobsUnavailableError, NotAudioError."""
        ...


@dataclass(frozen=True, slots=True)
class Part:
    """Samples of a recording that are decoded together: those of the segments ``first:last`` by their places.

    ``silence`` samples stand before the part's own ``samples``. ``plain``: it is one file of such samples as are
    served, behind a header of :data:`HEADER` bytes, so that nothing is to be decoded.
    """

    first: int
    last: int
    silence: int
    samples: int
    plain: bool = False


class JoinedRecordings:
    """Opens recordings of many segments as files. It remembers how their samples lie in them, and no sound."""

    def __init__(self, vault: BlobVault) -> None:
        self._vault = vault
        self._layouts: Recent[tuple[str, int], Sequence[Part]] = Recent(fresh=math.inf, most=KEPT)
        self._counting = asyncio.Semaphore(AT_ONCE)
        self._decoding = asyncio.Semaphore(AT_ONCE)

    async def open(self, recording: AudioRecording, segments: Sequence[Segment], media_type: str) -> PlayableFile:
        """Return the recording as a file of that type: one of joined bytes, or :data:`DECODED`.

        ``segments`` by index. Raises ErasedError for a segment without its bytes, and what decoding and the vault
        raise.
        """
        if any(segment.blob is None for segment in segments):
            raise ErasedError("The audio of this recording was erased for good.")
        tag = derived_id("recording as a file", media_type, *(segment.id for segment in segments))
        if media_type != DECODED:
            return _JoinedBytes(media_type, tag, segments, self._vault)
        # Segments are only ever added: their number tells one state of a recording from another.
        parts = await self._layouts.get((recording.id, len(segments)), lambda: self._lay_out(recording, segments))
        assert parts is not None
        return _DecodedSound(tag, segments, parts, self._vault, self._decoding)

    async def _lay_out(self, recording: AudioRecording, segments: Sequence[Segment]) -> Sequence[Part]:
        """Find out where each sample of the recording is to come from, as AssembledSound would put it together.

        The lengths of files that were transcribed are known from their rows; other parts are decoded to be counted.
        """
        parts = await asyncio.to_thread(self._parts, segments)
        uncounted = [place for place, part in enumerate(parts) if part.samples < 0]
        if uncounted and recording.state is RecordingState.COMPLETE and recording.duration is not None:
            # All of it is known too, so the largest part is what is left when the others are counted.
            uncounted.remove(
                rest := max(uncounted, key=lambda place: _bytes_of(segments[parts[place].first : parts[place].last]))
            )
        else:
            rest = None
        counts = await asyncio.gather(*(self._count(parts[place], segments) for place in uncounted))
        for place, samples in zip(uncounted, counts, strict=True):
            parts[place] = replace(parts[place], samples=samples)
        if rest is not None:
            assert recording.duration is not None
            others = sum(part.silence + max(part.samples, 0) for part in parts)
            samples = round(recording.duration * SAMPLE_RATE) - others
            if samples <= 0:
                raise CorruptedError("A recording is shorter than when it was heard; restore it from a backup.")
            parts[rest] = replace(parts[rest], samples=samples)
        return tuple(parts)

    def _parts(self, segments: Sequence[Segment]) -> list[Part]:
        """Return what is decoded together; ``samples`` -1 where they must be counted."""
        files = SegmentFiles(segments, self._vault)
        plain = look_at_all(files, segments, self._is_plain)
        parts: list[Part] = []
        first, index = 0, None
        for run in files.runs():
            last = first + len(run)
            whole = files.kind(run[0]) in _WHOLE_FILES
            if whole or _opens(files, run):
                silence = GAP if index is not None and run[0].index > index + 1 else 0.0
                index = run[-1].index
                known = len(run) == 1 and whole and run[0].status is SegmentStatus.READY
                seconds = run[0].seconds if known else None
                samples = -1 if seconds is None else round(seconds * SAMPLE_RATE)
                if plain[first]:
                    samples = (_bytes_of(run) - HEADER) // SAMPLE_BYTES
                parts.append(Part(first, last, round(silence * SAMPLE_RATE), samples, plain[first]))
            first = last
        return parts

    def _is_plain(self, segment: Segment) -> bool:
        """Say whether a file has the very header that is served, as those of a live stream of samples have."""
        assert segment.blob is not None
        length = segment.blob.size - HEADER
        if length <= 0 or length > _LONGEST or length % SAMPLE_BYTES:
            return False
        with closing(self._vault.open(segment.blob)) as file:
            return file.read(HEADER) == wav_header(length)

    async def _count(self, part: Part, segments: Sequence[Segment]) -> int:
        def count() -> int:
            source = SegmentFiles(segments, self._vault).open(segments[part.first : part.last])
            assert source is not None
            return sum(len(chunk) for chunk in read_recording(source))

        async with self._counting:
            return await asyncio.to_thread(count)


class _JoinedBytes:
    """The segments' own bytes, one behind the other."""

    def __init__(self, media_type: str, tag: str, segments: Sequence[Segment], vault: BlobVault) -> None:
        self.media_type = media_type
        self.tag = tag
        self.size = _bytes_of(segments)
        self._segments = segments
        self._vault = vault

    async def stream(self, start: int, end: int) -> AsyncIterator[bytes]:
        position = 0
        for segment in self._segments:
            assert segment.blob is not None
            first, last = max(start - position, 0), min(end - position, segment.blob.size)
            position += segment.blob.size
            if first < last:
                async for piece in self._vault.stream(segment.blob, first, last):
                    yield piece


class _DecodedSound:
    """A WAV file whose samples are decoded when they are asked for."""

    media_type = DECODED

    def __init__(
        self, tag: str, segments: Sequence[Segment], parts: Sequence[Part], vault: BlobVault, turn: asyncio.Semaphore
    ) -> None:
        length = SAMPLE_BYTES * sum(part.silence + part.samples for part in parts)
        self._header = wav_header(min(length, _LONGEST))  # of a longer one, players read on to the end all the same
        self.tag = tag
        self.size = len(self._header) + length
        self._segments = segments
        self._parts = parts
        self._vault = vault
        self._turn = turn

    async def stream(self, start: int, end: int) -> AsyncIterator[bytes]:
        if head := self._header[start:end]:
            yield head
        position = len(self._header)
        for part in self._parts:
            for silent, samples in ((True, part.silence), (False, part.samples)):
                first = max(start - position, 0)
                last = min(end - position, samples * SAMPLE_BYTES)
                position += samples * SAMPLE_BYTES
                if first >= last:
                    continue
                if part.plain and not silent:
                    blob = self._segments[part.first].blob
                    assert blob is not None
                    pieces = self._vault.stream(blob, HEADER + first, HEADER + last)
                else:
                    pieces = _trimmed(self._samples(None if silent else part, first, last), first, last)
                async for piece in pieces:
                    yield piece

    async def _samples(self, part: Part | None, first: int, last: int) -> AsyncIterator[bytes]:
        """Yield the samples that bytes ``first:last`` of a part belong to, or of silence."""
        start, end = first // SAMPLE_BYTES, -(-last // SAMPLE_BYTES)
        pieces = _silence(end - start) if part is None else self._decoded(part, start, end - start)
        try:
            while True:
                async with self._turn:
                    piece = await asyncio.to_thread(next, pieces, b"")
                if not piece:
                    return
                yield piece
        finally:
            # It may still be at work in its thread, if the client went away; then it ends with its last reference.
            with suppress(ValueError):
                pieces.close()

    def _decoded(self, part: Part, start: int, count: int) -> Generator[bytes, None, None]:
        """Yield ``count`` samples of a part, from ``start`` on; as many as were counted, come what may.

        Another version of a decoder may give some samples more or less: then the end is cut, or silent.
        """
        run = self._segments[part.first : part.last]
        source = SegmentFiles(self._segments, self._vault).open(run)
        assert source is not None
        held: list[bytes] = []
        with closing(iter(read_recording(source))) as chunks:
            for chunk in chunks:
                piece = chunk[start : start + count]
                start = max(start - len(chunk), 0)
                count -= len(piece)
                held.append(to_pcm(piece))
                if sum(map(len, held)) >= PIECE * SAMPLE_BYTES:
                    yield b"".join(held)
                    held = []
                if not count:
                    break
        if any(held):
            yield b"".join(held)
        yield from _silence(count)


def look_at_all(
    files: SegmentFiles, segments: Sequence[Segment], of_file: Callable[[Segment], bool] = lambda segment: False
) -> Sequence[bool]:
    """Have ``files`` find out what the segments are, some at a time; return what ``of_file`` says of plain files."""

    def look(segment: Segment) -> bool:
        return files.kind(segment) is SegmentKind.FILE and of_file(segment)

    with ThreadPoolExecutor(LOOKS_AT_ONCE, thread_name_prefix="segments") as pool:
        return [*pool.map(look, segments)]


def to_pcm(samples: Samples) -> bytes:
    """Return samples as 16-bit integers, little-endian; those that came of such integers are the same again."""
    return bytes(np.clip(np.rint(samples * 32768.0), -32768, 32767).astype("<i2").data)


async def _trimmed(pieces: AsyncIterator[bytes], first: int, last: int) -> AsyncIterator[bytes]:
    """Yield exactly ``last - first`` bytes of whole samples that hold them."""
    skip, left = first % SAMPLE_BYTES, last - first
    async for piece in pieces:
        yield piece[skip : skip + left]
        left -= len(piece) - skip
        skip = 0


def _silence(samples: int) -> Generator[bytes, None, None]:
    while samples > 0:
        length = min(samples, PIECE)
        samples -= length
        yield bytes(length * SAMPLE_BYTES)


def _opens(files: SegmentFiles, run: Sequence[Segment]) -> bool:
    """Say whether anything of a run that begins in the middle of a stream can be decoded."""
    source = files.open(run)
    if source is None:
        return False
    source.close()
    return True


def _bytes_of(segments: Sequence[Segment]) -> int:
    return sum(segment.blob.size for segment in segments if segment.blob is not None)
