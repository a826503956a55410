"""Slices of a browser's recorder: WebM cut at any byte, of which only the first has the header (Matroska, RFC 9559).

Nothing is decoded here: elements are found by their heads, and pieces of files are put together to a file that a
decoder reads.
"""

import io
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO, Final

WINDOW: Final = 256 * 1024
"""Bytes at the beginning or end of a slice in which a block is looked for; one of Opus has 7.7 KB at most."""

TINY: Final = 8 * 1024
"""Bytes below which a slice may hold no whole block: 120 ms of Opus in one packet are 7,656 bytes (RFC 6716)."""

FRAGMENT: Final = 1024
"""Bytes of a slice without a whole block that is believed in while the slice before it is not there: 60 ms of Opus as
browsers encode it, at 128 kbit/s, are 960."""

_LARGEST_BLOCK: Final = 1024 * 1024
_CHAIN: Final = 64
"""Elements in a row, each ending where the next begins, after which a beginning is believed."""

_EBML: Final = b"\x1a\x45\xdf\xa3"
_SEGMENT: Final = 0x18538067
_CLUSTER: Final = 0x1F43B675
_TRACKS: Final = 0x1654AE6B
_SIMPLE_BLOCK: Final = 0xA3
_BLOCK_GROUP: Final = 0xA0
_BLOCK: Final = 0xA1
_TIMESTAMP: Final = 0xE7
_PLAIN: Final = {
    _TIMESTAMP: 8,
    0xA7: 8,  # Position
    0xAB: 8,  # PrevSize
    0xBF: 4,  # CRC-32
    0xEC: 64 * 1024,  # Void
    0x1C53BB6B: 16 * 1024 * 1024,  # Cues
    0x1254C367: 16 * 1024 * 1024,  # Tags
}
"""Other elements of a running stream, each with its largest size."""

_STARTS: Final = re.compile(rb"\xa3|\xa0|\x1f\x43\xb6\x75")
_OWN_CONTAINERS: Final = (_EBML, b"RIFF", b"RF64", b"fLaC", b"ID3", b"FORM", b"caff", b"#!AMR")

_OPUS_RATE: Final = 48_000


@dataclass(frozen=True, slots=True)
class _Element:
    """An element at ``start``; its content is ``body:end``. ``end`` None: of unknown size."""

    id: int
    start: int
    body: int
    end: int | None

    @property
    def is_block(self) -> bool:
        return self.id in (_SIMPLE_BLOCK, _BLOCK_GROUP)


class _NoElementError(Exception):
    """What stands here is no element of a running stream."""


class _CutError(Exception):
    """The bytes end inside an element's head."""


def has_own_header(beginning: bytes) -> bool:
    """Say whether bytes begin as a container of audio does, and so need none from elsewhere."""
    return beginning.startswith(_OWN_CONTAINERS) or beginning[4:8] == b"ftyp"


def is_webm(beginning: bytes) -> bool:
    """Say whether bytes begin as WebM does."""
    return beginning.startswith(_EBML)


def first_element(beginning: bytes) -> int | None:
    """Return where the first whole element of a running WebM stream begins, None if there is no such thing.

    ``beginning``: the first bytes of a slice, which may begin inside of an element. Two blocks in a row are asked for,
    but of very few bytes: random ones pass for two once in 2**46 places.
    """
    wanted = 2 if len(beginning) > TINY else 1
    for found in _STARTS.finditer(beginning):
        chain = _chain(beginning, found.start())
        if chain is not None and sum(e.is_block and (e.end or 0) <= len(beginning) for e in chain) >= wanted:
            return found.start()
    return None


def open_element(ending: bytes) -> int | None:
    """Return where the element begins that goes on behind the last bytes of a slice; their length if none does.

    None if no whole block is found in ``ending``.
    """
    position = first_element(ending)
    while position is not None and position < len(ending):
        try:
            element = _running(ending, position)
        except _CutError:
            return position
        except _NoElementError:
            return None
        if element.id != _CLUSTER and element.end is not None and element.end > len(ending):
            return position
        position = _next(element)
    return position


def goes_on(ending: bytes, beginning: bytes) -> bool:
    """Say whether a slice that begins so can follow one that ends so; True also where nothing speaks against it."""
    start = open_element(ending)
    if start is None:
        return True
    return _chain(ending[start:] + beginning, 0) is not None


def tracks_of(beginning: bytes) -> bytes | None:
    """Return the element that says what a WebM file's tracks are, None if it does not stand before the first block."""
    try:
        position = _head(beginning, 0).end
        segment = _head(beginning, position or 0)
        if segment.id != _SEGMENT:
            return None
        position = segment.body
        while True:
            child = _head(beginning, position)
            if child.id == _CLUSTER or child.end is None or child.end > len(beginning):
                return None
            if child.id == _TRACKS:
                return beginning[child.start : child.end]
            position = child.end
    except (_CutError, _NoElementError):
        return None


def opus_tracks(beginning: bytes) -> bytes:
    """Return the tracks of a stream whose header is not there: Opus, which decodes without one (RFC 7845, 5.1)."""
    head = b"OpusHead" + bytes([1, 2]) + (0).to_bytes(2, "little") + _OPUS_RATE.to_bytes(4, "little") + bytes(3)
    rate = _element(0xB5, bytes.fromhex("473b8000"))  # 48 kHz as a 32-bit float
    entry = (
        _element(0xD7, bytes([_track_number(beginning)]))
        + _element(0x73C5, b"\x01")
        + _element(0x83, b"\x02")
        + _element(0x86, b"A_OPUS")
        + _element(0x63A2, head)
        + _element(0xE1, rate + _element(0x9F, b"\x02"))
    )
    return _element(_TRACKS, _element(0xAE, entry))


