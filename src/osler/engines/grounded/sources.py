"""Lines from what stands beside the transcript: documents, the clinician's notes and additions, linked visits.

What the clinician wrote is taken as said by him. From all else a note takes past history, medications, allergies,
results, family and social history, word by word and attributed ("Per referral letter: ..."), and never in place of
what was said: a line that disagrees with the visit says so and stands beside it.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile
from typing import Final

from osler.engines.grounded.additions import Steering, is_command, steered
from osler.engines.grounded.candidates import STATED, Candidate
from osler.engines.grounded.lexical import load_lexicon
from osler.engines.grounded.lexicon import table
from osler.engines.grounded.phrasing import Line, is_grounded
from osler.engines.grounded.repetition import content, repeats
from osler.engines.grounded.selection import CLINICIAN_SECTIONS, load_model
from osler.engines.grounded.statements import OTHERS, Statement, any_of, statements
from osler.engines.grounded.utterances import Utterance
from osler.engines.grounded.visit import Visit, read_visit
from osler.notes.model import Evidence, Experiencer, Finding, FindingKind, SourceKind, Temporality
from osler.notes.ports import FindingExtractor
from osler.notes.writing import Source
from osler.speech.dialogue import name_speakers
from osler.speech.model import CLINICIAN, Transcript, Turn

RANKS: Final = {
    "allergies": 0.97,
    "medications": 0.75,
    "results": 0.6,
    "history": 0.5,
    "family": 0.4,
    "social": 0.4,
}
"""The ranks of what others wrote, by part; a note takes nothing else from them."""

OWN_RANK: Final = 0.72
"""What the clinician noted is in every note, as what he orders is."""

ADDED_RANK: Final = 1.0

_AFTER_THE_VISIT: Final = 1_000_000
"""Added to the place of a line: it stands after what was said."""

_BEFORE_PROBLEMS: Final = -2
"""The place of a line of the plan that belongs to no problem."""

SURE_OF_ROLES: Final = 0.9
"""Of a linked visit only the turns are known. Who spoke them is told by what was said, or nothing of it is taken."""

_NAMES: Final = {SourceKind.LINKED_NOTE: "note of a linked visit", SourceKind.LINKED_TRANSCRIPT: "linked visit"}
_NAMELESS: Final = "document sent in"
_OWN: Final = frozenset({SourceKind.CLINICIAN_NOTE, SourceKind.ADDITION})
DIFFERS: Final = " (differs from what was said)"
"""Stands behind the name of a source whose line disagrees with the visit."""
_OPENING: Final = 6
"""Paragraphs in which a document says what it is."""


@dataclass(frozen=True, slots=True)
class Beside:
    """What stands beside a visit: its lines, and what the clinician asked of the form."""

    lines: tuple[Line, ...] = ()
    steering: Steering = field(default_factory=Steering)


def beside(others: Sequence[Source], visit: Visit, extractor: FindingExtractor) -> Beside:
    """Read all that stands beside a visit; nothing that the visit, or a source before, says already."""
    lines: list[Line] = []
    steering = Steering()
    for number, source in enumerate(others):
        found: list[Line] = []
        if source.kind is SourceKind.LINKED_TRANSCRIPT:
            found = list(_of_linked_transcript(source, extractor))
        else:
            said = list(statements(source.paragraphs))
            if source.kind is SourceKind.ADDITION:
                steering, said = steered(said)
            found = list(_of_text(source, said, visit, extractor))
        fresh = [line for line in found if is_grounded(line) and not _is_known(line, source.kind, lines, visit)]
        for place, line in enumerate(_joined(fresh)):
            order = (_AFTER_THE_VISIT + number, place)
            if line.part == "assessment_plan":
                order = (_BEFORE_PROBLEMS, _AFTER_THE_VISIT + number * 1000 + place)
            lines.append(replace(line, order=order))
    return Beside(tuple(lines), steering)


def differs(line: Line) -> bool:
    """Say whether a line of another source disagrees with what was said."""
    return line.evidence[0].source not in _OWN and line.text.partition(":")[0].endswith(DIFFERS)


def _joined(lines: Sequence[Line]) -> list[Line]:
    """Join short lines of a part that others wrote, so that whose words they are is said once."""
    done: list[Line] = []
    for line in lines:
        lead, mark, text = line.text.partition(": ")
        last = done[-1] if done else None
        if line.evidence[0].source not in _OWN and last is not None and last.part == line.part:
            together = f"{last.text.removesuffix('.')}; {text}"
            both = replace(last, text=together, evidence=(*last.evidence, *line.evidence))
            same = last.text.startswith(f"{lead}{mark}") and last.verdict is line.verdict
            if same and len(together.split()) <= MOST_TOGETHER and is_grounded(both):
                done[-1] = both
                continue
        done.append(line)
    return done


MOST_TOGETHER: Final = 30
"""Words of several items in one sentence."""


def _of_text(source: Source, said: Sequence[Statement], visit: Visit, extractor: FindingExtractor) -> Iterator[Line]:
    own = source.kind in _OWN
    if not own:
        closings = any_of(table("sources")["reading"]["closings"])
        columns = any_of(table("sources")["reading"]["columns"])
        said = list(takewhile(lambda each: not closings.match(each.text), said))
        said = [each for each in said if not columns.fullmatch(each.text)]
    said = [each for each in said if each.part != OTHERS and not is_command(each.text)]
    findings = _findings_of(said, extractor)
    name, usual = (_NAMES[source.kind], None) if source.kind in _NAMES else _name_of(source.paragraphs)
    for statement, about in zip(said, findings, strict=True):
        part = _own_part(statement, about) if own else _part_of_others(statement, about, usual)
        if part is None:
            continue
        text = _written(statement.text)
        rank = OWN_RANK if source.kind is SourceKind.CLINICIAN_NOTE else ADDED_RANK
        if not own:
            mark = DIFFERS if _differs(about, visit.findings) else ""
            text, rank = f"Per {name}{mark}: {text}", RANKS[part]
        evidence = Evidence(
            statement.paragraph,
            statement.start,
            statement.end,
            source.paragraphs[statement.paragraph][statement.start : statement.end],
            source=source.kind,
            source_id=source.id,
        )
        yield Line(part, text, (evidence,), rank, (0, 0), denies=any(f.negated for f in about))


def _findings_of(said: Sequence[Statement], extractor: FindingExtractor) -> list[list[Finding]]:
    """Return the findings of each statement, read as a clinician's."""
    if not said:
        return []
    turns = tuple(Turn(CLINICIAN, _with_stop(_plain(each.text))) for each in said)
    found: list[list[Finding]] = [[] for _ in said]
    for finding in extractor.extract(Transcript(turns)):
        found[finding.evidence[0].turn].append(finding)
    return found


