"""What the options of a form mean: yes and no, numbers and ranges, sides, how a habit stands, or names of things."""

import re
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum, auto
from functools import cache
from typing import Final

from osler.engines.grounded.asking.passages import Passage, stem
from osler.engines.grounded.asking.topics import Topic
from osler.engines.grounded.lexicon import table
from osler.notes.tokens import numbers

_NEAR: Final = 4
"""Tokens between a side and what is on it."""


class Kind(Enum):
    """How the options of one question are to be read."""

    YES_NO = auto()
    NUMBERS = auto()
    SIDES = auto()
    STANDING = auto()
    NAMED = auto()


def expression(section: str, name: str) -> re.Pattern[str]:
    """Return a regular expression of ``data/forms.toml``."""
    return _expressions(section)[name]


def meaning_of(option: str) -> str:
    """Return ``yes``, ``no``, ``unsure``, ``unasked`` (nothing a visit can say) or ``other``."""
    for name in ("unsure", "unasked", "no", "yes"):
        if expression("options", name).search(option.strip()):
            return name
    return "other"


def kind_of(options: Sequence[str]) -> Kind:
    """Say how options are to be read."""
    asked = [option for option in options if meaning_of(option) not in ("unsure", "unasked")]
    meanings = {meaning_of(option) for option in asked}
    if meanings and meanings <= {"yes", "no"} and len(asked) <= 2:
        return Kind.YES_NO
    if asked and all(bounds(option) for option in asked):
        return Kind.NUMBERS
    named = [{n for n in ("left", "right", "both") if expression("options", n).search(o)} for o in asked]
    if len(asked) > 1 and all(len(names) >= 1 for names in named):
        return Kind.SIDES
    standing = [{n for n in ("current", "former", "never") if expression("options", n).search(o)} for o in asked]
    if len(asked) > 1 and all(standing) and set().union(*standing) >= {"former"}:
        return Kind.STANDING
    return Kind.NAMED


def bounds(option: str) -> tuple[float, float] | None:
    """Return the lowest and the highest number that an option takes in; None if it is of no numbers."""
    inf = float("inf")
    if match := expression("options", "range").search(option):
        return float(match["low"]), float(match["high"])
    if match := expression("options", "least").search(option):
        return float(match["low"] or match["low2"]), inf
    if match := expression("options", "above").search(option):
        return _beyond(float(match["low"])), inf
    if match := expression("options", "most").search(option):
        return -inf, float(match["high"] or match["high2"])
    if match := expression("options", "below").search(option):
        return -inf, _short_of(float(match["high"]))
    if match := expression("options", "number").search(option):
        return float(match["value"]), float(match["value"])
    return None


def option_of_numbers(options: Sequence[str], said: Sequence[float]) -> int | None:
    """Return the one option that takes in all numbers that were said, None if there is no such one."""
    places = []
    for place, option in enumerate(options):
        held = bounds(option)
        if held is not None and all(held[0] <= number <= held[1] for number in said):
            places.append(place)
    return places[0] if len(places) == 1 else None


def numbers_said(passage: Passage) -> list[float]:
    """Return the numbers of a passage; of one that can be read in two ways, all."""
    found = []
    for number in numbers(passage.tokens):
        for reading in number.readings:
            found += [float(value) for value in reading if re.fullmatch(r"\d+(\.\d+)?", value)]
    return found


def sides_of(passage: Passage, topic: Topic) -> Iterator[str]:
    """Yield the sides that a passage names beside the topic."""
    if topic and not topic.covered(passage):
        return
    words = [token.norm for token in passage.tokens]
    near = [place for unit in topic.units if (place := unit.place(passage))]
    for i, word in enumerate(words):
        if near and all(i < start - _NEAR or i > end + _NEAR for start, end in near):
            continue
        after = words[i + 1] if i + 1 < len(words) else ""
        before = words[i - 1] if i else ""
        if word == "left" and before not in ("i", "we", "he", "she", "they", "'ve", "had", "have"):
            yield "left"
        elif word == "right" and not (
            before in ("all", "that's", "'s", "is", "'re", "am", "'m")
            or after in ("", "now", "here", "there", "away", "?", ".", ",", "about", "after", "before")
            or before in ("", ",")
        ):
            yield "right"
        elif word in ("both", "bilateral", "bilaterally"):
            yield "both"


def generic() -> frozenset[str]:
    """Return the nouns (stems) that only say what sort of thing a question asks for."""
    return _generic()


def _beyond(number: float) -> float:
    return number + 1e-9


def _short_of(number: float) -> float:
    return number - 1e-9


@cache
def _generic() -> frozenset[str]:
    return frozenset(stem(word) for word in table("forms")["questions"]["generic"])


@cache
def _expressions(section: str) -> Mapping[str, re.Pattern[str]]:
    return {
        name: re.compile(text, re.IGNORECASE) for name, text in table("forms")[section].items() if isinstance(text, str)
    }
