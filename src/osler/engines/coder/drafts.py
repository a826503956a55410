"""A coded condition while it is put together."""

import re
from dataclasses import dataclass, field
from typing import Final

from osler.coding.coder import Reference
from osler.engines.coder.vocabulary import COMMON

PASSING: Final = re.compile(
    r"^(R|S|T|A0|A4|B3|J0|J1[0-8]|J2|N39|N30|N10|N17|K35|K37|K81|K85|K5[26]|L0[23]|H66|H10|U07|O|I26|I82|I21|N20|G45|I63|I61)"
)
"""Conditions that are over when they are past; all others last, and who has "a history of" one still has it."""
_BASIS: Final = {COMMON: 0.95, "icd": 0.9, "disease-ontology": 0.85}


@dataclass(slots=True)
class Draft:
    """A condition with its code.

    ``leading``: the assessment names it. ``words``: the forms of its words, ``size`` how many and whether a side is
    named; ``other_side``: the code of the left side where both are meant; ``close``: its words stand together;
    ``titled``: they are those of the code's title.
    """

    code: str
    text: str
    score: float
    leading: bool = False
    hint: str | None = None
    others: list[str] = field(default_factory=list)
    references: list[Reference] = field(default_factory=list)
    words: frozenset[str] = frozenset()
    size: int = 0
    other_side: str | None = None
    close: bool = True
    titled: bool = False

    def take(self, other: "Draft") -> None:
        """Add what another draft of the same condition found; the words of the fuller mention name it."""
        if other._worth > self._worth:
            self.text, self.words, self.size = other.text, other.words, other.size
            self.close, self.titled = other.close, other.titled
        self.score = max(self.score, other.score)
        self.leading = self.leading or other.leading
        self.others += [code for code in other.others if code not in self.others]
        self.references += [reference for reference in other.references if reference not in self.references]

    @property
    def _worth(self) -> tuple[bool, bool, bool, int, float]:
        return self.close, self.leading, self.titled, self.size, self.score


def score_of(source: str, cost: float, leading: bool) -> float:
    """Return how sure a mention is, 0 to 1: by whose name it is, how close its words stand, and where."""
    return max(0.05, min(1.0, _BASIS.get(source, 0.6) - 0.08 * cost + (0.05 if leading else 0.0)))
