"""How the record is shown to outsiders: the contract's table of fields, and nothing that is not in it."""

from collections.abc import Sequence
from typing import Final

from osler.kernel.ids import derived_id
from osler.notes.html_reading import markdown_of
from osler.notes.model import ContentType, WrittenText
from osler.release.model import NOTE, ReleasedDocument, ReleasedKind
from osler.release.public_model import (
    COMPLETED_TEXT,
    PublicDocument,
    PublicDocumentSummary,
    PublicEncounter,
    PublicEncounterType,
    PublicPatient,
    PublicRecord,
    PublicStatus,
    PublicTranscript,
    PublicTurn,
    ShownDocument,
    WorkflowVariant,
)
from osler.speech.model import Transcript, Turn

_PHONE: Final = frozenset({"phone", "phonecall", "telephone", "telephonecall", "call"})
"""The modes, in small letters and without anything between them, of a visit on the phone."""

_TITLES: Final = {
    ReleasedKind.TRANSCRIPT: "Ambient transcript",
    ReleasedKind.DOCUMENT: "Document",
    ReleasedKind.BILLING: "Billing summary",
    ReleasedKind.CHECKLIST: "Encounter checklist",
}

NOTE_TITLE: Final = "Consult note"
"""What a note is called that has no heading of its own."""

NO_ENGINE: Final = "unknown"
"""The provider of a transcript whose engine nobody noted."""

_HONORIFICS: Final = frozenset({"mr", "mrs", "ms", "miss", "mx", "dr", "prof"})
# fmt: off
_PARTICLES: Final = frozenset({
    "van", "von", "de", "der", "den", "da", "di", "du", "del", "della", "dos", "das", "do", "la", "le", "ter", "ten",
    "bin", "ibn", "al", "el", "zu", "zur", "st", "st.",
})
# fmt: on
_SUFFIXES: Final = frozenset({"jr", "sr", "ii", "iii", "iv"})


def projected(record: PublicRecord) -> PublicEncounter:
    """Return an encounter as outsiders see it."""
    variant = variant_of(record.transcribe_mode)
    if record.is_signed:
        status = PublicStatus.SIGNED
    else:
        status = PublicStatus.COMPLETED if record.is_completed else PublicStatus.IN_PROGRESS
    documents = record.documents
    return PublicEncounter(
        record.id,
        record.organization_id,
        record.created_at,
        max([record.updated_at, *[document.updated_at for document in documents]]),
        record.created_time_local or record.first_started_at,
        record.profile or _own_patient(record),
        status,
        _type(documents, variant),
        tuple([summary(document, variant) for document in documents]),
    )


def summary(document: ReleasedDocument | ShownDocument, variant: WorkflowVariant) -> PublicDocumentSummary:
    """Return what a list says of a document. What is not a transcript's has no status, variant or length."""
    kind = document.kind
    title = document.title or title_of(document)
    if kind is ReleasedKind.TRANSCRIPT:
        return PublicDocumentSummary(document.id, kind, title, COMPLETED_TEXT, variant, document.audio_duration)
    return PublicDocumentSummary(document.id, kind, title, None, None, None)


def detail(document: ReleasedDocument, variant: WorkflowVariant, text: str | None) -> PublicDocument:
    """Return a document by itself; ``text`` is that of the version that is shown."""
    told = summary(document, variant)
    return PublicDocument(
        id=document.id,
        encounter_id=document.encounter_id,
        kind=document.kind,
        title=told.title,
        status=told.status,
        workflow_variant=told.workflow_variant,
        audio_duration=told.audio_duration,
        created_at=document.created_at,
        updated_at=document.updated_at,
        source_id=document.source_id,
        text=text,
    )


def transcript_shown(document: ReleasedDocument, transcript: Transcript) -> PublicTranscript:
    """Return the turns of a transcript as outsiders read them."""
    duration = document.audio_duration if document.audio_duration is not None else transcript.duration
    return PublicTranscript(
        document_id=document.id,
        encounter_id=document.encounter_id,
        source_id=document.source_id,
        provider=transcript.engine.label if transcript.engine else NO_ENGINE,
        turns=turns_shown(transcript.turns),
        audio_duration=duration,
    )


