"""Formats of dates as clients write them: DD/MM/YYYY as in moment and its kin, %d/%m/%Y as in C, and ISO."""

import re
from dataclasses import dataclass
from datetime import date
from enum import IntEnum
from typing import Final

MONTHS: Final = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


class Precision(IntEnum):
    """How much of a date is known or shown."""

    YEAR = 1
    MONTH = 2
    DAY = 3


_TOKENS: Final = ("YYYY", "YY", "MMMM", "MMM", "MM", "M", "DD", "Do", "D", "dddd", "ddd")
"""Tokens of moment.js; ``yyyy`` and ``dd`` as Java and Unicode (LDML) write them are read as the same."""

_C: Final = {
    "%Y": "YYYY", "%y": "YY", "%B": "MMMM", "%b": "MMM", "%h": "MMM", "%m": "MM", "%-m": "M",
    "%d": "DD", "%-d": "D", "%e": "D", "%A": "dddd", "%a": "ddd", "%F": "YYYY-MM-DD", "%D": "MM/DD/YY",
    "%x": "MM/DD/YY",
}  # fmt: skip
_NAMED: Final = {
    "ISO": "YYYY-MM-DD", "ISO8601": "YYYY-MM-DD", "ISO 8601": "YYYY-MM-DD", "ISO-8601": "YYYY-MM-DD",
    "DATE": "YYYY-MM-DD", "L": "MM/DD/YYYY", "LL": "MMMM D, YYYY",
}  # fmt: skip
_PIECE: Final = re.compile(r"\[([^\]]*)\]|(YYYY|YY|MMMM|MMM|MM|M|DD|Do|D|dddd|ddd)|([\s/.,\-'_]+|de|of)|(.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class DateFormat:
    """A format as pieces: tokens of :data:`_TOKENS`, and literals, which begin with a blank mark."""

    pieces: tuple[str, ...]
    precision: Precision

    def write(self, day: date) -> str:
        """Return a day in this format."""
        return "".join(_write(piece, day) for piece in self.pieces)


def read_format(text: str) -> DateFormat | None:
    """Read a format; None if it is none: unknown signs, a part twice, a day without its month, no year."""
    wanted = _NAMED.get(text.strip().upper(), text.strip())
    if "%" in wanted:
        wanted = re.sub(r"%-?[A-Za-z]", lambda m: _C.get(m[0], "\0"), wanted)
    elif re.fullmatch(r"[dMy\s/.,\-']+", wanted):
        wanted = wanted.replace("EEEE", "dddd").replace("dd", "DD").replace("yyyy", "YYYY").replace("yy", "YY")
        wanted = re.sub(r"(?<![dD])d(?![dD])", "D", wanted).replace("y", "\0")
    elif re.fullmatch(r"[dmyDMY\s/.,\-']+", wanted) and wanted.islower():
        wanted = wanted.upper()
    pieces: list[str] = []
    for match in _PIECE.finditer(wanted):
        literal, token, joint, other = match.groups()
        if other is not None:
            return None
        pieces.append(token if token else f"\0{literal if literal is not None else joint}")
    tokens = [piece for piece in pieces if not piece.startswith("\0")]
    shown = [token.lower()[0] if token not in ("dddd", "ddd") else "w" for token in tokens]
    if "y" not in shown or len(set(shown)) != len(shown) or ("d" in shown and "m" not in shown):
        return None
    if "w" in shown and "d" not in shown:
        return None
    precision = Precision.DAY if "d" in shown else Precision.MONTH if "m" in shown else Precision.YEAR
    return DateFormat(tuple(pieces), precision)


def _write(piece: str, day: date) -> str:
    match piece:
        case "YYYY":
            return f"{day.year:04}"
        case "YY":
            return f"{day.year % 100:02}"
        case "MMMM":
            return MONTHS[day.month - 1]
        case "MMM":
            return MONTHS[day.month - 1][:3]
        case "MM":
            return f"{day.month:02}"
        case "M":
            return str(day.month)
        case "DD":
            return f"{day.day:02}"
        case "D":
            return str(day.day)
        case "Do":
            return f"{day.day}{_suffix(day.day)}"
        case "dddd":
            return DAYS[day.weekday()]
        case "ddd":
            return DAYS[day.weekday()][:3]
        case _:
            return piece[1:]


def _suffix(number: int) -> str:
    if 10 <= number % 100 <= 20:
        return "th"
    return {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
