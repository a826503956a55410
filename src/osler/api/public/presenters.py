"""From the record's types to the answers of the contract: every key is there, times are RFC 3339 in UTC."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from osler.api.public.contract import REASONS
from osler.release.reading import (
    PublicAudio,
    PublicDocument,
    PublicDocumentSummary,
    PublicEncounter,
    PublicPage,
    PublicTranscript,
    ReleasedKind,
)

encode: Final = msgspec.json.Encoder().encode
"""Return JSON. A moment in UTC becomes RFC 3339 with ``Z``, an enumeration's member its value."""


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


def _encounter(encounter: PublicEncounter) -> dict[str, Any]:
    patient = encounter.patient
    return {
        "encounter_id": encounter.id,
        "organization_id": encounter.organization_id,
        "created_at": _utc(encounter.created_at),
        "updated_at": _utc(encounter.updated_at),
        "date_of_service": None if encounter.date_of_service is None else _utc(encounter.date_of_service),
        "patient": None
        if patient is None
        else {
            "patient_id": patient.id,
            "first_name": patient.first_name,
            "last_name": patient.last_name,
            "date_of_birth": patient.birth_date,
        },
        "status": encounter.status,
        "encounter_type": encounter.encounter_type,
        "documents": [_summary(document) for document in encounter.documents],
    }


def _summary(document: PublicDocumentSummary) -> dict[str, Any]:
    return {
        "document_id": document.id,
        "schema_type": document.kind,
        "title": document.title,
        "status": document.status,
        "workflow_variant": document.workflow_variant,
        "audio_duration_seconds": document.audio_duration,
    }


def _utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo is UTC else moment.astimezone(UTC)
