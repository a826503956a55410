"""Where a candidate stands in the note and how much it matters: the learned models, corrected by its findings."""

from collections.abc import Mapping, Sequence
from typing import Final

from osler.engines.grounded.candidates import Candidate
from osler.engines.grounded.selection import SelectionModel
from osler.notes.model import Experiencer, Finding, FindingKind

WORTH: Final[Mapping[FindingKind, float]] = {
    FindingKind.ALLERGY: 0.3,
    FindingKind.MEDICATION: 0.15,
    FindingKind.ORDER: 0.15,
    FindingKind.FOLLOW_UP: 0.15,
    FindingKind.PLAN: 0.1,
    FindingKind.RESULT: 0.1,
    FindingKind.EXAM: 0.1,
    FindingKind.VITAL: 0.1,
    FindingKind.PROBLEM: 0.08,
    FindingKind.PROCEDURE: 0.08,
    FindingKind.SYMPTOM: 0.06,
    FindingKind.SOCIAL: 0.06,
}
"""What a finding in a candidate adds to its probability; the largest counts. By hand: omissions hurt in this order."""

MUST_RANK: Final = 0.7
"""Changes of medicines and allergies are in every note."""

PLAN_FROM: Final = 0.3
"""Before this share of the visit's words a clinician tells history, not plan."""


def rank_of(candidate: Candidate, about: Sequence[Finding], model: SelectionModel) -> float:
    """Return the rank of a candidate, 0..1."""
    rank = model.probability(candidate) + max((WORTH.get(f.kind, 0.0) for f in about), default=0.0)
    changed = any(
        f.kind is FindingKind.MEDICATION and f.attributes.get("action") in ("start", "stop", "increase", "decrease")
        for f in about
    )
    if (changed and candidate.by_clinician) or any(f.kind is FindingKind.ALLERGY for f in about):
        rank = max(rank, MUST_RANK)
    return round(min(rank, 0.94), 6)


def part_of(candidate: Candidate, about: Sequence[Finding], model: SelectionModel) -> str:
    """Return the part of the note in which a candidate stands."""
    kinds = {f.kind for f in about}
    part = model.section(candidate)
    if about and all(f.experiencer is Experiencer.FAMILY for f in about) and not candidate.by_clinician:
        return "family"
    if FindingKind.ALLERGY in kinds:
        return "allergies"
    if not candidate.by_clinician:
        return "hpi" if part == "chief_complaint" else part
    if FindingKind.VITAL in kinds and part not in ("assessment_plan", "results"):
        return "vitals"
    if FindingKind.EXAM in kinds and part in ("hpi", "history", "medications", "instructions"):
        return "exam"
    planned = kinds & {FindingKind.ORDER, FindingKind.PLAN, FindingKind.FOLLOW_UP}
    if planned and part not in ("assessment_plan", "instructions") and candidate.position > PLAN_FROM:
        return "instructions" if planned == {FindingKind.FOLLOW_UP} else "assessment_plan"
    if part in ("assessment_plan", "instructions") and candidate.position < PLAN_FROM and not planned:
        return "hpi"
    return part
