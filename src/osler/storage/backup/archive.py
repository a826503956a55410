"""The file of a backup: a sealed stream of frames, written whole or not at all, which shows any change to it.

The file is, in this order:

- the magic ``OSLERBAK``, the format's version (2 bytes, big-endian) and the length of what follows (4 bytes);
- a JSON object: the id of the file's own key, that key wrapped by the master key (base64), and the master key's id;
- SHA-256 of all of that, which tells damage from another master key;
- a stream of :mod:`osler.storage.sealing.stream` to the end of the file. Its plain bytes are frames: kind (1 byte),
  length (4 bytes, big-endian), payload.
"""

import base64
import contextlib
import errno
import hashlib
import json
import os
import secrets
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from osler.kernel.blobs import ObjectKey
from osler.kernel.errors import BackupError, CorruptedError, OutputError, StorageFullError, UnreadableFileError
from osler.storage.sealing.keys import KeyRing
from osler.storage.sealing.stream import (
    HEADER_SIZE,
    SEALED_CHUNK_SIZE,
    TAG_SIZE,
    StreamOpener,
    StreamSealer,
    chunk_count,
    sealed_size,
)

_MAGIC: Final = b"OSLERBAK"
_VERSION: Final = 1
_START: Final = struct.Struct(">8sHI")
_FRAME: Final = struct.Struct(">cI")
_MOST_HEAD: Final = 4096
_CHUNKS_AT_ONCE: Final = 32  # 2 MiB
LARGEST_FRAME: Final = 1 << 28
"""Bytes. A frame holds a hundred rows or a piece of an object, so that both sides need little memory."""

_TAKEN: Final = "there is a file of that name already, and a backup replaces none: name another"
DAMAGED: Final = "the backup is damaged or cut off: use another one; nothing was changed"


class ArchiveWriter:
    """Seals frames into ``file``, for a worker thread. The key of the file is new; ``key`` is it, wrapped."""

    def __init__(self, file: BinaryIO, ring: KeyRing) -> None:
        self._file = file
        self.key, data_key = ring.new_object_key()
        head = json.dumps(
            {"id": self.key.id, "wrapped": base64.b64encode(self.key.wrapped).decode(), "master": self.key.master}
        ).encode()
        start = _START.pack(_MAGIC, _VERSION, len(head)) + head
        self._sealer = StreamSealer(data_key)
        file.write(start + hashlib.sha256(start).digest() + self._sealer.header)

    def frame(self, kind: bytes, payload: bytes | memoryview) -> None:
        """Write one frame. Raises OSError."""
        if len(payload) > LARGEST_FRAME:
            raise BackupError("one row is too large for a backup: see which with osler encounter list")
        self._write(_FRAME.pack(kind, len(payload)))
        self._write(payload)

    def close(self) -> None:
        """Seal the end. Without it the file is no backup."""
        self._file.write(self._sealer.finish())

    def _write(self, data: bytes | memoryview) -> None:
        for sealed in self._sealer.update(data):
            self._file.write(sealed)


