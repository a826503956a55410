"""Signs beside an assessment: the reason of the visit is coded, unless a diagnosis that is coded explains it."""

from collections.abc import Sequence
from functools import cache
from typing import Final

from osler.engines.coder.drafts import Draft
from osler.engines.coder.standing import Section
from osler.engines.coder.vocabulary import rows

SIGNS: Final = ("R", "M25.5", "M79.6", "G89", "L53.9", "L29.9", "T14", "T78.40")
"""Codes of complaints."""
_OPENING: Final = 8
"""Sentences of the history in which further complaints of this visit are told."""


def reasons(told: Sequence[tuple[Draft, Section, int]], diagnoses: Sequence[Draft]) -> list[Draft]:
    """Return those signs that are coded, of ``told`` ones with their section and how far in it they stand.

    The complaint that led to the visit is coded where no diagnosis explains it, and with it the other complaints with
    which the history opens (Official Guidelines, I.B.5, I.B.6 and IV.D).
    """
    open_ = [each for each in told if not is_explained(each[0].code, diagnoses)]
    complaints = [draft for draft, section, _ in open_ if section is Section.COMPLAINT]
    if not complaints:
        return []
    return [
        *complaints,
        *(draft for draft, section, place in open_ if section is Section.TOLD and place < _OPENING),
    ]


def is_explained(sign: str, diagnoses: Sequence[Draft]) -> bool:
    """Say whether a sign is an integral part of a diagnosis; what is not known of is taken to be."""
    explained = [by for of, by in _integral() if sign.startswith(of)]
    return not explained or any(draft.code.startswith(by) for by in explained for draft in diagnoses)


@cache
def _integral() -> Sequence[tuple[tuple[str, ...], tuple[str, ...]]]:
    return [(tuple(of.split()), tuple(by.split())) for of, by in rows("integral.tsv")]
