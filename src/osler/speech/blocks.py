"""Cut a stream of samples at pauses into blocks of at most ten minutes, so that memory stays bounded."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from osler.kernel.spans import TimeSpan
from osler.speech.ports import SAMPLE_RATE, Samples, SpeechDetector

MAX_BLOCK: Final = 600.0
"""Seconds; the speech library takes features of its whole input at once, which this bounds."""

_EARLIEST_CUT: Final = 2 / 3
"""Share of the block before which no cut is made: what lies behind the cut is searched for speech twice."""


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of the recording: ``samples`` (shape [n]) from ``start`` seconds on.

    ``regions`` are its stretches of speech, in seconds from the block's own start.
    """

    start: float
    samples: Samples
    regions: tuple[TimeSpan, ...]

    @property
    def end(self) -> float:
        """Seconds from the start of the recording."""
        return self.start + len(self.samples) / SAMPLE_RATE


def blocks(
    chunks: Iterable[Samples],
    detector: SpeechDetector,
    *,
    max_seconds: float = MAX_BLOCK,
    between: Callable[[], None] = lambda: None,
) -> Iterator[Block]:
    """Yield the stream in blocks of at most ``max_seconds``, each cut in the middle of its longest late pause.

    Where speech never pauses, the block is cut at its quietest 50 ms. At most one block and its remainder are held.
    ``between`` is called after each chunk, and before each piece of the detector's work.
    """
    size = round(max_seconds * SAMPLE_RATE)
    buffer = np.empty(size, np.float32)
    held = 0
    start = 0  # of the buffer, in samples
    for chunk in chunks:
        while len(chunk):
            taken = min(len(chunk), size - held)
            buffer[held : held + taken] = chunk[:taken]
            held += taken
            chunk = chunk[taken:]
            if held == size and len(chunk):
                regions = detector.regions(buffer, between=between)
                cut = _cut(buffer, regions)
                yield _block(start, buffer[:cut], regions)
                buffer[: held - cut] = buffer[cut:held].copy()
                held -= cut
                start += cut
        between()
    if held:
        rest = buffer[:held]
        yield _block(start, rest, detector.regions(rest, between=between))


def _block(start: int, samples: Samples, regions: Iterable[TimeSpan]) -> Block:
    length = len(samples) / SAMPLE_RATE
    inside = tuple(TimeSpan(r.start, min(r.end, length)) for r in regions if r.start < length)
    return Block(start / SAMPLE_RATE, samples.copy(), inside)


def _cut(samples: Samples, regions: list[TimeSpan]) -> int:
    """Return the sample at which to cut a full buffer."""
    length = len(samples) / SAMPLE_RATE
    earliest = length * _EARLIEST_CUT
    edges = [0.0, *(edge for r in regions for edge in (r.start, r.end)), length]
    pauses = [(max(a, earliest), b) for a, b in zip(edges[::2], edges[1::2], strict=True) if b > earliest]
    longest = max(pauses, key=lambda pause: pause[1] - pause[0], default=None)
    if longest is not None and longest[1] > longest[0]:
        return max(1, round((longest[0] + longest[1]) / 2 * SAMPLE_RATE))
    frame = SAMPLE_RATE // 20
    first = round(earliest * SAMPLE_RATE)
    frames = samples[first : first + (len(samples) - first) // frame * frame].reshape(-1, frame)
    quietest = int(np.argmin(np.square(frames).mean(axis=1))) if len(frames) else 0
    return max(1, first + quietest * frame + frame // 2)
