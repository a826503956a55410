"""Whether the patient's identity was confirmed: a name or a date of birth, asked for, or read out and agreed."""

import re
from typing import Final

from osler.engines.grounded.checklist.lines import Line, Lines, Reply, about_another, said
from osler.engines.grounded.questions import Answer
from osler.notes.checklist import ChecklistItem, ChecklistName
from osler.notes.model import Evidence

_LONGEST_NAME: Final = 8
"""Words of a reply that is a name and nothing else."""

_NO_NAME: Final = frozenset(
    (
        *(
            "yes",
            "yeah",
            "yep",
            "yup",
            "sure",
            "okay",
            "ok",
            "no",
            "nope",
            "um",
            "uh",
            "er",
            "well",
            "so",
            "right",
            "of",
        ),
        *(
            "course",
            "please",
            "thanks",
            "thank",
            "you",
            "hi",
            "hello",
            "hey",
            "oh",
            "ah",
            "what",
            "sorry",
            "pardon",
            "it",
        ),
        *("is", "it's", "and", "my", "the", "that", "that's", "i", "i'm", "we", "but", "not", "a"),
    )
)
"""Words of a reply that are no name, though they begin it with a capital."""


def identity(lines: Lines) -> ChecklistItem:
    """Return the item. A greeting by name, an age or somebody else's name confirms nothing."""
    for line in lines.spoken:
        if line.by_patient:
            found = said("identity", "volunteered", line.text)
            if found and not about_another(line, parent=False):
                return _found(lines.cite(line, found))
            continue
        reply = lines.reply(line)
        if reply is None:
            continue
        parent = reply.lines[0].speaker.startswith("other")
        found = _asks(line, parent=parent) or _confirms(line)
        if found and _answers(line, found, reply):
            return _found(lines.cite(line, found), lines.cite_reply(reply))
    return ChecklistItem(ChecklistName.IDENTITY, False)


def _found(*evidence: Evidence) -> ChecklistItem:
    return ChecklistItem(ChecklistName.IDENTITY, True, evidence)


def _asks(line: Line, *, parent: bool) -> re.Match[str] | None:
    """Return where a sentence asks for a name or a date of birth."""
    found = said("identity", "birth", line.text) or said("identity", "name", line.text)
    if found is None or (said("identity", "not_patients", line.text) and not parent):
        return None
    if about_another(line, parent=parent):
        return None
    return found if line.asks or said("identity", "requests", line.text) else None


def _confirms(line: Line) -> re.Match[str] | None:
    """Return where a sentence reads a name or a date of birth out."""
    found = said("identity", "confirms", line.text)
    return None if found is None or about_another(line, parent=False) else found


def _answers(line: Line, found: re.Match[str], reply: Reply) -> bool:
    if reply.lines[0].asks:
        return False
    if said("identity", "says_birth", reply.text) and said("identity", "birth", line.text):
        return True
    if said("identity", "confirms", line.text) and said("identity", "agrees", reply.lines[0].text):
        return reply.answer is not Answer.NO
    if not said("identity", "name", line.text):
        return False
    if said("identity", "says_name", reply.text):
        return True
    words = re.findall(r"[^\W\d_][\w'-]*", reply.lines[0].text)
    left = [word for word in words if word.lower() not in _NO_NAME]
    capitals = [word for word in left if word[0].isupper()]
    cased = any(word[0].isupper() for word in words)
    return bool(left) and len(words) <= _LONGEST_NAME + 4 and (bool(capitals) or (not cased and len(left) <= 6))
