"""Questions for a kind of fact: doses, medicines, allergies, denials, diagnoses, values, orders, plan, follow-up."""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from osler.engines.grounded.asking.doses import doses
from osler.engines.grounded.asking.passages import Passage, ReadSource, Sources, stem
from osler.engines.grounded.asking.replies import Reply, listed, replied
from osler.engines.grounded.asking.search import question_topic
from osler.engines.grounded.asking.sightings import advises_against, holds, intent
from osler.engines.grounded.asking.summary import told
from osler.engines.grounded.asking.topics import Topic, Unit, topic_of
from osler.engines.grounded.forms.options import expression, generic
from osler.engines.grounded.lexicon import table
from osler.notes.model import Experiencer, Finding, FindingKind, Temporality
from osler.notes.tokens import numbers

_MOST: Final = 6
_LONGEST_PLAN: Final = 12

_DIAGNOSED: Final = re.compile(
    r"\b(diagnos\w+|consistent with|you (do )?have|looks like (you|a|an)|i think (that )?(you|it|this)|impression"
    r"|suggest\w*)\b",
    re.IGNORECASE,
)


_PHYSICAL: Final = re.compile(r"\bphysical (?=exam|findings)", re.IGNORECASE)

NONE: Final = Reply((), said=False)
"""What is asked for is known to be a kind of fact, and the visit holds none."""


def facts_of(asked: str, sources: Sources) -> Reply | None:
    """Answer a question for a kind of fact; None where it asks for something else, or the visit holds none."""
    topic = question_topic(_PHYSICAL.sub("", asked))
    specific = _without_generic(topic)
    if intent("dose").search(asked):
        return _of_doses(topic, sources) or NONE
    if expression("questions", "severity").search(asked) and (rated := _rated(specific, sources)) is not None:
        return rated
    if (value := _of_value(asked, topic, sources)) is not None:
        return value
    if intent("family").search(asked) or specific:
        return None
    for name, answer in _ANSWERS:
        if intent(name).search(asked):
            return answer(sources) or NONE
    return None


def _of_doses(topic: Topic, sources: Sources) -> Reply | None:
    medicines = [unit for unit in topic.clinical if FindingKind.MEDICATION in unit.kinds]
    others = [unit for unit in topic.units if unit not in medicines and not _is_dose_word(unit)]
    if others:
        return None
    rows = []
    for name, statements in doses(sources.transcript).items():
        if medicines and not any(name in unit.concepts for unit in medicines):
            continue
        settled = [s for s in statements if s.dose]
        if not settled:
            continue
        last = settled[-1]
        earlier = [s for s in settled if s.dose != last.dose]
        text = f"**{name.capitalize()}**: {last.dose}" + (f", {last.frequency}" if last.frequency else "")
        if earlier:
            text += f" (before: {', '.join(dict.fromkeys(s.dose for s in earlier))})"
        rows.append((text, [*(s.passage for s in earlier[-2:]), last.passage]))
    return listed("", rows) if rows else None


def _is_dose_word(unit: Unit) -> bool:
    words = {word for row in unit.alternatives[:1] for word in row}
    return bool(
        words
        & {
            stem(w)
            for w in (
                "dose",
                "dosage",
                "medication",
                "medicine",
                "mg",
                "milligram",
                "decide",
                "agree",
                "final",
                "daily",
                "prescribe",
                "prescribed",
            )
        }
    )


def _rated(topic: Topic, sources: Sources) -> Reply | None:
    """Answer how bad something is by the number that the patient gave it on a scale."""
    found = []
    for passage in sources.transcript.passages:
        asked = passage.question
        if passage.asks or passage.by_clinician or asked is None or not numbers(passage.tokens):
            continue
        scale = f"{asked.before.text if asked.before else ''} {asked.text}"
        named = f"{scale} {passage.text}".lower()
        if expression("questions", "scale").search(scale) and all(_is_in(unit, named) for unit in topic.clinical):
            found.append(passage)
    return replied("", found[:3]) if found else None


def _is_in(unit: Unit, text: str) -> bool:
    return any(all(word in text for word in row) for row in unit.alternatives)


