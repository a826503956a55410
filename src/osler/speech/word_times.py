"""Put heard words where speech was measured: recognisers place words to a few tenths of a second, pauses are exact."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Final

from osler.kernel.spans import TimeSpan
from osler.speech.model import HeardWord

_REACH: Final = 0.6
"""Seconds by which a word at the edge of a region may be stretched to that edge."""
_LEAST: Final = 0.02
"""Seconds that every word lasts at least."""


def fit_words(words: Sequence[HeardWord], regions: Sequence[TimeSpan]) -> list[HeardWord]:
    """Return ``words`` (in the order they were said) with times inside the ``regions`` of speech, in the same order.

    A word goes to the region that it overlaps most, else to the nearest, never before that of the word before it.
    The first and last word of a region reach to its edges when they are near. Without regions nothing is changed.
    """
    if not regions:
        return list(words)
    homes: list[int] = []
    for word in words:
        homes.append(max(_home(word, regions), homes[-1] if homes else 0))
    fitted: list[HeardWord] = []
    for i, (word, home) in enumerate(zip(words, homes, strict=True)):
        region = regions[home]
        first = i == 0 or homes[i - 1] != home
        last = i + 1 == len(words) or homes[i + 1] != home
        start, end = (min(max(t, region.start), region.end) for t in (word.start, word.end))
        if first and start - region.start <= _REACH:
            start = region.start
        if last and region.end - end <= _REACH:
            end = region.end
        if not first:
            start = max(start, fitted[-1].start)
        fitted.append(replace(word, start=start, end=max(end, start + _LEAST)))
    return fitted


def pauses(regions: Sequence[TimeSpan]) -> list[TimeSpan]:
    """Return the pauses between the ``regions`` of speech."""
    return [TimeSpan(a.end, b.start) for a, b in pairwise(regions) if b.start > a.end]


def _home(word: HeardWord, regions: Sequence[TimeSpan]) -> int:
    """Return the region that a word overlaps most, else the nearest."""
    at = bisect_right(regions, word.start, key=lambda region: region.start) - 1
    best, best_score = max(at, 0), float("-inf")
    for i in range(max(at, 0), len(regions)):
        if i > at + 1 and regions[i].start >= word.end:
            break
        overlap = min(word.end, regions[i].end) - max(word.start, regions[i].start)
        if overlap > best_score:
            best, best_score = i, overlap
    return best
