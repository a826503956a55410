"""Documents of a session: letters, certificates, summaries, each by a template."""

import asyncio
from typing import Annotated, Final, Literal

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import JSONResponse

from osler.api.scribe import presenters
from osler.api.scribe.auth import CurrentUser
from osler.api.scribe.errors import TEMPLATE_NOT_FOUND, documented, missing_is
from osler.api.scribe.reading import trace_reading
from osler.api.scribe.sent import SessionId
from osler.api.scribe.services import ScribeServices
from osler.api.scribe.session_models import ToldDocument
from osler.api.scribe.values import Answered
from osler.api.scribe.writing import (
    LONGEST_WAIT,
    TemplateId,
    WritingRequest,
    is_written,
    looks,
    not_yet,
    nothing_to_write_from,
    refused,
    writable,
)
from osler.encounters.model import EncounterState
from osler.encounters.service import ERASED
from osler.kernel.errors import ErasedError
from osler.notes.model import TextStatus

_WAITING: Final = "The transcript is still being made; ask again later"
_WRITING: Final = "The document is still being written; it will be in the list of the session's documents"


class DocumentRequest(WritingRequest):
    """A document to be written."""

    generation_method: Literal["TEMPLATE"] | None = Field(default=None, description="Default: TEMPLATE.")
    template_id: TemplateId = Field(description="A template of the list of templates; the document has its name.")
    document_tab_type: Annotated[str, Field(max_length=64, pattern=r"^[A-Za-z0-9_.:-]*$")] | None = Field(
        default=None, description="The client's own word for where it shows the document."
    )


class DocumentList(Answered):
    """The documents of a session by index, for both kinds of readers."""

    documents: list[ToldDocument]
    data: list[ToldDocument]


def document_routes(services: ScribeServices, router: APIRouter) -> APIRouter:
    """Add the routes of documents to a router."""

    @router.post(
        "/sessions/{session_id}/documents",
        operation_id="generateDocument",
        summary="Have a document written",
        responses={**documented(404, 409, 410), 200: {"model": ToldDocument, "description": "The document."}},
    )
    async def generate_document(who: CurrentUser, session_id: SessionId, body: DocumentRequest) -> JSONResponse:
        """Write a document from the transcript and all that stands beside it, and return it when it is finished.

        Its `index` is the next one of the session and never changes. A transcript that is still on its way is waited
        for, up to two minutes: then 503.
        """
        await writable(services, who, session_id)
        with missing_is(TEMPLATE_NOT_FOUND):
            await services.templates.get(who.organization_id, body.template_id)
        await _wait_for_transcript(services, who.organization_id, session_id)
        with nothing_to_write_from():
            document = await services.documents.request(
                who.actor,
                who.organization_id,
                session_id,
                template_id=body.template_id,
                voice_style=body.style,
                options=body.options(
                    who,
                    generation_method="TEMPLATE",
                    template_id=body.template_id,
                    document_tab_type=body.document_tab_type,
                ),
            )
        async for _ in looks(at_most=LONGEST_WAIT):
            document = await services.documents.get(who.organization_id, session_id, document.id)
            if document.status is not TextStatus.GENERATING:
                break
        else:
            raise not_yet(_WRITING)
        if not is_written(document):
            raise refused(document)
        await trace_reading(services, who, "document.read", "encounter", [session_id], document=document.id)
        return JSONResponse(await asyncio.to_thread(presenters.document, document))

    @router.get(
        "/sessions/{session_id}/documents",
        operation_id="listSessionDocuments",
        summary="List a session's documents",
        responses={**documented(404, 410), 200: {"model": DocumentList, "description": "The documents."}},
    )
    async def list_session_documents(who: CurrentUser, session_id: SessionId) -> JSONResponse:
        """Return the documents that are written, by index."""
        encounter = await services.encounters.get(who.organization_id, session_id, user_id=who.user_id)
        if encounter.state is EncounterState.ERASED:
            raise ErasedError(ERASED)
        found = [each for each in await services.documents.list(who.organization_id, session_id) if is_written(each)]
        await trace_reading(services, who, "document.read", "encounter", [session_id], by="list")
        told = await asyncio.to_thread(lambda: [presenters.document(each) for each in found])
        return JSONResponse({"documents": told, "data": told})

    return router


async def _wait_for_transcript(services: ScribeServices, organization_id: str, session_id: str) -> None:
    async for _ in looks(at_most=LONGEST_WAIT):
        if not await services.transcripts.pending(organization_id, session_id):
            return
    raise not_yet(_WAITING)