def _of_value(asked: str, topic: Topic, sources: Sources) -> Reply | None:
    """Answer with a measured value, if the question names one, by whatever name, and nothing else."""
    if not topic:
        return None
    words = {stem(word) for unit in topic.units for row in unit.alternatives[:1] for word in row}
    concepts = {concept for unit in topic.clinical for concept in unit.concepts}
    alone = _measurement(asked)
    rows = []
    for finding in sources.transcript.findings:
        if finding.kind is not FindingKind.VITAL or finding.temporality is Temporality.HYPOTHETICAL:
            continue
        named = {stem(word) for word in finding.concept.split()}
        if finding.concept != alone and (
            (named != words and finding.concept not in concepts) or (len(topic.units) > 1 and named != words)
        ):
            continue
        passage = sources.transcript.passage_of(finding.evidence[0])
        if passage is None:
            continue
        value = " ".join(filter(None, (finding.attributes.get("value"), finding.attributes.get("unit"))))
        rows.append((f"{finding.concept.capitalize()}: {value}", [passage]))
    return listed("", rows[:_MOST]) if rows else None


def _measurement(asked: str) -> str | None:
    """Return the measurement (``data/vitals.toml``) that a question names and beside which it says nothing more."""
    lowered = asked.lower()
    for entry in table("vitals").values():
        for name in sorted(entry["names"], key=len, reverse=True):
            rest, count = re.subn(rf"\b{re.escape(name)}\b", " ", lowered)
            if count and not topic_of(rest):
                return str(entry["concept"])
    return None


def _medicines(sources: Sources) -> Reply | None:
    found: dict[str, list[Finding]] = {}
    for finding in sources.transcript.findings:
        own = finding.experiencer is Experiencer.PATIENT and finding.attributes.get("certainty") != "possible"
        if finding.kind is FindingKind.MEDICATION and own and not _only_supposed(finding):
            found.setdefault(finding.concept, []).append(finding)
    told = doses(sources.transcript)
    rows = []
    for name, findings in found.items():
        passages = _passages_of(sources.transcript, findings)
        if not passages or all(f.negated for f in findings) or all(map(advises_against, passages)):
            continue
        last = [s for s in told.get(name, ()) if s.dose][-1:]
        dose = "".join(f" {s.dose}" + (f", {s.frequency}" if s.frequency else "") for s in last)
        action = next((f.attributes["action"] for f in reversed(findings) if "action" in f.attributes), "")
        passages = [passages[0], *([last[0].passage] if last else passages[-1:])]
        rows.append(
            (f"**{name.capitalize()}**{dose}" + (f" ({_ACTIONS.get(action, action)})" if action else ""), passages)
        )
    return listed("", rows) if rows else None


_ACTIONS: Final = {
    "start": "started", "stop": "stopped", "increase": "increased", "decrease": "decreased", "continue": "continued",
    "declined": "declined",
}  # fmt: skip


def _changed(sources: Sources) -> Reply | None:
    """Answer what became of the medicines at this visit."""
    rows = []
    for finding in sources.transcript.findings:
        action = finding.attributes.get("action", "")
        own = finding.experiencer is Experiencer.PATIENT and finding.attributes.get("certainty") != "possible"
        if finding.kind is FindingKind.MEDICATION and own and action in _CHANGED:
            name = f"**{finding.concept.capitalize()}** ({_ACTIONS[action]})"
            rows.append((name, _passages_of(sources.transcript, [finding])))
    return listed("", _merged(rows)) if rows else None


_CHANGED: Final = frozenset(("start", "stop", "increase", "decrease"))


def _adherence(sources: Sources) -> Reply | None:
    """Answer whether the medicines are taken by what the patient says of taking them."""
    found = [
        passage
        for passage in sources.transcript.passages
        if not passage.asks and not passage.by_clinician and holds("taken").search(passage.text)
    ]
    return replied("", found[:3]) if found else None


def _examination(sources: Sources) -> Reply | None:
    return told(sources.transcript.visit.lines, ("exam",), _LONGEST_PLAN)


def _fasting(sources: Sources) -> Reply | None:
    """Answer what may be eaten before a test in the words of the visit: not to eat is to fast."""
    said = [p for p in sources.transcript.passages if not p.asks and holds("fasting").search(p.text)]
    return replied("", said[:4]) if said else None


def _only_supposed(finding: Finding) -> bool:
    return finding.temporality is Temporality.HYPOTHETICAL and "action" not in finding.attributes


