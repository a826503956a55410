"""What a writer is given to write from, what it is asked for, and what it gives back piece by piece."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from osler.notes.model import Section, SourceKind, VoiceStyle
from osler.notes.template_tree import TemplateText
from osler.speech.model import Transcript


class Brain(StrEnum):
    """How a text is built: LEFT structured and by problem, RIGHT as a narrative."""

    LEFT = "LEFT"
    RIGHT = "RIGHT"


@dataclass(frozen=True, slots=True)
class Source:
    """A text beside the transcript. ``id`` as in :class:`osler.notes.model.Evidence`; ``paragraphs`` are as stored."""

    kind: SourceKind
    id: str
    paragraphs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class VisitSources:
    """All that may be written from: the transcript in use (no turns if there is none) and what stands beside it.

    ``facts`` are what is known before a word is said, by the names of
    :data:`osler.notes.template_placeholders.FIELDS`; what is not known is not there. ``linked`` are the ids of all
    linked encounters, also of those that had nothing to say.
    """

    transcript: Transcript
    transcript_id: str | None = None
    others: tuple[Source, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    linked: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class VoiceProfile:
    """How a clinician writes, learned from notes of theirs: ``headings`` maps a plain heading (small letters) to
    theirs, ``phrases`` are wordings of theirs by what they replace, ``words`` is the usual length of a note.
    """

    notes: int
    words: int
    headings: Mapping[str, str] = field(default_factory=dict)
    phrases: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WritingTask:
    """What is to be written. ``voice`` is given with the style MY_VOICE."""

    sources: VisitSources
    template: TemplateText
    title: str
    voice_style: VoiceStyle
    brain: Brain = Brain.LEFT
    voice: VoiceProfile | None = None


@dataclass(frozen=True, slots=True)
class WrittenPart:
    """A finished piece of a text: Markdown as it goes out, and the same as a section with evidence.

    All parts' ``text`` one after another is the whole text. The section has the sentences that were written; what the
    template's author wrote is in ``text`` alone, so a piece of nothing else has a section without sentences.
    """

    text: str
    section: Section
