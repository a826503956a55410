"""The segments of a recording as files to decode: each a file of its own, or slices of one stream put together."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from enum import Enum, auto
from itertools import pairwise
from typing import BinaryIO, Final

from osler.audio import ogg_slices, slices
from osler.audio.model import Segment
from osler.kernel.blobs import BlobVault
from osler.kernel.errors import ErasedError

_MAGIC: Final = 16


@dataclass(frozen=True, slots=True)
class _Format:
    """How slices of a kind of stream are found and read. All take and return bytes, or places in them.

    ``media_type`` is that of a whole stream. ``head``: what is to stand before elements so that they can be read, of
    the beginning of a file with its header; ``default_head`` the same without one, of elements alone.
    """

    media_type: str
    is_headed: Callable[[bytes], bool]
    first_element: Callable[[bytes], int | None]
    open_element: Callable[[bytes], int | None]
    goes_on: Callable[[bytes, bytes], bool]
    head: Callable[[bytes], bytes | None]
    default_head: Callable[[bytes], bytes]


def _webm_head(beginning: bytes) -> bytes | None:
    tracks = slices.tracks_of(beginning)
    return None if tracks is None else slices.stream_head(tracks)


_FORMATS: Final = (
    _Format(
        "audio/webm",
        slices.is_webm,
        slices.first_element,
        slices.open_element,
        slices.goes_on,
        _webm_head,
        lambda beginning: slices.stream_head(slices.opus_tracks(beginning)),
    ),
    _Format(
        "audio/ogg",
        ogg_slices.is_headed,
        ogg_slices.first_element,
        ogg_slices.open_element,
        ogg_slices.goes_on,
        ogg_slices.head_of,
        ogg_slices.opus_head,
    ),
)


class SegmentKind(Enum):
    """What a segment's bytes are by their beginning."""

    FILE = auto()
    """A file of its own, or nothing that is known."""
    HEADED = auto()
    """WebM or Ogg with its header: a file of its own, which slices may go on with."""
    SLICE = auto()
    """From the middle of such a stream, with whole blocks or pages in it."""
    FRAGMENT = auto()
    """A few bytes of such a stream, in which none is whole."""


