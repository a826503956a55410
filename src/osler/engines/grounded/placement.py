"""Where a candidate stands in the note and how much it matters: the learned models, corrected by its findings."""

from collections.abc import Mapping, Sequence
from typing import Final

from osler.engines.grounded.candidates import ANSWERED, STATED, Candidate
from osler.engines.grounded.lexical import load_lexicon
from osler.engines.grounded.selection import CLINICIAN_SECTIONS, PATIENT_SECTIONS, SelectionModel
from osler.engines.grounded.utterances import Utterance
from osler.engines.grounded.wording import tidy
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

LEAST: Final[Mapping[FindingKind, float]] = {
    FindingKind.MEDICATION: 0.5,
    FindingKind.SYMPTOM: 0.4,
    FindingKind.PROBLEM: 0.4,
    FindingKind.SOCIAL: 0.36,
}
"""What the patient tells of these is at least worth this, however unlike a training note it sounds."""

OPTION_RANK: Final = 0.2
"""What was only considered is not in the usual note."""

ORDER_RANK, PLANS_FROM = 0.6, 0.4
"""Orders, medicines and follow-up that the clinician names after this share of the words are in every note."""

ANSWER_RANK: Final = 0.5
"""Onset, place and severity that were asked for are in every note but the shortest."""

OPENING, OPENING_WORTH = 0.15, 0.15
"""Until this share of the words patients say why they came; that is worth this much more."""

NO_PLAN_SAID: Final = 0.55
"""Where no plan is announced it is taken to begin at this share of the visit's words."""

_PLAN: Final = frozenset({"assessment_plan", "instructions"})
_ORDERED: Final = frozenset({FindingKind.ORDER, FindingKind.MEDICATION, FindingKind.FOLLOW_UP, FindingKind.PLAN})
_CHANGES: Final = frozenset({"start", "stop", "increase", "decrease"})


def plan_start(said: Sequence[Utterance]) -> float:
    """Return the share of the visit's words after which the clinician tells the plan."""
    marks = load_lexicon().any_of("plan_marks")
    for utterance in said:
        if utterance.by_clinician and utterance.position > 0.25 and marks.search(utterance.text):
            return utterance.position
    return NO_PLAN_SAID


def rank_of(candidate: Candidate, about: Sequence[Finding], model: SelectionModel) -> float:
    """Return the rank of a candidate, 0..1."""
    rank = model.probability(candidate) + max((WORTH.get(f.kind, 0.0) for f in about), default=0.0)
    changed = any(f.kind is FindingKind.MEDICATION and f.attributes.get("action") in _CHANGES for f in about)
    if (changed and candidate.by_clinician) or any(f.kind is FindingKind.ALLERGY for f in about):
        rank = max(rank, MUST_RANK)
    if candidate.by_clinician and load_lexicon().any_of("safety_net").search(candidate.text):
        rank = max(rank, MUST_RANK)
    if candidate.by_clinician and any(f.kind in _ORDERED for f in about) and candidate.position > PLANS_FROM:
        rank = max(rank, ORDER_RANK)
    if candidate.kind == ANSWERED:
        rank = max(rank, ANSWER_RANK)
    if candidate.kind == STATED and not candidate.by_clinician and about and candidate.position < OPENING:
        rank += OPENING_WORTH
    if not candidate.by_clinician and candidate.kind == STATED:
        rank = max([rank, *(LEAST[f.kind] for f in about if f.kind in LEAST and not f.negated)])
        if any(f.experiencer is Experiencer.FAMILY for f in about):
            rank = max(rank, ANSWER_RANK)
    if candidate.by_clinician and about and all(f.attributes.get("action") == "declined" for f in about):
        rank = min(rank, OPTION_RANK)
    if candidate.by_clinician and load_lexicon().any_of("options").search(tidy(candidate.sources[-1].text)):
        rank = min(rank, OPTION_RANK)
    return round(min(rank, 0.94), 6)


def part_of(
    candidate: Candidate,
    about: Sequence[Finding],
    model: SelectionModel,
    plan_from: float,
    *,
    allergic: bool = False,
) -> str:
    """Return the part of the note in which a candidate stands; ``allergic``: it tells what an allergy does."""
    kinds = {f.kind for f in about}
    if not candidate.by_clinician:
        if about and all(f.experiencer is Experiencer.FAMILY for f in about):
            return "family"
        if FindingKind.ALLERGY in kinds or allergic:
            return "allergies"
        if kinds == {FindingKind.SOCIAL}:
            return "social"
        own = about and all(f.experiencer is Experiencer.PATIENT for f in about)
        return model.section(candidate, PATIENT_SECTIONS - {"chief_complaint"} - ({"family"} if own else set()))
    lexicon = load_lexicon()
    planned = kinds & {FindingKind.ORDER, FindingKind.PLAN, FindingKind.FOLLOW_UP}
    changed = any(f.attributes.get("action") in _CHANGES for f in about)
    at_home = any(f.attributes.get("where") == "home" for f in about)
    if at_home and not planned and not changed:
        return "hpi"
    if FindingKind.VITAL in kinds and not planned and not changed and not kinds & {FindingKind.RESULT}:
        words = candidate.text.lower()
        return "results" if any(word in words for word in lexicon.tables["laboratory"]) else "vitals"
    if lexicon.any_of("safety_net").search(candidate.text) and candidate.position > 0.3:
        return "instructions"
    if (planned or changed) and candidate.position > min(0.35, plan_from):
        return "assessment_plan"
    begun = {clause.split(" ")[0].lower() for clause in candidate.text.split(", ")}
    if begun & lexicon.words("orders") and candidate.position > min(0.35, plan_from):
        return "assessment_plan"
    said = candidate.sources[-1].text
    if lexicon.any_of("told").search(said) or (
        lexicon.any_of("reported").search(said) and candidate.position < plan_from
    ):
        return "hpi"
    if plan_from == NO_PLAN_SAID and not planned and not changed and lexicon.any_of("past_history").search(said):
        return "history"
    if plan_from == NO_PLAN_SAID and not planned and not changed and lexicon.any_of("retold").search(tidy(said)):
        return "hpi"
    if kinds == {FindingKind.EXAM} and not lexicon.any_of("opinions").search(candidate.text):
        return "exam"
    if lexicon.any_of("opinions").search(candidate.text) and candidate.position > 0.25:
        return "assessment_plan"
    if candidate.position >= plan_from:
        return model.section(candidate, CLINICIAN_SECTIONS - {"hpi", "history", "medications", "vitals"})
    intended = candidate.text.split(" ")[0].lower() in lexicon.words("plan_verbs")
    if intended and candidate.position > 0.3:
        return "assessment_plan"
    part = model.section(candidate, CLINICIAN_SECTIONS - _PLAN)
    if FindingKind.VITAL in kinds and part != "results":
        return "vitals"
    if FindingKind.EXAM in kinds and part in ("hpi", "history", "medications") and candidate.position > 0.25:
        return "exam"
    return part
