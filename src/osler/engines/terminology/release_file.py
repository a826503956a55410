"""A licence holder's release: a zip archive or one text file, read line by line, each fault with its line."""

import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path, PurePosixPath
from typing import IO, Final

from osler.kernel.errors import BrokenReleaseError, UnreadableFileError

MOST_BYTES: Final = 6_000_000_000
"""Bytes of text in the files of a release at most: SNOMED CT's largest editions have a third of it."""
MOST_RATIO: Final = 100
"""How many times larger a file may be than in its archive; text of releases shrinks to a fifth or tenth."""
_MOST_FILES: Final = 20_000
_LONGEST_LINE: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class ReleaseFile:
    """One text file of a release. ``title`` is what messages call it."""

    path: Path
    member: str | None
    name: str
    """Its name without folders, which may say version and date."""

    @property
    def title(self) -> str:
        return "the file" if self.member is None else self.name

    def lines(self) -> Iterator[tuple[int, str]]:
        """Yield number (from 1) and text of each line, without its end. Raises BrokenReleaseError."""
        number = 0
        try:
            with self._open() as stream:
                while raw := stream.readline(_LONGEST_LINE):
                    number += 1
                    if len(raw) == _LONGEST_LINE:
                        raise self.broken(number, "the line is too long")
                    text = raw.rstrip(b"\r\n")
                    yield number, _decoded(text.removeprefix(b"\xef\xbb\xbf") if number == 1 else text)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError) as error:
            if isinstance(error, OSError) and self.member is None:
                raise UnreadableFileError(f"The release file cannot be read: {error.strerror}.") from None
            raise self.broken(number + 1, "the archive is damaged here") from None

    def broken(self, number: int, what: str) -> BrokenReleaseError:
        """Return the error for a line."""
        return BrokenReleaseError(
            f"{self.title.capitalize() if self.member is None else self.title}, line {number}: "
            f"{what}. Nothing was imported."
        )

    @contextmanager
    def _open(self) -> Iterator[IO[bytes]]:
        if self.member is None:
            with self.path.open("rb") as stream:
                yield stream
        else:
            with zipfile.ZipFile(self.path) as archive, archive.open(self.member) as stream:
                yield stream


def release_files(path: Path) -> list[ReleaseFile]:
    """Return the text files of a release. Raises UnreadableFileError, BrokenReleaseError (no archive, a zip bomb)."""
    try:
        if path.is_dir():
            raise UnreadableFileError("The release is a folder; give the archive or the text file itself.")
        with path.open("rb") as stream:
            zipped = stream.read(4) in (b"PK\x03\x04", b"PK\x05\x06")
        if not zipped:
            return [ReleaseFile(path, None, path.name)]
        with zipfile.ZipFile(path) as archive:
            members = [info for info in archive.infolist() if not info.is_dir()]
    except OSError as error:
        raise UnreadableFileError(f"The release file cannot be read: {error.strerror}.") from None
    except zipfile.BadZipFile:
        raise BrokenReleaseError("The archive is damaged or cut off; get it again. Nothing was imported.") from None
    members = [info for info in members if info.filename.lower().endswith(".txt")]
    large = any(i.file_size > MOST_RATIO * max(i.compress_size, 1) and i.file_size > 1_000_000 for i in members)
    if len(members) > _MOST_FILES or large or sum(info.file_size for info in members) > MOST_BYTES:
        raise BrokenReleaseError("The archive would unpack to far more than a release holds. Nothing was imported.")
    return [ReleaseFile(path, info.filename, PurePosixPath(info.filename).name) for info in members]


def only(files: Sequence[ReleaseFile], pattern: str, what: str) -> ReleaseFile:
    """Return the one file whose name matches (a text file given by itself always does). Raises BrokenReleaseError."""
    found = [f for f in files if f.member is None or re.fullmatch(pattern, f.name, re.IGNORECASE)]
    if len(found) != 1:
        raise BrokenReleaseError(f"The archive holds {len(found)} {what}; one is needed. Nothing was imported.")
    return found[0]


def day(text: str) -> date | None:
    """Return a date written as YYYYMMDD, or None."""
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:])) if re.fullmatch(r"\d{8}", text) else None
    except ValueError:
        return None


def _decoded(line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError:
        return line.decode("cp1252", errors="replace")
