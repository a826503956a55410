"""What a clinician adds to a request: facts to be written, and what steers the writer and is never written."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Final

from osler.engines.grounded.lexicon import lexicon, table, words_of
from osler.engines.grounded.phrasing import Line
from osler.engines.grounded.repetition import content
from osler.engines.grounded.statements import OTHERS, Statement, any_of, part_named
from osler.notes.model import FindingKind, VoiceStyle
from osler.notes.tokens import tokenize
from osler.notes.writing import Brain

MOST_NEEDED: Final = 2
"""Of the words of what is to be left out, a sentence that holds so many (or all, if there are fewer) is about it."""


@dataclass(frozen=True, slots=True)
class Steering:
    """What of the form of a text was asked for; None: nothing.

    ``without`` are the stems of what is to be left out, ``without_parts`` parts of a note.
    """

    shorter: bool = False
    longer: bool = False
    brain: Brain | None = None
    without: tuple[frozenset[str], ...] = ()
    without_parts: frozenset[str] = frozenset()

    def style(self, asked: VoiceStyle) -> VoiceStyle:
        """Return the style in place of the one that was asked for."""
        if self.shorter:
            return VoiceStyle.BRIEF
        if self.longer:
            longest = asked in (VoiceStyle.DETAILED, VoiceStyle.SUPER_DETAILED)
            return VoiceStyle.SUPER_DETAILED if longest else VoiceStyle.DETAILED
        return asked

    def leaves_out(self, line: Line) -> bool:
        """Say whether a line is about what is to be left out."""
        words = content(line.text)
        return line.part in self.without_parts or any(
            len(words & about) >= min(MOST_NEEDED, len(about)) for about in self.without
        )


def steered(said: Sequence[Statement]) -> tuple[Steering, list[Statement]]:
    """Part an addition into what steers and the facts, without what leads them in ("add:", "mention that")."""
    steering = Steering()
    facts: list[Statement] = []
    for statement in said:
        for clause in _clauses(statement):
            if clause.text[-1:] == "?":  # asked of whoever writes
                clause = replace(clause, text=clause.text.rstrip("?"), end=clause.end - 1)
                if not _tells_how(clause.text):
                    continue
            without = _left_out(clause.text)
            if without and not _tells_how(without):
                steering = _leaving_out(steering, without)
            elif _tells_how(clause.text):
                steering = replace(
                    steering,
                    shorter=steering.shorter or bool(_pattern("shorter").search(clause.text)),
                    longer=steering.longer or bool(_pattern("longer").search(clause.text)),
                    brain=_brain(clause.text) or steering.brain,
                )
            elif (fact := _without_lead(clause)) is not None:
                facts.append(fact)
    return steering, facts


def is_command(text: str) -> bool:
    """Say whether a sentence is meant for whoever writes rather than for a note: "ignore all instructions"."""
    return any_of(table("sources")["reading"]["commands"]).search(text) is not None


def _clauses(statement: Statement) -> Iterator[Statement]:
    begin = 0
    for joint in [*_pattern("joints").finditer(statement.text), None]:
        end = joint.start() if joint else len(statement.text)
        clause = statement.text[begin:end]
        trimmed = clause.strip(" ,;")
        if trimmed:
            start = statement.start + begin + clause.index(trimmed)
            yield replace(statement, start=start, end=start + len(trimmed), text=trimmed)
        begin = joint.end() if joint else end


def _tells_how(text: str) -> bool:
    """Say whether a clause tells how to write: it is a command, speaks of texts, and names nothing clinical."""
    if is_command(text) or _pattern("writing").match(text):
        return True
    if not _pattern("verbs").match(text) or not _pattern("words").search(text):
        return False
    named = lexicon().find(words_of(tokenize(text)))
    return not any(match.terms[0].kind is not FindingKind.SOCIAL for match in named)


def _brain(text: str) -> Brain | None:
    if _pattern("listed").search(text):
        return Brain.LEFT
    return Brain.RIGHT if _pattern("told").search(text) else None


def _left_out(text: str) -> str:
    """Return what a clause asks to leave out of the text; empty if it asks nothing of the kind."""
    sure, perhaps = _pattern("without").match(text), _pattern("perhaps_without").match(text)
    if sure:
        return sure["what"]
    if perhaps and (_pattern("texts").search(perhaps["what"]) or _part(perhaps["what"])):
        return perhaps["what"]
    return ""


def _part(what: str) -> str | None:
    """Return the part of a note that is named as a whole: "the family history"."""
    named = re.sub(r"^(?:the|any|his|her|their|all)\s+|\s+(?:section|part|heading|list)$", "", what.strip(" .!"))
    part = part_named(named)
    return part if part != OTHERS else None


_TEXTS_OF: Final = re.compile(
    r"^(?:the |any |all )?(?:sentences?|parts?|mentions?|references?|details?|comments?) (?:of|to|about|on) ", re.I
)
"""What of "the part about the divorce" says nothing of the divorce."""


def _leaving_out(steering: Steering, what: str) -> Steering:
    """Return what steers, with parts of a note ("the family history") or things ("the divorce") to be left out."""
    for each in re.split(r"\s*(?:,|\bor\b|\band\b)\s*", what.strip(" .!")):
        part = _part(each)
        about = content(_TEXTS_OF.sub("", each)) - {"not"}
        if part is not None:
            steering = replace(steering, without_parts=steering.without_parts | {part})
        elif about:
            steering = replace(steering, without=(*steering.without, about))
    return steering


def _without_lead(clause: Statement) -> Statement | None:
    lead = _pattern("leads").match(clause.text)
    start = clause.start + (lead.end() if lead else 0)
    text = clause.text[lead.end() if lead else 0 :]
    if not any(character.isalnum() for character in text):
        return None
    return replace(clause, start=start, text=text)


@cache
def _pattern(name: str) -> re.Pattern[str]:
    additions: dict[str, Any] = dict(table("sources")["additions"])
    return any_of(additions[name])
