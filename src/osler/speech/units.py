"""Units as spoken and as a clinician writes them; the table is ``data/units.tsv``."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from osler.speech.vocabulary import data_lines


class UnitKind(StrEnum):
    """What is counted: an amount of a drug, a measured quantity, pieces of a drug, or time."""

    DOSE = "dose"
    MEASURE = "measure"
    FORM = "form"
    TIME = "time"


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit found in speech: ``written`` None keeps the words as said; ``length`` is the number of its words."""

    kind: UnitKind
    written: str | None
    length: int


_LONGEST_PHRASE: Final = 3


@functools.cache
def _table() -> tuple[Mapping[str, tuple[UnitKind, str | None]], Mapping[str, str]]:
    units: dict[str, tuple[UnitKind, str | None]] = {}
    denominators: dict[str, str] = {}
    for line in data_lines("units.tsv"):
        kind, written, phrases = line.split("\t")
        for phrase in phrases.split(","):
            if kind == "per":
                denominators[phrase] = written
            else:
                units[phrase] = (UnitKind(kind), None if written == "=" else written)
    return units, denominators


def unit_at(words: Sequence[str]) -> Unit | None:
    """Return the unit that ``words`` (lower case, no punctuation) begin with, the longest that fits, or None."""
    units, denominators = _table()
    for length in range(min(_LONGEST_PHRASE, len(words)), 0, -1):
        entry = units.get(" ".join(words[:length]))
        if entry is None:
            continue
        kind, written = entry
        if written is not None and length + 1 < len(words) and words[length] == "per":
            below = denominators.get(words[length + 1])
            if below is not None:
                written, length = f"{written}/{below}", length + 2
                if words[length : length + 2] in (["per", "day"], ["a", "day"]):
                    written, length = f"{written}/day", length + 2
                elif below != "kg":
                    kind = UnitKind.MEASURE
        return Unit(kind, written, length)
    return None
