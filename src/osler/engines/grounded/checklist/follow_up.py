"""Whether the patient was told what comes next: a return visit, when to call, a referral, tests to come back with."""

import re
from typing import Final

from osler.engines.grounded.checklist.lines import Line, Lines, said
from osler.engines.grounded.plans import plans
from osler.engines.grounded.questions import Answer
from osler.notes.checklist import ChecklistItem, ChecklistName
from osler.notes.model import Evidence, FindingKind
from osler.speech.model import PATIENT

_MOST: Final = 3
"""Pieces of evidence that are kept."""


def follow_up(lines: Lines) -> ChecklistItem:
    """Return the item, with the first few places that tell of it. What a patient says is none."""
    found: list[Evidence] = []
    for line in lines.spoken:
        if len(found) == _MOST:
            break
        if line.by_patient or not line.speaker or line.speaker == PATIENT:
            continue
        match = _told(line)
        if match is None and not _planned(lines, line):
            continue
        if line.asks and not _accepted(lines, line):
            continue
        evidence = lines.cite(line, match)
        if evidence not in found:
            found.append(evidence)
    return ChecklistItem(ChecklistName.FOLLOW_UP_GIVEN, bool(found), tuple(found))


def _told(line: Line) -> re.Match[str] | None:
    text = line.text
    never = said("follow_up", "never", text)
    for name in ("referral", "calls", "returns"):
        found = said("follow_up", name, text)
        if found is None:
            continue
        if name == "referral" and not said("follow_up", "referring", text):
            continue
        if never is not None and not _apart(never, found):
            continue
        return found
    return None


def _apart(never: re.Match[str], found: re.Match[str]) -> bool:
    """Say whether what is denied stands in another part of the sentence."""
    return never.end() <= found.start() and "," in never.string[never.end() : found.start()]


def _planned(lines: Lines, line: Line) -> bool:
    """Say whether the finder of plans finds a follow-up in it: "see you in two weeks", "if it gets worse, call"."""
    if said("follow_up", "never", line.text):
        return False
    return any(f.kind is FindingKind.FOLLOW_UP for _, f in plans(lines.transcript, line.reading, line.number))


def _accepted(lines: Lines, line: Line) -> bool:
    """Say whether a question offers it, and the reply does not decline: "can you come back in two weeks?" "yes"."""
    if not re.match(
        r"(and |so |okay,? |then )*(can|could|would|will|shall|should|why don't|how about|what about)\b",
        line.text,
        re.I,
    ):
        return line.text.rstrip().endswith(("okay?", "ok?", "alright?", "all right?", "right?", "good?"))
    reply = lines.reply(line)
    return reply is not None and reply.answer is not Answer.NO and not reply.lines[0].asks
