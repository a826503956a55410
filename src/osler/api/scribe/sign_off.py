"""Signing a consult note off: an addition of ours."""

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import JSONResponse

from osler.api.scribe.auth import CurrentUser
from osler.api.scribe.errors import documented
from osler.api.scribe.sent import SessionId
from osler.api.scribe.services import ScribeServices
from osler.api.scribe.values import OURS, Answered, Given, Time, written


class SignOff(Given):
    """How a note is signed; all of it can be left out."""

    version: int | None = Field(
        default=None, ge=1, description="The version that was read; another current one is not signed."
    )
    confirmed: bool | None = Field(
        default=None,
        description="True signs a note that is stale, or the one before a newest one that could not be written.",
    )


class SignedOff(Answered):
    """A signed note."""

    session_id: str
    note_id: str
    version: int
    signed_at: Time
    signed_by: str


def sign_off_routes(services: ScribeServices, router: APIRouter) -> APIRouter:
    """Add the route that signs a note to a router."""

    @router.post(
        "/sessions/{session_id}/consult-note/sign-off",
        operation_id="signOffConsultNote",
        summary="Sign the consult note",
        responses={**documented(404, 409, 410), 200: {"model": SignedOff, "description": "The signed note."}},
        openapi_extra=OURS,
    )
    async def sign_off_consult_note(
        who: CurrentUser, session_id: SessionId, body: SignOff | None = None
    ) -> JSONResponse:
        """Sign the current version of the note, and the documents that are written with it.

        A signed version never changes: a later edit makes a new one, which is not signed. Refused while the note is
        being written, if it is signed already, and, unless that is confirmed, if it is stale or the newest version
        could not be written.
        """
        said = body or SignOff()
        await services.encounters.get(who.organization_id, session_id, user_id=who.user_id)
        note = await services.release.sign_note(
            who.actor,
            who.organization_id,
            session_id,
            who.user_id,
            version=said.version,
            confirmed=said.confirmed is True,
        )
        assert note.signed_at is not None
        return JSONResponse(
            {
                "session_id": session_id,
                "note_id": note.id,
                "version": note.version,
                "signed_at": written(note.signed_at),
                "signed_by": note.signed_by,
            }
        )

    return router