def allergies_asked(asked: str, sources: Sources) -> Reply | None:
    """Answer "any allergies?" by all of them, "allergic to latex?" by that one, whoever wrote it; None if unknown."""
    if not intent("allergies").search(asked) or intent("family").search(asked):
        return None
    named = _without_generic(question_topic(asked)).units
    rows = [row for row in _allergy_rows(sources) if not named or all(_is_in(unit, row[0].lower()) for unit in named)]
    if not rows:
        return None
    return listed("No:" if all(denied for *_, denied in rows) else "Yes:", [(text, found) for text, found, _ in rows])


def _allergies(sources: Sources) -> Reply | None:
    rows = [(text, passages) for text, passages, _ in _allergy_rows(sources)]
    return listed("", rows) if rows else None


def _allergy_rows(sources: Sources) -> list[tuple[str, list[Passage], bool]]:
    """Return each allergy of the patient's that any source names, what it rests on, and whether it is denied."""
    rows: dict[tuple[str, bool], tuple[str, list[Passage], bool]] = {}
    for source in sources.all:
        for finding in source.findings:
            if finding.kind is not FindingKind.ALLERGY or finding.experiencer is not Experiencer.PATIENT:
                continue
            reaction = finding.attributes.get("reaction")
            text = f"{'No ' if finding.negated else ''}{finding.concept}".capitalize()
            text += f" (reaction: {reaction})" if reaction else ""
            row = text, _passages_of(source, [finding]), finding.negated
            rows.setdefault((finding.concept, finding.negated), row)
    return list(rows.values())


def _denied(sources: Sources) -> Reply | None:
    findings = [f for f in sources.transcript.findings if f.experiencer is Experiencer.PATIENT]
    affirmed = {
        f.concept
        for f in findings
        if not f.negated and f.temporality is Temporality.CURRENT and "certainty" not in f.attributes
    }
    rows = []
    for finding in findings:
        complaint = finding.kind in (FindingKind.SYMPTOM, FindingKind.PROBLEM, FindingKind.SOCIAL, FindingKind.ALLERGY)
        if (
            not complaint
            or not finding.negated
            or finding.concept in affirmed
            or not _by_patient(sources.transcript, finding)
        ):
            continue
        rows.append((finding.concept.capitalize(), _answering(sources.transcript, finding)))
    return listed("Denied:", _merged(rows)) if rows else None


def _symptoms(sources: Sources) -> Reply | None:
    rows = []
    denied = {f.concept for f in sources.transcript.findings if f.negated}
    for finding in sources.transcript.findings:
        own = finding.experiencer is Experiencer.PATIENT and finding.temporality is Temporality.CURRENT
        if finding.kind is not FindingKind.SYMPTOM or finding.negated or not own or finding.concept in denied:
            continue
        if _by_patient(sources.transcript, finding):
            rows.append((finding.concept.capitalize(), _answering(sources.transcript, finding)))
    return listed("", _merged(rows)) if rows else None


def _diagnosis(sources: Sources) -> Reply | None:
    found = [
        p
        for p in sources.transcript.passages
        if p.by_clinician
        and not p.asks
        and _DIAGNOSED.search(p.text)
        and any(m.meaning(FindingKind.PROBLEM) and not m.modified("NEGATED_EXISTENCE") for m in p.mentions)
        and not expression("questions", "supposes").search(p.text)
    ]
    named = [p for p in found if re.search(r"\bdiagnos(is|ed)\b|consistent with|impression", p.text, re.IGNORECASE)]
    return replied("", (named or found)[-_MOST:]) if found else None


def _orders(sources: Sources) -> Reply | None:
    findings = [f for f in sources.transcript.findings if f.kind is FindingKind.ORDER and not f.negated]
    rows = [(f.concept.capitalize(), _passages_of(sources.transcript, [f])) for f in findings]
    return listed("", _merged(rows)) if rows else None


