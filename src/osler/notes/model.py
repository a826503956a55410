"""Findings, evidence, sentences, notes. Plain types, no engine."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from osler.kernel.engine_record import EngineRecord
from osler.speech.model import Transcript


class VoiceStyle(StrEnum):
    """How long a note is; never which facts are true."""

    BRIEF = "BRIEF"
    GOLDILOCKS = "GOLDILOCKS"
    DETAILED = "DETAILED"
    SUPER_DETAILED = "SUPER_DETAILED"


class Verdict(StrEnum):
    """How well a sentence's evidence bears it."""

    SUPPORTED = "supported"
    INFERRED = "inferred"
    UNSUPPORTED = "unsupported"
    CONTRADICTED = "contradicted"


class FindingKind(StrEnum):
    """What a finding is about."""

    PROBLEM = "problem"
    SYMPTOM = "symptom"
    MEDICATION = "medication"
    ALLERGY = "allergy"
    VITAL = "vital"
    EXAM = "exam"
    RESULT = "result"
    PROCEDURE = "procedure"
    SOCIAL = "social"
    ORDER = "order"
    PLAN = "plan"
    FOLLOW_UP = "follow_up"


class Experiencer(StrEnum):
    """Whose finding it is."""

    PATIENT = "patient"
    FAMILY = "family"


class Temporality(StrEnum):
    """When it holds, by ConText (Harkema et al. 2009)."""

    CURRENT = "current"
    HISTORICAL = "historical"
    HYPOTHETICAL = "hypothetical"


@dataclass(frozen=True, slots=True)
class Evidence:
    """The words that a sentence rests on: ``turns[turn].text[start:end] == quote`` (code points).

    ``audio_start`` and ``audio_end`` are seconds, None where the transcript has no times.
    """

    turn: int
    start: int
    end: int
    quote: str
    audio_start: float | None = None
    audio_end: float | None = None

    @classmethod
    def cite(cls, transcript: Transcript, turn: int, start: int, end: int) -> "Evidence":
        """Quote ``start:end`` (code points) of a turn, with its audio times. Raises ValueError on an empty span."""
        source = transcript.turns[turn]
        if not 0 <= start < end <= len(source.text):
            raise ValueError(f"no such span in turn {turn}")
        audio_start, audio_end = source.seconds_of(start, end)
        return cls(turn, start, end, source.text[start:end], audio_start, audio_end)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "turn": self.turn,
            "start": self.start,
            "end": self.end,
            "quote": self.quote,
            "audio_start": self.audio_start,
            "audio_end": self.audio_end,
        }


@dataclass(frozen=True, slots=True)
class Finding:
    """One clinical fact of the visit, tied to its words.

    ``text`` is the phrase as said (lower case), ``concept`` its canonical name in the lexicon. ``evidence`` holds the
    span of the mention first, then what else it rests on (the answer to a question, the negating words).
    ``attributes`` by kind: medication ``dose``, ``unit``, ``route``, ``frequency``, ``action``
    (start, stop, increase, decrease, continue, declined), ``reaction``; allergy ``reaction``, ``type`` (reaction,
    intolerance: nobody called it an allergy); vital ``value``, ``unit``, ``where`` (home); order, follow-up ``when``;
    symptom ``cause`` (a medicine), ``site``; any ``laterality``, ``duration``, ``severity``, ``certainty`` (possible;
    offered: neither taken nor refused).
    """

    kind: FindingKind
    text: str
    concept: str
    evidence: tuple[Evidence, ...]
    negated: bool = False
    experiencer: Experiencer = Experiencer.PATIENT
    temporality: Temporality = Temporality.CURRENT
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence of a note with what it rests on and how well.

    ``is_problem``: it names the problem that the sentences after it are about (assessment and plan).
    """

    text: str
    evidence: tuple[Evidence, ...]
    verdict: Verdict = Verdict.SUPPORTED
    is_problem: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {"text": self.text, "evidence": [e.to_json() for e in self.evidence], "verdict": self.verdict.value}


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and its sentences, never empty."""

    heading: str
    sentences: tuple[Sentence, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {"heading": self.heading, "sentences": [s.to_json() for s in self.sentences]}


@dataclass(frozen=True, slots=True)
class Note:
    """A clinical note: sections in the template's order, and what made it."""

    sections: tuple[Section, ...]
    template: str
    voice_style: VoiceStyle
    engine: EngineRecord

    @property
    def sentences(self) -> tuple[Sentence, ...]:
        """All sentences in order."""
        return tuple(s for section in self.sections for s in section.sentences)
