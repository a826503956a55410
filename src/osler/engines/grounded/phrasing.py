"""Sentences composed from findings: what a note states in a fixed form, vitals, medicines, allergies, denials."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from osler.engines.grounded.answers import polarity
from osler.engines.grounded.lexical import load_lexicon
from osler.engines.grounded.rewriting import finish
from osler.engines.grounded.wording import tidy
from osler.notes.grounding import check
from osler.notes.model import Evidence, Experiencer, Finding, FindingKind, Temporality, Verdict
from osler.speech.model import CLINICIAN, PATIENT, Transcript, Turn

MOST_LISTED = 6
"""Symptoms in one sentence of the review of systems."""


@dataclass(frozen=True, slots=True)
class Line:
    """A sentence for a part of the note; ``rank`` 0..1 says how early a shorter note leaves it out (low first).
    ``order`` is (turn, code point) of what it rests on.
    """

    part: str
    text: str
    evidence: tuple[Evidence, ...]
    rank: float
    order: tuple[int, int]
    verdict: Verdict = Verdict.SUPPORTED
    is_problem: bool = False
    composed: bool = False
    denies: bool = False


def joined(evidence: Iterable[Evidence]) -> tuple[Evidence, ...]:
    """Return evidence in the order of the visit, each span once."""
    return tuple(sorted(set(evidence), key=lambda e: (e.turn, e.start, e.end)))


def _line(part: str, text: str | None, findings: Sequence[Finding], rank: float) -> Line | None:
    if not text:
        return None
    evidence = joined(e for f in findings for e in f.evidence)
    first = findings[0].evidence[0]
    return Line(part, text, evidence, rank, (first.turn, first.start), composed=True)


def listed(items: Sequence[str], last: str = "and") -> str:
    """Write "a", "a and b", "a, b and c"."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} {last} {items[-1]}"


def is_grounded(line: Line) -> bool:
    """Say whether the check of the notes room finds everything of the line in its quotes."""
    return not check(line.text, [e.quote for e in line.evidence])


def compose(findings: Sequence[Finding], transcript: Transcript, plan_turn: int) -> list[Line]:
    """Return the composed sentences, in no particular order; the plan is told from turn ``plan_turn`` on."""
    own = [f for f in findings if f.experiencer is Experiencer.PATIENT]
    lines = [
        *_denials(own, transcript),
        *_vitals(own, transcript),
        *_medicines(own, transcript, plan_turn),
        *_allergies(own, transcript),
    ]
    return [line for line in lines if line is not None]


def _said(finding: Finding) -> str:
    return re.sub(r"^(?:any|some|a|an|the|my|your)\s+", "", tidy(finding.text)).strip(" .,")


def _denials(findings: Sequence[Finding], transcript: Transcript) -> list[Line | None]:
    denied: dict[str, Finding] = {}
    general = load_lexicon().words("general_complaints")
    affirmed = {
        f.concept
        for f in findings
        if not f.negated
        and f.kind in (FindingKind.SYMPTOM, FindingKind.PROBLEM)
        and f.temporality is Temporality.CURRENT
    }
    for finding in findings:
        plain = finding.temporality is Temporality.CURRENT and not finding.attributes.get("laterality")
        if not (finding.kind is FindingKind.SYMPTOM and finding.negated and plain) or finding.concept in affirmed:
            continue
        if finding.concept in general:
            continue
        alone = _line("ros", finish(f"the patient denies {finding.concept}"), [finding], 0.6)
        if alone is not None and is_grounded(alone) and not _answers_something_else(finding, transcript):
            denied.setdefault(finding.concept, finding)
    group = list(denied.values())
    lines: list[Line | None] = []
    for start in range(0, len(group), MOST_LISTED):
        part = group[start : start + MOST_LISTED]
        lines.append(_line("ros", finish(f"the patient denies {listed([f.concept for f in part])}"), part, 0.6))
    return lines


_GOES_ON = re.compile(
    r"\b(?:i|i've|i'm|it|there|my|but|just|only) ?(?:have|had|do|get|got|feel|is|was|a little)?\b", re.IGNORECASE
)


def _answers_something_else(finding: Finding, transcript: Transcript) -> bool:
    """Say whether the "no" before a patient's own words answers the question and the words then state the symptom."""
    mention = finding.evidence[0]
    turn = transcript.turns[mention.turn]
    if turn.speaker != PATIENT:
        return False
    cues = [e for e in finding.evidence[1:] if e.turn == mention.turn and e.end <= mention.start]
    bare = [e for e in cues if e.quote.lower().strip(" ,.") in {"no", "nope", "nah"}]
    return bool(bare) and any(_GOES_ON.search(turn.text[e.end : mention.start]) for e in bare)


