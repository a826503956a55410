"""What a question is about: the clinical names and the other words that the visit must hold to answer it."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

from osler.engines.grounded.asking.passages import Passage, stem
from osler.engines.grounded.lexicon import table
from osler.engines.grounded.reading import read
from osler.notes.model import Finding, FindingKind
from osler.notes.tokens import tokenize
from osler.speech.model import CLINICIAN, Turn

_SPREAD: Final = 4
"""Words that may stand between the first and the last of a name's words: "pain in my right lower back"."""


@dataclass(frozen=True, slots=True)
class Unit:
    """One thing that must be found: by its concept in the lexicon, or by its words (stems) near each other.

    ``alternatives`` are rows of stems of which one must be there.
    """

    concepts: frozenset[str]
    alternatives: tuple[tuple[str, ...], ...]
    kinds: frozenset[FindingKind] = frozenset()

    def place(self, passage: Passage) -> tuple[int, int] | None:
        """Return where a passage names it, as tokens of the passage ``[start:end)``, else None."""
        if not passage.tokens:
            return None
        for mention in passage.mentions:
            if any(_names(term.concept, self.concepts) for term in mention.terms):
                return mention.start - passage.first, mention.end - passage.first
        for words in self.alternatives:
            if found := _near(passage.stems, words):
                return found
        return None

    def named_by(self, finding: Finding) -> bool:
        """Say whether a finding is of it."""
        return _names(finding.concept, self.concepts)


@dataclass(frozen=True, slots=True)
class Topic:
    """What a question is about. ``clinical`` are its names, ``plain`` its other words that carry meaning."""

    text: str
    clinical: tuple[Unit, ...]
    plain: tuple[Unit, ...]

    @property
    def units(self) -> tuple[Unit, ...]:
        """All of it."""
        return (*self.clinical, *self.plain)

    def __bool__(self) -> bool:
        return bool(self.units)

    def covered(self, passage: Passage) -> float:
        """Return how much of the topic a passage holds, 0 to 1: its own words count most, then its question's."""
        if not self.units:
            return 0.0
        total = 0.0
        for unit in self.units:
            worth = _worth(unit, passage)
            if not worth:
                return 0.0
            total += worth
        return total / len(self.units)


def _worth(unit: Unit, passage: Passage) -> float:
    """Return how near to a passage a thing is named: 1 in it, 0.9 in its question, less the further before it."""
    if unit.place(passage):
        return 1.0
    if passage.question is not None and unit.place(passage.question):
        return 0.9
    earlier = passage.before
    for worth in (0.6, 0.5, 0.4):
        if earlier is None:
            break
        if unit.place(earlier):
            return worth
        earlier = earlier.before
    if passage.question is not None and passage.question.before and unit.place(passage.question.before):
        return 0.5
    return _meant(unit, passage)


_REACH: Final = 7
"""Passages back in which a pronoun's thing is looked for."""

_PRONOUN: Final = frozenset(("it", "that", "they", "them", "this", "those"))


def _meant(unit: Unit, passage: Passage) -> float:
    """Return what it counts that a pronoun or a bare question ("how long?") means a thing named shortly before."""
    asked = passage.question
    if asked is None:
        return 0.0
    passages = passage.of.passages
    bare = all(word in _frame() for word in asked.stems if word.isalpha())
    pronoun = not _PRONOUN.isdisjoint(token.norm for token in asked.tokens)
    if not bare and not pronoun:
        return 0.0
    reach = passages[max(0, asked.number - (3 if bare else _REACH)) : asked.number]
    return (0.5 if bare else 0.4) if any(unit.place(earlier) for earlier in reach) else 0.0


def topic_of(text: str, *, without: Iterable[str] = ()) -> Topic:
    """Read what a question or an option is about; ``without`` are expressions whose words do not count."""
    bare = text
    for expression in without:
        bare = re.sub(expression, lambda m: " " * len(m[0]), bare, flags=re.IGNORECASE)
    tokens = tokenize(bare)
    if not tokens:
        return Topic(text, (), ())
    reading = read(0, Turn(CLINICIAN, bare))
    clinical: list[Unit] = []
    used: set[int] = set()
    for mention in reading.mentions:
        named = [t.norm for t in reading.tokens[mention.start : mention.end] if t.is_word]
        words = tuple(stem(word) for word in named if len(named) < 3 or word not in _frame_words())
        concepts = frozenset(term.concept for term in mention.terms)
        if all(word in _frame() for word in words):
            continue
        kinds = frozenset(term.kind for term in mention.terms)
        clinical.append(Unit(concepts, tuple(dict.fromkeys([words, *_same_as(words)])), kinds))
        used.update(range(mention.start, mention.end))
    plain = []
    for i, token in enumerate(reading.tokens):
        if i in used or not token.is_word or token.norm in _frame_words() or stem(token.norm) in _frame():
            continue
        words = (stem(token.norm),)
        plain.append(Unit(frozenset(), tuple(dict.fromkeys([words, *_same_as(words)]))))
    return Topic(text, tuple(clinical), tuple(plain))


def _names(concept: str, wanted: frozenset[str]) -> bool:
    return concept in wanted or any(len(each) > 3 and concept.endswith(f" {each}") for each in wanted)


def _near(stems: Sequence[str], words: Sequence[str]) -> tuple[int, int] | None:
    """Return the shortest stretch of ``stems`` that holds all ``words``, if it is short enough."""
    if not words:
        return None
    best: tuple[int, int] | None = None
    for start, each in enumerate(stems):
        if each not in words:
            continue
        missing = set(words)
        for end in range(start, min(len(stems), start + len(words) + _SPREAD)):
            missing.discard(stems[end])
            if not missing:
                if best is None or end + 1 - start < best[1] - best[0]:
                    best = (start, end + 1)
                break
    return best


@cache
def _frame_words() -> frozenset[str]:
    return frozenset(table("asking")["frame"])


@cache
def _frame() -> frozenset[str]:
    return frozenset(stem(word) for word in table("asking")["frame"])


@cache
def _groups() -> Mapping[str, Sequence[tuple[str, ...]]]:
    found: dict[str, list[tuple[str, ...]]] = {}
    for group in table("asking")["same"]:
        rows = [tuple(stem(token.norm) for token in tokenize(words) if token.is_word) for words in group["words"]]
        for row in rows:
            if len(row) == 1:
                found.setdefault(row[0], []).extend(other for other in rows if other != row)
    return found


def _same_as(words: tuple[str, ...]) -> Sequence[tuple[str, ...]]:
    if len(words) == 2:
        first = [(other[0], words[1]) for other in _groups().get(words[0], ()) if len(other) == 1]
        return [*first, *((words[0], other[0]) for other in _groups().get(words[1], ()) if len(other) == 1)]
    return _groups().get(words[0], ()) if len(words) == 1 else ()
