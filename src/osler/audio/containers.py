"""Signs in a file's container that it was cut off, where the decoder itself keeps silent about them."""

import io
from typing import BinaryIO, Final

_OGG_HEADER: Final = 27
_OGG_TAIL: Final = 65_307
"""Bytes: an Ogg page with its header is at most this long (RFC 3533, section 6)."""

_STREAMED: Final = (0, 0xFFFFFFFF, 0x7FFFFFFF)
"""Sizes that recorders write in front of WAV data whose length they do not know yet."""


def is_cut_off(source: BinaryIO) -> bool:
    """Say whether the file lacks bytes that its own container promises: the last Ogg page, or WAV data."""
    source.seek(0)
    magic = source.read(12)
    if magic[:4] == b"OggS":
        return _last_ogg_page_is_cut(source)
    if magic[:4] == b"RIFF" and magic[8:] == b"WAVE":
        data = wav_data(source)
        return data is not None and data[0] not in _STREAMED and data[0] > data[1]
    return False


def wav_data(source: BinaryIO) -> tuple[int, int] | None:
    """Return how many bytes of samples a RIFF WAVE file promises and how many it has; None without a data chunk."""
    size = source.seek(0, io.SEEK_END)
    position = 12
    while position + 8 <= size:
        source.seek(position)
        head = source.read(8)
        length = int.from_bytes(head[4:], "little")
        position += 8
        if head[:4] == b"data":
            return length, size - position
        position += length + length % 2
    return None


def is_wav_without_samples(source: BinaryIO) -> bool:
    """Say whether the file is a WAVE header with no sample behind it."""
    source.seek(0)
    magic = source.read(12)
    if magic[:4] != b"RIFF" or magic[8:] != b"WAVE":
        return False
    data = wav_data(source)
    return data is None or data[1] == 0


def _last_ogg_page_is_cut(source: BinaryIO) -> bool:
    size = source.seek(0, io.SEEK_END)
    source.seek(max(0, size - 2 * _OGG_TAIL))
    tail = source.read()
    last = tail.rfind(b"OggS")
    if last < 0:
        return False
    if len(tail) < last + _OGG_HEADER:
        return True
    segments = tail[last + _OGG_HEADER - 1]
    lacing = tail[last + _OGG_HEADER : last + _OGG_HEADER + segments]
    return len(lacing) < segments or last + _OGG_HEADER + segments + sum(lacing) > len(tail)