def _vitals(findings: Sequence[Finding], transcript: Transcript) -> list[Line | None]:
    lines: list[Line | None] = []
    seen: set[tuple[str, str]] = set()
    laboratory = load_lexicon().tables["laboratory"]
    for finding in findings:
        value = finding.attributes.get("value", "")
        measured = _measures(transcript.turns[finding.evidence[0].turn])
        if finding.kind is not FindingKind.VITAL or finding.negated or not value or not measured:
            continue
        concept = finding.concept.lower()
        if finding.attributes.get("where") == "home":
            continue
        if (concept, value) in seen or finding.temporality is not Temporality.CURRENT:
            continue
        seen.add((concept, value))
        part = "results" if any(word in concept for word in laboratory) else "vitals"
        unit = finding.attributes.get("unit", "")
        name = load_lexicon().tables["vital_names"].get(concept, finding.concept[:1].upper() + finding.concept[1:])
        said = finish(tidy(finding.text)) or ""
        if not any(word in said.lower() for word in laboratory):
            said = ""
        if concept == "height":
            finding, value, unit = _whole_height(finding, value, unit, transcript)
        between = "" if unit.startswith(("%", "°")) or not unit else " "
        named = [f"{name}: {value}{between}{unit}.", f"{name}: {value}."]
        sure = part == "vitals" or all(word in finding.text.lower() for word in concept.split())
        for text in [*(named if sure else []), said]:
            line = _line(part, text, [finding], 0.93)
            if line is not None and is_grounded(line):
                lines.append(line)
                break
    return lines


def _measures(turn: Turn) -> bool:
    """Say whether a turn tells what was measured here: the clinician's does, another's if it is put to the patient."""
    to_patient = re.search(r"\byour\b", turn.text, re.IGNORECASE) is not None
    return turn.speaker == CLINICIAN or (turn.speaker != PATIENT and to_patient)


_FEET = re.compile(r"(\d+) ?(?:feet|foot|ft|')[ ,]*(?:and )?(\d+) ?(?:inch(?:es)?|in|\")?", re.IGNORECASE)


def _whole_height(finding: Finding, value: str, unit: str, transcript: Transcript) -> tuple[Finding, str, str]:
    """Take in the inches that follow the feet."""
    here = finding.evidence[0]
    match = _FEET.search(transcript.turns[here.turn].text, here.start)
    if match is None or match[1] != value or match.start() > here.end:
        return finding, value, unit
    whole = Evidence.cite(transcript, here.turn, here.start, max(here.end, match.end()))
    written = match[0].strip().replace("feet", "ft").replace("inches", "in")
    return replace(finding, evidence=(whole, *finding.evidence[1:])), written, ""


def _medicines(findings: Sequence[Finding], transcript: Transcript, plan_turn: int) -> list[Line | None]:
    best: dict[str, Finding] = {}
    for finding in findings:
        settled = finding.temporality is Temporality.CURRENT and not finding.negated
        if (
            finding.kind is not FindingKind.MEDICATION
            or not settled
            or finding.attributes.get("action") not in (None, "", "continue")
        ):
            continue
        known = best.get(finding.concept)
        if known is None or len(finding.attributes) > len(known.attributes):
            best[finding.concept] = finding
    changed = {
        f.concept
        for f in findings
        if f.kind is FindingKind.MEDICATION and f.attributes.get("action") in ("start", "stop", "declined")
    }
    lines = []
    for finding in best.values():
        where = finding.evidence[0].turn
        planned = where >= plan_turn and transcript.turns[where].speaker != PATIENT
        if finding.concept in changed or planned or not _is_own(finding, transcript):
            continue
        if not of_another_time(finding, transcript):
            lines.append(
                _line(
                    "medications",
                    finish(medicine(finding) + " ") or f"{medicine(finding).capitalize()}.",
                    [finding],
                    0.75,
                )
            )
    return lines


_PATIENT_SPOKEN_OF = re.compile(r"\b(?:you|your|you're|you've|he|she|his|her|he's|she's|patient)\b", re.IGNORECASE)


