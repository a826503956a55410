"""Reading a blob from any offset: which stored bytes hold the plain ones, and what opens them."""

import io
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any, Final

from osler.kernel.blobs import StoredBlob
from osler.kernel.errors import CorruptedError
from osler.storage.blobs.objects import ObjectStore
from osler.storage.sealing.keys import DataKey
from osler.storage.sealing.stream import (
    CHUNK_SIZE,
    HEADER_SIZE,
    StreamOpener,
    chunk_count,
    sealed_size,
    sealed_span,
)

WINDOW_CHUNKS: Final = 64
"""Chunks read from the store at a time by a stream (4 MiB)."""

FILE_WINDOW_CHUNKS: Final = 8
"""Chunks read from the store at a time by a file (512 KiB): decoders jump about."""

FILE_WINDOWS: Final = 4
"""Windows that a file keeps open."""


class BlobReading:
    """One reading of one blob: says which stored bytes to get, and opens them. It gets nothing itself.

    ``key`` None: the bytes stand plain in the store. The chunks of a plain object are counted as if it were sealed.
    ``stored_size`` is how many bytes the object has in the store.
    """

    def __init__(self, blob: StoredBlob, key: DataKey | None) -> None:
        self._size = blob.size
        self._key = key
        self._opener: StreamOpener | None = None
        self.stored_size = sealed_size(blob.size) if key else blob.size
        self.chunks = range(chunk_count(blob.size))

    def needs_header(self, chunks: range) -> bool:
        """Say whether the header must be got before ``chunks``, because it is not known and does not come with them."""
        return self._key is not None and self._opener is None and chunks.start > 0

    def span(self, chunks: range) -> tuple[int, int]:
        """Return which stored bytes hold ``chunks``: with the header, if they are the first."""
        if self._key is None:
            return chunks.start * CHUNK_SIZE, min(chunks.stop * CHUNK_SIZE, self._size)
        start, end = sealed_span(chunks, self._size)
        return (0 if chunks.start == 0 else start), end

    def open_header(self, got: memoryview, stored_size: int) -> None:
        """Take the first bytes of the object. Raises CorruptedError."""
        self._check_size(stored_size)
        if self._key is not None:
            self._opener = StreamOpener(self._key, bytes(got[:HEADER_SIZE]), self._size)

    def open(self, chunks: range, got: memoryview, stored_size: int) -> bytes:
        """Return the plain bytes of ``chunks`` from what was got at their span. Raises CorruptedError."""
        self._check_size(stored_size)
        if self._key is None:
            start, end = self.span(chunks)
            if len(got) != end - start:
                raise CorruptedError("A stored object is shorter than it was written; restore it from a backup.")
            return bytes(got)
        if self._opener is None:
            self.open_header(got, stored_size)
        assert self._opener is not None
        return b"".join(self._opener.open_chunks(chunks, got[HEADER_SIZE:] if chunks.start == 0 else got))

    def _check_size(self, stored_size: int) -> None:
        if stored_size != self.stored_size:
            raise CorruptedError("A stored object does not have the length that was written; restore it from a backup.")


def windows(chunks: range, length: int) -> Iterator[range]:
    """Cut ``chunks`` into pieces of ``length`` chunks."""
    for start in range(chunks.start, chunks.stop, length):
        yield range(start, min(start + length, chunks.stop))


class BlobFile(io.RawIOBase):
    """The plain bytes of a blob as a seekable file for a worker thread. It keeps the last windows, and no whole blob.

    Reading raises CorruptedError and BlobsUnavailableError.
    """

    def __init__(self, store: ObjectStore, name: str, size: int, reading: BlobReading) -> None:
        super().__init__()
        self._store = store
        self._name = name
        self._size = size
        self._reading = reading
        self._position = 0
        self._windows: OrderedDict[int, bytes] = OrderedDict()

    def readable(self) -> bool:
        """Say yes."""
        return True

    def seekable(self) -> bool:
        """Say yes."""
        return True

    def tell(self) -> int:
        """Return the offset of the next byte."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to ``offset`` from the start, here or the end; past the end is allowed, before the start not."""
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if origin + offset < 0:
            raise ValueError("a file cannot be read before its start")
        self._position = origin + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Fill ``buffer``, wholly unless the file ends first."""
        view = memoryview(buffer).cast("B")
        filled = 0
        while filled < len(view) and self._position < self._size:
            index, offset = divmod(self._position, FILE_WINDOW_CHUNKS * CHUNK_SIZE)
            piece = self._window(index)[offset : offset + len(view) - filled]
            view[filled : filled + len(piece)] = piece
            filled += len(piece)
            self._position += len(piece)
        return filled

    def close(self) -> None:
        """Forget what was read."""
        self._windows.clear()
        super().close()

    def _window(self, index: int) -> bytes:
        if index in self._windows:
            self._windows.move_to_end(index)
            return self._windows[index]
        first = index * FILE_WINDOW_CHUNKS
        chunks = range(first, min(first + FILE_WINDOW_CHUNKS, self._reading.chunks.stop))
        if self._reading.needs_header(chunks):
            self._reading.open_header(*self._store.get_blocking(self._name, 0, HEADER_SIZE))
        opened = self._reading.open(chunks, *self._store.get_blocking(self._name, *self._reading.span(chunks)))
        self._windows[index] = opened
        if len(self._windows) > FILE_WINDOWS:
            self._windows.popitem(last=False)
        return opened
