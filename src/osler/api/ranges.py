"""The header ``Range``: which bytes of a recording a player asks for (RFC 9110, section 14)."""

import re
from typing import Final

_RANGE: Final = re.compile(r"bytes=\s*(?:([0-9]{1,18})-([0-9]{0,18})|-([0-9]{1,18}))\s*")


class UnsatisfiableRangeError(Exception):
    """The range begins behind the last byte."""


def read_range(header: str | None, size: int) -> tuple[int, int] | None:
    """Return the bytes ``start, end`` (behind the last) of an object of ``size`` bytes; None: all of it.

    What is no range of bytes, and several ranges at once, are answered with everything, as the standard permits.
    Raises UnsatisfiableRangeError.
    """
    match = _RANGE.fullmatch(header) if header is not None else None
    if match is None:
        return None
    first, last, suffix = match.groups()
    if suffix is not None:
        if int(suffix) == 0 or size == 0:
            raise UnsatisfiableRangeError
        return max(size - int(suffix), 0), size
    start, end = int(first), int(last) + 1 if last else size
    if last and end <= start:
        return None
    if start >= size:
        raise UnsatisfiableRangeError
    return start, min(end, size)
