"""The doses of a visit, medicine by medicine, in the order in which they were said: the last one is the settled one."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from osler.engines.grounded.asking.passages import Passage, ReadSource
from osler.notes.grounding import frequencies_in, units_in
from osler.notes.model import Experiencer, FindingKind, Temporality
from osler.notes.tokens import numbers

_UNITS: Final = frozenset(("mg", "mcg", "g", "ml", "unit", "puff", "tablet", "capsule", "drop", "spray", "meq"))
_BACK: Final = 8
"""Passages before a dose without a name in which its medicine is looked for."""

_CHANGES: Final = re.compile(
    r"\b(go(ing)? (up|down|to|back)|increas\w+|decreas\w+|raise|lower\w*|reduc\w+|doubl\w+|halv\w+|cut|bump|titrat\w+|"
    r"up to|down to|let's (do|try|make|go|keep|stay)|make (it|that)|keep|stay|switch|"
    r"change|start\w*|put you|try|take|taking)\b",
    re.IGNORECASE,
)
_SUPPOSES: Final = re.compile(
    r"\b(if|might|maybe|could|unless|perhaps|probably|consider|thinking about|eventually|over time)\b", re.I
)


@dataclass(frozen=True, slots=True)
class Statement:
    """What was said of a medicine's dose in one place; no dose: the medicine was named without one."""

    passage: Passage
    dose: str
    frequency: str


def doses(source: ReadSource) -> Mapping[str, list[Statement]]:
    """Return what was said of the dose of each medicine of the patient's, by its generic name."""
    found: dict[str, list[Statement]] = {}
    placed: set[Passage] = set()
    for finding in source.findings:
        if finding.kind is not FindingKind.MEDICATION or finding.experiencer is not Experiencer.PATIENT:
            continue
        passage = source.passage_of(finding.evidence[0])
        if passage is None:
            continue
        supposed = finding.temporality is Temporality.HYPOTHETICAL or finding.attributes.get("action") == "declined"
        dose = " ".join(filter(None, (finding.attributes.get("dose"), finding.attributes.get("unit"))))
        if dose and not supposed:
            at = _where(source, finding.evidence[1:], passage)
            found.setdefault(finding.concept, []).append(Statement(at, dose, finding.attributes.get("frequency", "")))
            placed.update((passage, at))
        else:
            found.setdefault(finding.concept, [])
    for passage in source.passages:
        if passage in placed or passage.asks or _SUPPOSES.search(passage.text):
            continue
        if any(m.meaning(FindingKind.MEDICATION) for m in passage.mentions) or not _CHANGES.search(passage.text):
            continue
        told = _dose_of(passage)
        name = _spoken_of(passage) if told else None
        if told and name in found:
            found[name].append(Statement(passage, *told))
    for statements in found.values():
        statements.sort(key=lambda s: (s.passage.turn, s.passage.start))
    return found


def _where(source: ReadSource, evidence: object, named: Passage) -> Passage:
    """Return the passage that holds a dose: that of the medicine's name, or a later one."""
    if _dose_of(named) is not None:
        return named
    for piece in evidence if isinstance(evidence, tuple) else ():
        passage = source.passage_of(piece)
        if passage is not None and _dose_of(passage) is not None:
            return passage
    return named


def _dose_of(passage: Passage) -> tuple[str, str] | None:
    """Return the last dose in a passage, and how often it is taken."""
    tokens = passage.tokens
    units = {start: unit for start, _, unit in units_in(tokens)}
    dosed = [
        (number.value, units[at])
        for number in numbers(tokens)
        for at in (number.end, number.end + 1)
        if units.get(at) in _UNITS and (at == number.end or tokens[number.end].norm == "-")
    ]
    if not dosed:
        return None
    often = [frequency for _, _, frequency in frequencies_in(tokens)]
    return " ".join(dosed[-1]), often[-1] if often else ""


def _spoken_of(passage: Passage) -> str | None:
    """Return the medicine that was named last before a passage, None if several were at once or none was."""
    passages = passage.of.passages
    for earlier in reversed(passages[max(0, passage.number - _BACK) : passage.number]):
        named = {term.concept for m in earlier.mentions if (term := m.meaning(FindingKind.MEDICATION))}
        if named:
            return next(iter(named)) if len(named) == 1 else None
    return None
