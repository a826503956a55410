"""Made-up answers that show the shape of each route's; nobody in them exists."""

from collections.abc import Mapping
from typing import Any, Final

from osler.access.public import PublicRoute

ENCOUNTER: Final = "enc_made_up_001"
TRANSCRIPT: Final = "doc_made_up_transcript_001"
NOTE: Final = "doc_made_up_note_001"

_ENCOUNTER: Final[Mapping[str, Any]] = {
    "encounter_id": ENCOUNTER,
    "organization_id": "org_made_up_001",
    "created_at": "2026-03-02T09:30:00Z",
    "updated_at": "2026-03-02T10:05:00Z",
    "date_of_service": "2026-03-02T09:30:00Z",
    "patient": {
        "patient_id": "pat_made_up_001",
        "first_name": "Madeup",
        "last_name": "Person",
        "date_of_birth": "1901-02-03",
    },
    "status": "completed",
}

_TRANSCRIPT: Final[Mapping[str, Any]] = {
    "document_id": TRANSCRIPT,
    "schema_type": "ambient_transcript",
    "title": "Transcript",
    "status": "completed",
    "workflow_variant": "ambient",
    "audio_duration_seconds": 611.2,
}

_NOTE: Final[Mapping[str, Any]] = {
    "document_id": NOTE,
    "schema_type": "document",
    "title": "Consult note",
    "status": None,
    "workflow_variant": None,
}

_TIMES: Final = {"created_at": "2026-03-02T09:58:00Z", "updated_at": "2026-03-02T10:05:00Z"}

_ANSWERS: Final[Mapping[PublicRoute, Mapping[str, tuple[str, Any]]]] = {
    PublicRoute.LIST_ENCOUNTERS: {
        "encounterList": (
            "One page with one encounter",
            {
                "items": [{**_ENCOUNTER, "encounter_type": "ambient", "documents": [_TRANSCRIPT]}],
                "limit": 50,
                "offset": 0,
                "total": 1,
            },
        )
    },
    PublicRoute.ENCOUNTER: {
        "encounterDetail": (
            "One encounter with its note",
            {
                "encounter": {
                    **_ENCOUNTER,
                    "encounter_type": "clinical_documentation",
                    "documents": [{**_NOTE, "audio_duration_seconds": None}],
                }
            },
        )
    },
    PublicRoute.DOCUMENT: {
        "clinicalDocument": (
            "A note with its text",
            {
                "document": {
                    **_NOTE,
                    **_TIMES,
                    "encounter_id": ENCOUNTER,
                    "content": {"format": "markdown", "text": "## Plan\n\nA made-up plan."},
                }
            },
        ),
        "ambientTranscriptMetadata": (
            "What is known of a transcript",
            {"document": {**_TRANSCRIPT, **_TIMES, "encounter_id": ENCOUNTER}},
        ),
    },
    PublicRoute.TRANSCRIPT: {
        "documentTranscript": (
            "Two turns",
            {
                "document_id": TRANSCRIPT,
                "encounter_id": ENCOUNTER,
                "transcript": {
                    "provider": "faster-whisper/base",
                    "turns": [
                        {"speaker": "clinician", "text": "A made-up question?", "start": 0, "end": 1.4},
                        {"speaker": "patient", "text": "A made-up answer.", "start": 1.9, "end": 3.2},
                    ],
                    "audio_duration_seconds": 611.2,
                },
            },
        )
    },
    PublicRoute.AUDIO: {
        "documentAudioUrl": (
            "An address that works for a quarter of an hour",
            {
                "audio_url": "https://osler.example/media/made-up?signature=made-up",
                "expires_at": "2026-03-02T10:20:00Z",
            },
        )
    },
}


def answers(route: PublicRoute) -> dict[str, Any]:
    """Return the examples of a route's 200."""
    return {name: {"summary": summary, "value": value} for name, (summary, value) in _ANSWERS[route].items()}