def _is_own(finding: Finding, transcript: Transcript) -> bool:
    """Say whether a medicine is the patient's: a clinician may speak of one in general ("vitamin D helps")."""
    told = any(transcript.turns[e.turn].speaker != CLINICIAN for e in finding.evidence)
    dosed = bool(finding.attributes.get("dose")) or bool(finding.attributes.get("action"))
    return told or dosed or _PATIENT_SPOKEN_OF.search(sentence_around(finding, transcript)) is not None


def medicine(finding: Finding) -> str:
    """Write a medicine with what was said of its dose: "lisinopril 20 mg by mouth once daily"."""
    get = finding.attributes.get
    dose = " ".join(filter(None, (get("dose", ""), get("unit", ""))))
    return " ".join(filter(None, (_said(finding), dose, get("route", ""), get("frequency", ""))))


def _denied_next(finding: Finding, transcript: Transcript) -> bool:
    """Say whether the answer to a clinician's question is no, although the finding is affirmed."""
    if finding.negated:
        return False
    turns = transcript.turns
    asked = [e.turn for e in finding.evidence if turns[e.turn].speaker == CLINICIAN and e.turn + 1 < len(turns)]
    replies = [turns[turn + 1].text for turn in asked]
    return any(polarity(r) is False and not re.search(r"\b(?:just|only|but|except|apart)\b", r) for r in replies)


def sentence_around(finding: Finding, transcript: Transcript) -> str:
    """Return the sentence in which a finding is first named."""
    here = finding.evidence[0]
    text = transcript.turns[here.turn].text
    start = max(text.rfind(mark, 0, here.start) for mark in ".?!") + 1
    ends = [i for mark in ".?!" if (i := text.find(mark, here.end)) >= 0]
    return text[start : min(ends, default=len(text))]


def of_another_time(finding: Finding, transcript: Transcript) -> bool:
    """Say whether the sentence tells of the past, of a reaction, of someone else, or is general talk."""
    sentence = sentence_around(finding, transcript)
    lexicon = load_lexicon()
    if transcript.turns[finding.evidence[0].turn].speaker == CLINICIAN:
        return lexicon.any_of("general_talk").search(sentence.strip()) is not None
    return lexicon.any_of("past_cues").search(sentence) is not None


def _allergies(findings: Sequence[Finding], transcript: Transcript) -> list[Line | None]:
    lines = []
    seen: set[str] = set()
    for finding in findings:
        if finding.kind is not FindingKind.ALLERGY or finding.concept in seen or _denied_next(finding, transcript):
            continue
        seen.add(finding.concept)
        said = _said(finding)
        if finding.negated:
            text = "No known drug allergies." if "drug" in said or "medic" in said else "No known allergies."
            if "allerg" not in said:
                text = f"No known allergy to {said}."
        else:
            text = f"Allergic to {said}." if "allerg" not in said else f"{said[:1].upper()}{said[1:]}."
        if finding.attributes.get("type") == "intolerance" and not finding.negated:
            text = f"Intolerance: {said}."
        reaction = finding.attributes.get("reaction", "")
        full = f"{text.removesuffix('.')} ({reaction})."
        line = _line("allergies", full, [finding], 0.97) if reaction and not finding.negated else None
        lines.append(line if line is not None and is_grounded(line) else _line("allergies", text, [finding], 0.97))
    return lines


_CHANGES = {"start": "start {}", "stop": "stop {}", "increase": "increase {}", "decrease": "decrease {}"}


def compose_change(
    findings: Sequence[Finding], covered: Sequence[Evidence], transcript: Transcript, plan_turn: int
) -> list[Line]:
    """Return the changes of medicines that no sentence of the plan states yet."""
    lines = []
    seen: set[tuple[str, str]] = set()
    for finding in findings:
        action = finding.attributes.get("action", "")
        here = finding.evidence[0]
        known = any(e.turn == here.turn and e.start <= here.start < e.end for e in covered)
        prescribed = here.turn >= plan_turn and transcript.turns[here.turn].speaker == CLINICIAN
        dosed = not action and prescribed and bool(finding.attributes.get("dose"))
        fresh = finding.kind is FindingKind.MEDICATION and (action in _CHANGES or dosed) and not finding.negated
        if not fresh or known or (finding.concept, action) in seen or finding.temporality is Temporality.HISTORICAL:
            continue
        seen.add((finding.concept, action))
        name = medicine(finding)
        if action in ("increase", "decrease") and finding.attributes.get("dose"):
            name = name.replace(_said(finding), f"{_said(finding)} to", 1)
        line = _line("assessment_plan", finish(_CHANGES.get(action, "{}").format(name)), [finding], 0.9)
        if line is not None:
            lines.append(line)
    return lines


