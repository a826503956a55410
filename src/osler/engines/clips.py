"""Cut a block of speech into clips as Whisper takes them: without long pauses, at most 30 s, cut in pauses."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

import numpy as np

from osler.kernel.spans import TimeSpan
from osler.speech.model import HeardWord
from osler.speech.ports import SAMPLE_RATE, Samples

WINDOW: Final = 30.0
"""Seconds that Whisper's encoder sees at once (Radford et al. 2022, section 2.1)."""

_MARGIN: Final = 0.3
"""Seconds kept around a region, so that soft onsets and endings are heard."""
_LONGEST_PAUSE: Final = 1.2
"""Seconds; longer pauses are shortened to this: silence invites Whisper to invent."""


@dataclass(frozen=True, slots=True)
class Condensed:
    """A block without its long pauses.

    ``samples`` (shape [m]) are the pieces ``kept`` of the block (seconds of the block), one after the other. In
    seconds of these samples stand the ``regions`` of speech and the ``clips`` that cut them into at most 30 s.
    """

    samples: Samples
    kept: tuple[TimeSpan, ...]
    regions: tuple[TimeSpan, ...]
    clips: tuple[TimeSpan, ...]

    def placed(self, word: HeardWord) -> HeardWord:
        """Return a word of the condensed samples with its times in the block."""
        start = self.original(word.start)
        return replace(word, start=start, end=max(self.original(word.end, ends=True), start))

    def original(self, second: float, *, ends: bool = False) -> float:
        """Return the block's time of a time in the condensed samples.

        At a joint it is the piece that begins there, or with ``ends`` the one that ends there.
        """
        passed = 0.0
        for piece in self.kept:
            offset = second - passed
            if offset < piece.duration - 1e-6 or (ends and offset <= piece.duration + 1e-6):
                return piece.start + max(offset, 0.0)
            passed += piece.duration
        return self.kept[-1].end


def condense(samples: Samples, regions: Sequence[TimeSpan]) -> Condensed:
    """Leave out what is far from speech, and find where to cut what remains into clips of at most 30 s."""
    length = len(samples) / SAMPLE_RATE
    kept: list[TimeSpan] = []
    for region in regions:
        start, end = max(0.0, region.start - _MARGIN), min(length, region.end + _MARGIN)
        if kept and start - kept[-1].end <= _LONGEST_PAUSE - 2 * _MARGIN:
            kept[-1] = TimeSpan(kept[-1].start, max(end, kept[-1].end))
        elif kept:
            half = _LONGEST_PAUSE / 2 - _MARGIN
            kept[-1] = TimeSpan(kept[-1].start, kept[-1].end + half)
            kept.append(TimeSpan(start - half, end))
        else:
            kept.append(TimeSpan(start, end))
    pieces = [samples[round(k.start * SAMPLE_RATE) : round(k.end * SAMPLE_RATE)] for k in kept]
    joined = np.concatenate(pieces)
    moved = tuple(_moved(regions, kept))
    pauses = [TimeSpan(a.end, b.start) for a, b in pairwise(moved) if b.start > a.end]
    return Condensed(joined, tuple(kept), moved, _clips(pauses, len(joined) / SAMPLE_RATE))


def _moved(regions: Sequence[TimeSpan], kept: Iterable[TimeSpan]) -> Iterable[TimeSpan]:
    """Yield the regions in seconds of the condensed samples."""
    passed = 0.0
    for piece in kept:
        for region in regions:
            if piece.start <= region.start and region.end <= piece.end + 1e-6:
                yield TimeSpan(passed + region.start - piece.start, passed + region.end - piece.start)
        passed += piece.duration


def _clips(pauses: Sequence[TimeSpan], length: float) -> tuple[TimeSpan, ...]:
    """Cut 0..length at the longest pause in the last two fifths of every 30 s; speech without pause is cut hard."""
    clips: list[TimeSpan] = []
    start = 0.0
    while length - start > WINDOW:
        reachable = [p for p in pauses if start + 0.6 * WINDOW < (p.start + p.end) / 2 < start + WINDOW]
        longest = max(reachable, key=lambda p: p.duration, default=None)
        cut = (longest.start + longest.end) / 2 if longest else start + WINDOW
        clips.append(TimeSpan(start, cut))
        start = cut
    clips.append(TimeSpan(start, length))
    return tuple(clips)