class SegmentFiles:
    """Opens segments for a decoder. Reads the vault: use it in a worker thread.

    Raises ErasedError for a segment without its bytes, and what the vault raises.
    """

    def __init__(self, segments: Sequence[Segment], vault: BlobVault) -> None:
        self._segments = sorted(segments, key=lambda segment: segment.index)
        self._vault = vault
        self._kinds: dict[str, tuple[SegmentKind, _Format | None]] = {}

    def kind(self, segment: Segment) -> SegmentKind:
        """Say what a segment is. A fragment is only believed in beside other segments of a stream."""
        return self._told(segment)[0]

    def stream_type(self) -> str | None:
        """Return the media type of all segments joined byte by byte; None if that is not one file of a known kind.

        Looks no further than the first segment that is none of the first one's stream.
        """
        kind, stream = self._told(self._segments[0])
        if kind is not SegmentKind.HEADED or stream is None:
            return None
        return stream.media_type if all(self._follows(*pair) for pair in pairwise(self._segments)) else None

    def runs(self) -> Iterator[Sequence[Segment]]:
        """Yield what belongs together: a file alone, or the slices of a stream as far as none is missing."""
        run: list[Segment] = []
        for segment in self._segments:
            if run and not self._follows(run[-1], segment):
                yield run
                run = []
            run.append(segment)
        if run:
            yield run

    def open(self, run: Sequence[Segment], lead: bytes = b"") -> BinaryIO | None:
        """Open a run as one file; None if no block is whole in it.

        ``lead``: what stands before the run's first byte, from the beginning of an element on.
        """
        first = run[0]
        kind, stream = self._told(first)
        if kind is SegmentKind.FRAGMENT and not lead:
            return self.open(run[1:]) if len(run) > 1 else None
        with ExitStack() as opened:
            files = [opened.enter_context(self._open(segment)) for segment in run]
            if kind in (SegmentKind.FILE, SegmentKind.HEADED):
                source = files[0] if len(files) == 1 else slices.joined([(file, 0) for file in files])
            else:
                assert stream is not None
                beginning = lead + slices.beginning_of(files[0])
                start = stream.first_element(beginning)
                if start is None:
                    return None
                pieces: list[bytes | tuple[BinaryIO, int]] = [self._head(first, stream, beginning), lead]
                pieces += [(files[0], 0 if lead else start), *((file, 0) for file in files[1:])]
                source = slices.joined(pieces)
            opened.pop_all()
        return source

    def lead(self, segment: Segment) -> bytes | None:
        """Return the element that the segment before left open, as far as it is there; b"" if none is, or none known.

        None: this segment cannot go on where that one ends, or is too little to be believed without it.
        """
        assert segment.blob is not None
        before = next((other for other in self._segments if other.index == segment.index - 1), None)
        if before is None or before.blob is None or not self._follows(before, segment):
            lone = self.kind(segment) is SegmentKind.FRAGMENT
            return None if lone and segment.blob.size > slices.FRAGMENT else b""
        stream = self._told(before)[1]
        assert stream is not None
        with closing(self._open(before)) as file:
            ending = slices.ending_of(file)
        with closing(self._open(segment)) as file:
            if not stream.goes_on(ending, slices.beginning_of(file)):
                return None
        start = stream.open_element(ending)
        return b"" if start is None else ending[start:]

    def _follows(self, before: Segment, segment: Segment) -> bool:
        """Say whether a segment is of the stream that the one before it is of."""
        if before.index != segment.index - 1:
            return False
        kind, stream = self._told(segment)
        return kind in (SegmentKind.SLICE, SegmentKind.FRAGMENT) and self._told(before)[1] is stream

    def _told(self, segment: Segment) -> tuple[SegmentKind, _Format | None]:
        """Return what a segment is, and of which kind of stream; of a fragment, of the nearest one before it."""
        told = self._by_itself(segment)
        if told is not None:
            return told
        assert segment.blob is not None
        told = (SegmentKind.FILE, None)
        if segment.index > 0 and 0 < segment.blob.size <= slices.TINY and not self._is_text(segment):
            beside = [other for other in self._segments if other.id != segment.id and other.blob is not None]
            for other in sorted(
                beside, key=lambda other: (other.index > segment.index, abs(other.index - segment.index))
            ):
                stream = (self._by_itself(other) or told)[1]
                if stream is not None:
                    told = (SegmentKind.FRAGMENT, stream)
                    break
        self._kinds[segment.id] = told
        return told

    def _by_itself(self, segment: Segment) -> tuple[SegmentKind, _Format | None] | None:
        """Return what a segment is as far as its own beginning says; None: a fragment perhaps, or another file."""
        if segment.id in self._kinds:
            return self._kinds[segment.id]
        with closing(self._open(segment)) as file:
            magic = file.read(_MAGIC)
            told: tuple[SegmentKind, _Format | None] | None = next(
                ((SegmentKind.HEADED, each) for each in _FORMATS if each.is_headed(magic)), None
            )
            if told is None and slices.has_own_header(magic):
                told = (SegmentKind.FILE, None)
            if told is None and segment.index > 0:
                beginning = slices.beginning_of(file)
                found = (each for each in _FORMATS if each.first_element(beginning) is not None)
                told = next(((SegmentKind.SLICE, each) for each in found), None)
        if told is not None:
            self._kinds[segment.id] = told
        return told

    def _is_text(self, segment: Segment) -> bool:
        """Say whether some bytes are ASCII throughout, as no sixteen of an encoder's are."""
        with closing(self._open(segment)) as file:
            data = file.read(slices.TINY)
        return len(data) >= _MAGIC and data.isascii()

    def _head(self, segment: Segment, stream: _Format, beginning: bytes) -> bytes:
        """Return what is to stand before a slice: of the first file of such a stream, else as of Opus."""
        for other in self._segments:
            if other.index < segment.index and other.blob is not None:
                with closing(self._open(other)) as file:
                    if stream.is_headed(file.read(_MAGIC)):
                        return stream.head(slices.beginning_of(file)) or stream.default_head(beginning)
        return stream.default_head(beginning)

    def _open(self, segment: Segment) -> BinaryIO:
        if segment.blob is None:
            raise ErasedError("The audio of this recording was erased for good.")
        return self._vault.open(segment.blob)
