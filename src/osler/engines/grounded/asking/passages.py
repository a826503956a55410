"""The sources of a visit in passages that can be searched and quoted: who said it, and what it answers."""

import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from typing import Final

from osler.engines.grounded.lexicon import table
from osler.engines.grounded.questions import Exchange, exchanges
from osler.engines.grounded.reading import Mention, Reading, read
from osler.engines.grounded.utterances import Utterance, utterances
from osler.engines.grounded.visit import Visit, read_visit
from osler.notes.model import Evidence, Finding, SourceKind
from osler.notes.ports import FindingExtractor
from osler.notes.tokens import Token, singular
from osler.notes.writing import Source, VisitSources
from osler.speech.model import CLINICIAN, Transcript, Turn

MOST_CHARACTERS: Final = 100_000
"""Of all sources beside the transcript so much is read, in their order: about 30 pages."""

LONGEST_PARAGRAPH: Final = 4_000
"""Characters of a paragraph that are read: those at its beginning."""

_REPLIES: Final = 2
"""Passages at the beginning of a turn that answer the question before it."""

_INVITES: Final = re.compile(
    r"\b(?:(?:can|could|would) you (?:please )?(?:tell|rate|describe|show)|tell me"
    r"|(?:rate|describe) (?:it|your|the))\b",
    re.IGNORECASE,
)
"""A request inside of a statement: "you hurt your ankle, can you tell me more"."""


@dataclass(frozen=True, slots=True, eq=False)
class Passage:
    """A piece of a source that can be quoted: ``turns[turn].text[start:end] == text``.

    ``tokens`` are those of the piece, with their places in the turn, whose token ``first`` is the first of them;
    ``stems`` are their words without endings.
    ``question`` is the passage that it answers, ``before`` the one before it in the same turn.
    """

    of: "ReadSource"
    number: int
    first: int
    turn: int
    start: int
    end: int
    text: str
    speaker: str
    asks: bool
    tokens: tuple[Token, ...]
    stems: tuple[str, ...]
    mentions: tuple[Mention, ...]
    question: "Passage | None" = None
    before: "Passage | None" = None

    @property
    def by_clinician(self) -> bool:
        """Whether the clinician said or wrote it."""
        return self.speaker == CLINICIAN

    @property
    def evidence(self) -> Evidence:
        """The passage as a quote."""
        return self.of.cite(self.turn, self.start, self.end)


