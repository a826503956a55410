"""What conditions become together: combination codes, and general codes beside more specific ones of the same kind.

The rules are those of the Official Guidelines for Coding and Reporting: hypertension with heart failure or chronic
kidney disease is presumed related (I.C.9.a), and so is diabetes with what stands under "with" in the index (I.A.15).
"""

from collections.abc import Callable, Sequence
from typing import Final

from osler.coding.coder import Setting
from osler.coding.terminology import Terminology
from osler.engines.coder.drafts import Draft

_Rule = tuple[str, Callable[[set[str]], bool], str]


def _any(*starts: str) -> Callable[[set[str]], bool]:
    return lambda codes: any(code.startswith(starts) for code in codes)


_KIDNEY: Final = _any("N18")
_HEART: Final = _any("I50")
_RULES: Final[Sequence[_Rule]] = (
    ("I10", lambda codes: _HEART(codes) and _KIDNEY(codes) and "N18.6" not in codes and "N18.5" not in codes, "I13.0"),
    ("I10", lambda codes: _HEART(codes) and _KIDNEY(codes), "I13.2"),
    ("I10", _HEART, "I11.0"),
    ("I10", lambda codes: bool({"N18.5", "N18.6"} & codes), "I12.0"),
    ("I10", _KIDNEY, "I12.9"),
    ("E11.9", _any("L97.4", "L97.5"), "E11.621"),
    ("E11.9", _KIDNEY, "E11.22"),
    ("E10.9", _KIDNEY, "E10.22"),
    ("E10.9", _any("L97.4", "L97.5"), "E10.621"),
)
_SIGNS: Final = ("R", "M54.5", "M54.9", "M54.2", "M25.5", "M79.6")
_PLACELESS: Final = frozenset(("R52", "T14.90XA", "T14.8XXA", "T78.40XA", "R60.9"))
_PARTS: Final = frozenset(("R11.0", "R11.10"))
"""Nausea and vomiting, each for itself: R11.2 is both."""
_BARE: Final = frozenset(("C80.1", "D49.9", "C79.9"))


def combined(drafts: Sequence[Draft], terminology: Terminology, setting: Setting = Setting.OUTPATIENT) -> list[Draft]:
    """Return the drafts with combination codes, each code once, general ones merged into specific ones.

    In an outpatient visit a sign that belongs to a diagnosis is not coded beside it (I.B.5, IV.D).
    """
    merged: dict[str, Draft] = {}
    for draft in drafts:
        if draft.code in merged:
            merged[draft.code].take(draft)
        else:
            merged[draft.code] = draft
    kept = _without_general(_without_bare(list(merged.values())), terminology)
    if terminology.system != "ICD-10-CM":
        return kept
    if setting is Setting.OUTPATIENT:
        kept = _without_signs(kept, terminology)
    codes = {draft.code for draft in kept}
    if setting is Setting.OUTPATIENT and _any("F17")(codes):
        kept = [draft for draft in kept if draft.code != "Z87.891"]  # a smoker has a history of smoking, too
    for draft in kept:
        for single, holds, both in _RULES:
            if draft.code == single and holds(codes):
                if draft.code not in draft.others:
                    draft.others.insert(0, draft.code)
                draft.code, draft.hint = both, None
                break
    again: dict[str, Draft] = {}
    for draft in kept:
        if draft.code in again:
            again[draft.code].take(draft)
        else:
            again[draft.code] = draft
    return list(again.values())


def _without_signs(drafts: list[Draft], terminology: Terminology) -> list[Draft]:
    """Leave out signs that an Excludes1 note forbids beside a diagnosis of the text, and those of no certain place."""
    diagnoses = [draft for draft in drafts if not draft.code.startswith(_SIGNS)]
    kept = []
    for draft in drafts:
        if draft.code.startswith(_SIGNS) and any(terminology.excludes1(draft.code, d.code) for d in diagnoses):
            continue
        if draft.code in _PARTS and any(d.code == "R11.2" for d in drafts):
            continue
        if draft.code in _PLACELESS and any(d.code not in _PLACELESS for d in drafts):
            continue
        kept.append(draft)
    return kept


def _without_bare(drafts: list[Draft]) -> list[Draft]:
    """Leave out "tumor", "cancer" and "pain" where the text also says which: they speak of the same."""
    codes = {draft.code for draft in drafts}
    named = any(code[0] in "CD" and code[:3] < "D50" and code not in _BARE for code in codes)
    return [draft for draft in drafts if not (named and draft.code in _BARE)]


def _without_general(drafts: list[Draft], terminology: Terminology) -> list[Draft]:
    """Merge a draft that says no more than its category into one draft of that category that says more."""
    kept: list[Draft] = []
    for draft in drafts:
        found = terminology.find(draft.code)
        category = draft.code[:3]
        specific = [
            d
            for d in drafts
            if d is not draft
            and d.code[:3] == category
            and (d.words > draft.words or (d.words == draft.words and d.size > draft.size))
            and terminology.unspecified(category) != d.code
        ]
        general = found is not None and (
            "unspecified" in found.description.lower() or terminology.unspecified(category) == draft.code
        )
        sided = bool(specific) and all(d.words == draft.words for d in specific)
        if general and (len(specific) == 1 or sided):
            target = specific[0]
            target.references += [r for r in draft.references if r not in target.references]
            target.others += [c for c in (draft.code, *draft.others) if c not in target.others]
            target.leading = target.leading or draft.leading
        else:
            kept.append(draft)
    return kept
