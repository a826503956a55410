"""Remembers that a model's digests were right, so that a start need not hash 145 MB.

The stamp lies in the model's folder and notes, for every file, the digest that was found and the file's size and time
of change at that moment. It holds as long as size and time stay; it is no defence against someone who may write there.
"""

import json
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from osler.weights.model import WeightsFile

_NAME = ".verified.json"


@dataclass(frozen=True, slots=True)
class Stamped:
    """A file as it was when its SHA-256 was computed; ``changed`` is its time of change in nanoseconds."""

    sha256: str
    size: int
    changed: int


@dataclass(frozen=True, slots=True)
class Stamp:
    """What was found for the files of one model, by path."""

    files: Mapping[str, Stamped]

    @classmethod
    def read(cls, folder: Path) -> "Stamp":
        """Return the stamp of a model's folder, an empty one when there is none or it is not legible."""
        try:
            data: Any = json.loads((folder / _NAME).read_text(encoding="utf-8"))
            return cls({path: Stamped(**stamped) for path, stamped in data.items()})
        except (OSError, ValueError, TypeError, AttributeError):
            return cls({})

    def covers(self, folder: Path, file: WeightsFile) -> bool:
        """Say whether the file was found right and has not changed since."""
        try:
            status = (folder / file.path).stat()
        except OSError:
            return False
        return self.files.get(file.path) == Stamped(file.sha256, status.st_size, status.st_mtime_ns)

    def write(self, folder: Path) -> None:
        """Put the stamp into the folder, in one step. Raises OSError."""
        part = folder / f"{_NAME}.{secrets.token_hex(8)}"
        try:
            part.write_text(json.dumps({path: asdict(stamped) for path, stamped in self.files.items()}))
            part.replace(folder / _NAME)
        except BaseException:
            part.unlink(missing_ok=True)
            raise

    @staticmethod
    def remove(folder: Path) -> None:
        """Forget the stamp. Raises OSError."""
        (folder / _NAME).unlink(missing_ok=True)
