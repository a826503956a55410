"""From the category that a name says to the code that the words support: side, type, stage, and no further."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from osler.coding.terminology import Terminology
from osler.engines.coder.vocabulary import bag

_SIDES: Final = frozenset(("right", "left", "bilateral"))
_GENERAL: Final = bag(
    "unspecified other specified primary essential initial encounter closed uncomplicated and or nos disease disorder "
    "type part region site level side limb current injury elsewhere classified"
) | frozenset(("or", "in", "of", "and"))
_WITHOUT: Final = re.compile(r",?\s*\b(without|not intractable|not elsewhere classified)\b.*", re.IGNORECASE)
_OPEN: Final = re.compile(r"\bunspecified\b|\bother\b|\bnos\b")
_DEEPEST: Final = 5


@dataclass(frozen=True, slots=True)
class Refined:
    """A billable code, and what would allow a more specific one (None: nothing, or not known).

    ``other_side`` is the code for the left where both sides are meant and each has a code of its own.
    """

    code: str
    hint: str | None
    other_side: str | None = None


def refine(terminology: Terminology, code: str, near: frozenset[str], wide: frozenset[str]) -> Refined | None:
    """Return the most specific code below ``code`` that the words support; None if the code is unknown.

    ``near`` are the forms of words of the mention's sentence (its sides only those that go with it); ``wide`` those of
    the whole text, used for what is a matter of the patient and not of one place.
    """
    hint: str | None = None
    for _ in range(_DEEPEST):
        found = terminology.find(code)
        if found is None:
            return None
        if found.billable:
            break
        children = terminology.children(code)
        child = _supported(terminology, code, children, near, wide)
        if child is None and "bilateral" in near:
            right = _supported(terminology, code, children, (near - {"bilateral"}) | {"right"}, wide)
            left = _supported(terminology, code, children, (near - {"bilateral"}) | {"left"}, wide)
            if right and left and right != left:
                general, second = terminology.unspecified(right), terminology.unspecified(left)
                return None if general is None else Refined(general, None, second)
        if child is None:
            hint = _missing(terminology, children)
            general = terminology.unspecified(_uncomplicated(terminology, children) or code)
            if general is None:
                return None
            return Refined(general, hint)
        code = child
    general = terminology.unspecified(code)
    return None if general is None else Refined(general, hint)


def _supported(
    terminology: Terminology, code: str, children: Sequence[str], near: frozenset[str], wide: frozenset[str]
) -> str | None:
    told = [_told(terminology, child) for child in children]
    above = _told(terminology, code).union(frozenset.intersection(*told) if len(told) > 1 else ())
    best: tuple[int, str] | None = None
    for child in children:
        new = _told(terminology, child) - above
        if not new or _residual(terminology, child) - _residual(terminology, code):
            continue
        sides = new & (_SIDES | {"unilateral"})
        rest = new - sides
        if "unilateral" in sides and not near & {"right", "left", "unilateral"}:
            continue
        if sides - {"unilateral"} and not (sides - {"unilateral"}) & near:
            continue
        known = wide if child.startswith("F17") else near
        if rest - known:
            continue
        score = len(new)
        if best is None or score > best[0]:
            best = (score, child)
    return best[1] if best else None


def _uncomplicated(terminology: Terminology, children: Sequence[str]) -> str | None:
    """Return the code for the condition alone, where the others are for its complications."""
    for child in children:
        found = terminology.find(child)
        if found and re.search(r"\buncomplicated\b|without complications", found.description):
            return child
    return None


def _missing(terminology: Terminology, children: Sequence[str]) -> str | None:
    """Say which detail tells the codes below apart."""
    told = [_told(terminology, child) for child in children]
    if sum(bool(words & _SIDES) for words in told) >= 2:
        return "Say which side (right, left or both) for a more specific code."
    titles = [
        found.description
        for child in children
        if (found := terminology.find(child)) and not _residual(terminology, child)
    ]
    if len(titles) >= 2:
        return f"A more specific code is there if the note says which: {'; '.join(titles[:4])}."
    return None


def _told(terminology: Terminology, code: str) -> frozenset[str]:
    found = terminology.find(code)
    return _words_of_title(found.description) if found else frozenset()


@lru_cache(maxsize=32_768)
def _words_of_title(title: str) -> frozenset[str]:
    return bag(_WITHOUT.sub("", title)) - _GENERAL


def _residual(terminology: Terminology, code: str) -> frozenset[str]:
    """Return the words of a title that leave something open."""
    found = terminology.find(code)
    return frozenset(_OPEN.findall(found.description.lower())) if found else frozenset(("unspecified",))


def alternatives(terminology: Terminology, code: str) -> list[str]:
    """Return the codes that stand beside a code: the same condition on another side, of another type."""
    found = terminology.find(code)
    if found is None or not found.hierarchy:
        return []
    beside = [c for c in terminology.children(found.hierarchy[-1]) if c != code]
    general = [g for c in beside if (g := terminology.unspecified(c)) is not None and g != code]
    return list(dict.fromkeys(general))
