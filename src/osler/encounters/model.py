"""Encounters, patient profiles, consent and context documents. Plain types; what is sealed at rest is said."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Any

from osler.kernel.blobs import StoredBlob


class EncounterState(StrEnum):
    """Where a visit stands. ``completed``: recording and note are finished; ``erased`` is a tombstone."""

    OPEN = "open"
    COMPLETED = "completed"
    SIGNED = "signed"
    ERASED = "erased"


class Purpose(StrEnum):
    """What an encounter is for. Only real care is ever shown to outsiders."""

    CARE = "care"
    DEMO = "demo"
    TRAINING = "training"


@dataclass(frozen=True, slots=True)
class Consent:
    """The patient's consent to being recorded.

    ``given`` is what the client last said, None if it never did; ``changed_at`` is when consent was last given or
    withdrawn, None while it never was. A withdrawal is an explicit change from true to false: then ``erase_at`` is when
    audio and unsigned texts go, unless consent is given again before; it is None again once they are gone.
    """

    given: bool | None = None
    changed_at: datetime | None = None
    erase_at: datetime | None = None

    @property
    def withdrawn(self) -> bool:
        """Whether the patient took his consent back; a client's default false alone does not say so."""
        return self.given is False and self.changed_at is not None


@dataclass(frozen=True, slots=True)
class EncounterPatient:
    """The patient as the session itself was told of him. Sealed. ``gender`` is free text of the EHR."""

    name: str = ""
    gender: str | None = None
    birth_date: date | None = None
    demographic_details: str | None = None


@dataclass(frozen=True, slots=True)
class Encounter:
    """A visit. The scribe API calls it a session, with the same id.

    Sealed at rest: ``name``, ``patient``, ``clinician_notes``, ``ehr_appointment_id``, ``ehr_provider`` (the EHR that
    the patient or else the user is of), ``ehr_patient_id`` (also found by blind index) and ``patient_from``: the id of
    the profile that the patient was last taken from, which stays when that is deleted. ``duration`` is in seconds as
    the client says. ``recording_status``, ``session_status`` and ``transcribe_mode`` are the client's own words.
    ``linked_encounter_ids`` are former visits that may be used as context. ``revision`` grows with each change.
    """

    id: str
    organization_id: str
    owner_id: str
    created_at: datetime
    updated_at: datetime
    state: EncounterState = EncounterState.OPEN
    purpose: Purpose = Purpose.CARE
    patient_profile_id: str | None = None
    patient: EncounterPatient | None = None
    name: str | None = None
    clinician_notes: tuple[str, ...] = ()
    ehr_appointment_id: str | None = None
    ehr_patient_id: str | None = None
    ehr_provider: str | None = None
    patient_from: str | None = None
    consent: Consent = field(default_factory=Consent)
    duration: int | None = None
    language_code: str | None = None
    output_language_code: str | None = None
    transcribe_mode: str | None = None
    recording_status: str | None = None
    session_status: str | None = None
    created_time_local: datetime | None = None
    generate_output_without_recording: bool = False
    linked_encounter_ids: tuple[str, ...] = ()
    signed_at: datetime | None = None
    signed_by: str | None = None
    audio_erased_at: datetime | None = None
    erased_at: datetime | None = None
    revision: int = 1


@dataclass(frozen=True, slots=True)
class PatientProfile:
    """A patient over many visits. All but ids and times is sealed; EHR id and provider have blind indexes too."""

    id: str
    organization_id: str
    owner_id: str
    created_at: datetime
    updated_at: datetime
    first_name: str | None = None
    last_name: str | None = None
    birth_date: date | None = None
    gender: str | None = None
    ehr_patient_id: str | None = None
    provider: str | None = None
    phone: str | None = None
    email: str | None = None
    patient_sex_code: str | None = None
    identifiers: tuple[Mapping[str, Any], ...] = ()
    demographic_string: str | None = None
    additional_context: str | None = None


class ContextDocumentStatus(StrEnum):
    """Whether the text of a context document can be used."""

    PARSING = "PARSING"
    READY = "READY"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class ContextDocument:
    """A document that came with the visit. File name, text and metadata are sealed; ``reason`` is why it FAILED."""

    id: str
    organization_id: str
    encounter_id: str
    filename: str
    media_type: str
    blob: StoredBlob
    uploaded_at: datetime
    unstructured: bool = False
    status: ContextDocumentStatus = ContextDocumentStatus.PARSING
    reason: str | None = None
    text: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ParsedDocument:
    """What was read of a context document. ``media_type`` is what it was found to be.

    ``pages`` counts those of a PDF and is 1 for all else; ``pages_by_ocr`` are those that were pictures of text.
    """

    text: str
    media_type: str
    pages: int = 1
    pages_by_ocr: int = 0


@dataclass(frozen=True, slots=True)
class EncounterFilter:
    """Which encounters of an organization; None: any. Erased ones are listed only when asked for."""

    owner_id: str | None = None
    patient_profile_id: str | None = None
    ehr_patient_id: str | None = None
    states: frozenset[EncounterState] | None = None
    purposes: frozenset[Purpose] | None = None
    created_from: datetime | None = None
    created_before: datetime | None = None


class ErasureScope(StrEnum):
    """How much of an encounter goes for good; the last two are a profile or document of its own."""

    AUDIO = "audio"
    AUDIO_AND_UNSIGNED = "audio and unsigned texts"
    EVERYTHING = "everything"
    PATIENT_PROFILE = "patient profile"
    CONTEXT_DOCUMENT = "context document"


class ErasureReason(StrEnum):
    """Why."""

    COMMAND = "command"
    RETENTION = "retention"
    CONSENT_WITHDRAWN = "consent withdrawn"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class EncounterStanding:
    """What must be known of an encounter before anything of it is erased; ``signed`` are ids of notes and documents."""

    state: EncounterState
    consent: Consent
    signed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Erasure:
    """One erasure as the ledger keeps it, outside the database, to be applied again after a restore. Ids only.

    ``subject_id`` is the encounter's id; with the scopes of those, the patient profile's or context document's.
    ``kept`` names the ids of rows (signed notes and documents) that this erasure left, so that applying it again
    to an older state leaves the same.
    """

    id: str
    organization_id: str
    subject_id: str
    scope: ErasureScope
    reason: ErasureReason
    at: datetime
    kept: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class UnfinishedErasure:
    """An erasure that is committed, while objects in the blob store and traces in the database's files may remain."""

    id: str
    blob_ids: tuple[str, ...]