class ArchiveReader:
    """Opens the frames of a backup, for a worker thread. Everything that it yields is authenticated.

    Raises UnreadableFileError; BackupError for a file that is no backup, damaged, cut off or of a newer version;
    MasterKeyError where no key of ``ring`` sealed it.
    """

    def __init__(self, path: Path, ring: KeyRing) -> None:
        self._file = _open(path)
        try:
            self.key = self._read_head()
            start = self._file.tell()
            self._sealed_size = os.fstat(self._file.fileno()).st_size - start - HEADER_SIZE
            data_key = ring.open_key(self.key)
            # The inverse of sealed_size: every chunk but the last is full.
            count = max(1, -(-self._sealed_size // SEALED_CHUNK_SIZE))
            self._size = self._sealed_size - TAG_SIZE * count
            header = self._read(HEADER_SIZE)
            if self._size < 0 or sealed_size(self._size) != self._sealed_size + HEADER_SIZE:
                raise BackupError(DAMAGED)
            try:
                self._opener = StreamOpener(data_key, header, self._size)
            except CorruptedError:
                raise BackupError(DAMAGED) from None
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> "ArchiveReader":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    @property
    def size(self) -> int:
        """Plain bytes in the stream, for a progress bar."""
        return self._size

    def frames(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield (kind, payload) to the end of the file."""
        held = bytearray()
        for plain in self._plain():
            held += plain
            start = 0
            while len(held) - start >= _FRAME.size:
                kind, length = _FRAME.unpack_from(held, start)
                if length > LARGEST_FRAME:
                    raise BackupError(DAMAGED)
                end = start + _FRAME.size + length
                if end > len(held):
                    break
                yield kind, bytes(memoryview(held)[start + _FRAME.size : end])
                start = end
            del held[:start]
        if held:
            raise BackupError(DAMAGED)

    def _plain(self) -> Iterator[bytes]:
        count = chunk_count(self._size)
        for first in range(0, count, _CHUNKS_AT_ONCE):
            chunks = range(first, min(first + _CHUNKS_AT_ONCE, count))
            end = min(chunks.stop * SEALED_CHUNK_SIZE, self._sealed_size)
            try:
                yield from self._opener.open_chunks(chunks, self._read(end - first * SEALED_CHUNK_SIZE))
            except CorruptedError:
                raise BackupError(DAMAGED) from None

    def _read_head(self) -> ObjectKey:
        start = self._file.read(_START.size)
        if len(start) < _START.size or not start.startswith(_MAGIC):
            raise BackupError("this file is no backup of Osler, or its beginning is damaged; nothing was changed")
        _, version, length = _START.unpack(start)
        if version > _VERSION:
            raise BackupError("this backup was written by a newer version of Osler: install that version")
        if length > _MOST_HEAD:
            raise BackupError(DAMAGED)
        head = self._read(length)
        if hashlib.sha256(start + head).digest() != self._read(hashlib.sha256().digest_size):
            raise BackupError(DAMAGED)
        try:
            fields = json.loads(head)
            return ObjectKey(fields["id"], base64.b64decode(fields["wrapped"]), fields["master"])
        except (ValueError, KeyError, TypeError):
            raise BackupError(DAMAGED) from None

    def _read(self, count: int) -> bytes:
        try:
            data = self._file.read(count)
        except OSError:
            raise UnreadableFileError("the backup cannot be read: check its disk; nothing was changed") from None
        if len(data) != count:
            raise BackupError(DAMAGED)
        return data


class NewFile:
    """A new file for its owner only, under a passing name beside ``path`` until it is put in place."""

    def __init__(self, path: Path) -> None:
        """Raises OutputError, also if ``path`` is there already."""
        self.path = path.absolute()
        if os.path.lexists(self.path):
            raise OutputError(_TAKEN)
        self.part = self.path.with_name(f".osler-backup-{secrets.token_hex(8)}.part")
        try:
            descriptor = os.open(self.part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _output_error(error) from None
        self.file: BinaryIO = os.fdopen(descriptor, "wb", buffering=1 << 20)

    def sync(self) -> None:
        """Have all that was written on the disk. Raises OSError."""
        self.file.flush()
        os.fsync(self.file.fileno())

    def put_in_place(self) -> None:
        """Give the file its name, durably. Raises OSError, OutputError where the name was taken meanwhile."""
        try:
            # A link, unlike a renaming, replaces nothing.
            os.link(self.part, self.path)
        except FileExistsError:
            raise OutputError(_TAKEN) from None
        except OSError:  # a file system without links
            self.part.rename(self.path)
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def discard(self) -> None:
        """Close the file and remove its passing name."""
        with contextlib.suppress(OSError):  # what could not be written any more
            self.file.close()
        self.part.unlink(missing_ok=True)


@contextlib.contextmanager
def new_file(path: Path) -> Iterator[NewFile]:
    """Open a new file; it is gone after the block unless it was put in place.

    Raises OutputError; StorageFullError where no space is left.
    """
    new = NewFile(path)
    try:
        yield new
    except OSError as error:
        raise _output_error(error) from None
    finally:
        new.discard()


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise UnreadableFileError(f"the backup cannot be opened: {error.strerror}; check its name") from None


def _output_error(error: OSError) -> Exception:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageFullError("no space is left where the backup was being written: free some or name another place")
    return OutputError(f"the backup cannot be written: {error.strerror}; name another place")
