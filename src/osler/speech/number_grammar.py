"""The grammar of spoken English numbers: reads a run of number words as one value, or says that it cannot.

Each word becomes one letter; regular expressions over those letters are the grammar. What can be read in two ways is
reported as such (``shape``), never guessed: the caller decides with the words around it, or leaves the words alone.
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from importlib import resources
from typing import Any, Final

_TABLE: Final[Mapping[str, Any]] = tomllib.loads(
    resources.files("osler.speech").joinpath("data/number_words.toml").read_text("utf-8")
)
_WORDS: Final[Mapping[str, list[str]]] = _TABLE["words"]
CODES: Final[Mapping[str, Any]] = _TABLE["codes"]
CUES: Final = {name: frozenset(words) for name, words in _TABLE["cues"].items()}

DIGITS: Final = {word: value for value, word in enumerate(_WORDS["digits"])}
TEENS: Final = {word: value for value, word in enumerate(_WORDS["teens"], start=10)}
TENS: Final = {word: 10 * value for value, word in enumerate(_WORDS["tens"], start=2)}
MAGNITUDES: Final = {"hundred": 100, "thousand": 1_000, "million": 1_000_000}
ORDINAL_DIGITS: Final = {
    word: f"{value}{('st', 'nd', 'rd')[value - 1] if value < 4 else 'th'}"
    for value, word in enumerate(_WORDS["ordinal_digits"], start=1)
}
OTHER_ORDINALS: Final = frozenset(_WORDS["other_ordinals"])
MONTHS: Final = frozenset(_WORDS["months"])

_SYMBOLS: Final = {
    **{word: "u" if value else "z" for word, value in DIGITS.items()},
    **dict.fromkeys(TEENS, "t"),
    **dict.fromkeys(TENS, "y"),
    "hundred": "h",
    "thousand": "k",
    "million": "m",
    "oh": "o",
    "o": "o",
    "point": "p",
    "and": "&",
    "a": "a",
    "half": "q",
    "quarter": "r",
}
NUMBER_WORDS: Final = frozenset(DIGITS) | frozenset(TEENS) | frozenset(TENS) | frozenset(MAGNITUDES)

# u one..nine, z zero, t ten..nineteen, y twenty..ninety, h/k/m magnitudes, o "oh", d whole number in digits,
# f decimal number in digits, p point, & and, a "a", q half, r quarter, x anything else.
_BELOW_100 = "(?:yu?|t|u)"
_HUNDREDS = f"(?:(?:yu?|t|u|a|d)h(?:&?{_BELOW_100})?)"
_BELOW_10000 = f"(?:{_HUNDREDS}|{_BELOW_100})"
_THOUSANDS = f"(?:(?:{_BELOW_10000}|a|d)k(?:&?{_BELOW_10000})?)"
_MILLIONS = f"(?:(?:{_BELOW_10000}|a|d)m(?:{_THOUSANDS}|&?{_BELOW_10000})?)"
_CARDINAL = f"(?:{_MILLIONS}|{_THOUSANDS}|{_HUNDREDS}|{_BELOW_100}|z|d)"
_FRACTION = "(?:[uzo]+|t|yu?|d)"
_COLLOQUIAL = "u(?:o[u]|z[u]|yu?|t)"
_RUN = re.compile(
    r"(?:[uztyhkmdfo]|(?<=[hkm])&(?=[utya])|&(?=[au][qr])|a(?=[hkm])|(?<=&)a(?=[qr])|(?<=&[au])[qr]|p(?=[uztyod]))+"
)


class Shape(Enum):
    """How a run was read, and so how far it can be trusted without a look around."""

    CARDINAL = "cardinal"
    DECIMAL = "decimal"
    BARE_POINT = "bare point"  # "point five": 0.5, or the end of "at this point" and a five
    COLLOQUIAL = "colloquial"  # "one forty five": 145, a time of day, or one of forty-five
    YEAR = "year"  # "twenty twenty four": 2024, or twenty to twenty-four
    DIGIT_STRING = "digit string"  # seven digits and more: a telephone number


@dataclass(frozen=True, slots=True)
class Reading:
    """The value of a run, as written in digits, and its shape."""

    text: str
    value: Decimal
    shape: Shape


def symbol(word: str) -> str:
    """Return the grammar's letter of a lower-case word without punctuation."""
    if word in _SYMBOLS:
        return _SYMBOLS[word]
    if re.fullmatch(r"\d+|\d{1,3}(?:,\d{3})+", word):
        return "d"
    return "f" if re.fullmatch(r"\d+\.\d+", word) else "x"


