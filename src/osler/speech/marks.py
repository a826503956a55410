"""Marks the drugs, doses and numbers of a turn that a person should check against the audio. Nothing is replaced."""

import functools
import re
from collections.abc import Sequence
from typing import Final

from osler.speech.model import Mark, Word
from osler.speech.number_grammar import DIGITS, NUMBER_WORDS
from osler.speech.units import UnitKind, unit_at
from osler.speech.vocabulary import bare, data_lines, is_drug, near_drug

DOUBTFUL: Final = 0.6
"""Word probability below which a drug, dose or number is marked."""

_NUMBER = re.compile(r"\d")
_SPELLED: Final = frozenset(NUMBER_WORDS) - frozenset(DIGITS)


def find_marks(words: Sequence[Word]) -> tuple[Mark, ...]:
    """Return the doubtful places of a turn in order, not overlapping.

    ``drug``: a drug name heard with a probability below :data:`DOUBTFUL`, or a word that is no everyday word and nearly
    a drug name, however sure the engine was. ``dose``: a number with a drug's unit after it. ``number``: any other.
    """
    found: list[Mark] = []
    skip = -1
    for i, word in enumerate(words):
        if i <= skip:
            continue
        if _NUMBER.search(word.text) or bare(word.text) in _SPELLED:
            last = _dose_end(words, i)
            lowest = min(w.probability for w in words[i : last + 1])
            kind = "dose" if last > i or _ends_in_dose(word) else "number"
            if lowest < DOUBTFUL:
                found.append(_mark(words, i, last, kind, lowest))
            skip = last
        elif is_drug(word.text):
            if word.probability < DOUBTFUL:
                found.append(_mark(words, i, i, "drug", word.probability))
        elif bare(word.text) not in _everyday_words() and near_drug(word.text):
            found.append(_mark(words, i, i, "drug", word.probability))
    return tuple(found)


@functools.cache
def _everyday_words() -> frozenset[str]:
    return frozenset(data_lines("everyday_words.txt"))


def _dose_end(words: Sequence[Word], i: int) -> int:
    """Return the index of the last word of the dose that starts at ``i``; ``i`` itself if no unit of a drug follows."""
    if i + 1 < len(words) and bare(words[i].text) == words[i].text.lower():
        unit = unit_at([bare(word.text) for word in words[i + 1 : i + 2]])
        if unit is not None and unit.kind in (UnitKind.DOSE, UnitKind.FORM):
            return i + 1
    return i


def _ends_in_dose(word: Word) -> bool:
    """Say whether one word holds number and unit: "10 mg" from "10mg", "5-mg" from "five-milligram"."""
    match = re.search(r"\d[ -]([a-zA-Z]+)\W*$", word.text)
    unit = unit_at([match[1].lower()]) if match else None
    return unit is not None and unit.kind in (UnitKind.DOSE, UnitKind.FORM)


def _mark(words: Sequence[Word], first: int, last: int, kind: str, probability: float) -> Mark:
    """Mark the words without the punctuation around them."""
    text = words[first].text
    lead = len(text) - len(text.lstrip("\"'“‘(["))
    end = words[last].offset + len(words[last].text.rstrip(".,?!;:\"'”’)]…"))
    return Mark(words[first].offset + lead, max(end, words[first].offset + lead), kind, probability)
