"""A visit in sentences, for its checklist: who said each, whether it asks, what was replied, what was only dictated."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Final

from osler.engines.grounded.lexicon import table
from osler.engines.grounded.questions import Answer, classify
from osler.engines.grounded.reading import Mention, Reading, read
from osler.notes.model import Evidence
from osler.speech.model import PATIENT, Transcript

_LONGEST_QUOTE: Final = 45
"""Words of a quote; a longer sentence is cut around what was found in it."""

_REPLY_SENTENCES: Final = 4
"""Sentences at the beginning of a turn that reply to the one before it."""

_PLAIN: Final = str.maketrans({"’": "'", "\n": " ", "\t": " ", "\u00a0": " "})


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """One sentence of a turn: ``text`` is ``turns[turn].text[start:end]`` with straight apostrophes, as long."""

    reading: Reading
    number: int
    start: int
    end: int
    text: str
    dictated: bool = False

    @property
    def turn(self) -> int:
        """Index of its turn."""
        return self.reading.index

    @property
    def speaker(self) -> str:
        """Label of who said it."""
        return self.reading.turn.speaker

    @property
    def by_patient(self) -> bool:
        """Whether the patient said it."""
        return self.speaker == PATIENT

    @property
    def asks(self) -> bool:
        """Whether it wants a reply: a question, or a statement to be confirmed."""
        return self.reading.asks[self.number] or self.number in self.reading.confirms or self.text.rstrip()[-1:] == "?"

    @property
    def mentions(self) -> list[Mention]:
        """The clinical names in it."""
        return self.reading.of_sentence(self.number)


@dataclass(frozen=True, slots=True, eq=False)
class Reply:
    """What another speaker said next: the first sentences of that turn."""

    lines: tuple[Line, ...]
    text: str
    answer: Answer

    @property
    def asks(self) -> bool:
        """Whether it is a question itself, and so no answer."""
        return self.lines[0].asks or (self.answer is Answer.OTHER and any(line.asks for line in self.lines[:2]))


class Lines:
    """The sentences of a visit, in order."""

    def __init__(self, transcript: Transcript) -> None:
        self.transcript = transcript
        readings = [read(index, turn) for index, turn in enumerate(transcript.turns)]
        dictated = _dictated(readings)
        self._by_turn: list[tuple[Line, ...]] = []
        for reading in readings:
            lines = []
            for number in range(len(reading.sentences)):
                span = _span(reading, number)
                if span is not None:
                    text = reading.turn.text[span[0] : span[1]].translate(_PLAIN)
                    lines.append(Line(reading, number, *span, text, (reading.index, number) in dictated))
            self._by_turn.append(tuple(lines))

    @cached_property
    def spoken(self) -> list[Line]:
        """Every sentence that was said to somebody: without dictation."""
        return [line for lines in self._by_turn for line in lines if not line.dictated]

    def before(self, line: Line, count: int) -> list[Line]:
        """Return up to ``count`` sentences of the same speaker before it: of its turn, and of the one before a short
        turn of another."""
        found = [other for other in self._by_turn[line.turn] if other.start < line.start and not other.dictated]
        turn = line.turn - 1
        while len(found) < count and turn >= 0 and line.turn - turn <= 2:
            lines = self._by_turn[turn]
            if lines and lines[0].speaker == line.speaker:
                found = [*lines, *found]
            elif sum(len(each.text.split()) for each in lines) > _SHORT:
                break
            turn -= 1
        return found[-count:]

    def reply(self, line: Line) -> Reply | None:
        """Return what another speaker said to it, in the next turn that says anything; None if nobody did."""
        for turn in range(line.turn + 1, min(line.turn + 3, len(self._by_turn))):
            lines = tuple(each for each in self._by_turn[turn][:_REPLY_SENTENCES] if not each.dictated)
            if not lines:
                continue
            if lines[0].speaker == line.speaker:
                return None
            answer, _, _ = classify(lines[0].reading.words)
            return Reply(lines, " ".join(each.text for each in lines), answer)
        return None

    def is_last_question(self, line: Line) -> bool:
        """Say whether nothing but an aside follows in its turn, so that the reply is to this one."""
        after = [other for other in self._by_turn[line.turn] if other.start > line.start]
        return not any(other.asks for other in after) and sum(len(each.text.split()) for each in after) <= _ASIDE

    def following(self, line: Line, turns: int) -> list[Line]:
        """Return the sentences of the next ``turns`` turns."""
        return [each for lines in self._by_turn[line.turn + 1 : line.turn + 1 + turns] for each in lines]

    def cite(self, line: Line, found: re.Match[str] | None = None) -> Evidence:
        """Quote a sentence; of a long one the words around what was found in it."""
        start, end = line.start, line.end
        words = list(re.finditer(r"\S+", line.text))
        if len(words) > _LONGEST_QUOTE:
            place = found.start() if found is not None else 0
            at = next((i for i, word in enumerate(words) if word.end() > place), 0)
            first = max(0, min(at - _LONGEST_QUOTE // 3, len(words) - _LONGEST_QUOTE))
            last = min(first + _LONGEST_QUOTE, len(words)) - 1
            start, end = line.start + words[first].start(), line.start + words[last].end()
        return Evidence.cite(self.transcript, line.turn, start, end)

    def cite_reply(self, reply: Reply, most: int = 2) -> Evidence:
        """Quote a reply: its first sentences until they say something."""
        last = reply.lines[0]
        for line in reply.lines[1:most]:
            if len(reply.text[: line.start - reply.lines[0].start].split()) > _SHORT or line.asks:
                break
            last = line
        words = list(re.finditer(r"\S+", self.transcript.turns[last.turn].text[reply.lines[0].start : last.end]))
        end = reply.lines[0].start + words[min(len(words), _LONGEST_QUOTE) - 1].end()
        return Evidence.cite(self.transcript, last.turn, reply.lines[0].start, end)


_ASIDE: Final = 8
"""Words that may follow a question in its turn: "any allergies? I have to ask everybody."."""

_SHORT: Final = 4
"""Words: a turn or sentence this short does not part what stands around it."""


def said(section: str, name: str, text: str) -> re.Match[str] | None:
    """Search a text for one of the expressions of ``data/checklist.toml``."""
    return _expression(section, name).search(text)


def about_another(line: Line, *, parent: bool) -> bool:
    """Say whether a sentence is about somebody else than the patient. ``parent``: of a child, who is spoken for."""
    if parent and said("persons", "child", line.text):
        return False
    return said("persons", "kin", line.text) is not None


def _span(reading: Reading, number: int) -> tuple[int, int] | None:
    first, last = reading.sentences[number]
    if first >= last or not any(token.is_word for token in reading.tokens[first:last]):
        return None
    return reading.tokens[first].start, reading.tokens[last - 1].end


def _dictated(readings: Sequence[Reading]) -> set[tuple[int, int]]:
    """Return the sentences (turn, sentence) that a clinician spoke to the note.

    After the last word of anybody else: everything from the first sentence that speaks of the patient in the third
    person. Before the first word of anybody else: the sentences that do so. In between: those that say "the patient".
    """
    found: set[tuple[int, int]] = set()
    others = [reading.index for reading in readings if not reading.by_clinician and reading.words]
    first, last = (others[0], others[-1]) if others else (len(readings), -1)
    after = False
    for reading in readings:
        if not reading.by_clinician:
            continue
        for number in range(len(reading.sentences)):
            span = _span(reading, number)
            text = reading.turn.text[span[0] : span[1]].translate(_PLAIN) if span else ""
            cue = said("dictation", "cues", text) is not None
            alone = reading.index < first or reading.index > last
            after = after or (cue and reading.index > last)
            if after or (cue and (alone or said("dictation", "surely", text))):
                found.add((reading.index, number))
    return found


@cache
def _expression(section: str, name: str) -> re.Pattern[str]:
    choices = "|".join(f"(?:{choice})" for choice in _choices(section, name))
    # A word boundary at either end, unless the expression itself ends in a mark or a blank.
    return re.compile(rf"(?<!\w)(?:{choices})(?:(?<=\W)|(?!\w))", re.IGNORECASE)


def _choices(section: str, name: str) -> Iterator[str]:
    for choice in table("checklist")[section][name]:
        yield str(choice)
