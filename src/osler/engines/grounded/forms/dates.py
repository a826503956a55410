"""Dates in speech: "the third of March", "last Tuesday", "two weeks ago", reckoned from the day of the visit.

What is vague ("about a month ago", "one to two weeks", "the other day") or can be read in two ways ("3/4") is no date.
"""

import calendar
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from osler.notes.form_dates import DAYS, MONTHS, Precision
from osler.notes.tokens import ORDINALS, TENS, UNITS

_SMALL: Final = "|".join(sorted((*UNITS, *TENS), key=len, reverse=True))
_COUNT: Final = rf"(?:\d{{1,3}}|an?|(?:{_SMALL})(?:[ -](?:{_SMALL}))?)"
_MONTH: Final = r"(?:january|february|march|april|may|june|july|august|september|october|november|december)"
_SHORT_MONTH: Final = r"(?:jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec)\.?"
_DAY_WORD: Final = (
    r"(?:(?:twenty|thirty)[ -](?:first|second|third|fourth|fifth|sixth|seventh|eighth|ninth)|"
    + "|".join(sorted(ORDINALS, key=len, reverse=True))
    + r"|[0-3]?\d(?:\s?(?:st|nd|rd|th))?)"
)
_YEAR: Final = (
    rf"(?:(?:19|20)\d\d|(?:nineteen|twenty)[ -](?:(?:{'|'.join(TENS)})(?:[ -](?:{_SMALL}))?|(?:oh|o)[ -](?:{_SMALL})"
    rf"|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen|eighteen|nineteen)"
    rf"|two\sthousand(?:\sand)?(?:\s(?:{_SMALL})(?:[ -](?:{_SMALL}))?)?)"
)
_WEEKDAY: Final = r"(?:monday|tuesday|wednesday|thursday|friday|saturday|sunday)"
_UNIT: Final = r"(?:day|week|month|year)"

_EXPRESSION: Final = re.compile(
    rf"""
      (?P<iso>\b(?:19|20)\d\d-\d\d-\d\d\b)
    | (?P<numeric>\b\d{{1,2}}\s?[/.\-]\s?\d{{1,2}}\s?[/.\-]\s?(?:19|20)?\d\d\b)
    | \b(?:the\s)?(?P<d1>{_DAY_WORD})\s(?:day\s)?(?:of\s)?(?P<m1>{_MONTH}|{_SHORT_MONTH})\b
      (?:\s?,?\s?(?:of\s)?(?P<y1>{_YEAR})\b)?
    | \b(?P<m2>{_MONTH}|{_SHORT_MONTH})\s(?:the\s)?(?P<d2>{_DAY_WORD})\b(?:\s?,?\s?(?:of\s)?(?P<y2>{_YEAR})\b)?
    | \b(?P<m3>{_MONTH})\s(?:of\s)?(?P<y3>{_YEAR})\b
    | \b(?P<range>(?:{_COUNT})\s?(?:to|or|,|-)\s?{_COUNT}\s(?:more\s)?{_UNIT}s?(?:\s(?:ago|later))?)\b
    | \b(?P<ago_n>{_COUNT})\s(?P<ago_u>{_UNIT})s?\sago\b
    | \b(?:in|within|back\sin|again\sin|after)\s(?P<in_n>{_COUNT})\s(?P<in_u>{_UNIT})s?(?:'\s?time)?\b
    | \b(?P<hence_n>{_COUNT})\s(?P<hence_u>{_UNIT})s?\sfrom\s(?:now|today)\b
    | \b(?P<near>the\sday\sbefore\syesterday|the\sday\safter\stomorrow|today
      |yesterday|tomorrow|last\snight|tonight|this\smorning)\b
    | \b(?P<rel>last|this\spast|this|next|this\scoming|on|past|coming|since)\s(?P<wd>{_WEEKDAY})\b
    | \b(?P<in_year>in)\s(?P<y4>{_YEAR})\b
    """,
    re.VERBOSE | re.IGNORECASE,
)

