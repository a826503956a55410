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

MARKED_WORDS = 22
"""In a visit whose sentences are marked, only a sentence longer than this is cut at conjunctions."""

RUN_WORDS = 30
"""There, a sentence longer than this is taken for several whose marks are missing."""

MARKED_RATE = 1 / 20
"""Sentence marks per word from which a visit counts as marked."""

MIN_AHEAD, MIN_WORDS = 2, 3
"""No piece that is cut off so, ahead of the cut or behind it, is shorter than this."""

_SENTENCE_END = re.compile(r"(?<!\.)(?:(?<!\d)[.?!](?!\d)|(?<=\d)[.?!](?=\s|$))(?!\.)[\"')]*(?=\s|$)")
_UNMARKED_START = re.compile(
    r"(?<=[a-z,]) (?=(?:It's|It|We'll|We're|The|You|You'll|This|That|Do|Please|Your|There|Let's)\b)"
)
"""A recogniser's missing full stop: a capital in the middle of a run."""

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
        text = self.text.rstrip()
        if patterns.command.match(text):
            return False
        bare = patterns.opening.sub("", text.strip())
        if not self.by_clinician:
            return bool(patterns.inverted.match(bare))
        if text.endswith("?"):
            without_tag = patterns.tag.sub("", bare)
            return without_tag == bare or bool(patterns.question.match(without_tag))
        return bool(patterns.question.match(bare))


@dataclass(frozen=True, slots=True)
class _Patterns:
    opening: re.Pattern[str]
    question: re.Pattern[str]
    command: re.Pattern[str]
    tag: re.Pattern[str]
    inverted: re.Pattern[str]
    opens_question: frozenset[str]
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
        tag=re.compile(r"[\s,.]*\b(?:okay|ok|alright|all right|you know)[\s?]*$", re.IGNORECASE),
        inverted=re.compile(
            rf"(?:{lexicon.patterns('question_openings')[0]})\b"
            r"|should (?:i|we|it|my|the)\b"
            r"|(?:what|how|why|when|where|who) (?:can|should|do|does|will|is|are|am|about|long|much|many)\b"
            r"|(?:what|how|why|when|where|who)\b.*\?$",
            re.IGNORECASE,
        ),
        opens_question=lexicon.words("opens_question"),
        marker=re.compile(rf"(?<=\s)(?:{one_of('restarts')})\b", re.IGNORECASE),
        clause=re.compile(rf"(?<=\s)(?:{one_of('clause_openings')})\b", re.IGNORECASE),
    )


_ASKING = ("do ", "did ", "have ", "are ", "were ", "is ", "does ", "how ", "what", "when ", "where ", "tell ", "any ")


def utterances(transcript: Transcript) -> list[Utterance]:
    """Cut every turn of the transcript, in order."""
    total = max(1, sum(len(turn.text.split()) for turn in transcript.turns))
    said = 0
    marked = sum(len(_SENTENCE_END.findall(turn.text)) for turn in transcript.turns) / total >= MARKED_RATE
    found: list[Utterance] = []
    for number, turn in enumerate(transcript.turns):
        for start, end in _spans(turn.text, marked):
            text = turn.text[start:end]
            found.append(Utterance(number, start, end, text, turn.speaker, said / total, len(found)))
            said += len(text.split())
    return found


def _spans(text: str, marked: bool) -> Iterator[tuple[int, int]]:
    begin = 0
    ends = [m.end() for m in _SENTENCE_END.finditer(text) if not _ABBREVIATION.search(text[: m.end()])]
    ends = sorted({*ends, *(m.start() for m in _UNMARKED_START.finditer(text))}) if marked else ends
    for end in [*ends, len(text)]:
        yield from _split_run(text, begin, end, marked)
        begin = end


def _split_run(text: str, begin: int, end: int, marked: bool) -> Iterator[tuple[int, int]]:
    """Cut one sentence, or one run of unmarked speech, where its speaker starts anew."""
    patterns = _patterns()
    pieces = [(begin, end)]
    restart = RUN_WORDS if marked else RESTART_WORDS
    steps = [(patterns.marker, restart), (patterns.clause, MARKED_WORDS if marked else CLAUSE_WORDS)]
    for pattern, most in steps:
        cut: list[tuple[int, int]] = []
        for start, stop in pieces:
            if len(text[start:stop].split()) <= most:
                cut.append((start, stop))
                continue
            last = start
            for match in pattern.finditer(text, start + 1, stop):
                ahead, behind = text[last : match.start()].split(), text[match.start() : stop].split()
                held = pattern is patterns.marker and bool(ahead) and ahead[-1].lower() in patterns.opens_question
                if held and match.group().lower().startswith(_ASKING):
                    continue
                if len(ahead) >= MIN_AHEAD and len(behind) >= MIN_WORDS:
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
