"""Other words for the same thing: abbreviations of the clinic and the words of patients, from data files."""

from dataclasses import dataclass
from functools import cache
from typing import Final

from osler.engines.terminology.words import table, tokens

_LONGEST: Final = 6
"""Words of a phrase at most."""
_SIDES: Final = frozenset({"right", "left", "bilateral"})


@dataclass(frozen=True, slots=True)
class LayPhrase:
    """How patients say it, how clinicians do, and the code of ICD-10-CM: a category where words narrow it down."""

    phrase: str
    clinical: str
    code: str
    source: str


@cache
def lay_phrases() -> tuple[LayPhrase, ...]:
    """Return Osler's lexicon of lay language (``data/lay.tsv``)."""
    return tuple(LayPhrase(*row) for row in table("lay.tsv"))


@cache
def clinical_phrases() -> tuple[tuple[str, str], ...]:
    """Return what clinicians write where ICD-10-CM has other words, each with its code (``data/clinical.tsv``)."""
    return tuple((phrase, code) for phrase, code in table("clinical.tsv"))


def rewritings(words: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Return the words with abbreviations written out, and also with lay phrases in clinical words."""
    written_out = _replaced(words, _abbreviations(), whole=False)
    return [each for each in dict.fromkeys((written_out, _replaced(written_out, _lay(), whole=True))) if each != words]


def _replaced(
    words: tuple[str, ...], phrases: dict[tuple[str, ...], tuple[str, ...]], *, whole: bool
) -> tuple[str, ...]:
    """Put phrases in other words; ``whole``: a phrase of one word only where nothing but sides stands beside it."""
    result: list[str] = []
    at = 0
    while at < len(words):
        for length in range(min(_LONGEST, len(words) - at), 0, -1):
            found = phrases.get(words[at : at + length])
            if found is not None and (length > 1 or not whole or _SIDES.issuperset(words[:at] + words[at + 1 :])):
                result += found
                at += length
                break
        else:
            result.append(words[at])
            at += 1
    return tuple(result)


@cache
def _abbreviations() -> dict[tuple[str, ...], tuple[str, ...]]:
    return {tokens(short): tokens(long) for short, long, *_ in table("abbreviations.tsv")}


@cache
def _lay() -> dict[tuple[str, ...], tuple[str, ...]]:
    return {tokens(each.phrase): tokens(each.clinical) for each in lay_phrases()}
