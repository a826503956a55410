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
_TOUCH: Final = 0.04
"""Seconds of a word that must lie in a region to count."""
_LEAST: Final = 0.02
"""Seconds that every word lasts at least."""


def fit_words(words: Sequence[HeardWord], regions: Sequence[TimeSpan]) -> list[HeardWord]:
    """Return ``words`` (in the order they were said) with times inside the ``regions`` of speech, in the same order.

    A word goes to the last region that it touches, else to the nearest, never before that of the word before it.
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
    """Return the region in which a word was said.

    Recognisers that align by attention let a word begin where the one before it ends, across the pause between them:
    its end is the better witness. So of the regions that it touches the last one counts, else the nearest to its end.
    """
    at = max(bisect_right(regions, word.end - _TOUCH, key=lambda region: region.start) - 1, 0)
    touches = min(word.end, regions[at].end) - max(word.start, regions[at].start) >= _TOUCH
    if touches or at + 1 == len(regions):
        return at
    return at if word.end - regions[at].end <= regions[at + 1].start - word.end else at + 1
