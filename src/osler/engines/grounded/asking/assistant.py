"""The grounded assistant: answers about a visit in its own words, quoted; edits that change no fact; nothing else."""

import re
from collections.abc import Iterator
from typing import Final

from osler.engines.grounded.asking.editing import edited
from osler.engines.grounded.asking.facts import NONE, allergies_asked, facts_of
from osler.engines.grounded.asking.passages import Sources, read_sources
from osler.engines.grounded.asking.replies import Reply, quotes
from osler.engines.grounded.asking.search import nearest, searched
from osler.engines.grounded.asking.session_facts import of_session
from osler.engines.grounded.asking.sightings import command as wanted
from osler.engines.grounded.asking.summary import lay_summary, visit_summary
from osler.engines.grounded.asking.yes_no import is_yes_no, polar
from osler.kernel.engine_record import EngineRecord
from osler.notes.asking import AnswerKind, AnswerPart, Question
from osler.notes.model import SourceKind
from osler.notes.ports import FindingExtractor

VERSION: Final = "1"

NOT_SAID: Final = "The visit does not say."

_NO_MODEL: Final = "That needs a language model, and none is configured here."
_CAN: Final = (
    "What can be done without one: answer what the transcript, the note and the context say, shorten a text, put it "
    "into bullet points or into plain words, and sum up the visit."
)
_NO_TEXT: Final = "There is no text in hand to change; send it as the content."


class GroundedAssistant:
    """The deterministic assistant; implements ``Assistant``."""

    def __init__(self, extractor: FindingExtractor | None = None) -> None:
        if extractor is None:
            from osler.engines.grounded.findings import GroundedFindingExtractor

            extractor = GroundedFindingExtractor()
        self._extractor = extractor

    @property
    def record(self) -> EngineRecord:
        """What answers."""
        return EngineRecord("grounded-assistant", VERSION, {"findings": self._extractor.record.label})

    def answer(self, question: Question) -> Iterator[AnswerPart]:
        """Return the parts of the answer in their order, at least one; what is told of the visit has evidence."""
        asked = " ".join(question.command.split())
        if (known := of_session(asked, question.sources.facts)) is not None:
            yield AnswerPart(f"{known}\n", AnswerKind.KNOWN)
            return
        sources = read_sources(question.sources, self._extractor)
        if wanted("cannot").search(asked):
            yield from _cannot(_NO_MODEL, _CAN)
            return
        if (parts := self._edited(asked, question, sources)) is not None:
            yield from parts
            return
        reply = self._written(asked, sources)
        if reply is None and _is_work(asked):
            yield from _cannot(
                _NO_MODEL,
                "Letters and certificates are written as documents, by template."
                if wanted("letters").search(asked)
                else _CAN,
            )
            return
        reply = reply or _decided(asked, sources) if is_yes_no(asked) else reply or facts_of(asked, sources)
        reply = None if reply is NONE else reply or searched(asked, sources)
        yield from _told(reply) if reply is not None else _not_said(asked, sources)

    def _edited(self, asked: str, question: Question, sources: Sources) -> list[AnswerPart] | None:
        """Return the text in hand, edited; None if the command is no edit. Without a text the note is at hand."""
        if not any(wanted(name).search(asked) for name in ("shorten", "bullets", "prose", "plain")):
            return None
        text = question.content
        if wanted("summary").search(asked) and not text.strip():
            return None
        if not text.strip() and (note := _note_of(sources)):
            text = note
        if not text.strip():
            return _cannot(_NO_TEXT) if not is_question(asked) else None
        return [AnswerPart(piece, AnswerKind.EDITED) for piece in edited(asked, text)]

    def _written(self, asked: str, sources: Sources) -> Reply | None:
        if not wanted("summary").search(asked):
            return None
        plain = wanted("plain").search(asked) is not None
        to_patient = re.search(r"\b(write|for|to|give|tell)\b.*\b(patient|him|her|them)\b", asked, re.IGNORECASE)
        return (lay_summary if plain or to_patient else visit_summary)(sources)


def _decided(asked: str, sources: Sources) -> Reply | None:
    """Answer with yes or no, or else with the facts of the kind that is asked for: "any allergies?" is for each."""
    if (known := allergies_asked(asked, sources)) is not None:
        return known
    reply = polar(asked, sources)
    if reply is not None and reply.said:
        return reply
    facts = facts_of(asked, sources)
    return reply if facts is None or facts is NONE else facts


def is_question(asked: str) -> bool:
    """Say whether something is asked rather than ordered."""
    return (
        re.match(
            r"(what|which|who|whom|whose|when|where|why|how|is|are|was|were|do|does|did|has|have|had)\b", asked, re.I
        )
        is not None
    )


def _is_work(asked: str) -> bool:
    """Say whether a text is to be made or changed in a way that only a language model could."""
    if is_question(asked):
        return False
    return any(wanted(name).search(asked) for name in ("write", "change"))


def _note_of(sources: Sources) -> str:
    notes = [source for source in sources.others if source.kind is SourceKind.CONSULT_NOTE]
    return "\n\n".join(turn.text for turn in notes[-1].transcript.turns) if notes else ""


def _told(reply: Reply) -> Iterator[AnswerPart]:
    for text, evidence in reply.parts:
        yield AnswerPart(text, AnswerKind.FOUND if reply.said else AnswerKind.NOT_SAID, evidence)


def _not_said(asked: str, sources: Sources) -> Iterator[AnswerPart]:
    yield AnswerPart(f"{NOT_SAID}\n", AnswerKind.NOT_SAID)
    near = nearest(asked, sources)
    if near:
        lines, evidence = quotes(near)
        yield AnswerPart(f"\nThe nearest that it holds:\n\n{lines}", AnswerKind.NOT_SAID, evidence)


def _cannot(*sentences: str) -> list[AnswerPart]:
    return [AnswerPart(f"{' '.join(sentences)}\n", AnswerKind.CANNOT)]
