"""What the store knows: entries of the lock file, the places they may come from, and how they stand in the store."""

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class WeightsFile:
    """One file of a model: its name in the model's folder, its SHA-256 (lower-case hex) and its size in bytes."""

    path: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class WheelMember:
    """A file inside a wheel of the package index."""

    project: str
    version: str
    member: str

    @property
    def wheel(self) -> str:
        """The requirement that names exactly this wheel, for instance ``Resemblyzer==0.1.4``."""
        return f"{self.project}=={self.version}"


@dataclass(frozen=True, slots=True)
class WheelPlace:
    """Files of a model in wheels: for each file its members, joined in this order."""

    files: dict[str, tuple[WheelMember, ...]]


@dataclass(frozen=True, slots=True)
class HubPlace:
    """Files of a model on a server: the address of a file is ``url`` followed by the file's path."""

    url: str


Place = WheelPlace | HubPlace


@dataclass(frozen=True, slots=True)
class WeightsEntry:
    """One model of the lock file.

    ``default`` says whether a pull without a name brings it, ``upstream`` who publishes it, ``places`` where it may be
    had, in order. The digests decide, not the place.
    """

    name: str
    title: str
    version: str
    default: bool
    licence: str
    upstream: str
    files: tuple[WeightsFile, ...]
    places: tuple[Place, ...]

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(file.size for file in self.files)


class State(StrEnum):
    """How a model stands in the store, judged without reading its bytes."""

    MISSING = "missing"
    INCOMPLETE = "incomplete"
    """Some files are there, or have another size than the lock file says."""
    UNVERIFIED = "unverified"
    """Every file is there in the right size, but its digest has not been checked since it was put there."""
    PRESENT = "present"
    """Every file is there, and its digest was checked since."""


@dataclass(frozen=True, slots=True)
class Pulled:
    """What a pull did: which files it brought, and from where; no file when all were present."""

    name: str
    files: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FileCheck:
    """What a verification found for one file: ``found`` is its SHA-256, None when the file is not there."""

    path: str
    expected: str
    found: str | None

    @property
    def right(self) -> bool:
        """Whether the file is there with the digest of the lock file."""
        return self.found == self.expected
