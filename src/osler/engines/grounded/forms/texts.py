"""Texts for forms: the grounded sentences of the visit that a question asks for, or the words themselves."""

import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Final

from osler.engines.grounded.asking.passages import Passage, ReadSource, Sources, stem
from osler.engines.grounded.asking.sightings import Sighting, intent
from osler.engines.grounded.asking.topics import Topic, Unit, topic_of
from osler.engines.grounded.forms.measured import asked_for, measured
from osler.engines.grounded.phrasing import Line
from osler.notes.forms import FormAnswer, FormQuestion
from osler.notes.model import Evidence
from osler.notes.template_placeholders import resolve
from osler.notes.tokens import numbers, tokenize

MOST_SENTENCES: Final = 8
"""Sentences of a text that answers a question by a part of the note."""

MOST_ABOUT: Final = 3
"""Sentences of a text about one thing."""

LEAST_RANK: Final = 0.22
"""Rank of a sentence that is written under a part of the note: as the style DETAILED."""

_LEAST_COVERED: Final = 0.75

_HAD: Final = re.compile(
    r"\b(has|had|have|having|gets?|got)\b.{0,25}\b(it|them|that|those|one|same|similar)\b", re.IGNORECASE
)
_NOBODY: Final = re.compile(r"\b(no|not|never|none|nobody|neither)\b|n't\b", re.IGNORECASE)


class FormTexts:
    """The sentences of one visit."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    @cached_property
    def lines(self) -> Sequence[Line]:
        """The visit's grounded sentences."""
        return self._sources.transcript.visit.lines

    def text(self, question: FormQuestion) -> FormAnswer | None:
        """Answer by sentences; None where none is about what is asked. Vital signs are answered by their values."""
        concepts, half = asked_for(question.text)
        if concepts:
            text, lines = measured(self.lines, concepts, half)
            if lines:
                return FormAnswer(tuple(dict.fromkeys(e for line in lines for e in line.evidence)), text=text)
            return self._in_words(topic_of(question.text), numbered=True)
        targets = [target for target in resolve(question.text) if not target.is_field]
        topic = topic_of(question.text)
        about = self._about(topic) if topic else []
        if not about and targets:
            parts = {target.name for target in targets}
            words = tuple(word for target in targets for word in target.words)
            about = [
                line
                for line in self.lines
                if line.part in parts and line.rank >= LEAST_RANK and (not words or _holds(line.text, words))
            ][:MOST_SENTENCES]
        if about:
            ordered = sorted(about, key=lambda line: (line.order, line.text))
            text = " ".join(line.text for line in ordered)
            return FormAnswer(tuple(dict.fromkeys(e for line in ordered for e in line.evidence)), text=text)
        return self._in_words(topic) if topic else None

    def in_family(self, source: ReadSource, topic: Topic) -> Iterator[Sighting]:
        """Yield where a relative is said to have had "them", what the topic names having been spoken of just before."""
        for passage in source.passages:
            if passage.asks or not intent("family").search(passage.text) or not _HAD.search(passage.text):
                continue
            if all(unit.place(passage) or _shortly_before(passage, unit) for unit in topic.units):
                denied = _NOBODY.search(passage.text[_family_at(passage) :]) is not None
                yield Sighting(passage, (passage.evidence,), None if denied else False, family=True)

    def _about(self, topic: Topic) -> list[Line]:
        found = []
        for line in self.lines:
            said = f"{line.text} {' '.join(e.quote for e in line.evidence)}"
            stems = {stem(token.norm) for token in tokenize(said) if token.is_word}
            if all(_said(unit, stems, said) for unit in topic.units):
                found.append(line)
        return found[:MOST_ABOUT]

    def _in_words(self, topic: Topic, *, numbered: bool = False) -> FormAnswer | None:
        """Answer by the words themselves, in quotes; by those with a number alone if ``numbered``."""
        scored = []
        for passage in self._sources.passages:
            covered = topic.covered(passage)
            if numbered and not numbers(passage.tokens):
                continue
            if not passage.asks and covered >= _LEAST_COVERED and len(passage.stems) > 2:
                scored.append((covered, passage))
        if not scored:
            return None
        best = max(covered for covered, _ in scored)
        chosen = [passage for covered, passage in scored if covered == best][:MOST_ABOUT]
        evidence: list[Evidence] = []
        for passage in chosen:
            evidence += [passage.question.evidence] if passage.question is not None else []
            evidence.append(passage.evidence)
        text = " ".join(f"“{passage.text}”" for passage in chosen)
        return FormAnswer(tuple(dict.fromkeys(evidence)), text=text)


def _shortly_before(passage: Passage, unit: Unit) -> bool:
    passages = passage.of.passages
    return any(unit.place(earlier) for earlier in passages[max(0, passage.number - 3) : passage.number])


def _family_at(passage: Passage) -> int:
    found = intent("family").search(passage.text)
    return found.start() if found else 0


def _said(unit: Unit, stems: set[str], text: str) -> bool:
    if any(all(word in stems for word in row) for row in unit.alternatives):
        return True
    return any(re.search(rf"\b{re.escape(concept)}\b", text, re.IGNORECASE) for concept in unit.concepts)


def _holds(text: str, words: Sequence[str]) -> bool:
    said = [token.norm for token in tokenize(text)]
    return any(
        any(each.startswith(word[:-1]) if word.endswith("*") else each == word for each in said) for word in words
    )
