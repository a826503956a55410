"""Slices of an Ogg stream cut at any byte (RFC 3533): its pages carry a checksum, by which they are found again."""

from typing import Final

_CAPTURE: Final = b"OggS"
_HEADER: Final = 27
_FIRST: Final = 0x02
_POLYNOMIAL: Final = 0x04C11DB7

_OPUS_RATE: Final = 48_000


def _table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        value = byte << 24
        for _ in range(8):
            value = (value << 1 ^ (_POLYNOMIAL if value & 0x80000000 else 0)) & 0xFFFFFFFF
        table.append(value)
    return tuple(table)


_TABLE: Final = _table()


def is_headed(beginning: bytes) -> bool:
    """Say whether bytes begin with the first page of an Ogg stream."""
    return beginning.startswith(_CAPTURE) and len(beginning) > 5 and bool(beginning[5] & _FIRST)


def first_element(beginning: bytes) -> int | None:
    """Return where the first whole page begins, its checksum right; None if there is none."""
    position = beginning.find(_CAPTURE)
    while position >= 0:
        end = _end(beginning, position)
        if end is not None and end <= len(beginning) and _is_whole(beginning[position:end]):
            return position
        position = beginning.find(_CAPTURE, position + 1)
    return None


def open_element(ending: bytes) -> int | None:
    """Return where the page begins that goes on behind the last bytes of a slice; their length if none does.

    None if no whole page is found in ``ending``.
    """
    position = first_element(ending)
    while position is not None and position < len(ending):
        if not _CAPTURE.startswith(ending[position : position + 4]):
            return None
        end = _end(ending, position)
        if end is None or end > len(ending):
            return position
        position = end
    return position


def goes_on(ending: bytes, beginning: bytes) -> bool:
    """Say whether a slice that begins so can follow one that ends so; True also where nothing speaks against it."""
    start = open_element(ending)
    if start is None:
        return True
    data = ending[start:] + beginning
    if not _CAPTURE.startswith(data[:4]):
        return False
    end = _end(data, 0)
    return end is None or end > len(data) or _is_whole(data[:end])


def head_of(beginning: bytes) -> bytes | None:
    """Return the pages of an Ogg file before its first sound, which have the granule position 0; None without any."""
    position = 0
    while (end := _end(beginning, position)) is not None and end <= len(beginning):
        if beginning[position + 6 : position + 14] != bytes(8):
            return beginning[:position] or None
        position = end
    return None


def opus_head(beginning: bytes) -> bytes:
    """Return the header of a stream whose own is not there: Opus, which decodes without one (RFC 7845)."""
    first = first_element(beginning) or 0
    serial = beginning[first + 14 : first + 18]
    head = b"OpusHead" + bytes([1, 2]) + (0).to_bytes(2, "little") + _OPUS_RATE.to_bytes(4, "little") + bytes(3)
    tags = b"OpusTags" + bytes(8)
    return _page(head, serial, 0, _FIRST) + _page(tags, serial, 1, 0)


def _page(packet: bytes, serial: bytes, number: int, flags: int) -> bytes:
    head = _CAPTURE + bytes([0, flags]) + bytes(8) + serial + number.to_bytes(4, "little")
    rest = bytes([1, len(packet)]) + packet
    return head + _checksum(head + bytes(4) + rest).to_bytes(4, "little") + rest


def _end(data: bytes, position: int) -> int | None:
    """Return where the page at ``position`` ends, None if its header is cut off or is none."""
    header = data[position : position + _HEADER]
    if len(header) < _HEADER or header[:4] != _CAPTURE or header[4] != 0:
        return None
    lacing = data[position + _HEADER : position + _HEADER + header[26]]
    if len(lacing) < header[26]:
        return None
    return position + _HEADER + len(lacing) + sum(lacing)


def _is_whole(page: bytes) -> bool:
    return _checksum(page[:22] + bytes(4) + page[26:]) == int.from_bytes(page[22:26], "little")


def _checksum(data: bytes) -> int:
    value = 0
    for byte in data:
        value = (value << 8 & 0xFFFFFFFF) ^ _TABLE[value >> 24 ^ byte]
    return value
