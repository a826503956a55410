"""The nearest known word to one that is not known: a letter wrong, missing, too many, or two changed about."""

from functools import lru_cache
from typing import Final

import numpy as np

from osler.engines.terminology.container import Array

_SHORTEST: Final = 5
"""Letters that a word must have to be taken for a misspelt one."""


class Vocabulary:
    """Known words, sorted. :meth:`nearest` may be called from several threads."""

    def __init__(self, words: Array) -> None:
        self._words = words
        letters = words.astype(f"S{max(words.dtype.itemsize, 1)}").view(np.uint8).reshape(len(words), -1)
        self._lengths = (letters != 0).sum(axis=1)
        self._counts = np.stack([(letters == ord(c)).sum(axis=1) for c in "abcdefghijklmnopqrstuvwxyz"], axis=1)
        self._counts = self._counts.astype(np.int8)
        self.nearest = lru_cache(maxsize=4096)(self._nearest)

    def _nearest(self, word: str) -> str:
        """Return the known word that is one slip away (two if it has eight letters and more), else itself."""
        slips = 0 if len(word) < _SHORTEST or not word.isalpha() else 1 if len(word) < 8 else 2
        if not slips:
            return word
        own = np.array([word.count(c) for c in "abcdefghijklmnopqrstuvwxyz"], dtype=np.int8)
        near = np.flatnonzero(np.abs(self._lengths - len(word)) <= slips)
        near = near[np.abs(self._counts[near] - own).sum(axis=1) <= 2 * slips]
        known = [bytes(self._words[at]).decode() for at in near]
        ranked = sorted((distance(word, each), each[0] != word[0], each) for each in known if each.isalpha())
        return ranked[0][2] if ranked and ranked[0][0] <= slips else word


def distance(a: str, b: str) -> int:
    """Return the optimal string alignment distance: insertions, deletions, substitutions, neighbours changed about."""
    before, last = [0] * (len(b) + 1), list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        row = [i]
        for j, y in enumerate(b, 1):
            cost = min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (x != y))
            if i > 1 and j > 1 and x == b[j - 2] and a[i - 2] == y:
                cost = min(cost, before[j - 2] + 1)
            row.append(cost)
        before, last = last, row
    return last[-1]