def next_run(symbols: str, start: int) -> tuple[int, int] | None:
    """Return the next run of number words (start, end) at or after ``start``, or None."""
    for match in _RUN.finditer(symbols, start):
        first, last = match.span()
        while first < last and symbols[first] in "o&":
            first += 1
        while last > first and symbols[last - 1] in "o&p":
            last -= 1
        if first < last:
            return first, last
    return None


def read(words: Sequence[str], symbols: str) -> Reading | None:
    """Read a whole run (lower-case words and their letters) as one number, or return None."""
    if symbols == "f":
        return Reading(words[0], Decimal(words[0]), Shape.DECIMAL)
    if re.fullmatch(_CARDINAL, symbols):
        return _whole(words, symbols, _cardinal(words), Shape.CARDINAL)
    if match := re.fullmatch(rf"({_CARDINAL}|{_COLLOQUIAL})?p({_FRACTION})", symbols):
        cut = symbols.index("p")
        head = symbols[:cut]
        whole = (
            0 if not head else _colloquial(words[:cut]) if re.fullmatch(_COLLOQUIAL, head) else _cardinal(words[:cut])
        )
        text = f"{whole}.{_digits(words[cut + 1 :], match[2])}"
        return Reading(text, Decimal(text), Shape.DECIMAL if head else Shape.BARE_POINT)
    if re.fullmatch(rf"{_CARDINAL}&[au][qr]", symbols) and words[-2] in ("a", "one"):
        text = f"{_cardinal(words[:-3])}{'.5' if symbols[-1] == 'q' else '.25'}"
        return Reading(text, Decimal(text), Shape.DECIMAL)
    if re.fullmatch(_COLLOQUIAL, symbols):
        return _whole(words, symbols, _colloquial(words), Shape.COLLOQUIAL)
    if year := _year(words, symbols):
        return Reading(str(year), Decimal(year), Shape.YEAR)
    if re.fullmatch("[uzo]{7,}", symbols):
        digits = _digits(words, symbols)
        groups = {7: (3,), 10: (3, 6)}.get(len(digits), ())
        text = "-".join(digits[a:b] for a, b in zip((0, *groups), (*groups, None), strict=True))
        return Reading(text, Decimal(digits), Shape.DIGIT_STRING)
    return None


def _whole(words: Sequence[str], symbols: str, value: int, shape: Shape) -> Reading:
    written = words[0] if symbols == "d" else f"{value:,}" if value >= 10_000 else str(value)
    return Reading(written, Decimal(value), shape)


def _cardinal(words: Sequence[str]) -> int:
    total = group = 0
    for word in words:
        if word in MAGNITUDES:
            magnitude = MAGNITUDES[word]
            if magnitude == 100:
                group *= 100
            else:
                total, group = total + group * magnitude, 0
        elif word == "a":
            group = 1
        elif word != "and":
            group += _small(word)
    return total + group


def _small(word: str) -> int:
    for table in (DIGITS, TEENS, TENS):
        if word in table:
            return table[word]
    return int(word.replace(",", ""))


def _colloquial(words: Sequence[str]) -> int:
    rest = [0 if word in ("oh", "o") else _small(word) for word in words[1:]]
    return _small(words[0]) * 100 + sum(rest)


def _digits(words: Sequence[str], symbols: str) -> str:
    """Digits after a point or of a telephone number: "two five" and "twenty five" are both 25."""
    if symbols[0] in "uzo":
        return "".join("0" if word in ("oh", "o") else str(DIGITS[word]) for word in words)
    return words[0] if symbols == "d" else str(sum(map(_small, words)))


def _year(words: Sequence[str], symbols: str) -> int | None:
    """Two-part years: nineteen ten to nineteen ninety-nine, twenty ten to twenty twenty-nine, and "oh" years."""
    if not re.fullmatch("[ty](?:yu?|t|ou)", symbols) or words[0] not in ("nineteen", "twenty"):
        return None
    rest = sum(0 if word in ("oh", "o") else _small(word) for word in words[1:])
    if words[0] == "twenty" and rest > 29:
        return None
    return (1900 if words[0] == "nineteen" else 2000) + rest
