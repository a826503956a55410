"""Puts a visit's sentences right before a template is filled with them: drops, moves and rewords, by closed tables.

A rewording that the quotes do not bear is not made.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Final

from osler.engines.grounded.lexicon import lexicon, table, words_of
from osler.engines.grounded.phrasing import Line, is_grounded, joined
from osler.engines.grounded.visit import Visit
from osler.notes.model import Evidence, Finding, FindingKind, Temporality, Verdict
from osler.notes.tokens import tokenize
from osler.speech.model import CLINICIAN, Transcript

_NAMING: Final = frozenset({FindingKind.PROBLEM, FindingKind.SYMPTOM})


def refined(visit: Visit, transcript: Transcript) -> Visit:
    """Return the visit with its lines put right, and with the problems that sentences of its plan name themselves."""
    changes = _changes(visit.findings, transcript)
    lines = [
        _changed(_moved(_reworded(line), transcript), visit.findings, changes)
        for line in visit.lines
        if not _is_dropped(line)
    ]
    return replace(visit, lines=lines, problems=_with_topics(lines, visit.problems))


def is_refusal(text: str) -> bool:
    """Say whether a sentence of a plan says that something is not to be done."""
    return _pattern(table("refining")["refused"]).search(text) is not None


def _is_dropped(line: Line) -> bool:
    if line.composed:
        return False
    scrap = len(line.text.split()) < SHORTEST and not re.search(r"\d", line.text) and not _names(line.text)
    return scrap or any(_pattern(each).search(line.text) for each in table("refining")["dropped"])


SHORTEST: Final = 4
"""Words of the shortest sentence that says something without a clinical name or a number."""


def _reworded(line: Line) -> Line:
    for pattern, replacement in table("refining")["reworded"]:
        text = _pattern(pattern).sub(replacement, line.text)
        line = _if_grounded(line, f"{text[:1].upper()}{text[1:]}")
    return _if_grounded(line, _spelled().sub(_written, line.text))


def _if_grounded(line: Line, text: str) -> Line:
    changed = replace(line, text=text)
    return changed if text != line.text and is_grounded(changed) else line


def _written(match: re.Match[str]) -> str:
    word = match[0].lower()
    tables = table("refining")
    if word in tables["written"]:
        return str(tables["written"][word])
    if word in tables["named"]:
        return word.capitalize()
    return word.upper() if not word.endswith("ids") else f"{word[:-1].upper()}s"


def _moved(line: Line, transcript: Transcript) -> Line:
    by_clinician = transcript.turns[line.evidence[-1].turn].speaker == CLINICIAN
    for parts, part, pattern in table("refining")["moved"]:
        if by_clinician and line.part in parts and _pattern(pattern).search(line.text):
            return replace(line, part=part)
    return line


def _changes(findings: Sequence[Finding], transcript: Transcript) -> dict[str, Finding]:
    """Return the medicines (by concept) that the clinician gives in another dose."""
    found: dict[str, Finding] = {}
    for finding in findings:
        action = finding.attributes.get("action", "")
        by_clinician = transcript.turns[finding.evidence[0].turn].speaker == CLINICIAN
        meant = not finding.negated and finding.temporality is Temporality.CURRENT
        if finding.kind is FindingKind.MEDICATION and action in _CHANGED and by_clinician and meant:
            found[finding.concept] = finding
    return found


def _changed(line: Line, findings: Sequence[Finding], changes: Mapping[str, Finding]) -> Line:
    """Say of a medicine that is taken if the plan of the same visit changes it: the old dose is not the one to take."""
    if line.part != "medications" or not line.composed:
        return line
    for finding in findings:
        change = changes.get(finding.concept)
        if finding.kind is FindingKind.MEDICATION and change and finding.evidence[0] in line.evidence:
            if change is finding:
                return line
            said = f"{line.text.removesuffix('.')}{_CHANGED_NOW}"
            changed = replace(line, text=said, evidence=joined((*line.evidence, *change.evidence)))
            return changed if is_grounded(changed) else line
    return line


_CHANGED_NOW: Final = " (changed at this visit)."


def without_old_dose(line: Line) -> Line:
    """Leave out of a medicine that was changed the dose that it had: a patient would read it as the one to take."""
    match = _OLD_DOSE.fullmatch(line.text.removesuffix(_CHANGED_NOW)) if line.text.endswith(_CHANGED_NOW) else None
    if match is None or line.part != "medications" or not line.composed:
        return line
    bare = replace(line, text=f"{match[1]}{_CHANGED_NOW}")
    return bare if is_grounded(bare) else line


_OLD_DOSE: Final = re.compile(r"([A-Za-z][A-Za-z -]*?),? (?=\d).*")

_CHANGED: Final = frozenset({"increase", "decrease"})
"""What is started or stopped is not listed as taken in the first place."""


def _with_topics(lines: Sequence[Line], problems: Sequence[Line]) -> list[Line]:
    """Return the problems with those that sentences of the plan begin with: "For the high blood pressure, ..."."""
    found = list(problems)
    for line in lines:
        match = _pattern(table("refining")["topic"]).match(line.text) if line.part == "assessment_plan" else None
        if match is None or not _names(match["name"]) & _NAMING:
            continue
        topic = _topic(match["name"], line)
        if topic is not None and not any(_overlap(topic, problem) for problem in problems):
            found.append(topic)
    return found


def _names(text: str) -> frozenset[FindingKind]:
    """Return what is named in a text."""
    return frozenset(term.kind for match in lexicon().find(words_of(tokenize(text))) for term in match.terms)


def _topic(name: str, line: Line) -> Line | None:
    for e in line.evidence:
        at = e.quote.casefold().find(name.casefold())
        if at < 0:
            continue
        cited = Evidence(
            e.turn, e.start + at, e.start + at + len(name), e.quote[at : at + len(name)], e.audio_start, e.audio_end
        )
        text = f"{name[:1].upper()}{name[1:]}."
        order = (line.order[0], line.order[1] - 1)
        topic = Line("assessment_plan", text, (cited,), 1.0, order, Verdict.INFERRED, is_problem=True)
        return topic if is_grounded(topic) else None
    return None


def _overlap(topic: Line, problem: Line) -> bool:
    one, other = topic.evidence[0], problem.evidence[0]
    main = problem.order[0] == -1 and topic.text.casefold() == problem.text.casefold()
    return main or (one.turn == other.turn and one.start < other.end and other.start < one.end)


@cache
def _spelled() -> re.Pattern[str]:
    tables = table("refining")
    words = "|".join([*tables["capitals"], *tables["named"], *tables["written"]])
    return re.compile(rf"(?<![\w'-])(?:{words})(?![\w'])")


@cache
def _pattern(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)
