"""Sessions: made, read, changed, listed. What the API calls a session is an encounter with the same id."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import JSONResponse

from osler.api.scribe import presenters
from osler.api.scribe.auth import CurrentUser, ScribeUser
from osler.api.scribe.errors import NO_LINKED_USER, ScribeError, documented, invalid
from osler.api.scribe.paging import MOST, page_mark, read_page_mark
from osler.api.scribe.reading import trace_reading
from osler.api.scribe.sent import SessionId, named_as
from osler.api.scribe.services import ScribeServices
from osler.api.scribe.session_fields import MISSING, SPELLING, SessionCreate, SessionUpdate
from osler.api.scribe.session_models import SessionAnswer, SessionCreated, SessionPage
from osler.encounters.model import EncounterFilter, EncounterState
from osler.encounters.service import ERASED
from osler.kernel.errors import ErasedError
from osler.kernel.pages import Position
from osler.notes.model import EncounterOverview

DEFAULT_PAGE = 50
"""Sessions of a page if nobody says how many."""

MOST_PAGES = 1_000_000


def session_routes(services: ScribeServices, router: APIRouter) -> APIRouter:
    """Add the routes of sessions to a router."""

    @router.post("/sessions", operation_id="createSession", summary="Make a session", responses=documented(404))
    async def create_session(who: CurrentUser, body: SessionCreate | None = None) -> SessionCreated:
        """Make a session of the user; no body is one that says nothing.

        With a patient profile the session takes over what that knows of the patient.
        """
        with named_as(SPELLING, MISSING):
            fields = (body or SessionCreate()).fields()
            encounter = await services.encounters.create(who.actor, who.organization_id, who.user_id, **fields)
        return SessionCreated(session_id=encounter.id)

    # Before the route with an id, which would take this path for one.
    @router.get(
        "/sessions/linked-user",
        operation_id="listLinkedUserSessions",
        summary="List the linked user's sessions, newest first",
        responses={**documented(400), 200: {"model": SessionPage, "description": "One page."}},
    )
    async def list_linked_user_sessions(
        who: CurrentUser,
        page_size: Annotated[int, Query(ge=1, le=MOST)] = DEFAULT_PAGE,
        page: Annotated[
            str | None,
            Query(description="`next_page` of the answer before, or a number counted from 1.", max_length=200),
        ] = None,
    ) -> JSONResponse:
        """Return one page. Whoever goes on by `next_page` sees each session once, whatever is added meanwhile.

        Numbers count from the newest session, so a session that is made meanwhile moves the others on by one.
        """
        after, offset = _place(page, page_size)
        if await services.access.account(who.organization_id, who.user_id) is None:
            raise ScribeError(NO_LINKED_USER)
        found, total = await services.overviews.page(
            who.organization_id, EncounterFilter(owner_id=who.user_id), limit=page_size, after=after, offset=offset
        )
        ids = [overview.encounter.id for overview in found.items]
        await trace_reading(services, who, "encounter.read", "encounter", ids, by="list")
        told = [presenters.session(overview) for overview in found.items]
        more = found.following is not None
        damaged = {"damaged_sessions": list(found.damaged)} if found.damaged else {}
        return JSONResponse(
            {
                "sessions": told,
                "count": len(told),
                "total_count": total,
                "next_page": page_mark(found.following) if found.following is not None else None,
                "has_next_page": more,
                "data": [presenters.yaml_session(each) for each in told],
                "has_next": more,
                "has_previous": after is not None or offset > 0,
                **damaged,
            }
        )

    @router.get(
        "/sessions/{session_id}",
        operation_id="getSession",
        summary="Read a session",
        responses={**documented(404, 410), 200: {"model": SessionAnswer, "description": "The session."}},
    )
    async def get_session(who: CurrentUser, session_id: SessionId) -> JSONResponse:
        """Return the session as it stands now."""
        overview = await _overview(services, who, session_id)
        await trace_reading(services, who, "encounter.read", "encounter", [session_id])
        return JSONResponse(presenters.session_answer(overview))

    @router.patch(
        "/sessions/{session_id}",
        operation_id="updateSession",
        summary="Change a session",
        responses={**documented(404, 409, 410), 200: {"model": SessionAnswer, "description": "As it stands now."}},
    )
    async def update_session(who: CurrentUser, session_id: SessionId, body: SessionUpdate) -> JSONResponse:
        """Change what is sent and nothing else; null empties a field, but says nothing of consent,
        `generate_output_without_recording` and `consult_note`.

        Consent from true to false is a withdrawal: audio and unsigned texts are erased after the grace period of the
        organization, unless consent is given again before. A note that is sent back becomes the newest version.
        """
        with named_as(SPELLING, MISSING):
            overview = await services.editing.change(
                who.actor,
                who.organization_id,
                session_id,
                body.changes(),
                note=body.edited_note(),
                user_id=who.user_id,
            )
        return JSONResponse(presenters.session_answer(overview))

    return router


async def _overview(services: ScribeServices, who: ScribeUser, session_id: str) -> EncounterOverview:
    overview = await services.overviews.get(who.organization_id, session_id, user_id=who.user_id)
    if overview.encounter.state is EncounterState.ERASED:
        raise ErasedError(ERASED)
    return overview


def _place(page: str | None, page_size: int) -> tuple[Position | None, int]:
    """Return where a page begins: after a position, or so many from the newest."""
    if page is None:
        return None, 0
    if page.isascii() and page.isdecimal():
        if not 1 <= int(page) <= MOST_PAGES:
            raise invalid("page", f"page must be between 1 and {MOST_PAGES}")
        return None, (int(page) - 1) * page_size
    return read_page_mark(page), 0
