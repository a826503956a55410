"""A file that is arriving: written beside the store's files, hashed as it grows, kept when the arrival breaks off."""

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType

from osler.kernel.errors import OutputError

CHUNK = 1 << 20
"""Bytes read or written at once."""


class TooLongError(Exception):
    """A source sends more bytes than the lock file says: whatever it is, it is not the file."""


def size_of(path: Path) -> int | None:
    """Return a file's size in bytes, None when there is none that this process may see."""
    try:
        return path.stat().st_size
    except OSError:
        return None


@contextlib.contextmanager
def writing() -> Iterator[None]:
    """Turn what the file system says while the store is written into OutputError."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"The model store cannot be written: {error.strerror or type(error).__name__}. "
            "Free space there, or name another folder in OSLER_MODELS, and pull again."
        ) from error


class PartialFile:
    """The sink of one file, at most ``size`` bytes long, continuing what an earlier attempt left at ``path``.

    A context manager; leaving it closes the file and keeps its bytes. Raises OutputError when it cannot be written.
    """

    def __init__(self, path: Path, size: int, report: Callable[[int], None]) -> None:
        self._path, self._size, self._report = path, size, report
        self._hash = hashlib.sha256()
        self._received = 0
        self.resumed = False
        """Whether it still holds bytes of an earlier attempt."""

    def __enter__(self) -> "PartialFile":
        with writing():
            self._file = self._path.open("a+b")
            self._file.seek(0)
            while self._received <= self._size and (chunk := self._file.read(CHUNK)):
                self._hash.update(chunk)
                self._received += len(chunk)
        self.resumed = self._received > 0
        if self._received > self._size:
            self.restart()  # it can be no beginning of the file
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with writing():
            self._file.close()

    @property
    def received(self) -> int:
        """How many bytes it holds."""
        return self._received

    @property
    def sha256(self) -> str:
        """The digest of the bytes that it holds."""
        return self._hash.hexdigest()

    def write(self, chunk: bytes) -> None:
        """Append bytes. Raises TooLongError past the size of the file."""
        if self._received + len(chunk) > self._size:
            raise TooLongError
        with writing():
            self._file.write(chunk)
        self._hash.update(chunk)
        self._received += len(chunk)
        self._report(self._received)

    def restart(self) -> None:
        """Forget what it holds."""
        with writing():
            self._file.truncate(0)
        self._hash = hashlib.sha256()
        self._received = 0
        self.resumed = False

    def move_to(self, target: Path) -> os.stat_result:
        """Bring the bytes to the disk and give them their final name, in one step; return how the file stands then."""
        with writing():
            self._file.flush()
            os.fsync(self._file.fileno())
            self._path.replace(target)
            folder = os.open(target.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
            return os.fstat(self._file.fileno())
