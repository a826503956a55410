"""What each sentence of a consult note rests on: an addition of ours."""

import asyncio
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import JSONResponse

from osler.api.scribe.auth import CurrentUser
from osler.api.scribe.errors import Refusal, ScribeError, documented
from osler.api.scribe.reading import trace_reading
from osler.api.scribe.sent import SessionId
from osler.api.scribe.services import ScribeServices
from osler.api.scribe.values import OURS, Answered, Time, written
from osler.api.scribe.writing import is_written, not_yet, refused
from osler.encounters.model import EncounterState
from osler.encounters.service import ERASED
from osler.kernel.errors import ErasedError
from osler.notes.model import Evidence, NoteVersion, TextStatus
from osler.notes.placing import Placed, placed

NO_NOTE: Final = Refusal(404, "There is no such note; have one written first", "ConsultNoteNotFoundError")


class ToldEvidence(Answered):
    """Words that a sentence rests on."""

    kind: Literal[
        "TRANSCRIPT", "CONTEXT_DOCUMENT", "CLINICIAN_NOTE", "LINKED_NOTE", "LINKED_TRANSCRIPT", "ADDITION"
    ] = Field(description="Where the words stand.")
    source_id: str = Field(
        description="The id of the context document or linked session, the index of the clinician's note; else empty."
    )
    turn: int = Field(description="The index of the turn; of other sources than transcripts that of the paragraph.")
    start: int = Field(description="Code points into that turn or paragraph.")
    end: int
    quote: str = Field(description="The words from `start` to `end`.")
    audio_start: float | None = Field(description="Seconds into the recording.")
    audio_end: float | None


class ToldSentence(Answered):
    """A sentence of the note and what it rests on."""

    section: str = Field(description="The heading that it stands under.")
    text: str = Field(description="The sentence as it stands in `note`, from `start` to `end`.")
    start: int = Field(description="Code points into `note`.")
    end: int
    written_by: Literal["WRITER", "AUTHOR"] = Field(description="AUTHOR: the person who edited the note.")
    verdict: Literal["SUPPORTED", "INFERRED", "UNSUPPORTED", "CONTRADICTED"] | None = Field(
        description="How well the evidence bears it; null for what a person wrote."
    )
    evidence: list[ToldEvidence]


class NoteEvidence(Answered):
    """A version of the note with what each of its sentences rests on."""

    session_id: str
    note_id: str
    version: int
    author_id: str | None = Field(description="The user who edited this version; null if the writer wrote it.")
    transcript_id: str | None = Field(description="The version of the transcript that the turns are of.")
    stale: bool = Field(description="Whether what it rests on has changed since.")
    signed_at: Time | None
    content_type: Literal["MARKDOWN", "HTML"] = Field(description="The form of `note`.")
    note: str = Field(description="The text that the offsets of sentences count in.")
    sentences: list[ToldSentence]


def evidence_routes(services: ScribeServices, router: APIRouter) -> APIRouter:
    """Add the route of a note's evidence to a router."""

    @router.get(
        "/sessions/{session_id}/consult-note/evidence",
        operation_id="getConsultNoteEvidence",
        summary="Read what each sentence of a consult note rests on",
        responses={**documented(404, 409, 410), 200: {"model": NoteEvidence, "description": "The note's evidence."}},
        openapi_extra=OURS,
    )
    async def get_consult_note_evidence(
        who: CurrentUser,
        session_id: SessionId,
        version: Annotated[int | None, Query(ge=1, le=2**31 - 1, description="Default: the current version.")] = None,
    ) -> JSONResponse:
        """Return a version of the note sentence by sentence.

        Of a note that a person edited, the sentences that still stand word for word keep their evidence.
        """
        encounter = await services.encounters.get(who.organization_id, session_id, user_id=who.user_id)
        if encounter.state is EncounterState.ERASED:
            raise ErasedError(ERASED)
        versions = await services.notes.versions(who.organization_id, session_id)
        upto = [note for note in versions if version is None or note.version <= version]
        if not upto or version not in (None, upto[-1].version):
            raise ScribeError(NO_NOTE)
        note = upto[-1]
        if note.status is TextStatus.GENERATING:
            raise not_yet("The note is still being written; ask again when it is there")
        if not is_written(note):
            raise refused(note)
        await trace_reading(services, who, "note.read", "encounter", [session_id], note=note.id, by="evidence")
        return JSONResponse(await asyncio.to_thread(_told, note, upto[:-1]))

    return router


def _told(note: NoteVersion, former: list[NoteVersion]) -> dict[str, Any]:
    assert note.content is not None
    return {
        "session_id": note.encounter_id,
        "note_id": note.id,
        "version": note.version,
        "author_id": note.author_id,
        "transcript_id": note.transcript_id,
        "stale": note.stale,
        "signed_at": None if note.signed_at is None else written(note.signed_at),
        "content_type": note.content.content_type.value,
        "note": note.content.text,
        "sentences": [_sentence(each) for each in placed(note, former)],
    }


def _sentence(each: Placed) -> dict[str, Any]:
    return {
        "section": each.section,
        "text": each.text,
        "start": each.start,
        "end": each.end,
        "written_by": "AUTHOR" if each.by_author else "WRITER",
        "verdict": None if each.verdict is None else each.verdict.name,
        "evidence": [told_evidence(evidence) for evidence in each.evidence],
    }


def told_evidence(evidence: Evidence) -> dict[str, Any]:
    """Return a piece of evidence as :class:`ToldEvidence` has it."""
    return {
        "kind": evidence.source.name,
        "source_id": evidence.source_id,
        "turn": evidence.turn,
        "start": evidence.start,
        "end": evidence.end,
        "quote": evidence.quote,
        "audio_start": evidence.audio_start,
        "audio_end": evidence.audio_end,
    }
