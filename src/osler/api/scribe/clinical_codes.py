"""Clinical codes of a session, each with the words that earn it."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import JSONResponse

from osler.api.scribe.auth import CurrentUser
from osler.api.scribe.errors import documented
from osler.api.scribe.reading import trace_reading
from osler.api.scribe.sent import SessionId
from osler.api.scribe.services import ScribeServices
from osler.api.scribe.values import OURS, Answered
from osler.coding.coder import CodedEntity, RankedCode, Reference, ReferenceSource
from osler.coding.model import CodeSet, CodingStatus
from osler.coding.service import Visit
from osler.speech.model import Turn
from osler.speech.rendering import served_lines

CodingSystem = Literal[
    "ICD-10", "ICD-10-CM", "ICD-9", "ICD-9-CM", "SNOMED", "SNOMED-CT", "OPCS-410", "ACHI-13", "CPT-2025"
]
_RETRIED: Final = "The visit could not be coded; its server's operator can have it done again."


class YamlCode(Answered):
    """A code as the one description has it."""

    code: str
    description: str
    coding_system: str
    effective_date: date | None = Field(
        default=None, description="The day from which the code is in force; left out where that is not known."
    )
    valid: bool = Field(description="Whether it is in force today and can be billed.")
    hierarchy: list[str] = Field(description="The codes above it, the outermost first.")


class YamlReference(Answered):
    """Words that earn a code."""

    source: Literal["TRANSCRIPT", "CONSULT_NOTE"]
    text: str = Field(description="The words from `start` to `end`.")
    start: int = Field(description="Code points into the session's transcript, or into the note's text.")
    end: int


class YamlEntity(Answered):
    """A condition as the one description has it."""

    entity: str
    primary_code: YamlCode
    similar_codes: list[YamlCode]
    references: list[YamlReference]
    hint: str | None = Field(description="Which detail would allow a more specific code.", json_schema_extra=OURS)
    conflicts: list[str] = Field(
        description="Codes of other entities that an Excludes1 note forbids beside this one.", json_schema_extra=OURS
    )


class Location(Answered):
    """Code points."""

    start: int
    end: int


class TranscriptReference(Answered):
    """Words of the transcript that earn a code."""

    transcript_text: str
    location_in_transcript: Location


class ProseCode(Answered):
    """A code as the other description has it."""

    code: str
    code_name: str
    metadata: dict[str, Any]
    score: float
    code_system: str


class ClinicalEntity(Answered):
    """A condition as the other description has it."""

    location_in_note: list[Location]
    reference_in_transcript: list[TranscriptReference]
    reference_in_context: list[str]
    primary_code: ProseCode
    similar_codes: list[ProseCode]


class ClinicalCodes(Answered):
    """The codes of a session in one system, for both kinds of readers."""

    id: str
    session_id: str
    consult_note_id: str | None = Field(description="The version of the note that was coded.")
    coding_system: str
    status: Literal["PROCESSING", "READY", "FAILED"]
    entities: list[YamlEntity]
    clinical_entities: list[ClinicalEntity]
    failure: str | None = Field(description="What to do where the status is FAILED.", json_schema_extra=OURS)


def clinical_code_routes(services: ScribeServices, router: APIRouter) -> APIRouter:
    """Add the route of clinical codes to a router."""

    @router.get(
        "/sessions/{session_id}/clinical-codes",
        operation_id="getSessionClinicalCodes",
        summary="Code a session",
        responses={**documented(404, 410), 200: {"model": ClinicalCodes, "description": "The codes."}},
    )
    async def get_session_clinical_codes(
        who: CurrentUser,
        session_id: SessionId,
        coding_system: Annotated[CodingSystem, Query(description="`SNOMED` is `SNOMED-CT`, `ICD-9` is `ICD-9-CM`.")],
    ) -> JSONResponse:
        """Return the patient's own present conditions with their codes, from the newest note and the transcript.

        `PROCESSING` until they are made: ask again. Codes follow the note and the transcript: after a change they are
        made anew. What is denied, another person's, feared or uncertain is not coded. `FAILED` says in `failure` what
        to do: a licensed system that is not installed yet, a session without note and transcript.
        """
        codes, visit = await services.coding.of_encounter(
            who.actor, who.organization_id, session_id, coding_system, user_id=who.user_id
        )
        await trace_reading(services, who, "codes.read", "encounter", [session_id], codes=codes.id)
        return JSONResponse(await asyncio.to_thread(_told, codes, visit, coding_system))

    return router


def _told(codes: CodeSet, visit: Visit, coding_system: str) -> dict[str, Any]:
    turns = visit.transcript.transcript.turns if visit.transcript else ()
    starts = _starts(turns)
    entities = [CodedEntity.from_json(each) for each in codes.entities]
    return {
        "id": codes.id,
        "session_id": codes.encounter_id,
        "consult_note_id": codes.note_id,
        "coding_system": coding_system,
        "status": codes.status.name,
        "entities": [_yaml_entity(entity, coding_system, starts) for entity in entities],
        "clinical_entities": [_prose_entity(entity, coding_system, starts) for entity in entities],
        "failure": _failure(codes),
    }


def _failure(codes: CodeSet) -> str | None:
    if codes.status is not CodingStatus.FAILED or codes.failure is None:
        return None
    # A stored failure is an error's code; one that is told at once is a line.
    return codes.failure if " " in codes.failure else _RETRIED


def _starts(turns: Sequence[Turn]) -> list[int]:
    """Return where the text of each turn starts in the transcript as it is served."""
    starts, at = [], 0
    for turn, line in zip(turns, served_lines(turns), strict=True):
        starts.append(at + len(line) - len(turn.text))
        at += len(line) + 1
    return starts


def _placed(reference: Reference, starts: Sequence[int]) -> dict[str, int]:
    offset = starts[reference.turn] if reference.turn is not None else 0
    return {"start": offset + reference.start, "end": offset + reference.end}


def _yaml_entity(entity: CodedEntity, system: str, starts: Sequence[int]) -> dict[str, Any]:
    return {
        "entity": entity.entity,
        "primary_code": _yaml_code(entity.primary, system),
        "similar_codes": [_yaml_code(code, system) for code in entity.similar],
        "references": [
            {"source": each.source.value, "text": each.quote, **_placed(each, starts)} for each in entity.references
        ],
        "hint": entity.hint,
        "conflicts": list(entity.conflicts),
    }


def _yaml_code(code: RankedCode, system: str) -> dict[str, Any]:
    effective = {"effective_date": code.effective_date.isoformat()} if code.effective_date else {}
    return {
        "code": code.code,
        "description": code.description,
        "coding_system": system,
        **effective,
        "valid": code.valid,
        "hierarchy": list(code.hierarchy),
    }


def _prose_entity(entity: CodedEntity, system: str, starts: Sequence[int]) -> dict[str, Any]:
    spoken = [each for each in entity.references if each.source is ReferenceSource.TRANSCRIPT]
    return {
        "location_in_note": [
            _placed(each, starts) for each in entity.references if each.source is ReferenceSource.CONSULT_NOTE
        ],
        "reference_in_transcript": [
            {"transcript_text": each.quote, "location_in_transcript": _placed(each, starts)} for each in spoken
        ],
        "reference_in_context": [],
        "primary_code": _prose_code(entity.primary, system),
        "similar_codes": [_prose_code(code, system) for code in entity.similar],
    }


def _prose_code(code: RankedCode, system: str) -> Mapping[str, Any]:
    return {
        "code": code.code,
        "code_name": code.description,
        "metadata": {
            "valid": code.valid,
            "effective_date": code.effective_date.isoformat() if code.effective_date else None,
            "hierarchy": list(code.hierarchy),
        },
        "score": round(code.score, 3),
        "code_system": system,
    }
