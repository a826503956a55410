"""Terminologies: what a code is, and the port by which codes are looked up and found by words."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Final, Protocol

from osler.kernel.errors import UnknownNameError

SYSTEMS: Final = ("ICD-10-CM", "ICD-10", "ICD-9-CM", "SNOMED-CT", "OPCS-410", "ACHI-13", "CPT-2025")
"""The systems that Osler knows, by the name that is used inside."""

LICENSED: Final = ("SNOMED-CT", "OPCS-410", "ACHI-13", "CPT-2025")
"""Those whose codes come from the licence holder's own release files."""

_ALIASES: Final[Mapping[str, str]] = {
    "ICD10CM": "ICD-10-CM",
    "ICD10": "ICD-10",
    "ICD10WHO": "ICD-10",
    "ICD9": "ICD-9-CM",
    "ICD9CM": "ICD-9-CM",
    "SNOMED": "SNOMED-CT",
    "SNOMEDCT": "SNOMED-CT",
    "SCT": "SNOMED-CT",
    "OPCS": "OPCS-410",
    "OPCS4": "OPCS-410",
    "OPCS410": "OPCS-410",
    "ACHI": "ACHI-13",
    "ACHI13": "ACHI-13",
    "CPT": "CPT-2025",
    "CPT2025": "CPT-2025",
}


def system_named(name: str) -> str:
    """Return the inside name of a coding system: case and punctuation do not matter, ``SNOMED`` is ``SNOMED-CT``.

    ``ICD-9`` is ``ICD-9-CM``, the only edition of it in use. Raises UnknownNameError, which lists the systems.
    """
    system = _ALIASES.get("".join(c for c in name.upper() if c.isalnum()))
    if system is None:
        raise UnknownNameError(f"There is no coding system of that name; there are: {', '.join(SYSTEMS)}.")
    return system


class Laterality(StrEnum):
    """The side that a code's description names."""

    RIGHT = "right"
    LEFT = "left"
    BILATERAL = "bilateral"
    UNSPECIFIED = "unspecified"


@dataclass(frozen=True, slots=True)
class Code:
    """One code of a terminology. A code may be a category that cannot be billed (``billable`` false).

    ``hierarchy`` holds the codes above it, the outermost first, without the code itself. ``valid`` says whether it
    is in force today: effective, not expired or inactive, and billable. Notes are those that apply to the code: its
    own and those of the codes above it (inclusion terms: only its own). ``seventh_characters`` maps each to its
    meaning where the code needs one (on a code that ends in one: those that it could have). ``maps_to`` holds codes
    of other systems, by system.
    """

    system: str
    code: str
    description: str
    valid: bool
    billable: bool
    hierarchy: tuple[str, ...] = ()
    effective_date: date | None = None
    expiry: date | None = None
    inclusion_terms: tuple[str, ...] = ()
    includes: tuple[str, ...] = ()
    excludes1: tuple[str, ...] = ()
    excludes2: tuple[str, ...] = ()
    use_additional: tuple[str, ...] = ()
    code_first: tuple[str, ...] = ()
    code_also: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    seventh_characters: Mapping[str, str] = field(default_factory=dict)
    laterality: Laterality | None = None
    maps_to: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Synonym:
    """Another name of a code. ``source`` says whose it is: ``inclusion``, ``disease-ontology``, ``lay``, ..."""

    text: str
    source: str


@dataclass(frozen=True, slots=True)
class CodeMatch:
    """A code found by words. ``score`` is 0 to 1, 1 for the very words; ``matched_text`` is the name that matched."""

    code: str
    score: float
    matched_text: str


@dataclass(frozen=True, slots=True)
class Installed:
    """What a terminology is: its version, the day from which it holds, how many codes it has, and its licence."""

    system: str
    version: str
    effective_date: date | None
    licence: str
    source: str
    codes: int


class Terminology(Protocol):
    """One release of one coding system, read-only. Its methods may be called from several threads."""

    @property
    def system(self) -> str: ...

    @property
    def version(self) -> str: ...

    @property
    def licence(self) -> str: ...

    @property
    def about(self) -> Installed: ...

    def find(self, code: str) -> Code | None:
        """Return the code, however its dots, spaces and letters' case are written; None if there is none."""
        ...

    def search(self, text: str, limit: int = 10, *, billable: bool = True) -> list[CodeMatch]:
        """Return the best codes for a phrase of a few words, best first, each code once; none if no word is known.

        A category that matches stands for its unspecified code, unless ``billable`` is false. Words that narrow a code
        down (side, type, stage, encounter) are obeyed; without them the general code comes first.
        """
        ...

    def children(self, code: str) -> tuple[str, ...]:
        """Return the codes right below, in the order of the terminology; empty if it is a leaf or unknown."""
        ...

    def ancestors(self, code: str) -> tuple[str, ...]:
        """Return the codes above, nearest first; in a polyhierarchy all of them, breadth first."""
        ...

    def synonyms(self, code: str) -> tuple[Synonym, ...]:
        """Return the other names of the code, its description left out."""
        ...

    def unspecified(self, code: str) -> str | None:
        """Return the billable code to use when the words say no more than this code does: itself if it is billable.

        ``E11`` gives ``E11.9``; a code that needs a seventh character gets that of an initial encounter.
        None if there is none.
        """
        ...

    def excludes1(self, code_a: str, code_b: str) -> bool:
        """Say whether an Excludes1 note of either code, or of a code above it, names the other: never both."""
        ...


class Terminologies(Protocol):
    """The terminologies that are installed."""

    def get(self, name: str) -> Terminology:
        """Return the newest effective release of a system, by any of its names.

        Raises UnknownNameError (no such system) or TerminologyMissingError (licensed, not imported yet: says how).
        """
        ...

    def installed(self) -> tuple[Installed, ...]:
        """Return every release that is there, in the order of SYSTEMS, that which ``get`` returns first in each."""
        ...
