"""Cuts turns into utterances: the smallest pieces that can stand as one sentence of a note.

Punctuated text is cut at its marks. Speech that came without marks (a recogniser's stream, a typed transcript) is cut
where speakers start anew: "okay", "so", "now let's", "and then i". Spans are code points into ``Turn.text``.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from osler.engines.grounded.lexical import Lexicon, load_lexicon
from osler.speech.model import CLINICIAN, Transcript

RESTART_WORDS, CLAUSE_WORDS = 8, 16
"""A run longer than this is also cut where its speaker starts anew, and at conjunctions that open a clause."""

MIN_WORDS = 3
"""No piece that is cut off so is shorter than this."""

_SENTENCE_END = re.compile(r"(?<!\.)(?:(?<!\d)[.?!](?!\d)|(?<=\d)[.?!](?=\s|$))(?!\.)[\"')]*(?=\s|$)")
_ABBREVIATION = re.compile(r"\b(?:dr|mr|mrs|ms|st|vs|approx|e\.g|i\.e)\s?\.$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Utterance:
    """One piece of a turn; ``position`` is 0..1 of the visit's words, ``speaker`` the turn's label."""

    turn: int
    start: int
    end: int
    text: str
    speaker: str
    position: float
    index: int

    @property
    def by_clinician(self) -> bool:
        """Whether the clinician said it."""
        return self.speaker == CLINICIAN

    @property
    def is_question(self) -> bool:
        """Whether it asks something: by its mark, or by its opening words."""
        patterns = _patterns()
        if self.text.rstrip().endswith("?"):
            return not patterns.command.match(self.text)
        bare = patterns.opening.sub("", self.text.strip())
        return bool(patterns.question.match(bare))


@dataclass(frozen=True, slots=True)
class _Patterns:
    opening: re.Pattern[str]
    question: re.Pattern[str]
    command: re.Pattern[str]
    marker: re.Pattern[str]
    clause: re.Pattern[str]


@cache
def _patterns() -> _Patterns:
    lexicon: Lexicon = load_lexicon()

    def one_of(key: str) -> str:
        return "|".join(lexicon.patterns(key))

    return _Patterns(
        opening=re.compile(rf"^(?:(?:{one_of('openings')})\b[\s,.]*)+", re.IGNORECASE),
        question=re.compile(rf"(?:{one_of('question_openings')})\b", re.IGNORECASE),
        command=re.compile(rf"(?:{one_of('device_commands')})", re.IGNORECASE),
        marker=re.compile(rf"(?<=\s)(?:{one_of('restarts')})\b", re.IGNORECASE),
        clause=re.compile(rf"(?<=\s)(?:{one_of('clause_openings')})\b", re.IGNORECASE),
    )


def utterances(transcript: Transcript) -> list[Utterance]:
    """Cut every turn of the transcript, in order."""
    total = max(1, sum(len(turn.text.split()) for turn in transcript.turns))
    said = 0
    found: list[Utterance] = []
    for number, turn in enumerate(transcript.turns):
        for start, end in _spans(turn.text):
            text = turn.text[start:end]
            found.append(Utterance(number, start, end, text, turn.speaker, said / total, len(found)))
            said += len(text.split())
    return found


def _spans(text: str) -> Iterator[tuple[int, int]]:
    begin = 0
    ends = [m.end() for m in _SENTENCE_END.finditer(text) if not _ABBREVIATION.search(text[: m.end()])]
    for end in [*ends, len(text)]:
        yield from _split_run(text, begin, end)
        begin = end


def _split_run(text: str, begin: int, end: int) -> Iterator[tuple[int, int]]:
    """Cut one sentence, or one run of unmarked speech, where its speaker starts anew."""
    patterns = _patterns()
    pieces = [(begin, end)]
    for pattern, most in ((patterns.marker, RESTART_WORDS), (patterns.clause, CLAUSE_WORDS)):
        cut: list[tuple[int, int]] = []
        for start, stop in pieces:
            if len(text[start:stop].split()) <= most:
                cut.append((start, stop))
                continue
            last = start
            for match in pattern.finditer(text, start + 1, stop):
                ahead, behind = text[last : match.start()].split(), text[match.start() : stop].split()
                if len(ahead) >= MIN_WORDS and len(behind) >= MIN_WORDS:
                    cut.append((last, match.start()))
                    last = match.start()
            cut.append((last, stop))
        pieces = cut
    for start, stop in pieces:
        trimmed = _trim(text, start, stop)
        if trimmed is not None:
            yield trimmed


def _trim(text: str, start: int, stop: int) -> tuple[int, int] | None:
    while start < stop and not (text[start].isalnum() or text[start] in "'$"):
        start += 1
    while stop > start and text[stop - 1] in ' \t\n,;:-–—"':
        stop -= 1
    return (start, stop) if re.search(r"\w", text[start:stop]) else None
