"""What keeps terminologies: the port by which releases of licence holders are brought in."""

from pathlib import Path
from typing import Protocol

from osler.coding.terminology import Installed, Terminologies


class TerminologyLibrary(Terminologies, Protocol):
    """Terminologies, and how one more release of a licensed system is installed."""

    def install(self, name: str, release: Path) -> Installed:
        """Read a release file of the system and keep its index beside other releases; the same version is replaced.

        Nothing is kept unless the whole file could be read. Raises UnknownNameError, InvalidFieldError (the system is
        built in), UnreadableFileError, BrokenReleaseError (names file and line) or StorageFullError.
        """
        ...
