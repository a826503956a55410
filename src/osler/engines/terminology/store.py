"""The terminologies that are installed: those that come with Osler, and those in its data folder."""

import threading
from datetime import date
from pathlib import Path
from typing import Final

from osler.coding.terminology import LICENSED, SYSTEMS, Installed, Terminology, system_named
from osler.engines.terminology.container import read_header
from osler.engines.terminology.index import IndexedTerminology, about
from osler.kernel.errors import TerminologyMissingError

_PACKAGED: Final = Path(__file__).parent / "data"
_HOLDERS: Final = {
    "SNOMED-CT": "your country's SNOMED International member (in the UK TRUD, in the US UMLS)",
    "OPCS-410": "NHS England (TRUD)",
    "ACHI-13": "the Independent Health and Aged Care Pricing Authority",
    "CPT-2025": "the American Medical Association",
}


class TerminologyStore:
    """Implements ``Terminologies``. An index is read when it is first asked for, and kept."""

    def __init__(self, folder: Path) -> None:
        """Use ``folder`` (which need not exist) for what was imported: one index file for each release."""
        self._folder = folder
        self._open: dict[Path, IndexedTerminology] = {}
        self._lock = threading.Lock()

    def get(self, name: str) -> Terminology:
        system = system_named(name)
        releases = self._releases(system)
        if not releases:
            raise TerminologyMissingError(missing(system))
        path = releases[0][0]
        with self._lock:
            if path not in self._open:
                self._open[path] = IndexedTerminology(path)
            return self._open[path]

    def installed(self) -> tuple[Installed, ...]:
        return tuple(what for system in SYSTEMS for _, what in self._releases(system))

    def _releases(self, system: str) -> list[tuple[Path, Installed]]:
        """The releases of a system, that to use first: the newest that is in force, then older, then future ones."""
        name = system.lower()
        paths = [p for p in (_PACKAGED / f"{name}.npz", *sorted(self._folder.glob(f"{name}/*.npz"))) if p.is_file()]
        found = [(path, about(read_header(path))) for path in paths]
        today = date.today()

        def order(release: tuple[Path, Installed]) -> tuple[bool, date]:
            day = release[1].effective_date or date.min
            return day <= today, day

        return sorted(found, key=order, reverse=True)


def missing(system: str) -> str:
    """Return the line that says how a system that is not there is installed."""
    if system not in LICENSED:
        return f"The index of {system} is not there. Build it with: osler codes build"
    return (
        f"{system} is licensed and not installed. Get its release file from {_HOLDERS[system]}, then: "
        f"osler codes import --system {system} FILE"
    )
