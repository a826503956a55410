"""Findings, evidence, sentences, notes. Plain types, no engine."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from osler.audio.model import AudioRecording
from osler.encounters.model import Encounter
from osler.kernel.engine_record import EngineRecord
from osler.speech.model import Transcript


class VoiceStyle(StrEnum):
    """How long a note is; never which facts are true. MY_VOICE is as long, and worded, as its reader's own notes."""

    BRIEF = "BRIEF"
    GOLDILOCKS = "GOLDILOCKS"
    DETAILED = "DETAILED"
    SUPER_DETAILED = "SUPER_DETAILED"
    MY_VOICE = "MY_VOICE"


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


class SourceKind(StrEnum):
    """What a sentence can rest on: the visit's own words, or what else the clinician put beside them."""

    TRANSCRIPT = "transcript"
    CONTEXT_DOCUMENT = "context_document"
    CLINICIAN_NOTE = "clinician_note"
    LINKED_NOTE = "linked_note"
    LINKED_TRANSCRIPT = "linked_transcript"
    ADDITION = "addition"
    CONSULT_NOTE = "consult_note"


@dataclass(frozen=True, slots=True)
class Evidence:
    """The words that a sentence rests on: ``turns[turn].text[start:end] == quote`` (code points).

    Of a source other than the transcript ``turn`` is the index of a paragraph, and ``source_id`` says which one it is
    (a context document's id, a linked encounter's id, the index of a clinician's note, empty for an addition).
    ``audio_start`` and ``audio_end`` are seconds, None where there are no times.
    """

    turn: int
    start: int
    end: int
    quote: str
    audio_start: float | None = None
    audio_end: float | None = None
    source: SourceKind = SourceKind.TRANSCRIPT
    source_id: str = ""

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
            "source": self.source.value,
            "source_id": self.source_id,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Evidence":
        """Read what :meth:`to_json` wrote. Raises KeyError on a missing field."""
        return cls(
            int(data["turn"]),
            int(data["start"]),
            int(data["end"]),
            str(data["quote"]),
            data["audio_start"],
            data["audio_end"],
            SourceKind(data.get("source", SourceKind.TRANSCRIPT)),
            str(data.get("source_id", "")),
        )


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
        return {
            "text": self.text,
            "evidence": [e.to_json() for e in self.evidence],
            "verdict": self.verdict.value,
            "is_problem": self.is_problem,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Sentence":
        """Read what :meth:`to_json` wrote. Raises KeyError on a missing field."""
        return cls(
            str(data["text"]),
            tuple(Evidence.from_json(e) for e in data["evidence"]),
            Verdict(data["verdict"]),
            data["is_problem"] is True,
        )


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and its sentences, never empty."""

    heading: str
    sentences: tuple[Sentence, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {"heading": self.heading, "sentences": [s.to_json() for s in self.sentences]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Section":
        """Read what :meth:`to_json` wrote. Raises KeyError on a missing field."""
        return cls(str(data["heading"]), tuple(Sentence.from_json(s) for s in data["sentences"]))


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


class TextStatus(StrEnum):
    """Where a written text stands. ``failed`` says what to do in ``failure``."""

    GENERATING = "generating"
    CREATED = "created"
    FAILED = "failed"


class ContentType(StrEnum):
    """The form of a text."""

    MARKDOWN = "MARKDOWN"
    HTML = "HTML"


@dataclass(frozen=True, slots=True)
class WrittenText:
    """What a note or document says. Sealed at rest. ``sections`` is empty for a text that a person wrote or edited.

    ``content_type`` is that of ``text`` itself: what is generated is Markdown, whatever its reader asked for. ``ends``
    says where each piece of a generated text ends (code points).
    """

    text: str
    content_type: ContentType = ContentType.MARKDOWN
    heading: str = ""
    sections: tuple[Section, ...] = ()
    ends: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class RequestTexts:
    """The texts of a request to write something. Sealed with what is written.

    ``template`` is the template itself where the client sent one; ``addition`` is what the clinician adds, facts or
    instructions.
    """

    template: str = ""
    addition: str = ""


@dataclass(frozen=True, slots=True)
class NoteVersion:
    """A stored version of the consult note. ``version`` counts from 1 per encounter; the highest is the current one.

    ``author_id`` is the user who edited it, None for the writer. ``transcript_id`` is the transcript version it rests
    on; ``stale`` says that this is no longer the one in use, or that other sources changed since. ``options`` holds the
    request's own words (generation method, brain, template id ...), no text; its texts are ``texts``. ``pieces`` are
    the finished ones of a text that is being written. ``failure`` is an error code.
    """

    id: str
    organization_id: str
    encounter_id: str
    version: int
    created_at: datetime
    status: TextStatus
    template: str
    voice_style: str
    content: WrittenText | None = None
    author_id: str | None = None
    transcript_id: str | None = None
    engine: EngineRecord | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    completed_at: datetime | None = None
    signed_at: datetime | None = None
    signed_by: str | None = None
    stale: bool = False
    failure: str | None = None
    texts: RequestTexts = RequestTexts()
    pieces: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Document:
    """A generated document (letter, certificate, summary). ``index`` counts from 0 per encounter and never changes."""

    id: str
    organization_id: str
    encounter_id: str
    index: int
    name: str
    created_at: datetime
    status: TextStatus
    template: str
    voice_style: str
    content: WrittenText | None = None
    transcript_id: str | None = None
    engine: EngineRecord | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    completed_at: datetime | None = None
    signed_at: datetime | None = None
    signed_by: str | None = None
    stale: bool = False
    failure: str | None = None
    texts: RequestTexts = RequestTexts()
    pieces: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FormAnswers:
    """A client's form as it was answered, with evidence; ``answers`` is the answered tree in JSON types. Sealed."""

    id: str
    organization_id: str
    encounter_id: str
    created_at: datetime
    answers: Mapping[str, Any]
    transcript_id: str | None = None


@dataclass(frozen=True, slots=True)
class EncounterOverview:
    """An encounter with what hangs on it; recordings and documents by index, ``note`` the newest version or None."""

    encounter: Encounter
    recordings: Sequence[AudioRecording] = ()
    note: NoteVersion | None = None
    documents: Sequence[Document] = ()