def variant_of(transcribe_mode: str | None) -> WorkflowVariant:
    """Say how a visit was held, by its session's mode: ``phone``, ``phone_call``, ``Telephone`` ... are phone calls.

    The mode is the client's own code. Whatever does not say so itself, a video call too, is ambient.
    """
    letters = "".join(letter for letter in (transcribe_mode or "").lower() if letter.isalnum())
    return WorkflowVariant.PHONE_CALL if letters in _PHONE else WorkflowVariant.AMBIENT


def title_of(document: ReleasedDocument | ShownDocument) -> str:
    """Return a document's own title, else what its kind is called."""
    if document.title:
        return document.title
    return NOTE_TITLE if document.slot == NOTE else _TITLES[document.kind]


def markdown(content: WrittenText) -> str:
    """Return a text as Markdown; one that a clinician edited as HTML keeps its headings, paragraphs and lists."""
    return markdown_of(content.text) if content.content_type is ContentType.HTML else content.text


def turns_shown(turns: Sequence[Turn]) -> tuple[PublicTurn, ...]:
    """Return turns by time, each with its seconds.

    A turn without times stands where its neighbours leave it room: from the end of the one before to the start of the
    next that has one.
    """
    begun = [_first(turn.start, turn.words[0].start if turn.words else None) for turn in turns]
    ended = [_first(turn.end, turn.words[-1].end if turn.words else None) for turn in turns]
    following: list[float | None] = [None] * len(turns)  # when the next turn begins of which that is known
    for place in range(len(turns) - 1, 0, -1):
        following[place - 1] = _first(begun[place], following[place])
    shown = []
    now = 0.0
    for place, turn in enumerate(turns):
        start = _first(begun[place], now)
        assert start is not None
        end = _first(ended[place], following[place], start)
        assert end is not None
        end = max(start, end)
        now = max(now, end)
        shown.append(PublicTurn(turn.speaker, turn.text, float(start), float(end)))
    return tuple(sorted(shown, key=lambda turn: turn.start))


def split_name(name: str) -> tuple[str | None, str | None]:
    """Return first and last name of a full one, each None where there is none.

    ``Last, First`` is read as such. Otherwise the last word is the last name, with the particles before it and a
    suffix behind it; a title at the beginning goes, and a single word is a first name unless it had a title.
    """
    if "," in name:
        before, _, after = name.partition(",")
        if after.strip().rstrip(".").lower() not in _SUFFIXES:
            return " ".join(after.split()) or None, " ".join(before.split()) or None
    words = name.replace(",", " ").split()
    titled = len(words) > 1 and words[0].rstrip(".").lower() in _HONORIFICS
    while len(words) > 1 and words[0].rstrip(".").lower() in _HONORIFICS:
        words = words[1:]
    cut = len(words) - 1
    if cut > 1 and words[cut].rstrip(".").lower() in _SUFFIXES:
        cut -= 1
    while cut > 1 and words[cut - 1].lower() in _PARTICLES:
        cut -= 1
    if len(words) < 2:
        only = words[0] if words else None
        return (None, only) if titled else (only, None)
    return " ".join(words[:cut]), " ".join(words[cut:])


def _own_patient(record: PublicRecord) -> PublicPatient | None:
    if not record.patient_name.strip() and record.patient_birth_date is None:
        return None
    first, last = split_name(record.patient_name)
    own_id = derived_id("session patient", record.organization_id, record.id)
    return PublicPatient(own_id, first, last, record.patient_birth_date)


def _type(documents: Sequence[ShownDocument], variant: WorkflowVariant) -> PublicEncounterType | None:
    kinds = [document.kind for document in documents]
    if ReleasedKind.TRANSCRIPT in kinds:
        phone = variant is WorkflowVariant.PHONE_CALL
        return PublicEncounterType.PHONE_CALL if phone else PublicEncounterType.AMBIENT
    for kind, derived in _DERIVED:
        if kind in kinds:
            return derived
    return None


_DERIVED: Final = (
    (ReleasedKind.DOCUMENT, PublicEncounterType.CLINICAL_DOCUMENTATION),
    (ReleasedKind.BILLING, PublicEncounterType.BILLING),
    (ReleasedKind.CHECKLIST, PublicEncounterType.CHECKLIST),
)


def _first(*seconds: float | None) -> float | None:
    return next((each for each in seconds if each is not None), None)