def _part_of_others(statement: Statement, about: Sequence[Finding], usual: str | None) -> str | None:
    """Return where a note takes a statement that others wrote; None if it does not.

    ``usual`` is where the lines of such a document belong that hold a number.
    """
    kinds = {finding.kind for finding in about}
    if statement.part in RANKS:
        return statement.part
    if statement.part == "assessment_plan":
        return "history" if statement.heads else None  # a problem of the plan of a note of ours
    if statement.part is not None:
        return None
    if about and all(finding.experiencer is Experiencer.FAMILY for finding in about):
        return "family"
    if FindingKind.ALLERGY in kinds:
        return "allergies"
    supposed = re.match(r"(?:if|should|unless|in case)\b", statement.text, re.IGNORECASE)
    if not supposed and any(f.kind is FindingKind.MEDICATION and f.attributes.get("dose") for f in about):
        return "medications"
    if FindingKind.RESULT in kinds or _is_laboratory(about):
        return "results"
    past = any_of(table("sources")["reading"]["past"]).search(statement.text)
    if kinds & {FindingKind.PROBLEM, FindingKind.PROCEDURE} and past:
        return "history"
    return usual if usual is not None and re.search(r"\d", statement.text) and not supposed else None


def _own_part(statement: Statement, about: Sequence[Finding]) -> str:
    """Return where a statement of the clinician's own stands."""
    if statement.part is not None:
        return statement.part
    for entry in table("sources")["own"]:
        if any_of(entry["says"]).search(statement.text):
            return str(entry["part"])
    kinds = {finding.kind for finding in about}
    negated = bool(about) and all(finding.negated for finding in about)
    if about and all(finding.experiencer is Experiencer.FAMILY for finding in about):
        return "family"
    if FindingKind.ALLERGY in kinds:
        return "allergies"
    if FindingKind.FOLLOW_UP in kinds:
        return "instructions"
    planned = kinds & {FindingKind.ORDER, FindingKind.PLAN}
    first = statement.text.split(" ")[0].lower().rstrip(",:")
    orders = first in load_lexicon().words("plan_verbs") or first in table("sources")["reading"]["orders"]
    if planned or (orders and not negated) or any(f.attributes.get("action") in _CHANGES for f in about):
        return "assessment_plan"
    if FindingKind.VITAL in kinds:
        return "results" if _is_laboratory(about) else "vitals"
    for found, part in _BY_KIND:
        if found in kinds:
            return "history" if part == "hpi" and _is_past(about, statement.text) else part
    if FindingKind.SYMPTOM in kinds:
        return "ros" if negated else "hpi"
    if load_lexicon().any_of("safety_net").search(statement.text):
        return "instructions"
    return _likely_part(statement.text)