def _follow_up(sources: Sources) -> Reply | None:
    """Answer when the patient is seen again: at a time, else upon an event ("once the results are ready")."""
    again = [
        p
        for p in sources.transcript.passages
        if not p.asks and expression("questions", "seen_again").search(p.text) and _tells_when(p)
        if not expression("questions", "came_for").search(p.text)
    ]
    timed = [p for p in again if holds("when").search(p.text)]
    found = timed or [p for p in again if p.by_clinician]
    if found and not timed:
        reviewed = expression("questions", "reviewed")
        found = [
            p
            for p in sources.transcript.passages
            if p in found or (p.by_clinician and not p.asks and reviewed.search(p.text))
        ]
    sure = [p for p in found if not expression("questions", "supposes").search(p.text)]
    return replied("", (sure or found)[-3:]) if found else None


def _tells_when(passage: Passage) -> bool:
    text = passage.text
    return holds("when").search(text) is not None or expression("questions", "upon").search(text) is not None


def _plan(sources: Sources) -> Reply | None:
    lines = sources.transcript.visit.lines
    return told(lines, ("assessment_plan", "instructions"), _LONGEST_PLAN)


def _vitals(sources: Sources) -> Reply | None:
    rows = []
    for finding in sources.transcript.findings:
        if finding.kind is FindingKind.VITAL and finding.temporality is not Temporality.HYPOTHETICAL:
            value = " ".join(filter(None, (finding.attributes.get("value"), finding.attributes.get("unit"))))
            rows.append((f"{finding.concept.capitalize()}: {value}", _passages_of(sources.transcript, [finding])))
    return listed("", rows) if rows else None


def _reason(sources: Sources) -> Reply | None:
    for passage in sources.transcript.passages:
        if passage.question is not None and re.search(
            r"\b(brings?|brought|what('s| is) going on|how (can|may) i help|problem|tell me what happened)\b",
            passage.question.text,
            re.I,
        ):
            return replied("", [passage])
    return _symptoms(sources)


_ANSWERS: Final[Sequence[tuple[str, Callable[[Sources], Reply | None]]]] = (
    ("denied", _denied),
    ("reason", _reason),
    ("follow_up", _follow_up),
    ("allergies", _allergies),
    ("fasting", _fasting),
    ("adherence", _adherence),
    ("medicines", _medicines),
    ("examination", _examination),
    ("vitals", _vitals),
    ("orders", _orders),
    ("diagnosis", _diagnosis),
    ("symptoms", _symptoms),
    ("plan", _plan),
    ("changed", _changed),
)


def _without_generic(topic: Topic) -> Topic:
    def kept(units: Sequence[Unit]) -> tuple[Unit, ...]:
        return tuple(u for u in units if not all(word in generic() or word in _KINDS for word in u.alternatives[0]))

    return Topic(topic.text, kept(topic.clinical), kept(topic.plain))


_KINDS: Final = frozenset(
    stem(word)
    for word in (
        "denied", "deny", "denial", "negative", "vital", "sign", "prescription", "meds", "med", "drug", "allergic",
        "assessment", "impression", "follow", "next", "back", "return", "again", "appointment", "management", "step",
        "instruction", "reason", "discussed", "decided", "agreed", "going", "seen", "brings", "bring", "investigation",
        "change", "changed", "changes", "new", "start", "started", "stop", "stopped", "fast", "fasting",
        "adjust", "adjusted", "adherent", "compliant", "adherence", "compliance",
    )
)  # fmt: skip


def _by_patient(source: ReadSource, finding: Finding) -> bool:
    """Say whether the patient said it, in his own words or by an answer."""
    turns = source.transcript.turns
    return any(turns[e.turn].speaker != "clinician" for e in finding.evidence)


def _passages_of(source: ReadSource, findings: Sequence[Finding]) -> list[Passage]:
    found = (source.passage_of(f.evidence[0]) for f in findings)
    return [passage for passage in found if passage is not None]


def _answering(source: ReadSource, finding: Finding) -> list[Passage]:
    """Return the question and the answer that a finding rests on, or the patient's own words."""
    found = (source.passage_of(e) for e in finding.evidence[:2])
    return [passage for passage in found if passage is not None]


def _merged(rows: Sequence[tuple[str, list[Passage]]]) -> Iterator[tuple[str, list[Passage]]]:
    """Yield each name once, with all that it rests on."""
    merged: dict[str, list[Passage]] = {}
    for name, passages in rows:
        merged.setdefault(name, []).extend(passages)
    for name, passages in merged.items():
        yield name, passages[:3]