def stream_head(tracks: bytes) -> bytes:
    """Return what is to stand before elements from the middle of a stream so that they can be read."""
    ebml = (
        _element(0x4286, b"\x01")
        + _element(0x42F7, b"\x01")
        + _element(0x42F2, b"\x04")
        + _element(0x42F3, b"\x08")
        + _element(0x4282, b"webm")
        + _element(0x4287, b"\x04")
        + _element(0x4285, b"\x02")
    )
    unknown = b"\x01" + b"\xff" * 7
    info = _element(0x1549A966, _element(0x2AD7B1, (1_000_000).to_bytes(3, "big")))
    cluster = _id(_CLUSTER) + unknown + _element(_TIMESTAMP, b"\x00")
    return _element(0x1A45DFA3, ebml) + _id(_SEGMENT) + unknown + info + tracks + cluster


class JoinedFile(io.RawIOBase):
    """Pieces of files and bytes, one behind the other, as one seekable file to read. Closing it closes the files."""

    def __init__(self, pieces: Sequence[bytes | tuple[BinaryIO, int]]) -> None:
        """A piece is bytes, or a file and the byte of it that the piece begins with; it ends with the file."""
        super().__init__()
        self._pieces: list[tuple[BinaryIO, int, int]] = []
        for piece in pieces:
            file, start = (io.BytesIO(piece), 0) if isinstance(piece, bytes) else piece
            self._pieces.append((file, start, max(file.seek(0, os.SEEK_END) - start, 0)))
        self._size = sum(length for _, _, length in self._pieces)
        self._position = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a position and return it."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError("a position is not negative")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: object) -> int:
        """Read into ``buffer`` what comes next, of one piece at most; return how much."""
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        before = 0
        for file, start, length in self._pieces:
            within = self._position - before
            if within < length:
                file.seek(start + within)
                data = file.read(min(len(view), length - within))
                view[: len(data)] = data
                self._position += len(data)
                return len(data)
            before += length
        return 0

    def close(self) -> None:
        """Close it and all its files."""
        for file, _, _ in self._pieces:
            file.close()
        super().close()


def joined(pieces: Sequence[bytes | tuple[BinaryIO, int]]) -> BinaryIO:
    """Return a buffered :class:`JoinedFile`."""
    return io.BufferedReader(JoinedFile(pieces), 64 * 1024)


def beginning_of(file: BinaryIO) -> bytes:
    """Return a file's first bytes, :data:`WINDOW` at most."""
    file.seek(0)
    return file.read(WINDOW)


def ending_of(file: BinaryIO) -> bytes:
    """Return a file's last bytes, :data:`WINDOW` at most."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(size - WINDOW, 0))
    return file.read()


def _chain(data: bytes, position: int) -> list[_Element] | None:
    """Return the elements from ``position`` on, up to :data:`_CHAIN` or the end of the bytes; None if they are none."""
    chain: list[_Element] = []
    while position < len(data) and len(chain) < _CHAIN:
        try:
            element = _running(data, position)
        except _NoElementError:
            return None
        except _CutError:
            # Its head is cut off: nothing more can be said, and the element is open.
            chain.append(_Element(0, position, position, len(data) + 1))
            break
        chain.append(element)
        position = _next(element)
    return chain


def _next(element: _Element) -> int:
    """Return where the element behind this one begins, or the first one inside of it."""
    return element.body if element.id == _CLUSTER or element.end is None else element.end


def _running(data: bytes, position: int) -> _Element:
    """Read the head of an element of a running stream. Raises _NoElementError, _CutError."""
    element = _head(data, position)
    if element.id == _CLUSTER:
        return element
    if element.end is None:
        raise _NoElementError
    size = element.end - element.body
    if element.id in _PLAIN:
        if not 0 < size <= _PLAIN[element.id]:
            raise _NoElementError
        return element
    if not element.is_block or not 5 <= size <= _LARGEST_BLOCK:
        raise _NoElementError
    if element.body >= len(data):
        raise _CutError
    if element.id == _BLOCK_GROUP:
        if data[element.body] != _BLOCK:
            raise _NoElementError
        return element
    if element.body + 4 > len(data):
        raise _CutError
    # One of the first tracks, and no flag but that of a keyframe, as recorders write sound.
    if not 0x81 <= data[element.body] <= 0x84 or data[element.body + 3] & 0x7F:
        raise _NoElementError
    return element


def _head(data: bytes, position: int) -> _Element:
    """Read id and size of the element at ``position``. Raises _NoElementError, _CutError."""
    first = _byte(data, position)
    id_length = 9 - first.bit_length()
    if id_length > 4:
        raise _NoElementError
    size_at = position + id_length
    marked = _byte(data, size_at)
    size_length = 9 - marked.bit_length()
    if size_length > 8:
        raise _NoElementError
    body = size_at + size_length
    if body > len(data):
        raise _CutError
    size = int.from_bytes(data[size_at:body], "big") & ((1 << 7 * size_length) - 1)
    unknown = size == (1 << 7 * size_length) - 1
    number = int.from_bytes(data[position:size_at], "big")
    return _Element(number, position, body, None if unknown else body + size)


def _byte(data: bytes, position: int) -> int:
    if position >= len(data):
        raise _CutError
    return data[position]


def _track_number(beginning: bytes) -> int:
    """Return the number of the track of the first whole block."""
    first = first_element(beginning)
    for element in _chain(beginning, first) or () if first is not None else ():
        if element.id == _SIMPLE_BLOCK and element.body < len(beginning):
            return beginning[element.body] & 0x7F
    return 1


def _id(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def _element(number: int, body: bytes) -> bytes:
    size = len(body) | 1 << 28  # a size of four bytes
    return _id(number) + size.to_bytes(4, "big") + body
