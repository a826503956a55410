"""Listen again where what was heard cannot be: a blood pressure whose lower value is not below the upper one.

The decoder hears "ninety two" as "192" when the words before it run into the number. Told beforehand that measurements
are being read out, it hears the same stretch right more often. The second hearing changes nothing but the value that
could not be, only if it is sure of the same upper value, and leaves the number marked for a look.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from osler.kernel.spans import TimeSpan
from osler.speech.model import HeardWord
from osler.speech.ports import Samples, Transcriber
from osler.speech.vocabulary import bare, data_lines

BEFORE: Final = 12.0
AFTER: Final = 6.0
"""Seconds around the number that are heard again: enough for the decoder to find its way into the sentence."""

NEAR: Final = 3.0
"""Seconds by which the two hearings may place the same number apart."""

DISPUTED: Final = 0.5
"""Probability of a number that was heard in two ways at most: low enough to be marked for a look."""

LOWEST_SYSTOLIC, HIGHEST_SYSTOLIC = 60, 280
LOWEST_DIASTOLIC: Final = 20
"""mmHg; what a cuff can read in a living adult or child, generously."""

_WRITTEN = re.compile(r"(\d{2,3})/(\d{2,3})")


@dataclass(frozen=True, slots=True)
class Pressure:
    """A blood pressure among heard words: ``word`` is the index of the word that holds the lower value (mmHg)."""

    systolic: int
    diastolic: int
    word: int

    @property
    def can_be(self) -> bool:
        """Whether the lower value is below the upper one and not out of the world."""
        return LOWEST_DIASTOLIC <= self.diastolic < self.systolic


def pressures(words: Sequence[HeardWord]) -> list[Pressure]:
    """Return the blood pressures in ``words``: "145 over 92", "145/92"."""
    found = []
    for i, word in enumerate(words):
        written = _WRITTEN.fullmatch(bare(word.text))
        if written:
            found.append(Pressure(int(written[1]), int(written[2]), i))
        elif bare(word.text) == "over" and 0 < i < len(words) - 1:
            upper, lower = bare(words[i - 1].text), bare(words[i + 1].text)
            if upper.isdecimal() and lower.isdecimal() and len(upper) <= 3 and len(lower) <= 3:
                found.append(Pressure(int(upper), int(lower), i + 1))
    return [p for p in found if LOWEST_SYSTOLIC <= p.systolic <= HIGHEST_SYSTOLIC]


def hear_again(
    words: Sequence[HeardWord],
    samples: Samples,
    regions: Sequence[TimeSpan],
    transcriber: Transcriber,
    language: str,
    *,
    done: Callable[[float], None] = lambda seconds: None,
) -> tuple[HeardWord, ...]:
    """Return ``words`` with the impossible blood pressures replaced where a second hearing gives a possible one.

    ``samples`` (shape [n]), ``regions`` and the words' times are those of one block. ``done`` is called as the
    transcriber calls it. Raises EngineError.
    """
    heard = list(words)
    for pressure in pressures(words):
        if pressure.can_be:
            continue
        wrong = words[pressure.word]
        around = TimeSpan(max(0.0, wrong.start - BEFORE), wrong.end + AFTER)
        stretch = [
            TimeSpan(max(r.start, around.start), min(r.end, around.end))
            for r in regions
            if r.start < around.end and around.start < r.end
        ]
        if not stretch:
            continue
        vocabulary = ", ".join(data_lines("measurements_bias.txt"))
        again = transcriber.transcribe(samples, stretch, language=language, vocabulary=vocabulary, done=done).words
        for other in pressures(again):
            right = again[other.word]
            if other.can_be and other.systolic == pressure.systolic and abs(right.start - wrong.start) <= NEAR:
                heard[pressure.word] = replace(
                    wrong,
                    text=_with_lower(wrong.text, pressure, other),
                    probability=min(wrong.probability, right.probability, DISPUTED),
                )
                break
    return tuple(heard)


def _with_lower(text: str, wrong: Pressure, right: Pressure) -> str:
    """Return the word with the lower value of ``right``, punctuation kept."""
    head, found, tail = text.rpartition(str(wrong.diastolic))
    return f"{head}{right.diastolic}{tail}" if found else text
