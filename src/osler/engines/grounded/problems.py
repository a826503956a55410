"""Finds the problems that the clinician's plan goes through: "for your second problem, your migraines"."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from osler.engines.grounded.lexical import load_lexicon
from osler.engines.grounded.utterances import Utterance
from osler.engines.grounded.wording import tidy
from osler.notes.model import Evidence, Experiencer, Finding, FindingKind, Temporality

FROM = 0.45
"""No plan is looked for before this share of the visit's words."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem named in the plan: its words, the utterance and where in it (code points of the turn)."""

    name: str
    utterance: Utterance
    start: int
    end: int
    is_main: bool = False
    """It is the visit's one problem and heads the whole plan."""


def plan_problems(said: Sequence[Utterance], findings: Sequence[Finding]) -> list[Problem]:
    """Return the problems in the order in which the plan takes them up, each name once in a row."""
    named = [e for f in findings if f.kind in (FindingKind.PROBLEM, FindingKind.SYMPTOM) for e in f.evidence[:1]]
    found: list[Problem] = []
    announced = False
    for utterance in said:
        if not utterance.by_clinician or utterance.position < FROM:
            continue
        text = tidy(utterance.text)
        match = load_lexicon().any_of("numbered_problem").search(text)
        sure = match is not None
        if match is None and announced:
            match, sure = load_lexicon().any_of("problem_alone").match(text), True
        if match is None:
            match = load_lexicon().any_of("problem_topic").match(text)
        announced = load_lexicon().any_of("problem_named_next").search(text) is not None
        if match is None:
            continue
        problem = _locate(match["name"], utterance)
        if problem is None:
            continue
        inside = any(e.turn == utterance.turn and e.start < problem.end and problem.start < e.end for e in named)
        if (sure or inside) and (not found or found[-1].name != problem.name):
            found.append(problem)
    return found


def main_problem(said: Sequence[Utterance], findings: Sequence[Finding]) -> list[Problem]:
    """Return the problem that the clinician names, if it is the only one that the visit is about; else none."""
    named: dict[str, list[Evidence]] = {}
    for finding in findings:
        own = finding.experiencer is Experiencer.PATIENT and finding.temporality is Temporality.CURRENT
        if finding.kind is FindingKind.PROBLEM and own and not finding.negated:
            named.setdefault(finding.concept, []).extend(finding.evidence[:1])
    if len(named) != 1:
        return []
    ((concept, mentions),) = named.items()
    for mention in mentions:
        for utterance in said:
            inside = utterance.turn == mention.turn and utterance.start <= mention.start < utterance.end
            if inside and utterance.by_clinician and not utterance.is_question:
                return [Problem(concept, utterance, mention.start, mention.end, is_main=True)]
    return []


_NO_NAMES = frozenset({"i", "we", "it", "you", "is", "are", "that", "so", "there", "they"})


def _locate(name: str, utterance: Utterance) -> Problem | None:
    """Find the tidied name in the words as said: from its first to its last word."""
    free = load_lexicon().words("problem_free_words")
    words = [w for w in re.findall(r"[\w'-]+", name) if w.lower() not in free]
    if (
        not words
        or len(words) > 6
        or words[0].lower() in _NO_NAMES
        or re.match(r"(?:problem|diagnosis|thing|today|now|plan|that|this|it)$", words[-1], re.I)
    ):
        return None
    pattern = r"\W+(?:\w{1,3}\W+){0,3}?".join(re.escape(w) for w in words)
    matches = list(re.finditer(pattern, utterance.text, re.IGNORECASE))
    if not matches:
        return None
    match = matches[-1]
    return Problem(" ".join(words), utterance, utterance.start + match.start(), utterance.start + match.end())
