"""The clinical lexicon: names of problems, symptoms, medicines, tests, signs and habits, found in tokens."""

import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final

from osler.notes.medicines import medicine_names
from osler.notes.model import FindingKind
from osler.notes.tokens import Token, singular, tokenize

FILLERS: Final = frozenset(("um", "uh", "er", "erm", "ah", "hmm", "mm", "like"))
"""Hesitations that may stand inside a name: "shortness of , uh , breath"."""


@dataclass(frozen=True, slots=True)
class Term:
    """One meaning of a name. ``category`` is the type of a test (lab, imaging...) or the system of an exam finding."""

    kind: FindingKind
    concept: str
    category: str = ""


@dataclass(frozen=True, slots=True)
class Match:
    """A name found in ``tokens[start:end]``, with all its meanings, the first the usual one."""

    start: int
    end: int
    terms: tuple[Term, ...]


class Lexicon:
    """Names and their meanings; the longest name at a place wins, plurals count as their singular."""

    def __init__(self, entries: Iterable[tuple[str, Term]]) -> None:
        meanings: dict[tuple[str, ...], list[Term]] = {}
        for surface, term in entries:
            words = _phrase(surface)
            known = meanings.setdefault(words, [])
            if words and all(term.kind is not other.kind for other in known):
                known.append(term)
        self._first: dict[str, list[tuple[tuple[str, ...], tuple[Term, ...]]]] = {}
        for words, terms in meanings.items():
            if words:
                self._first.setdefault(words[0], []).append((words, tuple(terms)))
        for candidates in self._first.values():
            candidates.sort(key=lambda candidate: -len(candidate[0]))

    def find(self, words: Sequence[tuple[str, int]]) -> list[Match]:
        """Return the names in ``words`` (as :func:`words_of` gives them), in order and disjoint."""
        found: list[Match] = []
        i, count = 0, len(words)
        while i < count:
            step = 1
            for phrase, terms in self._first.get(words[i][0], ()):
                length = len(phrase)
                if i + length <= count and all(words[i + k][0] == phrase[k] for k in range(1, length)):
                    found.append(Match(words[i][1], words[i + length - 1][1] + 1, terms))
                    step = length
                    break
            i += step
        return found


def _phrase(surface: str) -> tuple[str, ...]:
    plain = surface.lower().split()
    if all(map(str.isalpha, plain)) and len(plain) == len(set(plain)):
        return tuple(map(singular, plain))
    return tuple(word for word, _ in words_of(tokenize(surface)))


def words_of(tokens: Sequence[Token]) -> list[tuple[str, int]]:
    """Return (singular word, token index) without hyphens, hesitations and stammered repetitions."""
    words: list[tuple[str, int]] = []
    for i, token in enumerate(tokens):
        norm = token.norm
        if norm == "-" or (norm in FILLERS and norm != "like"):
            continue
        if norm == "," and words and _surrounds_hesitation(tokens, i):
            continue
        word = singular(norm)
        if words and words[-1][0] == word and norm.isalpha():
            words[-1] = (word, i)
            continue
        words.append((word, i))
    return words


_STAMMERED: Final = 3
"""Letters: "my , my" is a stammer, "weight loss , loss of appetite" is not."""


def _surrounds_hesitation(tokens: Sequence[Token], i: int) -> bool:
    before = tokens[i - 1].norm if i else ""
    after = tokens[i + 1].norm if i + 1 < len(tokens) else ""
    return before in FILLERS or after in FILLERS or (before == after and before.isalpha() and len(before) <= _STAMMERED)


def phrases_in(words: Sequence[str], phrases: Mapping[str, Sequence[tuple[str, ...]]]) -> list[tuple[int, int]]:
    """Find phrases (as :func:`indexed` gives them) in plain words: (start, end), longest first, disjoint."""
    found = []
    end = 0
    for i, word in enumerate(words):
        if word not in phrases or i < end:
            continue
        for phrase in phrases[word]:
            if tuple(words[i : i + len(phrase)]) == phrase:
                end = i + len(phrase)
                found.append((i, end))
                break
    return found


def indexed(surfaces: Iterable[str]) -> Mapping[str, Sequence[tuple[str, ...]]]:
    """Index phrases by their first token, longest first."""
    table: dict[str, list[tuple[str, ...]]] = {}
    for surface in surfaces:
        phrase = tuple(token.norm for token in tokenize(surface))
        table.setdefault(phrase[0], []).append(phrase)
    return {first: sorted(phrases, key=len, reverse=True) for first, phrases in table.items()}


@cache
def table(name: str) -> Mapping[str, Any]:
    """Read ``data/<name>.toml`` of this package."""
    text: dict[str, Any] = tomllib.loads(_data(f"{name}.toml"))
    return text


@cache
def lexicon() -> Lexicon:
    """Return the lexicon of findings."""
    return Lexicon(_entries())


@cache
def body_sites() -> Lexicon:
    """Return the lexicon of the parts of the body; the kind of its terms has no meaning."""
    return Lexicon(
        (surface, Term(FindingKind.EXAM, concept))
        for concept, surfaces in _rows("body_sites.tsv")
        for surface in surfaces
    )


def _data(name: str) -> str:
    return files("osler.engines.grounded").joinpath("data", name).read_text("utf-8")


def _rows(name: str) -> Iterator[tuple[str, list[str]]]:
    for columns in _columns(name):
        yield columns[0], columns[-1].split("|")


def _columns(name: str) -> Iterator[list[str]]:
    lines = (line for line in _data(name).splitlines() if line and not line.startswith("#"))
    next(lines)  # column names
    for line in lines:
        yield line.split("\t")


def _entries() -> Iterator[tuple[str, Term]]:
    for name, kind in (
        ("symptoms.tsv", FindingKind.SYMPTOM),
        ("problems.tsv", FindingKind.PROBLEM),
        ("social.tsv", FindingKind.SOCIAL),
    ):
        for concept, surfaces in _rows(name):
            for surface in surfaces:
                yield surface, Term(kind, concept)
    for name, kind in (("procedures.tsv", FindingKind.PROCEDURE), ("exam.tsv", FindingKind.EXAM)):
        for concept, category, row in _columns(name):
            for surface in row.split("|"):
                yield surface, Term(kind, concept, category)
    for surface, generic in medicine_names().items():
        yield surface, Term(FindingKind.MEDICATION, generic)
    for (name,) in _columns("problems_do.tsv"):
        yield name, Term(FindingKind.PROBLEM, name.lower())
