"""A visit read for writing: every grounded sentence that it gives, ranked, and the problems that its plan goes through.

Sentences come from two sources, composed from findings and chosen from what was said (rewritten in the third person).
All are ranked once; a voice style takes more or less of that one ranking, so a shorter note says part of what a longer
one says. What ``osler.notes.grounding`` cannot find in the quotes is not written.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from osler.engines.grounded.candidates import DENIED, Candidate, beginnings, candidates, plain_beginnings
from osler.engines.grounded.lexical import load_lexicon
from osler.engines.grounded.phrasing import (
    Line,
    compose,
    compose_change,
    compose_symptoms,
    is_grounded,
    joined,
    reason_for_visit,
)
from osler.engines.grounded.placement import MUST_RANK, part_of, plan_start, rank_of
from osler.engines.grounded.problems import Problem, main_problem, plan_problems
from osler.engines.grounded.repetition import content, repeats, without_repetition
from osler.engines.grounded.rewriting import NEUTRAL, Reference, finish, reference_of, statement
from osler.engines.grounded.selection import load_model
from osler.engines.grounded.utterances import Utterance, utterances
from osler.engines.grounded.wording import tidy
from osler.notes.model import Evidence, Finding, FindingKind, Sentence, Verdict, VoiceStyle
from osler.notes.ports import FindingExtractor
from osler.speech.model import Transcript

LEAST_RANK: Final = {
    VoiceStyle.BRIEF: 0.58,
    VoiceStyle.GOLDILOCKS: 0.34,
    VoiceStyle.DETAILED: 0.22,
    VoiceStyle.SUPER_DETAILED: 0.12,
}
"""The rank from which a style takes a sentence; GOLDILOCKS has the best cross-validated ROUGE-1 on ACI-BENCH train."""

_STYLES: Final = (VoiceStyle.BRIEF, VoiceStyle.GOLDILOCKS, VoiceStyle.DETAILED, VoiceStyle.SUPER_DETAILED)

_CLINICIAN_SPEAKS: Final = frozenset({"assessment_plan", "instructions"})
"""Only here may a sentence say "I": the opinion and plan are the clinician's own."""

_FIRST_PERSON: Final = re.compile(r"(?:I|We)(?:'\w+)?\b|.*[,;] (?:I|we)(?:'\w+)? ")


@dataclass(frozen=True, slots=True)
class Visit:
    """What a transcript gives a writer: every grounded sentence, ranked; the plan's problems; who the patient is."""

    lines: Sequence[Line] = ()
    problems: Sequence[Line] = ()
    reference: Reference = NEUTRAL
    findings: Sequence[Finding] = ()


def read_visit(transcript: Transcript, extractor: FindingExtractor) -> Visit:
    """Read a transcript once; nothing clinical said: no lines."""
    findings = extractor.extract(transcript) if transcript.turns else []
    if not findings:
        return Visit()
    said = utterances(transcript)
    reference = reference_of(transcript)
    named = plan_problems(said, findings) or main_problem(said, findings)
    lines = ranked_lines(transcript, said, findings, reference)
    return Visit(lines, problem_lines(named, transcript), reference, findings)


def ranked_lines(
    transcript: Transcript, said: Sequence[Utterance], findings: Sequence[Finding], reference: Reference
) -> list[Line]:
    """Return every grounded sentence that the visit gives, the ones that matter most first, none said twice."""
    model = load_model()
    stated: list[Line] = []
    plan_from = plan_start(said)
    plan_turn = next((u.turn for u in said if u.position >= plan_from), len(transcript.turns))
    composed = compose(findings, transcript, plan_turn)
    for candidate in candidates(said, reference):
        if is_doubtful(candidate.text):
            stated += _doubtful_pressures(candidate, transcript)
            continue
        about = [f for f in findings if _shares_words(f.evidence[:1], candidate)]
        if candidate.kind == DENIED and _is_listed(candidate.text, about, composed):
            continue
        allergic = any(
            f.kind is FindingKind.ALLERGY and f.attributes.get("reaction") and _shares_words(f.evidence, candidate)
            for f in findings
        )
        part = part_of(candidate, about, model, plan_from, allergic=allergic)
        if candidate.by_clinician and part not in _CLINICIAN_SPEAKS and _FIRST_PERSON.match(candidate.text):
            continue
        stated.append(
            Line(
                part=part,
                text=candidate.text,
                evidence=cited(candidate, transcript),
                rank=rank_of(candidate, about, model),
                order=(candidate.sources[-1].turn, candidate.sources[-1].start),
                verdict=Verdict.INFERRED if candidate.inferred else Verdict.SUPPORTED,
                denies=candidate.kind == DENIED,
            )
        )
    reason = reason_for_visit(findings, transcript)
    grounded = [line for line in [*composed, *stated] if is_grounded(line)]
    if any(line.part == "allergies" for line in composed):
        grounded = [line for line in grounded if line.composed or line.part != "allergies" or not line.denies]
    kept = without_repetition(_telling(grounded))
    covered = [e for line in kept for e in line.evidence if line.part in ("assessment_plan", "instructions")]
    for change in compose_change(findings, covered, transcript, plan_turn):
        told = (line for line in kept if line.part in _CLINICIAN_SPEAKS)
        if is_grounded(change) and not any(repeats(content(change.text), content(line.text)) for line in told):
            kept.append(change)
    kept += compose_symptoms(findings, kept, LEAST_RANK[VoiceStyle.GOLDILOCKS], transcript)
    kept = _with_return_precautions(kept, findings, transcript, reference)
    if reason is not None and is_grounded(reason):
        kept = [line for line in kept if line.part != "chief_complaint"] + [reason]
    least = LEAST_RANK[VoiceStyle.SUPER_DETAILED]
    return sorted((line for line in kept if line.rank >= least), key=lambda line: (-line.rank, line.order, line.text))


