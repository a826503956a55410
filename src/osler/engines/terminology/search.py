"""Finds the names that share words with a question, and how well each fits it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Final

import numpy as np

from osler.engines.terminology.container import Array
from osler.engines.terminology.lexicon import rewritings
from osler.engines.terminology.typing_errors import Vocabulary
from osler.engines.terminology.words import tokens

_SOURCE_WEIGHT: Final[Mapping[str, float]] = {
    "description": 1.0,
    "lay": 0.995,
    "clinical": 0.995,
    "inclusion": 0.99,
    "synonym": 0.99,
    "neoplasm-table": 0.95,
    "disease-ontology": 0.94,
    "drug-table": 0.93,
    "short": 0.9,
    "external-cause-index": 0.85,
}
"""How much a name of each source is worth beside a description that fits as well."""

_UNKNOWN: Final = 6.0
"""Weight of a word of the question that no name has: as that of a rare one."""
_REWRITTEN: Final = 0.985
_MISSPELT: Final = 0.8
_ASKED: Final = 0.65
"""Share of the question's words, against that of the name's, in how well both fit."""


_WHOLLY: Final = 0.999
"""From here on a name is what was asked for, however unlikely its code."""


@dataclass(frozen=True, slots=True)
class Question:
    """One reading of a question: words known to the index, as numbers, with the weight of all its words."""

    known: tuple[int, ...]
    weight: float
    worth: float


@dataclass(frozen=True, slots=True)
class Fit:
    """How well a name fits a reading of the question: ``asked`` and ``named`` are the shares of words found, 0 to 1."""

    name: int
    asked: float
    named: float
    worth: float
    question: Question

    @property
    def score(self) -> float:
        return self.worth * combined(self.asked, self.named)


def combined(asked: float, named: float) -> float:
    """Return the weighted geometric mean of the two shares."""
    return float(asked**_ASKED * named ** (1 - _ASKED))


class NameSearch:
    """The names of one index and the words in them. Its methods may be called from several threads."""

    def __init__(self, arrays: Mapping[str, Array], sources: Sequence[str]) -> None:
        self._words = arrays["words"]
        self._weights = arrays["weights"]
        self._name_weight = arrays["name_weight"]
        self._postings = tuple((arrays[label], arrays[f"{label}_offsets"]) for label in ("required", "optional"))
        self._at = lru_cache(maxsize=8192)(self._find)
        self._prior = arrays["prior"][arrays["name_code"]]
        worth = np.array([_SOURCE_WEIGHT[source] for source in sources], dtype=np.float32)
        self._worth = worth[arrays["name_source"]]

    @cached_property
    def _vocabulary(self) -> Vocabulary:
        return Vocabulary(self._words)

    def best(self, text: str, limit: int) -> list[Fit]:
        """Return the names that fit a question best, each once, at most ``limit`` of each reading, best first."""
        found: dict[int, Fit] = {}
        for question in self._questions(tokens(text)):
            for fit in self._fits(question, limit):
                if fit.name not in found or found[fit.name].score < fit.score:
                    found[fit.name] = fit
        return sorted(found.values(), key=lambda fit: (-fit.score, fit.name))

    def words_of(self, text: str) -> frozenset[int]:
        """Return the numbers of the known words in a text."""
        return frozenset(number for word in tokens(text) if (number := self._at(word)) is not None)

    def weight_of(self, words: frozenset[int]) -> float:
        """Return the summed weight of words, given by their numbers."""
        return float(self._weights[list(words)].sum()) if words else 0.0

    def _questions(self, asked: tuple[str, ...]) -> list[Question]:
        """The question as it stands, in other words, and, if some of its words are in no name, with those corrected."""
        readings = {asked: 1.0}
        for words in (self._joined(asked), *rewritings(asked)):
            readings.setdefault(words, _REWRITTEN)
        if not any(all(self._at(word) is not None for word in words) for words in readings):
            corrected = tuple(w if self._at(w) is not None else self._vocabulary.nearest(w) for w in asked)
            for words in (corrected, *rewritings(corrected)):
                readings.setdefault(words, _MISSPELT)
        questions = []
        for words, worth in readings.items():
            numbers = {word: self._at(word) for word in words}
            known = tuple(number for number in numbers.values() if number is not None)
            unknown = len(numbers) - len(known)
            if known:
                weight = float(self._weights[list(known)].sum()) + _UNKNOWN * unknown
                questions.append(Question(known, weight, worth))
        return questions

    def _joined(self, words: tuple[str, ...]) -> tuple[str, ...]:
        """The words, two neighbours written as one where only that is known: ``heart burn``."""
        result: list[str] = []
        for word in words:
            if result and len(result[-1] + word) > 5 and self._at(result[-1] + word) is not None:
                result[-1] += word
            else:
                result.append(word)
        return tuple(result)

    def _find(self, word: str) -> int | None:
        raw = word.encode()
        at = int(np.searchsorted(self._words, np.bytes_(raw)))
        return at if at < len(self._words) and bytes(self._words[at]) == raw else None

    def _fits(self, question: Question, limit: int) -> list[Fit]:
        count = len(self._name_weight)
        weight_of = [(number, float(self._weights[number])) for number in question.known]
        sums = []
        for flat, offsets in self._postings:
            parts = [flat[offsets[n] : offsets[n + 1]] for n, _ in weight_of]
            shares = [np.full(len(part), w, dtype=np.float64) for part, (_, w) in zip(parts, weight_of, strict=True)]
            sums.append(np.bincount(np.concatenate(parts), np.concatenate(shares), minlength=count))
        required, optional = sums
        names = np.flatnonzero(required > 0)
        asked = np.minimum((required[names] + optional[names]) / question.weight, 1.0)
        named = np.minimum(required[names] / self._name_weight[names], 1.0)
        fits = asked**_ASKED * named ** (1 - _ASKED)
        worth = self._worth[names] * np.where(fits > _WHOLLY, 1.0, self._prior[names])
        scores = fits * worth
        top = np.argpartition(-scores, limit)[:limit] if len(names) > limit else np.arange(len(names))
        return [
            Fit(int(names[i]), float(asked[i]), float(named[i]), float(question.worth * worth[i]), question)
            for i in top
        ]
