"""The names by which conditions are found in a text: words in one form, names as bags of words, the index over them."""

import gzip
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from typing import Final

from osler.engines.terminology.words import STOP, canonical
from osler.notes.tokens import Token, tokenize

_FILLERS: Final = STOP | frozenset(("with", "mellitus", "nos", "unspecified", "due", "the", "her", "his", "patient"))
"""Words that no name is told apart by."""
_ROMAN: Final = {"i": "1", "ii": "2", "iii": "3", "iv": "4", "one": "1", "two": "2", "three": "3", "four": "4"}
_COUNTED: Final = frozenset(("type", "stage", "grade", "class"))

COMMON: Final = "common"
"""The source whose names win over all others: read one by one."""
NO_CONDITION: Final = "-"
"""The code of names that are no condition."""


@dataclass(frozen=True, slots=True)
class Name:
    """A name of a condition: its words in one form, the code or category that it says, and whose it is."""

    words: frozenset[str]
    code: str
    source: str


@dataclass(frozen=True, slots=True)
class Word:
    """One token of a text with its forms: none for a filler, several for an abbreviation."""

    token: Token
    forms: tuple[str, ...]


def words_of(text: str) -> list[Word]:
    """Return the tokens of a text, each with the forms under which names hold it."""
    tokens = tokenize(text)
    words: list[Word] = []
    for at, token in enumerate(tokens):
        norm = token.norm
        if norm == "a" and at and tokens[at - 1].norm.isdigit() and tokens[at - 1].end == token.start:
            words.append(Word(token, ("a",)))  # stage 3a
        elif norm in _ROMAN and _beside_counted(tokens, at):
            words.append(Word(token, (_ROMAN[norm],)))
        else:
            words.append(Word(token, forms(norm)))
    return words


@lru_cache(maxsize=65_536)
def forms(norm: str) -> tuple[str, ...]:
    """Return the forms of one word; empty for marks and fillers."""
    if not norm[0].isalnum() or norm in _FILLERS:
        return ()
    if norm in _expansions():
        return tuple(canonical(word) for word in _expansions()[norm])
    form = canonical(norm)
    return () if form in _FILLERS else (form,)


def bag(text: str) -> frozenset[str]:
    """Return the forms of all words of a name."""
    return frozenset(form for word in words_of(text) for form in word.forms)


class Vocabulary:
    """All names, by their rarest word, so that a text is read once whatever the number of names."""

    def __init__(self, names: Iterator[Name]) -> None:
        held: dict[frozenset[str], list[Name]] = {}
        for name in names:
            if name.words and all(n.code != name.code for n in held.setdefault(name.words, [])):
                held[name.words].append(name)
        counts: dict[str, int] = {}
        for words in held:
            for word in words:
                counts[word] = counts.get(word, 0) + 1
        self._by_word: dict[str, list[tuple[frozenset[str], list[Name]]]] = {}
        for words, named in held.items():
            rarest = min(words, key=lambda w: (counts[w], w))
            self._by_word.setdefault(rarest, []).append((words, named))

    def with_word(self, word: str) -> Sequence[tuple[frozenset[str], list[Name]]]:
        """Return the names whose rarest word this is, each with its codes, the best source first."""
        return self._by_word.get(word, ())


@cache
def vocabulary() -> Vocabulary:
    """Return the shared vocabulary, read once (about a tenth of a second)."""
    return Vocabulary(_names())


def _names() -> Iterator[Name]:
    for code, phrases in rows("common.tsv"):
        for phrase in phrases.split("|"):
            yield Name(bag(phrase), code, COMMON)
    packed = files("osler.engines.coder").joinpath("data", "names.tsv.gz").read_bytes()
    for line in gzip.decompress(packed).decode().splitlines():
        if not line.startswith("#"):
            words, code, source = line.split("\t")
            yield Name(frozenset(words.split()), code, source)


def rows(name: str) -> Iterator[list[str]]:
    """Yield the rows of a data file: tab-separated, ``#`` begins a comment line."""
    text = files("osler.engines.coder").joinpath("data", name).read_text(encoding="utf-8")
    for line in text.splitlines():
        if line and not line.startswith("#"):
            yield line.split("\t")


def _beside_counted(tokens: Sequence[Token], at: int) -> bool:
    around = [tokens[i].norm for i in (at - 1, at + 1) if 0 <= i < len(tokens)]
    return bool(_COUNTED.intersection(around)) and (
        at == 0 or tokens[at].norm != "i" or tokens[at - 1].norm in _COUNTED
    )


@cache
def _expansions() -> dict[str, list[str]]:
    return {word: meant.split() for word, meant in rows("expansions.tsv")}
