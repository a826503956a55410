"""JSON of strangers: read once, strictly. What a database or another reader would stumble over is refused here."""

import json
import math
import re
from typing import Any, Final

from osler.api.scribe.errors import UNREADABLE, ScribeError, invalid, shown_field

DEEPEST: Final = 32
"""Levels of lists and objects within each other; the contract needs 5, questions within questions some more."""

MOST_PARTS: Final = 100_000
"""Texts, lists and objects of one body: each costs some hundred bytes of memory, however short it is."""

LARGEST: Final = 2**63 - 1
"""The largest whole number that both databases hold."""

_MARKS: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]', re.DOTALL)


def read_json(body: bytes) -> Any:
    """Return the value of a JSON text in UTF-8 (RFC 8259).

    Raises ScribeError: 400 for what is no JSON, is nested deeper than :data:`DEEPEST` or has more than
    :data:`MOST_PARTS`; 422 with the field for numbers without a value, numbers too large, and strings with NUL or
    halves of surrogate pairs.
    """
    try:
        text = body.decode("utf-8-sig")
        _refuse_shape(body)
        value = json.loads(text, parse_int=_whole, parse_constant=_no_number)
    except ScribeError:
        raise
    except (ValueError, RecursionError):  # also UnicodeDecodeError and JSONDecodeError
        raise ScribeError(UNREADABLE, message="The body is not JSON in UTF-8") from None
    _check(value, ())
    return value


def _refuse_shape(body: bytes) -> None:
    depth = 0
    for parts, found in enumerate(_MARKS.finditer(body)):
        if parts > 2 * MOST_PARTS:  # lists and objects have two marks each
            raise ScribeError(UNREADABLE, message=f"The body has more than {MOST_PARTS} parts")
        mark = found.group()
        if mark in b"[{":
            depth += 1
            if depth > DEEPEST:
                raise ScribeError(UNREADABLE, message=f"The body is nested deeper than {DEEPEST} levels")
        elif mark in b"]}":
            depth -= 1


def _whole(digits: str) -> int | float:
    # int() takes time that grows with the square of the digits, and refuses more than 4,300 of them.
    return int(digits) if len(digits) <= 20 else math.inf


def _no_number(_name: str) -> float:
    return math.nan


def _check(value: Any, place: tuple[str, ...]) -> None:
    match value:
        case bool() | None:
            pass
        case str():
            if "\0" in value or not _is_encodable(value):
                raise invalid(
                    shown_field(place), "A text holds characters that are none: NUL, or half of a surrogate pair"
                )
        case int():
            if abs(value) > LARGEST:
                raise invalid(shown_field(place), "A number is too large")
        case float():
            if not math.isfinite(value):
                raise invalid(shown_field(place), "A number is too large, or is none")
        case list():
            for each in value:
                _check(each, place)
        case dict():
            for name, each in value.items():
                if "\0" in name or not _is_encodable(name):
                    raise invalid(shown_field(place), "The name of a field holds characters that are none")
                _check(each, (*place, name))


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
