"""The segments of a recording as files to decode: each a file of its own, or slices of one stream put together."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from enum import Enum, auto
from typing import BinaryIO, Final

from osler.audio import slices
from osler.audio.model import Segment
from osler.kernel.blobs import BlobVault
from osler.kernel.errors import ErasedError

_MAGIC: Final = 16


class SegmentKind(Enum):
    """What a segment's bytes are by their beginning."""

    FILE = auto()
    """A file of its own, or nothing that is known."""
    HEADED = auto()
    """WebM with its header: a file of its own, which slices may go on with."""
    SLICE = auto()
    """From the middle of a WebM stream, with whole blocks in it."""
    FRAGMENT = auto()
    """A few bytes of such a stream, in which no block is whole."""


class SegmentFiles:
    """Opens segments for a decoder. Reads the vault: use it in a worker thread.

    Raises ErasedError for a segment without its bytes, and what the vault raises.
    """

    def __init__(self, segments: Sequence[Segment], vault: BlobVault) -> None:
        self._segments = sorted(segments, key=lambda segment: segment.index)
        self._vault = vault
        self._kinds: dict[str, SegmentKind] = {}

    def kind(self, segment: Segment) -> SegmentKind:
        """Say what a segment is. A fragment is only believed in beside other segments of a stream."""
        kind = self._by_itself(segment)
        if kind is not None:
            return kind
        assert segment.blob is not None
        beside = (other for other in self._segments if other.id != segment.id and other.blob is not None)
        stream = (SegmentKind.HEADED, SegmentKind.SLICE)
        tiny = segment.index > 0 and 0 < segment.blob.size <= slices.TINY
        if tiny and any(self._by_itself(other) in stream for other in beside) and not self._is_text(segment):
            return SegmentKind.FRAGMENT
        return SegmentKind.FILE

    def runs(self) -> Iterator[Sequence[Segment]]:
        """Yield what belongs together: a file alone, or the slices of a stream as far as none is missing."""
        run: list[Segment] = []
        for segment in self._segments:
            kind = self.kind(segment)
            goes_on = kind in (SegmentKind.SLICE, SegmentKind.FRAGMENT)
            if not (goes_on and run and run[-1].index == segment.index - 1 and self._in_stream(run[-1])):
                if run:
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
        kind = self.kind(first)
        if kind is SegmentKind.FRAGMENT and not lead:
            return self.open(run[1:]) if len(run) > 1 else None
        with ExitStack() as opened:
            files = [opened.enter_context(self._open(segment)) for segment in run]
            if kind in (SegmentKind.FILE, SegmentKind.HEADED):
                source = files[0] if len(files) == 1 else slices.joined([(file, 0) for file in files])
            else:
                beginning = lead + slices.beginning_of(files[0])
                start = slices.first_element(beginning)
                if start is None:
                    return None
                tracks = self._tracks(first) or slices.opus_tracks(beginning)
                pieces: list[bytes | tuple[BinaryIO, int]] = [slices.stream_head(tracks), lead]
                pieces += [(files[0], 0 if lead else start), *((file, 0) for file in files[1:])]
                source = slices.joined(pieces)
            opened.pop_all()
        return source

    def lead(self, segment: Segment) -> bytes | None:
        """Return the element that the segment before left open, as far as it is there; b"" if none is, or none known.

        None: this segment cannot go on where that one ends.
        """
        before = next((other for other in self._segments if other.index == segment.index - 1), None)
        if before is None or before.blob is None or not self._in_stream(before):
            assert segment.blob is not None
            lone = self.kind(segment) is SegmentKind.FRAGMENT
            return None if lone and segment.blob.size > slices.FRAGMENT else b""
        with closing(self._open(before)) as file:
            ending = slices.ending_of(file)
        with closing(self._open(segment)) as file:
            if not slices.goes_on(ending, slices.beginning_of(file)):
                return None
        start = slices.open_element(ending)
        return b"" if start is None else ending[start:]

    def _is_text(self, segment: Segment) -> bool:
        """Say whether some bytes are ASCII throughout, as no sixteen of an encoder's are."""
        with closing(self._open(segment)) as file:
            data = file.read(slices.TINY)
        return len(data) >= _MAGIC and data.isascii()

    def _in_stream(self, segment: Segment) -> bool:
        return self.kind(segment) is not SegmentKind.FILE

    def _by_itself(self, segment: Segment) -> SegmentKind | None:
        """Return a segment's kind as far as its own beginning says; None: a fragment perhaps."""
        if segment.id in self._kinds:
            return self._kinds[segment.id]
        with closing(self._open(segment)) as file:
            magic = file.read(_MAGIC)
            if slices.is_webm(magic):
                kind = SegmentKind.HEADED
            elif slices.has_own_header(magic):
                kind = SegmentKind.FILE
            elif segment.index > 0 and slices.first_element(slices.beginning_of(file)) is not None:
                kind = SegmentKind.SLICE
            else:
                return None
        self._kinds[segment.id] = kind
        return kind

    def _tracks(self, segment: Segment) -> bytes | None:
        """Return the tracks of the stream that a slice belongs to: of the first file that has some, or a later one."""
        for other in self._segments:
            if other.index < segment.index and other.blob is not None:
                with closing(self._open(other)) as file:
                    if slices.is_webm(file.read(_MAGIC)):
                        return slices.tracks_of(slices.beginning_of(file))
        return None

    def _open(self, segment: Segment) -> BinaryIO:
        if segment.blob is None:
            raise ErasedError("The audio of this recording was erased for good.")
        return self._vault.open(segment.blob)
