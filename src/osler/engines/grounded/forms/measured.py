"""Vital signs asked for by name: a question that names some is answered with those alone."""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Final

from osler.engines.grounded.lexicon import indexed, phrases_in, table
from osler.engines.grounded.phrasing import Line
from osler.notes.tokens import tokenize

_VITALS: Final = (
    "blood_pressure",
    "heart_rate",
    "temperature",
    "oxygen_saturation",
    "respiratory_rate",
    "weight",
    "height",
    "bmi",
)
_HALVES: Final = {"systolic": 0, "diastolic": 1}
"""Which of the two numbers of a blood pressure each word asks for."""
_BESIDE: Final = frozenset(
    (
        "reading", "readings", "value", "values", "measurement", "measurements", "measured", "vital", "vitals", "sign",
        "signs", "mmhg", "bpm", "kg", "kgs", "lb", "lbs", "pounds", "kilograms", "cm", "inches", "feet", "ft",
        "resting", "body", "unit", "units",
    )
)  # fmt: skip
_MEASURED: Final = re.compile(r"(?P<name>[A-Za-z ]+): (?P<value>\d.*?)\.?")


def asked_for(question: str) -> tuple[Sequence[str], int | None]:
    """Return which vital signs a question names, if it names nothing else, and which half of a blood pressure."""
    words = [token.norm for token in tokenize(question)]
    half = {_HALVES[word] for word in words if word in _HALVES}
    named = phrases_in(words, _names())
    inside = {at for start, end in named for at in range(start, end)}
    others = [word for at, word in enumerate(words) if at not in inside and word[:1].isalpha()]
    if any(word not in _BESIDE and word not in _HALVES and word not in table("asking")["frame"] for word in others):
        return (), None
    concepts = list(dict.fromkeys(_concepts()[tuple(words[start:end])] for start, end in named))
    if half and not concepts:
        concepts = ["blood pressure"]
    return concepts, next(iter(half)) if len(half) == 1 and concepts == ["blood pressure"] else None


def measured(lines: Sequence[Line], concepts: Sequence[str], half: int | None) -> tuple[str, Sequence[Line]]:
    """Return the values of vital signs as a text, with the lines that say them; nothing where none was measured.

    A half of one blood pressure is its number alone: "145".
    """
    found = []
    for line in lines:
        match = _MEASURED.fullmatch(line.text)
        if match is not None and match["name"].casefold() in concepts:
            found.append((match["value"], line))
    if half is not None:
        numbers = list(dict.fromkeys(value.split("/")[half] for value, _ in found if re.fullmatch(r"\d+/\d+", value)))
        return ", ".join(numbers), [line for _, line in found] if numbers else []
    return " ".join(line.text for _, line in found), [line for _, line in found]


@cache
def _concepts() -> Mapping[tuple[str, ...], str]:
    vitals = (table("vitals")[key] for key in _VITALS)
    return {
        tuple(token.norm for token in tokenize(name)): vital["concept"] for vital in vitals for name in vital["names"]
    }


@cache
def _names() -> Mapping[str, Sequence[tuple[str, ...]]]:
    return indexed(name for key in _VITALS for name in table("vitals")[key]["names"])
