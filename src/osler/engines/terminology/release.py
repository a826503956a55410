"""A release of a coding system as its readers give it: what the index is built from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Final

NOTES: Final = (
    "inclusion_terms", "includes", "excludes1", "excludes2", "use_additional", "code_first", "code_also", "notes",
)  # fmt: skip
"""The kinds of notes that an entry may have, named as in ``osler.coding.terminology.Code``."""

SOURCES: Final = (
    "description",
    "inclusion",
    "lay",
    "clinical",
    "disease-ontology",
    "neoplasm-table",
    "drug-table",
    "external-cause-index",
    "synonym",
    "short",
)
"""Where a name of a code may come from."""


@dataclass(slots=True)
class Entry:
    """One code or category. ``seventh`` holds its seventh characters if it is a base that needs one."""

    code: str
    description: str
    parents: tuple[str, ...] = ()
    billable: bool = True
    active: bool = True
    effective: date | None = None
    expiry: date | None = None
    notes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    seventh: Mapping[str, str] = field(default_factory=dict)
    names: list[tuple[str, str]] = field(default_factory=list)
    """Other names, each with one of SOURCES."""
    maps_to: dict[str, tuple[str, ...]] = field(default_factory=dict)
    likelihood: float = 1.0
    """How likely it is meant beside others whose names fit as well."""


@dataclass(slots=True)
class Release:
    """All entries of one release, parents before children, and what it is."""

    system: str
    version: str
    effective_date: date | None
    licence: str
    source: str
    entries: list[Entry]
