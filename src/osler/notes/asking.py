"""Questions and commands about one visit, and the parts of their answers."""

from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Final

from osler.notes.model import Evidence
from osler.notes.writing import VisitSources

LONGEST_COMMAND: Final = 4_000
LONGEST_CONTENT: Final = 100_000
"""Characters."""


class AnswerKind(StrEnum):
    """What an answer is.

    Found in the sources, known of the session before a word was said (which needs no evidence), the text in hand
    edited, not said in the visit, or beyond the writer.
    """

    FOUND = "found"
    KNOWN = "known"
    EDITED = "edited"
    NOT_SAID = "not_said"
    CANNOT = "cannot"


@dataclass(frozen=True, slots=True)
class Question:
    """A question or command. ``content`` is the text in hand, Markdown, or empty; dates are reckoned from the day."""

    command: str
    content: str
    sources: VisitSources
    visit_day: date


@dataclass(frozen=True, slots=True)
class AnswerPart:
    """A finished piece of an answer: Markdown that ends with a line end, and the words that it rests on.

    All parts' ``text`` one after another is the whole answer; all parts of one answer are of one kind.
    """

    text: str
    kind: AnswerKind
    evidence: tuple[Evidence, ...] = ()
