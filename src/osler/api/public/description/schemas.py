"""What answers look like: the component schemas of the description."""

from collections.abc import Mapping
from typing import Any, Final

from osler.api.public.contract import REASONS

Schema = dict[str, Any]

OURS: Final[Mapping[str, Any]] = {"x-osler": True}
"""Marks what is no part of the contract."""

ERROR: Final = "PublicApiErrorResponse"
OUR_ERROR: Final = "OslerErrorResponse"
EVENT: Final = "RecordingTranscriptReadyWebhookEvent"


def reference(name: str) -> Schema:
    """Return a reference to a component schema."""
    return {"$ref": f"#/components/schemas/{name}"}


def _titled(name: str, description: str, schema: Schema) -> Schema:
    return {"title": name.replace("_", " ").title(), "description": description, **schema}


def _optional(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _object(name: str, description: str | None, required: list[str], properties: Mapping[str, Schema]) -> Schema:
    shown: Schema = {"title": name, "type": "object"}
    if description is not None:
        shown["description"] = description
    # Whatever stands first in the code, a client reads the required ones first.
    shown["properties"] = {key: properties[key] for key in sorted(properties, key=lambda key: key not in required)}
    if required:
        shown["required"] = required
    shown["additionalProperties"] = False
    return shown


_TEXT: Final[Schema] = {"type": "string"}
_TIME: Final[Schema] = {"type": "string", "format": "date-time"}
_DAY: Final[Schema] = {"type": "string", "format": "date"}
_NUMBER: Final[Schema] = {"type": "number"}
_WHOLE: Final[Schema] = {"type": "integer"}
_NULL: Final[Schema] = {"type": "null"}
_VARIANT: Final[Schema] = {"type": "string", "enum": ["ambient", "phone_call"]}


def _fields(**fields: tuple[str, Schema]) -> dict[str, Schema]:
    return {name: _titled(name, description, schema) for name, (description, schema) in fields.items()}


def _list_of(name: str) -> Schema:
    return {"type": "array", "items": reference(name)}


_ENCOUNTER_ID: Final = ("Which encounter. The text means nothing by itself.", _TEXT)
_DOCUMENT_ID: Final = ("Which document. The text means nothing by itself.", _TEXT)
_TITLE: Final = ("What the document is called, or null.", _optional(_TEXT))
_CREATED: Final = ("When the document came to be readable here first, in UTC.", _TIME)
_UPDATED: Final = ("When what is shown of the document last became another version, in UTC.", _TIME)
_SECONDS: Final = ("How long the recording is, in seconds; null where that is not known.", _optional(_NUMBER))


def _of_encounters() -> dict[str, Schema]:
    encounter = _fields(
        encounter_id=_ENCOUNTER_ID,
        organization_id=("The organization that the encounter belongs to.", _TEXT),
        created_at=("When the encounter was made, in UTC; lists are in the order of this.", _TIME),
        updated_at=("When the encounter or one of its documents last changed, in UTC.", _TIME),
        date_of_service=(
            "When the visit was, in UTC: as the EHR said, else when its first recording began; null if nobody said.",
            _optional(_TIME),
        ),
        status=(
            "`in_progress` until recording and note are done, then `completed`; `signed` once a clinician signed off.",
            _optional(_TEXT),
        ),
        encounter_type=(
            "What the encounter is, by its readable documents: the first that applies. Null while there are none.",
            _optional(
                {
                    "type": "string",
                    "enum": ["ambient", "phone_call", "clinical_documentation", "billing", "checklist"],
                }
            ),
        ),
        documents=("The documents that can be read now.", _list_of("PublicEncounterDocumentSummary")),
    )
    encounter["patient"] = {
        "description": "Who was seen; null where that is not on record.",
        **_optional(reference("PublicPatientSummary")),
    }
    page = _fields(
        items=("The encounters of this page.", _list_of("PublicEncounterSummary")),
        limit=("The page size that was used.", _WHOLE),
        offset=("How many encounters come before this page.", _WHOLE),
        total=("How many encounters the query finds in all, as of this answer.", _WHOLE),
    )
    return {
        "PublicPatientSummary": _object(
            "PublicPatientSummary",
            "What is shown of a patient.",
            ["patient_id"],
            _fields(
                patient_id=("Which patient, within the organization. The text means nothing by itself.", _TEXT),
                first_name=("Given names, or null.", _optional(_TEXT)),
                last_name=("Family name, or null.", _optional(_TEXT)),
                date_of_birth=("Day of birth, or null.", _optional(_DAY)),
            ),
        ),
        "PublicEncounterDocumentSummary": _object(
            "PublicEncounterDocumentSummary",
            "One line about a document, as encounters list them.",
            ["document_id", "schema_type"],
            _fields(
                document_id=_DOCUMENT_ID,
                schema_type=(
                    "Sort of document. The document route opens the first two; the others are named here and no more.",
                    {"type": "string", "enum": ["document", "ambient_transcript", "billing", "encounter_checklist"]},
                ),
                title=_TITLE,
                status=("How far the document is, or null.", _optional(_TEXT)),
                workflow_variant=("How the visit of a transcript was held, or null.", _optional(_VARIANT)),
                audio_duration_seconds=(
                    "Length of a transcript's recording, in seconds; null where that is not known.",
                    _optional(_NUMBER),
                ),
            ),
        ),
        "PublicEncounterSummary": _object(
            "PublicEncounterSummary",
            "An encounter: who, when, how far, and which documents.",
            ["encounter_id", "organization_id", "created_at", "updated_at"],
            encounter,
        ),
        "PublicEncounterListResponse": _object(
            "PublicEncounterListResponse",
            "A page of encounters.",
            ["items", "limit", "offset", "total"],
            page,
        ),
        "PublicEncounterDetailResponse": _object(
            "PublicEncounterDetailResponse",
            "One encounter.",
            ["encounter"],
            {"encounter": {"description": "The encounter that was asked for.", **reference("PublicEncounterSummary")}},
        ),
    }


def _of_documents() -> dict[str, Schema]:
    clinical = _fields(
        document_id=_DOCUMENT_ID,
        encounter_id=_ENCOUNTER_ID,
        schema_type=("Says that this is a clinical document.", {"type": "string", "const": "document"}),
        title=_TITLE,
        status=("Always null here.", _NULL),
        workflow_variant=("Always null here.", _NULL),
        created_at=_CREATED,
        updated_at=_UPDATED,
    )
    clinical["content"] = {"description": "The text.", **reference("PublicDocumentMarkdownContent")}
    about = "PublicAmbientTranscriptDocumentDetail", "PublicClinicalDocumentDetail"
    return {
        "PublicDocumentMarkdownContent": _object(
            "PublicDocumentMarkdownContent",
            "A text in Markdown.",
            [],
            _fields(
                format=("The text's markup.", {"type": "string", "const": "markdown", "default": "markdown"}),
                text=("The text itself, or null if there is none.", _optional(_TEXT)),
            ),
        ),
        "PublicClinicalDocumentDetail": _object(
            "PublicClinicalDocumentDetail",
            "A note or another clinical document, with its text.",
            ["document_id", "encounter_id", "schema_type", "content", "created_at", "updated_at"],
            clinical,
        ),
        "PublicAmbientTranscriptDocumentDetail": _object(
            "PublicAmbientTranscriptDocumentDetail",
            "What is known of a transcript, without its turns.",
            ["document_id", "encounter_id", "schema_type", "created_at", "updated_at"],
            _fields(
                document_id=_DOCUMENT_ID,
                encounter_id=_ENCOUNTER_ID,
                schema_type=("Says that this is a transcript.", {"type": "string", "const": "ambient_transcript"}),
                title=_TITLE,
                status=("How far the transcript is, or null.", _optional(_TEXT)),
                workflow_variant=("How the visit was held, or null.", _optional(_VARIANT)),
                audio_duration_seconds=_SECONDS,
                created_at=_CREATED,
                updated_at=_UPDATED,
            ),
        ),
        "PublicDocumentDetailResponse": _object(
            "PublicDocumentDetailResponse",
            "One document.",
            ["document"],
            _fields(
                document=(
                    "The document that was asked for; `schema_type` tells which of the two it is.",
                    {
                        "oneOf": [reference(about[1]), reference(about[0])],
                        "discriminator": {
                            "propertyName": "schema_type",
                            "mapping": {
                                "ambient_transcript": reference(about[0])["$ref"],
                                "document": reference(about[1])["$ref"],
                            },
                        },
                    },
                )
            ),
        ),
        "PublicDocumentAudioResponse": _object(
            "PublicDocumentAudioResponse",
            "Where a recording can be heard for a while.",
            ["audio_url", "expires_at"],
            _fields(
                audio_url=("Signed address of the recording; it asks for no header and takes `Range`.", _TEXT),
                expires_at=("When the address stops working, in UTC.", _TIME),
            ),
        ),
    }


def _of_transcripts() -> dict[str, Schema]:
    shown = _fields(document_id=_DOCUMENT_ID, encounter_id=_ENCOUNTER_ID)
    shown["transcript"] = {"description": "What was said.", **reference("PublicFinalTranscript")}
    return {
        "PublicTranscriptTurn": _object(
            "PublicTranscriptTurn",
            "What one speaker said in one go.",
            ["speaker", "text", "start", "end"],
            _fields(
                speaker=("`clinician`, `patient`, or another label.", _TEXT),
                text=("The words.", _TEXT),
                start=("Seconds from the start of the recording to the turn's first word.", _NUMBER),
                end=("Seconds from the start of the recording to the end of its last.", _NUMBER),
            ),
        ),
        "PublicFinalTranscript": _object(
            "PublicFinalTranscript",
            "A finished transcript.",
            ["provider", "turns"],
            _fields(
                provider=("Label of the speech engine that wrote it.", _TEXT),
                turns=("The turns by time.", _list_of("PublicTranscriptTurn")),
                audio_duration_seconds=_SECONDS,
            ),
        ),
        "PublicDocumentTranscriptResponse": _object(
            "PublicDocumentTranscriptResponse",
            "The turns of one transcript.",
            ["document_id", "encounter_id", "transcript"],
            shown,
        ),
    }


def _of_webhooks() -> dict[str, Schema]:
    filled: Schema = {"type": "string", "minLength": 1}

    def plain(name: str, schema: Schema) -> Schema:
        return {"title": name.replace("_", " ").title(), **schema}

    return {
        "RecordingTranscriptReadyResources": _object(
            "RecordingTranscriptReadyResources",
            None,
            ["encounter_id", "document_id"],
            {name: plain(name, filled) for name in ("encounter_id", "document_id")},
        ),
        EVENT: _object(
            EVENT,
            None,
            ["id", "type", "api_version", "occurred_at", "organization_id", "resources"],
            {
                "id": plain("id", filled),
                "type": plain("type", {"type": "string", "const": "recording.transcript_ready"}),
                "api_version": plain("api_version", {"type": "string", "const": "2026-05-01"}),
                "occurred_at": plain("occurred_at", _TIME),
                "organization_id": plain("organization_id", filled),
                "resources": reference("RecordingTranscriptReadyResources"),
            },
        ),
    }


def _error(name: str, codes: list[str]) -> Schema:
    return _object(
        name,
        None,
        ["error", "reason_code", "message", "field"],
        {
            "error": {"type": "string", "description": "The family that the reason belongs to."},
            "reason_code": {
                "type": "string",
                "description": "Why, in a word that stays the same: what a client decides by.",
                "enum": sorted(codes),
            },
            "message": {"type": "string", "description": "Why, in a sentence for people."},
            "field": {"description": "The query parameter to blame, or null.", **_optional(_TEXT)},
        },
    )


def schemas() -> dict[str, Schema]:
    """Return every component schema, by name."""
    contracts = [code for code, reason in REASONS.items() if not reason.ours]
    ours = [code for code, reason in REASONS.items() if reason.ours]
    found = {
        **_of_encounters(),
        **_of_documents(),
        **_of_transcripts(),
        **_of_webhooks(),
        ERROR: _error(ERROR, contracts),
        OUR_ERROR: {**_error(OUR_ERROR, ours), **OURS},
    }
    return dict(sorted(found.items()))