def _with_return_precautions(
    lines: Sequence[Line], findings: Sequence[Finding], transcript: Transcript, reference: Reference
) -> list[Line]:
    """Keep every "if ..., call us" as an instruction of each style; write those that no line tells."""
    kept = list(lines)
    for finding in findings:
        if finding.concept != "return precautions":
            continue
        here = finding.evidence[0]
        tells = [
            i
            for i, line in enumerate(kept)
            if not line.composed
            and any(e.turn == here.turn and e.start < here.end and here.start < e.end for e in line.evidence)
        ]
        for i in tells:
            if re.search(r"\b(?:if|unless|should|in case|as soon as|any ?time)\b", kept[i].text, re.IGNORECASE):
                kept[i] = replace(kept[i], part="instructions", rank=max(kept[i].rank, PRECAUTION_RANK))
        text = finish(statement(tidy(here.quote), reference) or "") if not tells else None
        if text is not None:
            line = Line("instructions", text, (here,), PRECAUTION_RANK, (here.turn, here.start), composed=True)
            kept += [line] if is_grounded(line) else []
    return kept


PRECAUTION_RANK: Final = 0.9
"""When to come back or call is in the note of every style."""


def cited(candidate: Candidate, transcript: Transcript) -> tuple[Evidence, ...]:
    """Return the evidence of a candidate: the whole of each utterance that it comes from."""
    return joined(Evidence.cite(transcript, s.turn, s.start, s.end) for s in candidate.sources)


def _shares_words(evidence: Sequence[Evidence], candidate: Candidate) -> bool:
    return any(s.turn == e.turn and s.start < e.end and e.start < s.end for s in candidate.sources for e in evidence)


def _is_listed(denial: str, about: Sequence[Finding], composed: Sequence[Line]) -> bool:
    """Say whether the composed list of denied symptoms holds all that an answered question denies."""
    review = " ".join(line.text.lower() for line in composed if line.part == "ros")
    listed = [f for f in about if f.negated and f.concept in review]
    said = {b for f in listed for b in beginnings(f"{f.text} {f.concept}", shortest=1)}
    return bool(listed) and not beginnings(denial) - said - plain_beginnings()


def _telling(lines: Sequence[Line]) -> list[Line]:
    """Leave out a bare "the patient reports numbness": the complaint is told in more words, or with its place."""
    general = load_lexicon().words("general_complaints")
    return [
        line
        for line in lines
        if line.composed or line.text.removeprefix("The patient reports ").rstrip(".") not in general
    ]


def is_doubtful(text: str) -> bool:
    """Say whether a blood pressure in the text cannot be: its diastolic value is not below the systolic one."""
    return bool(_impossible_pressures(text))


def _impossible_pressures(text: str) -> list[str]:
    if not re.search(r"\b(?:blood )?pressure\b|\bbp\b", text, re.I):
        return []
    pairs = re.findall(r"\b(\d{2,3})/(\d{2,3})\b", text)
    return [f"{systolic}/{diastolic}" for systolic, diastolic in pairs if int(systolic) <= int(diastolic)]


def _doubtful_pressures(candidate: Candidate, transcript: Transcript) -> list[Line]:
    """Return what a note says of a blood pressure that cannot be: that it was heard so, for a person to check."""
    return [
        Line(
            part="vitals" if candidate.by_clinician else "hpi",
            text=f"The blood pressure was heard as {value}; check the recording.",
            evidence=cited(candidate, transcript),
            rank=0.93,
            order=(candidate.sources[-1].turn, candidate.sources[-1].start),
            verdict=Verdict.INFERRED,
        )
        for value in _impossible_pressures(candidate.text)
    ]


