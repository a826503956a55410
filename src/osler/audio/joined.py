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
from osler.kernel.errors import ErasedError
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
    served, behind a header of :data:`HEADER` bytes, so that nothing is to be decoded. ``samples`` None: not known yet.
    """

    first: int
    last: int
    silence: int
    samples: int | None
    plain: bool = False


@dataclass(frozen=True, slots=True)
class Layout:
    """How a recording's samples lie in its segments; parts whose length shows when they are played are replaced."""

    parts: list[Part]
    samples: int


class JoinedRecordings:
    """Opens recordings of many segments as files. It remembers how their samples lie in them, and no sound."""

    def __init__(self, vault: BlobVault) -> None:
        self._vault = vault
        self._layouts: Recent[tuple[str, int], Layout] = Recent(fresh=math.inf, most=KEPT)
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
        layout = await self._layouts.get((recording.id, len(segments)), lambda: self._lay_out(recording, segments))
        assert layout is not None
        return _DecodedSound(tag, segments, layout, self._vault, self._decoding)

    async def _lay_out(self, recording: AudioRecording, segments: Sequence[Segment]) -> Layout:
        """Find out where each sample of the recording is to come from, as AssembledSound would put it together.

        Of what was transcribed the whole length is known from its row, and that of files. Slices behind a gap have
        none; they show it as they are played. Of other recordings everything is decoded once to be counted.
        """
        parts = await asyncio.to_thread(self._parts, segments)
        unknown = [place for place, part in enumerate(parts) if part.samples is None]
        others = sum(part.silence + (part.samples or 0) for part in parts)
        if unknown and recording.state is RecordingState.COMPLETE and recording.failure is None and recording.duration:
            whole = round(recording.duration * SAMPLE_RATE)
            if len(unknown) == 1:
                parts[unknown[0]] = replace(parts[unknown[0]], samples=max(whole - others, 0))
            return Layout(parts, whole)
        counts = await asyncio.gather(*(self._count(parts[place], segments) for place in unknown))
        for place, samples in zip(unknown, counts, strict=True):
            parts[place] = replace(parts[place], samples=samples)
        return Layout(parts, others + sum(counts))

    def _parts(self, segments: Sequence[Segment]) -> list[Part]:
        """Return what is decoded together."""
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
                samples = None if seconds is None else round(seconds * SAMPLE_RATE)
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
        self, tag: str, segments: Sequence[Segment], layout: Layout, vault: BlobVault, turn: asyncio.Semaphore
    ) -> None:
        length = SAMPLE_BYTES * layout.samples
        self._header = wav_header(min(length, _LONGEST))  # of a longer one, players read on to the end all the same
        self.tag = tag
        self.size = len(self._header) + length
        self._segments = segments
        self._parts = layout.parts
        self._vault = vault
        self._turn = turn

    async def stream(self, start: int, end: int) -> AsyncIterator[bytes]:
        if head := self._header[start:end]:
            yield head
        at = len(self._header)
        for place, part in enumerate(self._parts):
            for silent, samples in ((True, part.silence), (False, part.samples)):
                first = max(start - at, 0)
                last = end - at if samples is None else min(end - at, samples * SAMPLE_BYTES)
                if first < last:
                    async for piece in self._stretch(None if silent else (place, part), first, last):
                        yield piece
                if samples is None:  # it is known now, if the part was played to its end
                    samples = self._parts[place].samples
                if samples is None:
                    return
                at += samples * SAMPLE_BYTES
        # Nothing is left but what another version of a decoder gave more of.
        async for piece in self._stretch(None, max(start - at, 0), end - at):
            yield piece

    async def _stretch(self, played: tuple[int, Part] | None, first: int, last: int) -> AsyncIterator[bytes]:
        """Yield bytes ``first:last`` of a part's own samples, or of silence; fewer if the part ends before."""
        if played is None:
            pieces = _turned(_silence(_samples_to(last) - first // SAMPLE_BYTES), self._turn)
        elif played[1].plain:
            blob = self._segments[played[1].first].blob
            assert blob is not None
            async for piece in self._vault.stream(blob, HEADER + first, HEADER + last):
                yield piece
            return
        else:
            start = first // SAMPLE_BYTES
            pieces = _turned(self._decoded(*played, start, _samples_to(last) - start), self._turn)
        skip, left = first % SAMPLE_BYTES, last - first
        async for piece in pieces:
            yield piece[skip : skip + left]
            left -= len(piece) - skip
            skip = 0

    def _decoded(self, place: int, part: Part, start: int, count: int) -> Generator[bytes, None, None]:
        """Yield ``count`` samples of a part, from ``start`` on; fewer if their number was not known before.

        Another version of a decoder may give some samples more or less than were counted: then the end is cut, or
        silent. Yields nothing now and then while it looks for ``start``, so that others have their turn.
        """
        source = SegmentFiles(self._segments, self._vault).open(self._segments[part.first : part.last])
        assert source is not None
        held: list[bytes] = []
        passed = step = 0
        with closing(iter(read_recording(source))) as chunks:
            for chunk in chunks:
                piece = chunk[max(start - passed, 0) :][:count]
                passed += len(chunk)
                step += len(chunk)
                count -= len(piece)
                held.append(to_pcm(piece))
                if step >= PIECE:
                    yield b"".join(held)
                    held, step = [], 0
                if not count:
                    break
            else:
                if part.samples is None:
                    self._parts[place] = replace(part, samples=passed)
                    count = 0
        yield b"".join(held)
        yield from _silence(count)


async def _turned(pieces: Generator[bytes, None, None], turn: asyncio.Semaphore) -> AsyncIterator[bytes]:
    """Yield pieces that are made in a thread, each when its turn has come."""
    try:
        while True:
            async with turn:
                piece = await asyncio.to_thread(next, pieces, None)
            if piece is None:
                return
            if piece:
                yield piece
    finally:
        # It may still be at work in its thread, if the client went away; then it ends with its last reference.
        with suppress(ValueError):
            pieces.close()


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


def _samples_to(end: int) -> int:
    """Return how many samples reach to byte ``end``."""
    return -(-end // SAMPLE_BYTES)


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
