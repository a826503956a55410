"""Whether consent was given in a visit: to its recording, to the way it is held, to a procedure or a treatment."""

import re
from dataclasses import dataclass
from typing import Final

from osler.engines.grounded.checklist.lines import Line, Lines, Reply, said
from osler.notes.checklist import ChecklistItem, ChecklistName
from osler.notes.model import Evidence, FindingKind

RECORDING: Final = "recording"
_SUBJECTS: Final = (RECORDING, "visit", "procedure")
_BEFORE: Final = 3
"""Sentences before a bare "is that okay?" in which it was said what it is about."""

_FURTHER: Final = 6
"""Turns after a question within which a patient who asked back first gives or refuses leave."""


@dataclass(frozen=True, slots=True)
class _Event:
    given: bool
    evidence: tuple[Evidence, ...]


def consent(lines: Lines) -> ChecklistItem:
    """Return the item: found where leave was given for anything and not refused for anything, by the last word on each.

    Leave to look, to listen or to press, which is asked for as a courtesy, is none.
    """
    last: dict[str, _Event] = {}
    for line in lines.spoken:
        for subject, event in _events(lines, line):
            last[subject] = event
    refused = [event for event in last.values() if not event.given]
    if refused:
        return ChecklistItem(ChecklistName.CONSENT, False, refused[0].evidence, refused=True)
    given = next(iter(last.values()), None)
    return ChecklistItem(ChecklistName.CONSENT, given is not None, given.evidence if given else ())


def _events(lines: Lines, line: Line) -> list[tuple[str, _Event]]:
    if line.by_patient:
        return _unasked(lines, line)
    if found := said("consent", "acknowledged", line.text):
        return [(_subject(lines, line) or "form", _Event(True, (lines.cite(line, found),)))]
    mind = said("consent", "mind", line.text)
    asked = mind or said("consent", "permission", line.text)
    subject = _subject(lines, line) if asked else None
    if not asked and said("consent", "tag", line.text) and line.asks:
        own = said("consent", "tagged", line.text)
        before = lines.before(line, 1)
        bare = len(line.text.split()) <= 1 and before and said("consent", "tagged", before[0].text)
        subject = RECORDING if own or bare else None
    if subject is None:
        return []
    decided = _decided(lines, line, minding=mind is not None)
    if decided is None or (decided[0] and said("consent", "alternatives", line.text)):
        return []
    given, reply = decided
    return [(subject, _Event(given, (*_asking(lines, line, asked), lines.cite_reply(reply))))]


def _unasked(lines: Lines, line: Line) -> list[tuple[str, _Event]]:
    if found := said("consent", "withdrawn", line.text):
        subject = _named(line.text) or RECORDING
        return [(subject, _Event(False, (lines.cite(line, found),)))]
    if found := said("consent", "volunteered", line.text):
        return [(_named(line.text) or "form", _Event(True, (lines.cite(line, found),)))]
    return []


def _asking(lines: Lines, line: Line, found: re.Match[str] | None) -> tuple[Evidence, ...]:
    """Quote the question, and before it what it is about if it does not say so itself."""
    if _named(line.text):
        return (lines.cite(line, found),)
    about = next((other for other in reversed(lines.before(line, _BEFORE)) if _named(other.text)), None)
    return (lines.cite(line, found),) if about is None else (lines.cite(about), lines.cite(line, found))


def _subject(lines: Lines, line: Line) -> str | None:
    """Say what leave is asked for: by the sentence itself, or by what was said just before a bare "is that okay?"."""
    if own := _named(line.text):
        return own
    before = lines.before(line, _BEFORE)
    if said("consent", "treatment", line.text) and any(_names_medicine(each) for each in (line, *before)):
        return "treatment"
    if said("consent", "own_action", line.text):
        return None
    return next((named for other in reversed(before) if (named := _named(other.text))), None)


def _named(text: str) -> str | None:
    return next((subject for subject in _SUBJECTS if said("consent", subject, text)), None)


def _names_medicine(line: Line) -> bool:
    return any(mention.meaning(FindingKind.MEDICATION) for mention in line.mentions)


def _decided(lines: Lines, line: Line, *, minding: bool) -> tuple[bool, Reply] | None:
    """Return whether the reply gives leave, and the reply; None if it does neither."""
    reply = lines.reply(line)
    if reply is None:
        return None
    given = _gives(reply.text, minding)
    if given is not None and not reply.lines[0].asks:
        return given, reply
    # "What happens with it?" "It is deleted." "Okay, then yes."
    for other in lines.following(line, _FURTHER):
        if other.speaker == reply.lines[0].speaker and other.turn > reply.lines[0].turn and not other.asks:
            later = _gives(other.text, minding=False)
            if later is not None:
                return later, Reply((other,), other.text, reply.answer)
            return None
    return None


def _gives(text: str, minding: bool) -> bool | None:
    kind = "mind" if minding else "ask"
    if said("consent", f"refused_to_{kind}", text):
        return False
    return True if said("consent", f"given_to_{kind}", text) else None
