"""The scribe API as one app, mounted at its base path."""

from collections.abc import Callable
from typing import Final

from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.asyncexitstack import AsyncExitStackMiddleware
from starlette.exceptions import HTTPException
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from osler import __version__
from osler.api.scribe.ask import ask_routes
from osler.api.scribe.audio_upload import audio_upload_routes
from osler.api.scribe.auth import authentication_routes
from osler.api.scribe.checklist import checklist_routes
from osler.api.scribe.clinical_codes import clinical_code_routes
from osler.api.scribe.consult_note import consult_note_routes
from osler.api.scribe.context import context_routes
from osler.api.scribe.documents import document_routes
from osler.api.scribe.errors import know_fields, response_to
from osler.api.scribe.evidence import evidence_routes
from osler.api.scribe.forms import form_routes
from osler.api.scribe.linked_accounts import linked_account_routes
from osler.api.scribe.live_stream import live_stream_routes
from osler.api.scribe.openapi import described, field_names
from osler.api.scribe.profiles import profile_routes
from osler.api.scribe.route import scribe_router
from osler.api.scribe.segments import segment_routes
from osler.api.scribe.services import ScribeServices
from osler.api.scribe.sessions import session_routes
from osler.api.scribe.sign_off import sign_off_routes
from osler.api.scribe.templates import template_routes
from osler.api.scribe.transcripts import transcript_routes
from osler.kernel.errors import OslerError

BASE_PATH: Final = "/api/v2/ml-scribe/open-api"

Routes = Callable[[ScribeServices, APIRouter], APIRouter]
"""Adds the routes of one chapter to a router."""

CHAPTERS: Final[tuple[tuple[str, Routes], ...]] = (
    ("Sessions", session_routes),
    ("Session context", context_routes),
    ("Transcription", audio_upload_routes),
    ("Transcription", segment_routes),
    ("Transcription", transcript_routes),
    ("Transcription", checklist_routes),
    ("Consult note", consult_note_routes),
    ("Consult note", evidence_routes),
    ("Consult note", sign_off_routes),
    ("Consult note", form_routes),
    ("Documents", document_routes),
    ("Ask", ask_routes),
    ("Clinical coding", clinical_code_routes),
    ("Patient profiles", profile_routes),
    ("Templates", template_routes),
    ("Transcription", live_stream_routes),
    ("Linked accounts", linked_account_routes),
)
"""The chapters of the description behind the bearer token, in the order in which a request is compared with them."""


class _App(FastAPI):
    """Has no layers but those that its routes need: it is inside of another app, which has all the others."""

    def build_middleware_stack(self) -> ASGIApp:
        """Return the routes, with what answers the errors of requests that no route took."""
        return ExceptionMiddleware(AsyncExitStackMiddleware(self.router), handlers=self.exception_handlers)


def scribe_app(services: ScribeServices) -> FastAPI:
    """Return the app. Its description is made by :func:`osler.api.scribe.openapi.described`."""
    app = _App(title="Osler scribe API", version=__version__, docs_url=None, redoc_url=None, openapi_url=None)
    app.router.redirect_slashes = False
    app.state.services = services
    chapters = [routes(services, scribe_router(tag)) for tag, routes in CHAPTERS]
    chapters.append(authentication_routes(services, scribe_router("Authentication", protected=False)))
    for chapter in chapters:
        # The routes themselves: a router inside a router has each request matched twice.
        app.router.routes.extend(chapter.routes)

    async def answer(request: Request, error: Exception) -> Response:
        return response_to(error, request)

    # Routes answer their own errors; these are of what no route took.
    for kind in (HTTPException, RequestValidationError, OslerError):
        app.add_exception_handler(kind, answer)
    know_fields(lambda: field_names(described(app)))
    return app
