"""Sealed streams: AES-256-GCM in chunks that can be read from any offset and cannot be cut, moved or lengthened.

This is the STREAM construction of Hoang, Reyhanitabar, Rogaway and Vizár, "Online Authenticated-Encryption and its
Nonce-Reuse Misuse-Resistance" (CRYPTO 2015): the nonce of each chunk is a random prefix of the stream (7 bytes), the
chunk's number (4 bytes, big-endian) and 1 for the last chunk, else 0 (1 byte). A chunk in another place, or a stream
that ends elsewhere, has another nonce, and its tag does not fit.

A stream is a header (16 bytes: magic, version, log2 of the chunk size, 3 zero bytes, prefix), which every chunk
authenticates, then chunks of 64 KiB plain bytes, each followed by its tag (16 bytes). The last chunk holds 0 to 64 KiB;
it is empty only in the stream of nothing. One key seals one stream.
"""

import os
import struct
from collections.abc import Iterator
from typing import Final

from cryptography.exceptions import InvalidTag

from osler.kernel.errors import CorruptedError
from osler.storage.sealing.keys import DataKey

CHUNK_SIZE: Final = 64 * 1024
"""Plain bytes in each chunk but the last."""

TAG_SIZE: Final = 16
SEALED_CHUNK_SIZE: Final = CHUNK_SIZE + TAG_SIZE

_PREFIX_SIZE: Final = 7
_FIXED: Final = b"OSLR\x01\x10\x00\x00\x00"
HEADER_SIZE: Final = len(_FIXED) + _PREFIX_SIZE

_DAMAGED: Final = "A sealed object does not have the bytes that were written; restore it from a backup."


def chunk_count(size: int) -> int:
    """Return how many chunks a stream of ``size`` plain bytes has: at least one."""
    return max(1, -(-size // CHUNK_SIZE))


def sealed_size(size: int) -> int:
    """Return how many bytes a stream of ``size`` plain bytes has once it is sealed."""
    return HEADER_SIZE + size + TAG_SIZE * chunk_count(size)


class StreamSealer:
    """Seals one stream. Feed :meth:`update`, close with :meth:`finish`, write :attr:`header` before all they return."""

    def __init__(self, key: DataKey) -> None:
        prefix = os.urandom(_PREFIX_SIZE)
        self.header = _FIXED + prefix
        self._cipher = key.cipher
        self._prefix = prefix
        self._index = 0
        self._held = bytearray()  # up to one whole chunk: only what follows tells whether it is the last

    def update(self, data: bytes | memoryview) -> list[bytes]:
        """Take plain bytes, any number; return the sealed chunks that are certain not to be the last."""
        view = memoryview(data)
        sealed: list[bytes] = []
        if self._held:
            missing = CHUNK_SIZE - len(self._held)
            self._held += view[:missing]
            view = view[missing:]
            if not view:
                return sealed
            sealed.append(self._seal(self._held, last=False))
            self._held.clear()
        while len(view) > CHUNK_SIZE:
            sealed.append(self._seal(view[:CHUNK_SIZE], last=False))
            view = view[CHUNK_SIZE:]
        self._held += view
        return sealed

    def finish(self) -> bytes:
        """Return the last chunk, sealed."""
        return self._seal(self._held, last=True)

    def _seal(self, plain: bytearray | memoryview, *, last: bool) -> bytes:
        sealed = self._cipher.encrypt(_nonce(self._prefix, self._index, last), plain, self.header)
        self._index += 1
        return sealed


class StreamOpener:
    """Opens a stream of ``size`` plain bytes, whose ``header`` was read from its start. Raises CorruptedError."""

    def __init__(self, key: DataKey, header: bytes, size: int) -> None:
        if len(header) != HEADER_SIZE or header[: len(_FIXED)] != _FIXED:
            raise CorruptedError(_DAMAGED)
        self._cipher = key.cipher
        self._header = header
        self._prefix = header[len(_FIXED) :]
        self._size = size

    def open_chunks(self, chunks: range, sealed: bytes | memoryview) -> Iterator[bytes]:
        """Yield the plain bytes of ``chunks``, of which ``sealed`` holds all the sealed bytes and no more.

        Raises CorruptedError for anything but these chunks whole, in their places.
        """
        first, end = sealed_span(chunks, self._size)
        if len(sealed) != end - first:
            raise CorruptedError(_DAMAGED)
        last = chunk_count(self._size) - 1
        view = memoryview(sealed)
        for start, index in zip(range(0, len(view), SEALED_CHUNK_SIZE), chunks, strict=True):
            chunk = view[start : start + SEALED_CHUNK_SIZE]
            try:
                yield self._cipher.decrypt(_nonce(self._prefix, index, index == last), chunk, self._header)
            except InvalidTag:
                raise CorruptedError(_DAMAGED) from None


def chunks_of(start: int, end: int) -> range:
    """Return the numbers of the chunks that hold plain bytes ``start:end`` (``start < end``)."""
    return range(start // CHUNK_SIZE, (end - 1) // CHUNK_SIZE + 1)


def sealed_span(chunks: range, size: int) -> tuple[int, int]:
    """Return where the sealed ``chunks`` of a stream of ``size`` plain bytes stand: first byte, byte after the last."""
    end = HEADER_SIZE + chunks.stop * SEALED_CHUNK_SIZE
    return HEADER_SIZE + chunks.start * SEALED_CHUNK_SIZE, min(end, sealed_size(size))


def _nonce(prefix: bytes, index: int, last: bool) -> bytes:
    return prefix + struct.pack(">IB", index, last)