class ReadSource:
    """One source, read: the transcript, or a text beside it taken as the clinician's own words."""

    def __init__(self, kind: SourceKind, source_id: str, transcript: Transcript, extractor: FindingExtractor) -> None:
        self.kind = kind
        self.source_id = source_id
        self.transcript = transcript
        self._extractor = extractor
        self._starts_of: tuple[int, Sequence[int]] = (-1, ())

    @cached_property
    def findings(self) -> Sequence[Finding]:
        """Its clinical facts, with evidence of its kind."""
        if not self.transcript.turns:
            return []
        found = self._extractor.extract(self.transcript)
        return [replace(f, evidence=tuple(self.own(e) for e in f.evidence)) for f in found]

    @cached_property
    def visit(self) -> Visit:
        """Its sentences as a note would have them."""
        return read_visit(self.transcript, self._extractor)

    @cached_property
    def readings(self) -> Sequence[Reading]:
        """Its turns, read."""
        return [read(index, turn) for index, turn in enumerate(self.transcript.turns)]

    @cached_property
    def exchanges(self) -> Mapping[int, Exchange]:
        """Its questions with their answers, by the turn that asks."""
        return {exchange.question.index: exchange for exchange in exchanges(self.readings)}

    @cached_property
    def passages(self) -> Sequence[Passage]:
        """Its pieces, in order."""
        found: list[Passage] = []
        for utterance in utterances(self.transcript):
            found.append(self._passage(utterance, found))
        return found

    def cite(self, turn: int, start: int, end: int) -> Evidence:
        """Quote ``start:end`` of a turn."""
        return self.own(Evidence.cite(self.transcript, turn, start, end))

    def own(self, evidence: Evidence) -> Evidence:
        """Return a quote of this source as such."""
        return replace(evidence, source=self.kind, source_id=self.source_id)

    def passage_of(self, evidence: Evidence) -> Passage | None:
        """Return the passage that holds the beginning of a quote."""
        inside = self._by_turn.get(evidence.turn, ())
        return next((p for p in inside if p.start <= evidence.start < p.end), None)

    @cached_property
    def _by_turn(self) -> Mapping[int, Sequence[Passage]]:
        found: dict[int, list[Passage]] = {}
        for passage in self.passages:
            found.setdefault(passage.turn, []).append(passage)
        return found

    def _starts(self, turn: int) -> Sequence[int]:
        """Return where the tokens of a turn start; that of the turn asked for last is kept."""
        if self._starts_of[0] != turn:
            self._starts_of = turn, [token.start for token in self.readings[turn].tokens]
        return self._starts_of[1]

    def _passage(self, said: Utterance, former: Sequence[Passage]) -> Passage:
        reading = self.readings[said.turn]
        starts = self._starts(said.turn)
        first, last = bisect_left(starts, said.start), bisect_left(starts, said.end)
        tokens = tuple(reading.tokens[first:last])
        asks = said.is_question or any(
            reading.asks[n] and s < last and first < e and e - s <= 2 * (last - first)
            for n, (s, e) in enumerate(reading.sentences)
        )
        before = former[-1] if former and former[-1].turn == said.turn else None
        return Passage(
            of=self,
            number=said.index,
            first=first,
            turn=said.turn,
            start=said.start,
            end=said.end,
            text=said.text,
            speaker=said.speaker,
            asks=asks,
            tokens=tokens,
            stems=tuple(stem(token.norm) for token in tokens),
            mentions=tuple(m for m in reading.mentions if first <= m.start < last),
            question=None if asks else self._asked(said, former),
            before=before,
        )

    def _asked(self, said: Utterance, former: Sequence[Passage]) -> Passage | None:
        """Return the question that a reply's first pieces answer: the last one of the turn before."""
        inside = [p for p in former[-_REPLIES:] if p.turn == said.turn]
        if len(inside) >= _REPLIES:
            return None
        if inside:
            return inside[0].question
        asked = [
            p
            for p in former[-4:]
            if p.turn == said.turn - 1 and p.speaker != said.speaker and (p.asks or _INVITES.search(p.text))
        ]
        return asked[-1] if asked else None


@dataclass(slots=True)
class Sources:
    """All sources of a visit, the transcript first."""

    transcript: ReadSource
    others: Sequence[ReadSource] = ()
    facts: Mapping[str, str] = field(default_factory=dict)

    @property
    def all(self) -> Sequence[ReadSource]:
        """Every source."""
        return [self.transcript, *self.others]

    @property
    def passages(self) -> Iterator[Passage]:
        """Every passage, those of the transcript first."""
        for source in self.all:
            yield from source.passages


def read_sources(sources: VisitSources, extractor: FindingExtractor) -> Sources:
    """Make the sources of a visit searchable. Each is read when it is first asked for something."""
    left = MOST_CHARACTERS
    others = []
    for source in sources.others:
        paragraphs: list[str] = []
        for paragraph in source.paragraphs:
            if left <= 0:
                break
            paragraphs.append(paragraph[: min(left, LONGEST_PARAGRAPH)])
            left -= len(paragraphs[-1])
        others.append(_beside(source, paragraphs, extractor))
    heard = ReadSource(SourceKind.TRANSCRIPT, "", sources.transcript, extractor)
    return Sources(heard, others, sources.facts)


def _beside(source: Source, paragraphs: Sequence[str], extractor: FindingExtractor) -> ReadSource:
    turns = tuple(Turn(CLINICIAN, paragraph) for paragraph in paragraphs)
    return ReadSource(source.kind, source.id, Transcript(turns), extractor)


@cache
def stem(word: str) -> str:
    """Return a word without its ending, good enough to compare: "smoking", "smoked" and "smokes" are one."""
    word = _irregular().get(word, word)
    if not word.isalpha():
        return word
    word = singular(word)
    word = _irregular().get(word, word)
    for ending, least in (("ing", 3), ("ed", 3), ("ly", 4), ("ion", 5)):
        if word.endswith(ending) and len(word) - len(ending) >= least:
            word = word[: -len(ending)]
            if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "sl":
                word = word[:-1]
            break
    return re.sub(r"(?<=..)[ey]$", "", word)


@cache
def _irregular() -> Mapping[str, str]:
    return dict(table("asking")["irregular"])
