"""The record as outsiders see it: encounters, documents, transcripts, audio, and why a look-up is refused."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import NamedTuple

from osler.kernel.errors import InputError
from osler.release.model import ReleasedDocument, ReleasedKind


class PublicStatus(StrEnum):
    """How far an encounter is."""

    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    SIGNED = "signed"


class PublicEncounterType(StrEnum):
    """What an encounter is, by the documents that can be read of it."""

    AMBIENT = "ambient"
    PHONE_CALL = "phone_call"
    CLINICAL_DOCUMENTATION = "clinical_documentation"
    BILLING = "billing"
    CHECKLIST = "checklist"


class WorkflowVariant(StrEnum):
    """How the visit of a transcript was held."""

    AMBIENT = "ambient"
    PHONE_CALL = "phone_call"


COMPLETED_TEXT = "completed"
"""The status of a transcript's document: what is being transcribed still is not shown."""


class LookupReason(StrEnum):
    """Why a look-up is refused, in the order in which it is checked."""

    ENCOUNTER_NOT_FOUND = "encounter_not_found"
    CROSS_ORGANIZATION_DENIED = "cross_organization_denied"
    DEMO_TRAINING_DENIED = "demo_training_denied"
    DOCUMENT_NOT_FOUND = "document_not_found"
    UNSUPPORTED_DOCUMENT_TYPE = "unsupported_document_type"
    TRANSCRIPT_NOT_FOUND = "transcript_not_found"
    AUDIO_NOT_AVAILABLE_FOR_DOCUMENT = "audio_not_available_for_document"
    AUDIO_NOT_FOUND = "audio_not_found"
    AUDIO_STORAGE_UNAVAILABLE = "audio_storage_unavailable"


class LookupRefusedError(InputError):
    """What was asked for is not readable from outside; ``reason`` says why, and is all that is said."""

    def __init__(self, reason: LookupReason) -> None:
        super().__init__(f"This cannot be read from outside: {reason.value}.")
        self.reason = reason


class PublicPatient(NamedTuple):
    """The patient of an encounter; None where it is not known."""

    id: str
    first_name: str | None
    last_name: str | None
    birth_date: date | None


class PublicDocumentSummary(NamedTuple):
    """What a list says of a document. ``audio_duration`` is in seconds and that of a transcript alone."""

    id: str
    kind: ReleasedKind
    title: str | None
    status: str | None
    workflow_variant: WorkflowVariant | None
    audio_duration: float | None


class PublicEncounter(NamedTuple):
    """An encounter with its documents, by creation. ``updated_at``: the encounter's or its documents' last change."""

    id: str
    organization_id: str
    created_at: datetime
    updated_at: datetime
    date_of_service: datetime | None
    patient: PublicPatient | None
    status: PublicStatus
    encounter_type: PublicEncounterType | None
    documents: Sequence[PublicDocumentSummary]


@dataclass(frozen=True, slots=True)
class PublicPage:
    """One page, and how many encounters there are of which it is one."""

    items: Sequence[PublicEncounter]
    total: int


@dataclass(frozen=True, slots=True)
class PublicDocument:
    """One document. ``text`` is Markdown; None of a transcript, whose turns are read by themselves.

    ``source_id`` names the version that is shown: as long as it is the same, so is all the rest but ``updated_at``.
    """

    id: str
    encounter_id: str
    kind: ReleasedKind
    title: str | None
    status: str | None
    workflow_variant: WorkflowVariant | None
    audio_duration: float | None
    created_at: datetime
    updated_at: datetime
    source_id: str
    text: str | None


@dataclass(frozen=True, slots=True)
class PublicTurn:
    """What one speaker said; ``start`` and ``end`` in seconds from the start of the recording."""

    speaker: str
    text: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class PublicTranscript:
    """A transcript's turns by time. ``provider`` is the label of the engine that heard them."""

    document_id: str
    encounter_id: str
    source_id: str
    provider: str
    turns: Sequence[PublicTurn]
    audio_duration: float | None


@dataclass(frozen=True, slots=True)
class PublicAudio:
    """Where a recording can be heard, without any header, until ``expires_at``."""

    url: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class PublicStanding:
    """What decides whether an encounter may be shown at all; the released document of it that was asked for, if any."""

    organization_id: str
    is_care: bool
    is_erased: bool
    transcribe_mode: str | None
    document: ReleasedDocument | None


class ShownDocument(NamedTuple):
    """What a list needs of a released document; the fields are those of :class:`ReleasedDocument`.

    A tuple, as is all that stands on a page: that has hundreds, and dataclasses take five times as long to make.
    """

    id: str
    kind: ReleasedKind
    slot: str
    updated_at: datetime
    audio_duration: float | None
    title: str | None


class PublicRecord(NamedTuple):
    """An encounter as storage has it: what :func:`osler.release.projection.projected` makes the public one of.

    ``profile`` is the linked patient profile; ``patient_name`` and ``patient_birth_date`` are the session's own, read
    only where there is no profile. ``first_started_at`` is when the first recording began, if its client said so.
    """

    id: str
    organization_id: str
    created_at: datetime
    updated_at: datetime
    is_completed: bool
    is_signed: bool
    transcribe_mode: str | None
    created_time_local: datetime | None
    first_started_at: datetime | None
    profile: PublicPatient | None
    patient_name: str
    patient_birth_date: date | None
    documents: Sequence[ShownDocument]