def length(lines: Sequence[Line], style: VoiceStyle) -> int:
    """Return how many of the ranked lines a style takes.

    Each takes more than the shorter one, or as many and writes them out in more words: "The patient denies fever."
    Only a visit of a few sentences that no note may lack gives two styles the same words. MY_VOICE, of whose length
    nothing is known here, is GOLDILOCKS.
    """
    style = VoiceStyle.GOLDILOCKS if style is VoiceStyle.MY_VOICE else style
    needed = sum(line.rank >= MUST_RANK for line in lines)
    counts = [max(1, sum(line.rank >= LEAST_RANK[s] for line in lines)) for s in _STYLES]
    for i in reversed(range(len(counts) - 1)):
        least = min(counts[i + 1], max(1, counts[i + 1] - 1))
        wordier = i > 0 and any(_subject_left_out(line) for line in lines[: counts[i]])
        counts[i] = max(needed, min(counts[i], counts[i + 1] if wordier else least))
    return counts[_STYLES.index(style)]


def problem_lines(problems: Iterable[Problem], transcript: Transcript) -> list[Line]:
    """Return the headings of the plan; that a named problem heads the sentences after it is inferred."""
    lines = []
    for problem in problems:
        evidence = Evidence.cite(transcript, problem.utterance.turn, problem.start, problem.end)
        text = f"{problem.name[:1].upper()}{problem.name[1:]}."
        line = Line(
            "assessment_plan",
            text,
            (evidence,),
            1.0,
            (-1, 0) if problem.is_main else (evidence.turn, problem.utterance.start - 1),
            Verdict.INFERRED,
            is_problem=True,
        )
        if is_grounded(line):
            lines.append(line)
    return lines


def in_order(lines: Sequence[Line], problems: Sequence[Line], part: str) -> list[Line]:
    """Put the lines of a part in the order of the visit; in the plan, under the problems that have lines, each once."""
    ordered = sorted(lines, key=lambda line: (line.order, line.text))
    if part != "assessment_plan" or not ordered:
        return ordered
    merged = sorted([*ordered, *problems], key=lambda line: (line.order, not line.is_problem, line.text))
    under: dict[str, list[Line]] = {"": []}
    name = ""
    for line in merged:
        if line.is_problem:
            name = line.text
            under.setdefault(name, [line])
        else:
            under[name].append(line)
    return [line for lines in under.values() for line in lines if not (line.is_problem and len(lines) == 1)]


def sentences(lines: Sequence[Line], reference: Reference, style: VoiceStyle) -> list[Sentence]:
    """Write the lines down; "The patient" becomes he or she after a sentence about the patient, where that is known."""
    written: list[Sentence] = []
    subject = _SUBJECT.get(style, "")
    name = ""
    for line in lines:
        text = line.text
        if line.is_problem:
            name = text.rstrip(".").lower()
        text = _past_heading(text, name)
        if _subject_left_out(line):
            text = f"{subject}{text.removeprefix('The patient ')}"
            text = f"{text[:1].upper()}{text[1:]}"
        previous = written[-1].text if written else ""
        if (
            not reference.plural
            and text.startswith("The patient ")
            and previous.startswith(("The patient ", "He ", "She "))
        ):
            text = f"{reference.subject.capitalize()} {text.removeprefix('The patient ')}"
        written.append(Sentence(text, line.evidence, line.verdict, line.is_problem))
    return written


_TELEGRAPHIC: Final = frozenset({"ros", "medications", "allergies", "social", "family", "vitals", "results", "history"})
"""Parts that leave the subject out: "Denies fever." """


_SUBJECT: Final = {VoiceStyle.DETAILED: "patient ", VoiceStyle.SUPER_DETAILED: "the patient "}
"""What stands for "The patient" there in the longer styles; the shorter ones leave it out."""


def _subject_left_out(line: Line) -> bool:
    verbs = r"(?:denies|reports|takes|smokes|drinks|works|lives|does not|has never|is taking)"
    return (
        line.part in _TELEGRAPHIC
        and len(line.text.split()) > 4
        and re.match(rf"The patient {verbs}\b", line.text) is not None
    )


def _past_heading(text: str, name: str) -> str:
    """Drop "For the migraines," under the heading "Migraines."."""
    match = re.match(
        r"(?:For|As for|In terms of|Regarding|With|About)(?: the)? (?:[\w ]*problem,? )?"
        r"(?:for )?(?:the )?([\w' -]+?), (?=\w)",
        text,
    )
    if not name or match is None or not (name in match[1].lower() or match[1].lower() in name):
        return text
    return f"{text[match.end()].upper()}{text[match.end() + 1 :]}"
