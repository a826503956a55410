"""Keeps each fact once: of sentences that say the same, the one that matters more stays."""

import re
from collections.abc import Sequence
from functools import cache

from osler.engines.grounded.lexical import load_lexicon
from osler.engines.grounded.phrasing import Line

NEARLY = 0.6
"""A known sentence with fewer than this share of a new one's content words does not make the new one needless."""

SHARED = 0.8
"""Two sentences repeat each other if this share of the shorter one's content words stands in the other."""


_PLAN = frozenset({"assessment_plan", "instructions"})
"""That a medicine is taken and that it is to be continued are two facts: the plan repeats only itself."""


def without_repetition(lines: Sequence[Line]) -> list[Line]:
    """Return the lines that add something, in the order of their rank."""
    kept: list[Line] = []
    known: list[tuple[frozenset[str], bool]] = []
    for line in sorted(lines, key=lambda line: (not line.composed, -line.rank, line.order, line.text)):
        words = content(line.text)
        plan = line.part in _PLAN
        if not words or any(repeats(words, other) for other, planned in known if planned == plan):
            continue
        if not line.composed and not plan and _covered(line, words, kept):
            continue
        kept.append(line)
        known.append((words, plan))
    return kept


def _covered(line: Line, words: frozenset[str], kept: Sequence[Line]) -> bool:
    """Say whether composed sentences on the same words of the visit already state all of it."""
    turns = {e.turn for e in line.evidence}
    told = [k for k in kept if k.composed and turns & {e.turn for e in k.evidence}]
    stated = frozenset(w for k in told for w in content(k.text))
    figures = {w for w in words if w[0].isdigit()}
    if line.part == "vitals" and figures and figures <= stated:
        return True
    return bool(told) and len(words & stated) > 0 and len(words - stated) <= (0 if line.denies or len(words) < 3 else 1)


def repeats(words: frozenset[str], other: frozenset[str]) -> bool:
    """Say whether ``words`` add nothing to ``other``: the smaller set is (nearly) in the larger, of like polarity.

    Words that go well beyond the other's are no repetition, though they hold it.
    """
    small, large = sorted((words, other), key=lambda w: (len(w), sorted(w)))
    if len(words) > len(other) and len(other) < NEARLY * len(words):
        return False
    if {w for w in small if w[0].isdigit()} - large or ("not" in small) != ("not" in large):
        return False
    return len(small & large) >= SHARED * len(small)


def content(text: str) -> frozenset[str]:
    """Return the words that carry a sentence's facts, plurals cut; all ways of denying are "not"."""
    plain = text.lower().replace("n't", " not")
    for pattern, replacement in load_lexicon().rules("same_writing"):
        plain = pattern.sub(replacement, plain)
    return frozenset(_stem(w) for w in re.findall(r"[a-z0-9][a-z0-9./']*", plain) if w.strip("./'") not in _empty())


@cache
def _empty() -> frozenset[str]:
    return load_lexicon().words("empty_words")


def _stem(word: str) -> str:
    word = word.strip("./'")
    if word in {"no", "not", "denies", "deny", "without", "never"}:
        return "not"
    for ending in ("ing", "ies", "es", "ed", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 4:
            return word[: -len(ending)]
    return word[:-1] if word.endswith("e") and len(word) > 4 else word
