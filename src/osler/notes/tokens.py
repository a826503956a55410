"""Words, numbers and sentences of clinical speech, the same for dictated, transcribed and tokenised text.

"don't" and "do n't", "gonna" and "gon na", "5mg" and "5 mg" give the same tokens, so that rules are written once.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final, NamedTuple

_TOKEN = re.compile(
    r"""
      (?P<abbreviation>(?<![^\W_])(?:[a-z]\.){2,}(?:[a-z]\b)?)     # b.i.d., p.r.n., e.g.
    | (?P<number>\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+\.\d+|(?<![\d\w])\.\d+|\d+)
    | (?P<word>[^\W\d_]+(?:\d+[^\W\d_]*)*(?:['’][a-z]+\b)?|['’](?:s|re|ve|ll|d|m|t)\b)
    | (?P<mark>\.{2,}|[^\w\s]|_)
    """,
    re.VERBOSE | re.IGNORECASE,
)
_CONTRACTED = {"gonna": 3, "wanna": 3, "gotta": 3, "cannot": 3}  # where the second token starts
_ORDINAL_SUFFIX = frozenset(("st", "nd", "rd", "th"))


class Token(NamedTuple):
    """One token: ``norm`` is lower case with straight apostrophes, ``start`` and ``end`` code points in its text."""

    norm: str
    start: int
    end: int

    @property
    def is_word(self) -> bool:
        """Say whether it holds a letter or digit."""
        return self.norm[0].isalnum() or self.norm[-1].isalnum()


def tokenize(text: str) -> list[Token]:
    """Split ``text`` into words, numbers and single punctuation marks, in order; blanks are in no token."""
    tokens: list[Token] = []
    for match in _TOKEN.finditer(text):
        norm = match.group().lower()
        start, end = match.span()
        kind = match.lastgroup
        if kind == "word":
            norm = norm.replace("’", "'")
            cut = norm.find("'") if "'" in norm[1:] else _CONTRACTED.get(norm, 0)
            if norm == "n't":
                cut = 0
            elif cut > 1 and norm[cut:] == "'t" and norm[cut - 1] == "n":
                cut -= 1
            if cut > 0:
                tokens.append(Token(norm[:cut], start, start + cut))
                norm, start = norm[cut:], start + cut
            elif norm in _ORDINAL_SUFFIX and tokens and tokens[-1].end == start and tokens[-1].norm.isdigit():
                tokens[-1] = Token(tokens[-1].norm, tokens[-1].start, end)
                continue
        elif kind == "number":
            norm = norm.replace(",", "")
        elif kind == "abbreviation":
            norm = norm.replace(".", "")
        tokens.append(Token(norm, start, end))
    return tokens


@cache
def singular(word: str) -> str:
    """Return the singular of a regular plural ("fevers" → "fever", "allergies" → "allergy"), else the word itself."""
    if len(word) < 4 or not word.endswith("s") or word.endswith(("ss", "us", "is", "'s")):
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("sses", "shes", "ches", "xes", "zes")) and not word.endswith("aches"):
        return word[:-2]
    return word[:-1]


_ABBREVIATED = frozenset(("dr", "mr", "mrs", "ms", "st", "vs", "approx"))
_ENDS = frozenset(".?!")


def sentences(text: str, tokens: Sequence[Token]) -> list[tuple[int, int]]:
    """Split one turn into sentences, as half-open ranges of token indices that cover all tokens.

    A full stop, question or exclamation mark ends a sentence, "..." does not (speakers trail off and go on), nor does
    the stop of "Dr." or "Mrs.".
    """
    ranges: list[tuple[int, int]] = []
    start = 0
    for i, token in enumerate(tokens):
        if token.norm[0] not in _ENDS or len(token.norm) > 1:
            continue
        following = tokens[i + 1].norm[0] if i + 1 < len(tokens) else ""
        if following in _ENDS:
            continue
        if token.norm == "." and i and tokens[i - 1].norm in _ABBREVIATED and tokens[i - 1].end == token.start:
            continue
        ranges.append((start, i + 1))
        start = i + 1
    if start < len(tokens):
        ranges.append((start, len(tokens)))
    return ranges


# fmt: off
UNITS: Final = {word: value for value, word in enumerate((
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
))}
TENS: Final = {word: 10 * value for value, word in enumerate((
    "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety",
), 2)}
ORDINALS: Final = {word: value for value, word in enumerate((
    "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth", "eleventh",
    "twelfth", "thirteenth", "fourteenth", "fifteenth", "sixteenth", "seventeenth", "eighteenth", "nineteenth",
    "twentieth",
), 1)} | {"thirtieth": 30}
# fmt: on
_SCALES: Final = {"hundred": 100, "thousand": 1000, "million": 1_000_000}
_STARTS_NUMBER: Final = {*UNITS, *TENS, *ORDINALS, "once", "twice", "thrice", "half", "point", "a", "an"}
_COUNTED: Final = {"once": 1, "twice": 2, "thrice": 3}
_ARTICLES: Final = frozenset(("a", "an"))


@dataclass(frozen=True, slots=True)
class Number:
    """A number in a text, ``tokens[start:end]``.

    Spoken numbers can be read in more than one way ("six seven times" is 6, 7 or 67): each reading is a tuple of
    values in canonical digits ("0.5", "145").
    """

    readings: tuple[tuple[str, ...], ...]
    start: int
    end: int

    @property
    def value(self) -> str:
        """The first reading's values, joined by a blank; one value for nearly every number."""
        return " ".join(self.readings[0])


def canonical(value: str) -> str:
    """Return digits without leading or trailing zeros: "05" → "5", ".40" → "0.4", "98.0" → "98"."""
    whole, _, fraction = value.partition(".")
    fraction = fraction.rstrip("0")
    return (whole.lstrip("0") or "0") + (f".{fraction}" if fraction else "")


def numbers(tokens: Sequence[Token]) -> list[Number]:
    """Find the numbers of a text in digits or words, in order and disjoint."""
    found: list[Number] = []
    i = 0
    while i < len(tokens):
        word = tokens[i].norm
        if word not in _STARTS_NUMBER and word[0] not in "0123456789.":
            i += 1
            continue
        number = _number_at(tokens, i)
        if number is None:
            i += 1
        else:
            found.append(number)
            i = number.end
    return found


def _number_at(tokens: Sequence[Token], i: int) -> Number | None:
    word = tokens[i].norm
    if word[0].isdigit() or (word[0] == "." and len(word) > 1 and word[1].isdigit()):
        return _digits_at(tokens, i)
    if word in _COUNTED:
        return Number(((str(_COUNTED[word]),),), i, i + 1)
    if word in ORDINALS:
        return Number(((str(ORDINALS[word]),),), i, i + 1)
    if word == "half":
        return Number((("0.5",),), i, i + 1)
    if word == "point" and i + 1 < len(tokens) and tokens[i + 1].norm in UNITS:
        fraction, end = _fraction(tokens, i + 1)
        return Number(((canonical("0." + fraction),),), i, end)
    if word in UNITS or word in TENS or (word in _ARTICLES and i + 1 < len(tokens) and tokens[i + 1].norm in _SCALES):
        return _spoken_at(tokens, i)
    return None


def _digits_at(tokens: Sequence[Token], i: int) -> Number:
    value, end = tokens[i].norm, i + 1
    following = tokens[end].norm if end < len(tokens) else ""
    if following in _SCALES:
        scaled = float(value) * _SCALES[following]
        return Number(((canonical(f"{scaled:.4f}"),),), i, end + 1)
    if following == "point" and end + 1 < len(tokens) and tokens[end + 1].norm in UNITS:
        fraction, end = _fraction(tokens, end + 1)
        return Number(((canonical(f"{value}.{fraction}"),),), i, end)
    if _words(tokens, end, end + 3) == ["and", "a", "half"]:
        return Number(((canonical(value + ".5"),),), i, end + 3)
    return Number(((canonical(value),),), i, end)


def _fraction(tokens: Sequence[Token], i: int) -> tuple[str, int]:
    """Read the digits after a spoken point: "two five" → "25", "twelve" → "12"."""
    digits = ""
    while i < len(tokens) and (tokens[i].norm in UNITS or tokens[i].norm == "oh" or tokens[i].norm in TENS):
        digits += str(UNITS.get(tokens[i].norm, TENS.get(tokens[i].norm, 0)))
        i += 1
    return digits, i


def _words(tokens: Sequence[Token], start: int, end: int) -> list[str]:
    return [token.norm for token in tokens[start:end]]


def _spoken_at(tokens: Sequence[Token], i: int) -> Number:
    """Read a run of number words as groups: "one forty five" is [1][45], "two hundred and ten" is [210]."""
    start = i
    groups: list[str] = []
    open_to = 0  # the last group still takes a value below this (after "twenty": 10, after "hundred": 100)
    if tokens[i].norm in _ARTICLES:
        groups, open_to = ["1"], 1
        i += 1
    while i < len(tokens):
        word = tokens[i].norm
        if word in UNITS or word in TENS or (word in ORDINALS and open_to > ORDINALS[word]):
            value = UNITS.get(word, TENS.get(word, ORDINALS.get(word, 0)))
            if groups and 0 < value < open_to:
                groups[-1] = str(int(groups[-1]) + value)
                open_to = 10 if word in TENS else 1
            else:
                groups.append(str(value))
                open_to = 10 if word in TENS else 1
        elif word in _SCALES and groups:
            scale = _SCALES[word]
            groups[-1] = str(int(groups[-1]) * scale)
            open_to = scale
        elif word in ("oh", "o") and groups and i + 1 < len(tokens) and tokens[i + 1].norm in UNITS:
            i += 1
            groups.append("0" + str(UNITS[tokens[i].norm]))
            open_to = 1
        elif not _joins(word, open_to, tokens[i + 1].norm if i + 1 < len(tokens) else ""):
            break
        i += 1
    if i + 1 < len(tokens) and tokens[i].norm == "point" and tokens[i + 1].norm in UNITS:
        fraction, i = _fraction(tokens, i + 1)
        return Number(((canonical("".join(groups) + "." + fraction),),), start, i)
    if _words(tokens, i, i + 3) == ["and", "a", "half"]:
        return Number(((canonical("".join(groups) + ".5"),),), start, i + 3)
    joined = (canonical("".join(groups)),)
    if len(groups) > 1 and len({len(group) for group in groups}) == 1:
        return Number((joined, tuple(canonical(group) for group in groups)), start, i)
    return Number((joined,), start, i)


def _joins(word: str, open_to: int, following: str) -> bool:
    """Say whether ``word`` only holds a number together: "two hundred *and* five", "twenty*-*five"."""
    if word == "and":
        return open_to >= 100 and (following in UNITS or following in TENS)
    return word == "-" and open_to == 10 and following in UNITS
