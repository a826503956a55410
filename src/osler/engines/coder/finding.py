"""Where a text names conditions: sentences, and in each the names whose words stand close together."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from osler.engines.coder.vocabulary import COMMON, Name, Vocabulary, Word

_ENDS: Final = frozenset((".", ";", "!", "?", ":", "..", "...", "•"))
_COSTS: Final = {
    ",": 2.0,
    "and": 1.0,
    "or": 2.0,
    "(": 1.0,
    ")": 1.0,
    "/": 0.5,
    "-": 0.2,
    "but": 9.0,
    "no": 9.0,
    "not": 9.0,
    "n't": 9.0,
    "never": 9.0,
    "nor": 9.0,
    "palpation": 9.0,
    "without": 9.0,
}
_SOURCES: Final = {COMMON: 0.3, "icd": 0.1, "disease-ontology": 0.05}


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence or line of a text: ``words[start:end]``."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Mention:
    """A condition named in ``words[start:end]`` of a sentence; ``names`` share their words, the best first.

    ``cost`` grows with the words between those of the name.
    """

    sentence: int
    start: int
    end: int
    names: tuple[Name, ...]
    cost: float

    @property
    def weight(self) -> float:
        """How much of a mention it is: the more words and the closer, the better."""
        return len(self.names[0].words) - 0.4 * self.cost + _SOURCES.get(self.names[0].source, 0.0)


def sentences(text: str, words: Sequence[Word]) -> list[Sentence]:
    """Cut a text at line ends and at marks that end a sentence."""
    found: list[Sentence] = []
    start = 0
    for at, word in enumerate(words):
        token = word.token
        following = words[at + 1].token.start if at + 1 < len(words) else len(text)
        gap = text[token.end : following]
        ends = token.norm in _ENDS and (gap != "" or at + 1 == len(words))
        if ends or "\n" in gap or at + 1 == len(words):
            found.append(Sentence(start, at + 1))
            start = at + 1
    return found


def mentions(words: Sequence[Word], cut: Sequence[Sentence], vocabulary: Vocabulary) -> list[Mention]:
    """Return the conditions that a text names, in order; of those that overlap, the weightiest."""
    found: list[Mention] = []
    for number, sentence in enumerate(cut):
        candidates = list(_of_sentence(words, sentence, number, vocabulary))
        candidates.sort(key=lambda m: (-m.weight, m.start))
        taken: set[int] = set()
        kept: list[Mention] = []
        for mention in candidates:
            span = range(mention.start, mention.end)
            if not taken.intersection(span):
                taken.update(span)
                kept.append(mention)
        found += sorted(kept, key=lambda m: m.start)
    return found


def _of_sentence(words: Sequence[Word], sentence: Sentence, number: int, vocabulary: Vocabulary) -> Iterator[Mention]:
    places: dict[str, list[int]] = {}
    for at in range(sentence.start, sentence.end):
        for form in words[at].forms:
            places.setdefault(form, []).append(at)
    for form, where in places.items():
        for needed, names in vocabulary.with_word(form):
            if len(needed) > 1 and not all(word in places for word in needed):
                continue
            for anchor in where:
                span = _closest(places, needed, anchor)
                cost = _cost(words, span, needed)
                if cost <= (1.0 if len(needed) == 2 else 2.0 if len(needed) == 3 else 2.5):
                    yield Mention(number, span[0], span[1] + 1, tuple(names), cost)


def _closest(places: dict[str, list[int]], needed: frozenset[str], anchor: int) -> tuple[int, int]:
    chosen = [min(places[word], key=lambda at: (abs(at - anchor), at)) for word in needed]
    return min(anchor, *chosen) if chosen else anchor, max(anchor, *chosen) if chosen else anchor


def _cost(words: Sequence[Word], span: tuple[int, int], needed: frozenset[str]) -> float:
    if len(needed) == 1:
        return 0.0
    cost = 0.0
    for at in range(span[0], span[1] + 1):
        word = words[at]
        if word.token.norm in _COSTS:
            cost += _COSTS[word.token.norm]
        elif word.forms and not needed.intersection(word.forms):
            cost += 0.5 if word.token.norm in ("right", "left", "bilateral") else 1.0
    return cost
