"""What a prompted decoder reads from its prompt, or makes up, in a pause: recognised by time and probability."""

import math
from collections.abc import Sequence
from itertools import groupby
from typing import Final

from osler.speech.model import HeardWord

# Counted on 7,180 words of visits heard without a prompt, and on the echoes that six prompts left.
_NO_TIME: Final = 0.03
"""Seconds. The pause is spent on the first word of an echo, the alignment gives no time to those that follow. Of the
words without a prompt 11 had so little time, no two of them together."""

_NEVER_SAID: Final = 0.01
"""Probability below which a word is an echo by itself; one word without a prompt had less."""

_HARDLY_SAID: Final = 0.35
"""Probability below which the word before two words or more without time belongs to their echo."""

_SENTENCE_NEVER_SAID: Final = 0.06
"""Geometric mean of a sentence's probabilities below which it is an echo; no sentence without a prompt had less."""


def without_echoes(words: Sequence[HeardWord]) -> list[HeardWord]:
    """Return ``words`` (in the order heard, times as the decoder's alignment gave them) without the echoes."""
    echo = [word.probability < _NEVER_SAID for word in words]
    for sentence in _sentences(words):
        logs = [math.log(max(words[i].probability, 1e-6)) for i in sentence]
        if math.exp(sum(logs) / len(logs)) < _SENTENCE_NEVER_SAID:
            for i in sentence:
                echo[i] = True
    for timeless, run in groupby(range(len(words)), key=lambda i: words[i].end - words[i].start <= _NO_TIME):
        places = list(run)
        if not timeless:
            continue
        before = places[0] - 1
        if len(places) > 1 and before >= 0 and words[before].probability < _HARDLY_SAID:
            echo[before] = True
        if len(places) > 1 or (before >= 0 and echo[before]):
            for i in places:
                echo[i] = True
    return [word for word, drop in zip(words, echo, strict=True) if not drop]


def _sentences(words: Sequence[HeardWord]) -> list[range]:
    ends = [i + 1 for i, word in enumerate(words) if word.text.endswith((".", "?", "!")) or i + 1 == len(words)]
    return [range(start, end) for start, end in zip([0, *ends], ends, strict=False)]
