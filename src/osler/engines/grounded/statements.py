"""Cuts a written text (a letter, a list, a note) into statements, each with its place and what it stands under."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from osler.engines.grounded.lexicon import table
from osler.notes.template_placeholders import resolve
from osler.notes.templates import part_names
from osler.notes.tokens import sentences, tokenize

OTHERS: Final = "others"
"""What a note takes nothing from: addresses, dates, names."""

MOST_LABEL: Final = 6
"""Words of a heading or label."""

_MARK: Final = re.compile(r"\s*(?:[-*+•–·]|\d{1,2}[.)])\s+")
_HEADING: Final = re.compile(
    r"\s*#{1,6}\s+(?P<words>.+?)\s*#*\s*|\s*\*\*(?P<bold>[^*]+)\*\*:?\s*|\s*(?P<capitals>[A-Z][A-Z &/]{3,})\s*"
)
_LABEL: Final = re.compile(r"\s*(?:\*\*)?(?P<label>[^\W\d][\w '’/&()-]{1,48}?)(?:\*\*)?\s*:(?:\*\*)?(?=\s|$)\s*")
_ALL_VITALS: Final = frozenset({"vitals", "vital signs", "observations", "obs", "measurements"})
"""Labels that do not say what was measured, as "BP" does."""

_AT_EDGES: Final = " \t\n*_|"


@dataclass(frozen=True, slots=True)
class Statement:
    """A sentence or an item of a list: ``paragraphs[paragraph][start:end] == text``.

    ``part`` is the part of a note that its heading or label names, None if it has none that is known. ``heads``: it is
    a line in bold, which in a plan is the name of a problem.
    """

    paragraph: int
    start: int
    end: int
    text: str
    part: str | None = None
    heads: bool = False


def statements(paragraphs: Sequence[str]) -> Iterator[Statement]:
    """Yield the statements of a text in their order; headings and labels are none."""
    under: str | None = None
    for number, paragraph in enumerate(paragraphs):
        for line in re.finditer(r"[^\n]+", paragraph):
            begin, text = line.start(), line[0]
            mark = _MARK.match(text)
            begin += mark.end() if mark else 0
            text = text[mark.end() :] if mark else text
            heading = None if mark else _HEADING.fullmatch(text)
            if heading:
                words = heading["words"] or heading["bold"] or heading["capitals"]
                part = part_named(words)
                if part is not None or heading["words"]:
                    under = part
                    continue
                yield from _cut(number, begin, text, under, heads=heading["bold"] is not None)
                continue
            label = _LABEL.match(text)
            part = part_named(label["label"]) if label else None
            if label and part is not None:
                if not text[label.end() :].strip(_AT_EDGES):
                    under = part
                    continue
                if part != "vitals" or label["label"].casefold() in _ALL_VITALS:
                    begin, text = begin + label.end(), text[label.end() :]
                yield from _cut(number, begin, text, part)
                under = None
            elif label and not text[label.end() :].strip(_AT_EDGES):
                under = None
            else:
                yield from _cut(number, begin, text, under)


@cache
def part_named(words: str) -> str | None:
    """Return the part of a note that a heading names, OTHERS for what heads nothing of a note; None if unknown."""
    plain = " ".join(words.strip(" *_:#").split())
    if not plain or len(plain.split()) > MOST_LABEL:
        return None
    for part, pattern in _headings():
        if pattern.fullmatch(plain):
            return part
    return next((target.name for target in resolve(plain) if target.name in part_names()), None)


@cache
def _headings() -> tuple[tuple[str, re.Pattern[str]], ...]:
    reading: dict[str, Any] = dict(table("sources")["reading"])
    return tuple((part, any_of(reading[part])) for part in ("history", "medications", "results", OTHERS))


def any_of(patterns: Sequence[str]) -> re.Pattern[str]:
    """Return one expression that matches any of the patterns, case ignored."""
    return _one(tuple(patterns))


@cache
def _one(patterns: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns), re.IGNORECASE | re.MULTILINE)


def _cut(paragraph: int, begin: int, text: str, part: str | None, *, heads: bool = False) -> Iterator[Statement]:
    """Cut a line at the ends of its sentences, without white space and marks around them."""
    tokens = tokenize(text)
    for first, last in sentences(text, tokens):
        start, end = tokens[first].start, tokens[last - 1].end
        while start < end and text[start] in _AT_EDGES:
            start += 1
        while end > start and text[end - 1] in _AT_EDGES:
            end -= 1
        if re.search(r"\w", text[start:end]):
            yield Statement(paragraph, begin + start, begin + end, text[start:end], part, heads)
