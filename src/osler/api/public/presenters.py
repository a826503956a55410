"""From the record's types to the answers of the contract: every key is there, times are RFC 3339 in UTC."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any, Final

import msgspec

from osler.api.public.contract import REASONS
from osler.release.reading import (
    PublicAudio,
    PublicDocument,
    PublicEncounter,
    PublicEncounterType,
    PublicPage,
    PublicStatus,
    PublicTranscript,
    ReleasedKind,
    WorkflowVariant,
)

encode: Final = msgspec.json.Encoder().encode
"""Return JSON. A moment in UTC becomes RFC 3339 with ``Z``, an enumeration's member its value."""


# What a page has many of is no dict: these are made and written faster, and hold a value for every key.


class _Summary(msgspec.Struct, gc=False):
    """A ``PublicEncounterDocumentSummary``."""

    document_id: str
    schema_type: ReleasedKind
    title: str | None
    status: str | None
    workflow_variant: WorkflowVariant | None
    audio_duration_seconds: float | None


class _Patient(msgspec.Struct, gc=False):
    """A ``PublicPatientSummary``."""

    patient_id: str
    first_name: str | None
    last_name: str | None
    date_of_birth: date | None


class _Encounter(msgspec.Struct, gc=False):
    """A ``PublicEncounterSummary``."""

    encounter_id: str
    organization_id: str
    created_at: datetime
    updated_at: datetime
    date_of_service: datetime | None
    patient: _Patient | None
    status: PublicStatus
    encounter_type: PublicEncounterType | None
    documents: list[_Summary]


def encounter_page(page: PublicPage, *, limit: int, offset: int) -> bytes:
    """Return a ``PublicEncounterListResponse``."""
    return encode(
        {"items": [_encounter(item) for item in page.items], "limit": limit, "offset": offset, "total": page.total}
    )


def encounter_detail(encounter: PublicEncounter) -> bytes:
    """Return a ``PublicEncounterDetailResponse``."""
    return encode({"encounter": _encounter(encounter)})


def document_detail(document: PublicDocument) -> bytes:
    """Return a ``PublicDocumentDetailResponse``: of a transcript what it is, of anything else its text."""
    shown: dict[str, Any] = {
        "document_id": document.id,
        "encounter_id": document.encounter_id,
        "schema_type": document.kind,
        "title": document.title,
        "status": None,
        "workflow_variant": None,
        "created_at": _utc(document.created_at),
        "updated_at": _utc(document.updated_at),
    }
    if document.kind is ReleasedKind.TRANSCRIPT:
        shown["status"] = document.status
        shown["workflow_variant"] = document.workflow_variant
        shown["audio_duration_seconds"] = document.audio_duration
    else:
        shown["content"] = {"format": "markdown", "text": document.text}
    return encode({"document": shown})


def transcript(shown: PublicTranscript) -> bytes:
    """Return a ``PublicDocumentTranscriptResponse``."""
    return encode(
        {
            "document_id": shown.document_id,
            "encounter_id": shown.encounter_id,
            "transcript": {
                "provider": shown.provider,
                "turns": [
                    {"speaker": turn.speaker, "text": turn.text, "start": turn.start, "end": turn.end}
                    for turn in shown.turns
                ],
                "audio_duration_seconds": shown.audio_duration,
            },
        }
    )


def audio(shown: PublicAudio) -> bytes:
    """Return a ``PublicDocumentAudioResponse``."""
    return encode({"audio_url": shown.url, "expires_at": _utc(shown.expires_at)})


def refusal(code: str, field: str | None = None) -> bytes:
    """Return a ``PublicApiErrorResponse``."""
    return _REFUSALS[code] if field is None else encode(error_body(code, field))


def error_body(code: str, field: str | None = None) -> Mapping[str, str | None]:
    """Return the four keys of every error."""
    reason = REASONS[code]
    return {"error": reason.error, "reason_code": code, "message": reason.message, "field": field}


_REFUSALS: Final = {code: encode(error_body(code)) for code in REASONS}


def _encounter(encounter: PublicEncounter) -> _Encounter:
    patient, visited = encounter.patient, encounter.date_of_service
    return _Encounter(
        encounter.id,
        encounter.organization_id,
        _utc(encounter.created_at),
        _utc(encounter.updated_at),
        None if visited is None else _utc(visited),
        None if patient is None else _Patient(patient.id, patient.first_name, patient.last_name, patient.birth_date),
        encounter.status,
        encounter.encounter_type,
        [
            _Summary(
                document.id,
                document.kind,
                document.title,
                document.status,
                document.workflow_variant,
                document.audio_duration,
            )
            for document in encounter.documents
        ],
    )


def _utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo is UTC else moment.astimezone(UTC)
