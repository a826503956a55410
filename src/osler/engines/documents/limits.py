"""How much one document may take: pages, seconds, bytes and pixels."""

from dataclasses import asdict, dataclass
from typing import Final

MAX_BYTES: Final = 50 * 1000 * 1000
"""Bytes of a document, as it came."""

MAX_CHARACTERS: Final = 2_000_000
"""Characters of a document's text: 200 pages as dense as a page can be."""

MAX_ENTRIES: Final = 5_000
"""Entries of a zip file; a Word document of 500 pages with as many images has about 600."""

MAX_PART: Final = 64 * 1024**2
"""Bytes of one unpacked part of a zip file."""

MAX_UNPACKED: Final = 256 * 1024**2
"""Bytes of all parts of a zip file that are read, unpacked."""

MAX_PIXELS: Final = 64_000_000
"""Pixels of an image: more than most telephones take, and 200 MB once unpacked."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What an operator may set. ``pages`` of a document; ``seconds`` for all of it, and ``page_seconds`` for one page.

    ``memory`` is the address space of the process that reads, in bytes: about 1 GB of it are code and models.
    """

    pages: int = 200
    seconds: float = 1200.0
    page_seconds: float = 90.0
    memory: int = 2 * 1024**3

    def to_json(self) -> dict[str, float]:
        """Return plain JSON types."""
        return asdict(self)
