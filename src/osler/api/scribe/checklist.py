"""What a visit covered, item by item, each with the words that hold it: an addition of ours."""

from typing import Any, Final, Literal

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import JSONResponse

from osler.api.scribe.auth import CurrentUser
from osler.api.scribe.errors import Refusal, ScribeError, documented
from osler.api.scribe.evidence import ToldEvidence, told_evidence
from osler.api.scribe.reading import trace_reading
from osler.api.scribe.sent import SessionId
from osler.api.scribe.services import ScribeServices
from osler.api.scribe.transcripts import NOT_READY
from osler.api.scribe.values import OURS, Answered, Time, written
from osler.encounters.model import EncounterState
from osler.encounters.service import ERASED
from osler.kernel.errors import ErasedError, NotFoundError
from osler.notes.checklist import ChecklistItem, EncounterChecklist

NO_CHECKLIST: Final = Refusal(
    404, "There is no checklist: it is made with the session's finished transcript", "ChecklistNotFoundError"
)


class ToldChecklistItem(Answered):
    """One item. Found is what was addressed and answered; consent only where it was given."""

    name: Literal["CONSENT", "IDENTITY", "ALLERGIES", "MEDICATIONS_REVIEWED", "FOLLOW_UP_GIVEN"]
    found: bool
    refused: bool = Field(description="Of consent: it was asked for and refused, or taken back; the evidence says so.")
    evidence: list[ToldEvidence] = Field(description="The words that hold it, the question first.")


class ToldChecklist(Answered):
    """What the visit covered, by its transcript in use."""

    session_id: str
    checklist_id: str
    transcript_id: str = Field(description="The version of the transcript that the turns are of.")
    created_at: Time
    items: list[ToldChecklistItem] = Field(description="Always these five, in this order.")


def checklist_routes(services: ScribeServices, router: APIRouter) -> APIRouter:
    """Add the route of a session's checklist to a router."""

    @router.get(
        "/sessions/{session_id}/checklist",
        operation_id="getSessionChecklist",
        summary="Read what the visit covered",
        responses={**documented(404, 410), 200: {"model": ToldChecklist, "description": "The checklist."}},
        openapi_extra=OURS,
    )
    async def get_session_checklist(who: CurrentUser, session_id: SessionId) -> JSONResponse:
        """Return whether consent, identity, allergies, medicines and follow-up were gone through, with evidence.

        It is read off the transcript by rules and made anew whenever the transcript changes. While a first transcript
        is being made: 503.
        """
        encounter = await services.encounters.get(who.organization_id, session_id, user_id=who.user_id)
        if encounter.state is EncounterState.ERASED:
            raise ErasedError(ERASED)
        try:
            checklist = await services.checklists.get(who.organization_id, session_id)
        except NotFoundError:
            if await services.transcripts.pending(who.organization_id, session_id):
                raise ScribeError(NOT_READY, Retry_After="5") from None
            raise ScribeError(NO_CHECKLIST) from None
        await trace_reading(services, who, "checklist.read", "encounter", [session_id], checklist=checklist.id)
        return JSONResponse(_told(checklist))

    return router


def _told(checklist: EncounterChecklist) -> dict[str, Any]:
    return {
        "session_id": checklist.encounter_id,
        "checklist_id": checklist.id,
        "transcript_id": checklist.transcript_id,
        "created_at": written(checklist.created_at),
        "items": [_item(item) for item in checklist.items],
    }


def _item(item: ChecklistItem) -> dict[str, Any]:
    return {
        "name": item.name.name,
        "found": item.found,
        "refused": item.refused,
        "evidence": [told_evidence(piece) for piece in item.evidence],
    }
