"""The query, steps 3 and 4 of the contract: canonical values in the schema's order, then what nobody filters by.

How a query is read: pieces between ``&``; a name ends at the first ``=``; ``%XX`` in names and values is decoded; ``+``
is a plus sign, so that the offset of a time need not be escaped (no parameter takes a blank, so nothing is lost); ``;``
separates nothing. An empty piece is none. Bytes that are no ASCII fit no parameter.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import unquote_to_bytes

from osler.api.public.contract import DEFAULT_LIMIT, MOST_LIMIT, MOST_OFFSET, RefusalError

_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,9}")
_SHOWABLE: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")

_TIME: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt]([0-9]{2}:[0-9]{2}):([0-9]{2})(?:\.([0-9]+))?"
    r"(?:[Zz]|([+-])([01][0-9]|2[0-3]):([0-5][0-9]))"
)
"""``date-time`` of RFC 3339, section 5.6: the offset is not optional."""

_MICROSECONDS: Final = 6
_FIRST: Final = datetime.min.replace(tzinfo=UTC)
_LAST: Final = datetime.max.replace(tzinfo=UTC)

Instant = tuple[datetime, str]
"""A moment, and the digits that follow its microseconds, without trailing zeros."""


@dataclass(frozen=True, slots=True)
class ListQuery:
    """What page of which encounters is asked for; created at or after ``start_at`` and before ``end_at``."""

    limit: int = DEFAULT_LIMIT
    offset: int = 0
    newest_first: bool = True
    start_at: datetime | None = None
    end_at: datetime | None = None


def read_list_query(query: bytes) -> ListQuery:
    """Raises RefusalError: ``invalid_...`` for the first parameter at fault, then ``unsupported_filter``."""
    if not query:
        return ListQuery()
    given: dict[str, list[str]] = {}
    for name, value in _pairs(query):
        given.setdefault(name, []).append(value)
    limit = _number(given, "limit", "invalid_limit", 1, MOST_LIMIT, DEFAULT_LIMIT)
    offset = _number(given, "offset", "invalid_offset", 0, MOST_OFFSET, 0)
    order = _one(given, "sort_order", "invalid_sort")
    if order not in (None, "asc", "desc"):
        raise RefusalError("invalid_sort", "sort_order")
    start, end = _time(given, "start_at"), _time(given, "end_at")
    if start is not None and end is not None and start >= end:
        raise RefusalError("invalid_query", "start_at")
    for name in given:
        if name not in ("limit", "offset", "sort_order", "start_at", "end_at"):
            raise _unsupported(name)
    return ListQuery(limit, offset, order != "asc", _stored(start), _stored(end))


def refuse_any(query: bytes) -> None:
    """Raise RefusalError ``unsupported_filter`` if the query has any parameter."""
    for name, _ in _pairs(query):
        raise _unsupported(name)


def _pairs(query: bytes) -> Iterator[tuple[str, str]]:
    for piece in query.split(b"&"):
        if piece:
            name, _, value = piece.partition(b"=")
            yield _decoded(name), _decoded(value)


def _decoded(text: bytes) -> str:
    # Latin-1 takes any bytes, and leaves those that are no ASCII something that fits no parameter.
    return unquote_to_bytes(text).decode("latin-1")


def _one(given: dict[str, list[str]], name: str, code: str) -> str | None:
    values = given.get(name)
    if values is None:
        return None
    if len(values) > 1:
        raise RefusalError(code, name)
    return values[0]


def _number(given: dict[str, list[str]], name: str, code: str, least: int, most: int, default: int) -> int:
    text = _one(given, name, code)
    if text is None:
        return default
    if _NUMBER.fullmatch(text) is None or not least <= int(text) <= most:
        raise RefusalError(code, name)
    return int(text)


def _time(given: dict[str, list[str]], name: str) -> Instant | None:
    text = _one(given, name, "invalid_query")
    if text is None:
        return None
    match = _TIME.fullmatch(text)
    if match is None:
        raise RefusalError("invalid_query", name)
    try:
        return _instant(match)
    except ValueError:  # no such day or hour
        raise RefusalError("invalid_query", name) from None


def _instant(match: re.Match[str]) -> Instant:
    """Raises ValueError for what no calendar or clock shows."""
    day, hour_minute, second, fraction, sign, hours, minutes = match.groups()
    leap = second == "60"
    moment = datetime.fromisoformat(f"{day}T{hour_minute}:{'59' if leap else second}+00:00")
    digits = fraction or ""
    moment += timedelta(microseconds=int(digits[:_MICROSECONDS].ljust(_MICROSECONDS, "0")))
    shift = timedelta(seconds=int(leap))
    if sign is not None:
        offset = timedelta(hours=int(hours), minutes=int(minutes))
        shift += -offset if sign == "+" else offset
    try:
        moment += shift
    except OverflowError:  # at the ends of the calendar, where no encounter is
        moment = _FIRST if shift < timedelta(0) else _LAST
    if leap and (moment.hour, moment.minute) != (0, 0):
        raise ValueError("leap seconds end a day in UTC")
    return moment, digits[_MICROSECONDS:].rstrip("0")


def _stored(instant: Instant | None) -> datetime | None:
    """Return the first moment at or after ``instant`` that can be stored: as a bound it divides the same."""
    if instant is None:
        return None
    moment, rest = instant
    if not rest or moment == _LAST:
        return moment
    return moment + timedelta(microseconds=1)


def _unsupported(name: str) -> RefusalError:
    return RefusalError("unsupported_filter", name if _SHOWABLE.fullmatch(name) else None)