_VAGUE: Final = re.compile(
    r"\b(about|around|approximately|roughly|maybe|like|almost|nearly|over|more than|less than|at least|probably|some"
    r"|i think|within|up to|couple|few)\s*(,\s*)?(um |uh )?$",
    re.IGNORECASE,
)
_VAGUE_AFTER: Final = re.compile(
    r"^\s*(or so|ish|or something|or thereabouts|maybe|at most|at least|or more)\b", re.IGNORECASE
)
_AHEAD: Final = re.compile(
    r"\b(will|'ll|gonna|gon na|going to|see you|next|come back|return|follow|schedul\w+|book\w*|due|upcoming"
    r"|appointment|recheck)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class SaidDate:
    """A date in a text at ``start:end``; of ``day`` only as much is known as ``precision`` says.

    ``day`` is None for what is vague, or has two readings.
    """

    start: int
    end: int
    day: date | None
    precision: Precision = Precision.DAY


def dates_in(text: str, visit_day: date) -> Iterator[SaidDate]:
    """Yield the dates of a text in order. A day without its year is the nearest one, ahead if the text looks ahead."""
    ahead = _AHEAD.search(text) is not None
    for match in _EXPRESSION.finditer(text):
        start, end = match.span()
        vague = _VAGUE.search(text[:start]) or _VAGUE_AFTER.search(text[end:])
        if match["range"] or (vague and match["iso"] is None and match["numeric"] is None):
            yield SaidDate(start, end, None)
            continue
        found = _read(match, visit_day, ahead)
        day, precision = found if found else (None, Precision.DAY)
        yield SaidDate(start, end, day, precision)


def _read(match: re.Match[str], today: date, ahead: bool) -> tuple[date, Precision] | None:
    try:
        if match["iso"]:
            return date.fromisoformat(match["iso"]), Precision.DAY
        if match["numeric"]:
            return _numeric(match["numeric"])
        for day, month, year in (("d1", "m1", "y1"), ("d2", "m2", "y2")):
            if match[month]:
                return _named(match[day], match[month], match[year], today, ahead)
        if match["m3"]:
            return date(_year(match["y3"]), _month(match["m3"]), 1), Precision.MONTH
        if match["in_year"]:
            return date(_year(match["y4"]), 1, 1), Precision.YEAR
        if match["near"]:
            return _near(match["near"].lower(), today)
        if match["wd"]:
            return _weekday(match["rel"].lower(), match["wd"].lower(), today, ahead)
        for name, sign in (("ago", -1), ("in", 1), ("hence", 1)):
            if match[f"{name}_n"]:
                return _shifted(today, sign * _count(match[f"{name}_n"]), match[f"{name}_u"].lower(), sign)
    except (ValueError, OverflowError):
        return None  # no such day: the thirty-first of June
    return None


def _numeric(text: str) -> tuple[date, Precision] | None:
    first, second, year = (int(part) for part in re.split(r"\s?[/.\-]\s?", text))
    if year < 100:
        return None
    if first > 12 or first == second:
        return date(year, second, first), Precision.DAY
    if second > 12:
        return date(year, first, second), Precision.DAY
    return None


def _named(day: str, month: str, year: str | None, today: date, ahead: bool) -> tuple[date, Precision]:
    number, which = _ordinal(day), _month(month)
    if year:
        return date(_year(year), which, number), Precision.DAY
    here = date(today.year, which, number)
    if ahead and here < today:
        here = date(today.year + 1, which, number)
    elif not ahead and here > today:
        here = date(today.year - 1, which, number)
    return here, Precision.DAY


def _near(said: str, today: date) -> tuple[date, Precision]:
    days = {
        "today": 0, "tonight": 0, "this morning": 0, "yesterday": -1, "last night": -1, "tomorrow": 1,
        "the day before yesterday": -2, "the day after tomorrow": 2,
    }  # fmt: skip
    return today + timedelta(days=days[" ".join(said.split())]), Precision.DAY


def _weekday(relation: str, said: str, today: date, ahead: bool) -> tuple[date, Precision] | None:
    wanted = [day.lower() for day in DAYS].index(said)
    back = (today.weekday() - wanted) % 7 or 7
    forth = (wanted - today.weekday()) % 7 or 7
    relation = " ".join(relation.split())
    if relation in ("last", "this past", "past", "since"):
        return today - timedelta(days=back), Precision.DAY
    if relation in ("this coming", "coming"):
        return today + timedelta(days=forth), Precision.DAY
    if relation == "next":
        # Said on a Tuesday, "next Friday" is one of this week to some, of the week after to others.
        return (today + timedelta(days=forth), Precision.DAY) if wanted <= today.weekday() else None
    if relation == "this":
        return (today + timedelta(days=forth), Precision.DAY) if ahead and wanted > today.weekday() else None
    return today + timedelta(days=forth if ahead else -back), Precision.DAY


def _shifted(today: date, count: int, unit: str, sign: int) -> tuple[date, Precision]:
    if unit == "day":
        return today + timedelta(days=count), Precision.DAY
    if unit == "week":
        return today + timedelta(weeks=count), Precision.DAY
    if unit == "year":
        day = _moved(today, 12 * count)
        return day, Precision.DAY if sign > 0 else Precision.YEAR
    # An appointment in three months is made for that day; what was three months ago was in that month.
    return _moved(today, count), Precision.DAY if sign > 0 else Precision.MONTH


def _moved(day: date, months: int) -> date:
    number = day.year * 12 + day.month - 1 + months
    year, month = divmod(number, 12)
    return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))


def _count(text: str) -> int:
    words = re.split(r"[ -]", text.lower())
    if words[0].isdecimal():
        return int(words[0])
    if words[0] in ("a", "an"):
        return 1
    numbers = [UNITS.get(word, TENS.get(word, 0)) for word in words]
    if len(numbers) == 2 and not (numbers[0] >= 20 and numbers[1] < 10):
        raise ValueError("two numbers")
    return sum(numbers)


def _ordinal(text: str) -> int:
    digits = re.match(r"\d+", text)
    if digits:
        return int(digits[0])
    words = re.split(r"[ -]", text.lower())
    return TENS[words[0]] + ORDINALS[words[1]] if len(words) == 2 else ORDINALS[words[0]]


def _month(text: str) -> int:
    return next(
        number for number, name in enumerate(MONTHS, 1) if name.lower().startswith(text.lower().rstrip(".")[:3])
    )


def _year(text: str) -> int:
    if text.isdecimal():
        return int(text)
    words = [word for word in re.split(r"[ -]", text.lower()) if word != "and"]
    if words[:2] == ["two", "thousand"]:
        return 2000 + sum(UNITS.get(word, TENS.get(word, 0)) for word in words[2:])
    century = 1900 if words[0] == "nineteen" else 2000
    return century + sum(UNITS.get(word, TENS.get(word, 0)) for word in words[1:])