def compose_symptoms(
    findings: Sequence[Finding], kept: Sequence[Line], enough: float, transcript: Transcript
) -> list[Line]:
    """Return the patient's symptoms that no line of rank ``enough`` tells: a note may not be short of these."""
    general = load_lexicon().words("general_complaints")
    told = [line for line in kept if line.rank >= enough]
    missing: dict[str, Finding] = {}
    for finding in findings:
        own = finding.experiencer is Experiencer.PATIENT and finding.temporality is Temporality.CURRENT
        if finding.kind is not FindingKind.SYMPTOM or finding.negated or not own or finding.concept in general:
            continue
        here = finding.evidence[0]
        if any(_tells(line, finding, here) for line in told) or finding.concept in missing:
            continue
        if of_another_time(finding, transcript) or any(f.concept == finding.concept and f.negated for f in findings):
            continue
        alone = _line("ros", f"The patient reports {finding.concept}.", [finding], enough + 0.08)
        if alone is not None and is_grounded(alone):
            missing[finding.concept] = finding
    group = list(missing.values())
    lines = []
    for start in range(0, len(group), MOST_LISTED):
        some = group[start : start + MOST_LISTED]
        lines.append(_line("ros", f"The patient reports {listed([f.concept for f in some])}.", some, enough + 0.08))
    return [line for line in lines if line is not None]


def _tells(line: Line, finding: Finding, here: Evidence) -> bool:
    text = line.text.lower()
    if finding.concept in text or finding.text in text:
        return True
    return not line.composed and any(e.turn == here.turn and e.start <= here.start < e.end for e in line.evidence)


def _stated_reason(transcript: Transcript, until: int) -> Line | None:
    """Return what someone says early on that the visit is for ("here for your blood pressure")."""
    for number, turn in enumerate(transcript.turns[:until]):
        match = load_lexicon().any_of("visit_for").search(turn.text)
        if match is not None:
            evidence = Evidence.cite(transcript, number, match.start("what"), match.end("what"))
            text = finish(f"{match['what']} ") or f"{match['what'].capitalize()}."
            return Line("chief_complaint", text, (evidence,), 0.95, (number, evidence.start), composed=True)
    return None


EARLY = 0.25
"""The reason for a visit is looked for in this share of its turns, at least the first six."""


def reason_for_visit(findings: Sequence[Finding], transcript: Transcript) -> Line | None:
    """Return the chief complaint: the first of the patient's complaints that is named and not denied.

    One that is named where the reason is given ("presents with", "here for") goes before others, a specific one
    ("back pain") before a general one ("pain").
    """
    lexicon = load_lexicon()
    until = max(6, int(len(transcript.turns) * EARLY))
    general = lexicon.words("general_complaints")
    best: tuple[int, Finding] | None = None
    for place, finding in enumerate(findings):
        where = finding.evidence[0]
        own = finding.experiencer is Experiencer.PATIENT and not finding.negated
        if not own or of_another_time(finding, transcript) or finding.temporality is Temporality.HYPOTHETICAL:
            continue
        if finding.kind not in (FindingKind.SYMPTOM, FindingKind.PROBLEM, FindingKind.PROCEDURE):
            continue
        before = transcript.turns[where.turn].text[max(0, where.start - 120) : where.start]
        cost = place + 40 * (finding.concept in general and not finding.attributes.get("site"))
        cost += 60 * (finding.temporality is Temporality.HISTORICAL) + 10 * (finding.kind is FindingKind.PROBLEM)
        cost += 45 * (finding.kind is FindingKind.PROCEDURE)
        cost += 80 * (where.turn >= until)
        cost -= 50 * (lexicon.any_of("reasons").search(before) is not None)
        if best is None or cost < best[0]:
            best = (cost, finding)
    if best is None:
        return _stated_reason(transcript, until)
    finding = best[1]
    stated = _stated_reason(transcript, until) if best[0] >= 0 else None
    if stated is not None:
        return stated
    name = finding.concept
    site = finding.attributes.get("site", "")
    if site and name in general and site not in name:
        name = f"{site} {name}"
    side = finding.attributes.get("laterality", "")
    if side in ("left", "right") and side not in name and " " in name:
        name = f"{side} {name}"
    return _line("chief_complaint", f"{name[:1].upper()}{name[1:]}.", [finding], 0.95)