def _likely_part(text: str) -> str:
    """Return where the selection model puts what the clinician says, in the middle of a visit."""
    said = Utterance(0, 0, len(text), text, CLINICIAN, 0.5, 0)
    return load_model().section(Candidate(text, (said,), STATED), CLINICIAN_SECTIONS)


_CHANGES: Final = frozenset({"start", "stop", "increase", "decrease", "continue"})
_BY_KIND: Final = (
    (FindingKind.EXAM, "exam"),
    (FindingKind.RESULT, "results"),
    (FindingKind.MEDICATION, "medications"),
    (FindingKind.SOCIAL, "social"),
    (FindingKind.PROBLEM, "hpi"),
    (FindingKind.PROCEDURE, "history"),
)


def _is_past(about: Sequence[Finding], text: str) -> bool:
    historical = any(finding.temporality is Temporality.HISTORICAL for finding in about)
    return historical or any_of(table("sources")["reading"]["past"]).search(text) is not None


def _is_laboratory(about: Sequence[Finding]) -> bool:
    laboratory = load_lexicon().tables["laboratory"]
    return any(
        finding.kind is FindingKind.VITAL and any(word in finding.concept.lower() for word in laboratory)
        for finding in about
    )


def _differs(about: Sequence[Finding], said: Sequence[Finding]) -> bool:
    """Say whether the visit says otherwise: another dose, or that there is what the other denies."""
    own = [finding for finding in said if finding.experiencer is Experiencer.PATIENT]
    for finding in about:
        if finding.experiencer is not Experiencer.PATIENT:
            continue
        if finding.kind is FindingKind.ALLERGY:
            others = [f for f in own if f.kind is FindingKind.ALLERGY]
            if any(f.negated != finding.negated for f in others) and not any(
                f.negated == finding.negated and f.concept == finding.concept for f in others
            ):
                return True
            continue
        same = [f for f in own if f.kind is finding.kind and f.concept == finding.concept]
        if same and all(f.negated != finding.negated for f in same):
            return True
        if finding.kind is FindingKind.MEDICATION and (dose := _dose(finding)):
            doses = {_dose(f) for f in same} - {""}
            if doses and dose not in doses:
                return True
    return False


def _dose(finding: Finding) -> str:
    return f"{finding.attributes.get('dose', '')} {finding.attributes.get('unit', '')}".strip()


def _is_known(line: Line, kind: SourceKind, before: Sequence[Line], visit: Visit) -> bool:
    """Say whether a line adds nothing. What the clinician adds is written whatever was said before."""
    if kind is SourceKind.ADDITION or differs(line):
        return False
    words = content(line.text.partition(": ")[2] if kind not in _OWN else line.text)
    known = [*visit.lines, *before]
    return any(_same_field(line.part, other.part) and repeats(words, content(_own_words(other))) for other in known)


def _same_field(part: str, other: str) -> bool:
    return part == other or other not in ("assessment_plan", "instructions")


def _own_words(line: Line) -> str:
    attributed = line.evidence[0].source not in (SourceKind.TRANSCRIPT, *_OWN)
    return line.text.partition(": ")[2] if attributed else line.text


def _of_linked_transcript(source: Source, extractor: FindingExtractor) -> Iterator[Line]:
    """Return what a linked visit told of medications, allergies, past, family and social history."""
    turns = (Turn(f"Speaker {1 + number % 2}", text) for number, text in enumerate(source.paragraphs))
    heard = name_speakers(Transcript(tuple(turns)))
    if any(speaker.confidence < SURE_OF_ROLES for speaker in heard.speakers):
        return
    for line in read_visit(heard, extractor).lines:
        if line.part not in RANKS or line.part == "results":
            continue
        evidence = tuple(
            replace(e, audio_start=None, audio_end=None, source=source.kind, source_id=source.id) for e in line.evidence
        )
        text = f"Per {_NAMES[source.kind]}: {line.text}"
        yield replace(line, text=text, evidence=evidence, rank=min(line.rank, RANKS[line.part]))


def _name_of(paragraphs: Sequence[str]) -> tuple[str, str | None]:
    """Return what a document is, and where its lines usually belong."""
    opening = "\n".join(paragraphs[:_OPENING])
    for entry in table("sources")["names"]:
        if any_of(entry["says"]).search(opening):
            return str(entry["name"]), entry.get("part")
    return _NAMELESS, None


def _plain(text: str) -> str:
    return " ".join(re.sub(r"\s*\|\s*", ", ", re.sub(r"\*\*|__|`", "", text)).split())


def _with_stop(text: str) -> str:
    return text if text[-1:] in ".!?" else f"{text}."


def _written(text: str) -> str:
    """Make a sentence of a statement: a capital and a full stop."""
    text = _plain(text).rstrip(" ,;:")
    first = text.split(" ")[0]
    keeps = any(character.isupper() or character.isdigit() for character in first)
    return _with_stop(text if keeps else text[:1].upper() + text[1:])
