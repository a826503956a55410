"""Vital signs and other measured values: a name and the number that stands by it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

from osler.engines.grounded.lexicon import indexed, phrases_in, table
from osler.engines.grounded.reading import Reading
from osler.notes.grounding import units_in
from osler.notes.tokens import Number, numbers


@dataclass(frozen=True, slots=True)
class Measurement:
    """A measured value: ``tokens[start:end]`` from name to number, ``name`` the tokens of the name or None."""

    concept: str
    value: str
    unit: str
    start: int
    end: int
    named: bool


_REACH = 9
"""Tokens between a name and its number."""


def measurements(reading: Reading) -> list[Measurement]:
    """Return the measured values of a turn in order; a pair like "145 over 92" is a blood pressure without its name."""
    found_numbers = numbers(reading.tokens)
    if not found_numbers:
        return []
    found = _pressures(reading, found_numbers)
    taken = {i for m in found for i in range(m.start, m.end)}
    units = {start: unit for start, _, unit in units_in(reading.tokens)}
    for vital, names in _names():
        if vital.get("pair"):
            continue
        for start, end in phrases_in(reading.words, names):
            following = reading.words[end : end + 1]
            if taken.intersection(range(start, end)) or (following and following[0] in vital.get("not_before", ())):
                continue
            number = _number_for(reading, vital, start, end, found_numbers, units)
            if number is None or taken.intersection(range(number.start, number.end)):
                continue
            unit = units.get(number.end, "")
            first, last = min(start, number.start), max(end, number.end + bool(unit))
            value, unit = number.value, unit or vital.get("unit", "")
            inches = _inches(found_numbers, number, units) if vital["concept"] == "height" and unit == "ft" else None
            if inches is not None:
                value, unit = f"{value} ft {inches.value} in", ""
                last = inches.end + (units.get(inches.end) == "inch")
                taken.update(range(inches.start, inches.end))
            found.append(Measurement(vital["concept"], value, unit, first, last, True))
            taken.update(range(start, end), range(number.start, number.end))
    return sorted(found, key=lambda m: m.start)


def _pressures(reading: Reading, found_numbers: Sequence[Number]) -> list[Measurement]:
    vital = table("vitals")["blood_pressure"]
    words = reading.words
    found = []
    names = phrases_in(words, indexed(vital["names"]))
    for first, second in pairwise(found_numbers):
        link = words[first.end : second.start]
        if link not in (["/"], ["over"], [",", "over"]):
            continue
        if not _within(first, vital["range"]) or not _within(second, vital["second_range"]):
            continue
        if float(first.value) <= float(second.value):
            continue
        name = next(((s, e) for s, e in reversed(names) if e <= first.start and first.start - e <= 25), None)
        start = name[0] if name and first.start - name[1] <= _REACH else first.start
        value = f"{first.value}/{second.value}"
        found.append(Measurement(vital["concept"], value, "mmHg", start, second.end, name is not None))
    return found


def _number_for(
    reading: Reading,
    vital: Mapping[str, Any],
    start: int,
    end: int,
    found_numbers: Sequence[Number],
    units: Mapping[int, str],
) -> Number | None:
    """Return the nearest plausible number after the name (before it, where the table says so)."""
    sentence = next((s, e) for s, e in reading.sentences if s <= start < e)
    for number in found_numbers:
        after = end <= number.start < min(sentence[1], end + _REACH)
        near = number.end == start if vital.get("before") else after
        if not near or not _within(number, vital["range"]):
            continue
        unit = units.get(number.end, "")
        if (unit == "%") > (vital.get("unit") in ("%", None)) or _other_name(reading.words[end : number.start]):
            return None
        if reading.words[number.end : number.end + 1] == ["."] and numbers(
            reading.tokens[number.end + 1 : number.end + 2]
        ):
            return None  # "seven . three": half of a number that was heard in pieces
        if unit in ("day", "week", "month", "year", "time", "hour", "minute", "mg", "mcg", "tablet", "night", "mile"):
            continue
        link = reading.words[number.end : number.end + 1]
        if link in (["/"], ["over"]) or reading.words[number.start - 1 : number.start] == ["/"]:
            continue
        return number
    return None


def _inches(found_numbers: Sequence[Number], feet: Number, units: Mapping[int, str]) -> Number | None:
    """Return the inches of "five feet ten inches", "5 feet 10"."""
    for number in found_numbers:
        if 1 <= number.start - feet.end <= 2 and _within(number, (0, 11.9)) and units.get(number.end) in (None, "inch"):
            return number
    return None


def _other_name(words: Sequence[str]) -> bool:
    """Say whether another measurement is named in between: then the number is its own."""
    return any(phrases_in(words, names) for vital, names in _names() if not vital.get("before"))


def _within(number: Number, limits: Sequence[float]) -> bool:
    value = number.value
    return " " not in value and limits[0] <= float(value) <= limits[1]


@cache
def _names() -> tuple[tuple[Mapping[str, Any], Mapping[str, Sequence[tuple[str, ...]]]], ...]:
    return tuple((vital, indexed(vital["names"])) for vital in table("vitals").values())
