"""Whether allergies were asked for and answered, and the medicines of now gone through."""

import re
from typing import Final

from osler.engines.grounded.checklist.lines import Line, Lines, Reply, about_another, said
from osler.engines.grounded.questions import Answer
from osler.engines.grounded.standing import is_general
from osler.notes.checklist import ChecklistItem, ChecklistName
from osler.notes.model import FindingKind
from osler.speech.model import PATIENT

_LONGEST_OTHER: Final = 14
"""Words of a reply that is neither yes nor no and is taken for an answer: "just penicillin, it gave me a rash"."""

_SHORT_OTHER: Final = 5
"""Words of one that answers though it names nothing that is known: "just the usual ones"."""

_LIST: Final = 2
"""Medicines that a patient names in a breath: a list of what is taken."""

_TURNS_OF_LIST: Final = 6
"""Turns within which a list that is announced is gone through."""


def allergies(lines: Lines) -> ChecklistItem:
    """Return the item: asked for with an answer, or stated, of the patient. Hay fever alone is not asked for."""
    for line in lines.spoken:
        if not said("allergies", "words", line.text) and not said("allergies", "asks_reaction", line.text):
            continue
        reply = lines.reply(line)
        parent = _of_child(line, reply)
        if about_another(line, parent=parent) or _of_third(line, parent=parent):
            continue
        if said("allergies", "general", line.text):
            continue
        if line.asks and not line.by_patient:
            if _about_hay_fever(line) or reply is None or not _answers(lines, line, reply):
                continue
            return ChecklistItem(ChecklistName.ALLERGIES, True, (lines.cite(line), lines.cite_reply(reply)))
        found = said("allergies", "stated", line.text)
        if found and not line.asks and not said("allergies", "other", line.text):
            return ChecklistItem(ChecklistName.ALLERGIES, True, (lines.cite(line, found),))
    return ChecklistItem(ChecklistName.ALLERGIES, False)


def _about_hay_fever(line: Line) -> bool:
    asked = said("allergies", "asks_reaction", line.text) or re.search(r"\bany\b.*\ballerg", line.text, re.IGNORECASE)
    return said("allergies", "other", line.text) is not None and not asked


def _of_child(line: Line, reply: Reply | None) -> bool:
    """Say whether somebody speaks for the patient: then "he" is the patient."""
    return line.speaker.startswith("other") or (reply is not None and reply.lines[0].speaker.startswith("other"))


def _of_third(line: Line, *, parent: bool) -> bool:
    return not parent and said("persons", "third_has", line.text) is not None


def _answers(lines: Lines, line: Line, reply: Reply) -> bool:
    if reply.lines[0].asks:
        return False
    if reply.answer in (Answer.YES, Answer.NO):
        return True
    if not lines.is_last_question(line):
        return said("allergies", "words", reply.text) is not None
    if reply.answer is Answer.UNSURE:
        return True
    told = reply.lines[0].text
    short = len(told.split()) <= _SHORT_OTHER
    return not reply.asks and (short or any(_names(each) for each in reply.lines) or _of_allergies(told))


def _of_allergies(text: str) -> bool:
    return said("allergies", "words", text) is not None or said("allergies", "substances", text) is not None


def medications(lines: Lines) -> ChecklistItem:
    """Return the item: what is taken was asked for and answered, or a known medicine was confirmed, or a list told."""
    for line in lines.spoken:
        reply = lines.reply(line)
        parent = _of_child(line, reply)
        if about_another(line, parent=parent) or _of_third(line, parent=parent):
            continue
        if line.by_patient or (line.speaker.startswith("other") and not line.asks):
            if found := _lists(line):
                return ChecklistItem(ChecklistName.MEDICATIONS_REVIEWED, True, (lines.cite(line, found),))
            if line.by_patient:
                continue
        if found := said("medications", "goes_over", line.text):
            named = [other for other in lines.following(line, _TURNS_OF_LIST) if _names(other)]
            if _names(line) or named:
                more = (lines.cite(named[0]),) if named else ()
                return ChecklistItem(ChecklistName.MEDICATIONS_REVIEWED, True, (lines.cite(line, found), *more))
        if reply is None or (reply.lines[0].asks and not _names(reply.lines[0])):
            continue
        found = _asks(line) or _confirms(lines, line)
        if found and _tells(lines, line, reply):
            evidence = (lines.cite(line, found), lines.cite_reply(reply))
            return ChecklistItem(ChecklistName.MEDICATIONS_REVIEWED, True, evidence)
    return ChecklistItem(ChecklistName.MEDICATIONS_REVIEWED, False)


def _names(line: Line) -> bool:
    return any(mention.meaning(FindingKind.MEDICATION) for mention in line.mentions)


def _asks(line: Line) -> re.Match[str] | None:
    """Return where a sentence asks what is taken now, rather than what was tried for a complaint."""
    found = said("medications", "asks", line.text)
    if found is None or said("medications", "not_review", line.text):
        return None
    if said("medications", "nouns", found.group()) and not said("medications", "takes", line.text):
        return None
    return found if line.asks or said("medications", "requests", line.text) else None


def _confirms(lines: Lines, line: Line) -> re.Match[str] | None:
    """Return where a sentence says that a medicine by name, or "your blood pressure pill", is still taken."""
    generic = said("medications", "generic", line.text)
    before = lines.before(line, 1) if said("medications", "pronoun", line.text) else []
    named = _names(line) or generic or any(_names(each) for each in before)
    if not named or said("medications", "not_review", line.text):
        return None
    if is_general(line.reading, line.number):
        return None
    found = said("medications", "still", line.text) if said("medications", "addressed", line.text) else None
    if found is None and _names(line):
        found = said("medications", "bare", line.text)
    return found if found and not said("medications", "changes", line.text) else None


def _lists(line: Line) -> re.Match[str] | None:
    """Return where a patient tells what is taken unasked: "I take lisinopril and metformin", "I take no medicines"."""
    if none := said("medications", "takes_nothing", line.text):
        return None if line.asks or said("medications", "not_review", line.text) else none
    found = said("medications", "reports", line.text)
    if found is None or said("medications", "not_review", line.text) or said("medications", "lately", line.text):
        return None
    named = {m.term.concept for m in line.mentions if m.meaning(FindingKind.MEDICATION)}
    return found if len(named) >= _LIST else None


def _tells(lines: Lines, line: Line, reply: Reply) -> bool:
    """Say whether a reply answers what is taken."""
    if any(_names(each) for each in reply.lines) or said("medications", "reports", reply.text):
        return True
    if reply.answer in (Answer.YES, Answer.NO):
        return True
    if not lines.is_last_question(line) or reply.asks:
        return False
    return reply.lines[0].speaker != PATIENT or len(reply.lines[0].text.split()) <= _LONGEST_OTHER
