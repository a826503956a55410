"""Context documents: uploaded to a session, listed and removed. Uploads go sealed into the vault as they arrive."""

from collections.abc import AsyncIterator, Mapping
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from osler.api.scribe import presenters
from osler.api.scribe.auth import CurrentUser
from osler.api.scribe.errors import DOCUMENT_NOT_FOUND, TOO_LARGE, ScribeError, documented, invalid, missing_is
from osler.api.scribe.json_bodies import read_json
from osler.api.scribe.multipart import Form, Part, form_of
from osler.api.scribe.reading import trace_reading
from osler.api.scribe.route import MULTIPART
from osler.api.scribe.sent import SessionId, is_id, named_as
from osler.api.scribe.services import ScribeServices
from osler.api.scribe.values import OURS, Answered, Time
from osler.encounters.context import MAX_BYTES, Description, IncomingDocument

SPELLING: Final[Mapping[str, str]] = {"metadata": "meta_data"}

FILES: Final = frozenset({"file", "context_documents"})
"""Parts of a form that are documents, in the YAML's and in the prose's spelling."""

YES: Final = frozenset({"true", "1", "yes", "on"})
NO: Final = frozenset({"false", "0", "no", "off", ""})

UPLOAD: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            MULTIPART: {
                "schema": {
                    "type": "object",
                    "properties": {
                        "file": {
                            "type": "string",
                            "format": "binary",
                            "description": "A pdf, docx, doc, rtf, txt, md, jpg or png file of at most 50 MB.",
                        },
                        "unstructured": {"type": "boolean", "default": False},
                        "context_documents": {
                            "type": "array",
                            "items": {"type": "string", "format": "binary"},
                            "description": "The same as `file`, for one or several.",
                        },
                        "meta_data": {"type": "string", "description": "JSON about the documents, kept with them."},
                    },
                    "anyOf": [{"required": ["file"]}, {"required": ["context_documents"]}],
                }
            }
        },
    }
}


class ContextDocument(Answered):
    """A document that came with a session."""

    id: str
    filename: str
    uploaded_at: Time
    status: Literal["PARSING", "READY", "FAILED"] = Field(
        description="PARSING until its text is known; FAILED, an addition of this server, says that it cannot be read."
    )
    unstructured: bool
    reason: str = Field(default="", description="Beside FAILED: why, and what to do.", json_schema_extra=OURS)


class UploadAnswer(ContextDocument):
    """The document that was sent, the first of several."""

    data: list[ContextDocument] = Field(description="All that were sent.", json_schema_extra=OURS)


class ContextDocumentList(Answered):
    """The documents of a session."""

    data: list[ContextDocument]


class _Upload:
    """A form with documents: its files one after another, and what it says of them, before or behind."""

    def __init__(self, form: Form) -> None:
        self._form = form
        self._unstructured: bool | None = None
        self._metadata: Any = {}

    async def files(self) -> AsyncIterator[IncomingDocument]:
        """Yield the files. Raises ScribeError."""
        async for part in self._form:
            if part.name in FILES:
                yield IncomingDocument(part.filename or "", _bounded(part), part.media_type)
            elif part.name == "unstructured":
                self._unstructured = _flag(await part.text())
            elif part.name == "meta_data":
                self._metadata = _json(await part.text())

    def description(self) -> Description:
        """Return what the form said, once all of it has been read."""
        metadata = self._metadata if isinstance(self._metadata, Mapping) else {"meta_data": self._metadata}
        said = self._unstructured
        return Description(metadata.get("unstructured") is True if said is None else said, metadata)


def context_routes(services: ScribeServices, router: APIRouter) -> APIRouter:
    """Add the routes of context documents to a router."""

    @router.post(
        "/sessions/{session_id}/context-documents",
        operation_id="uploadContextDocument",
        summary="Add a document to a session",
        openapi_extra=UPLOAD,
        responses={
            **documented(400, 404, 410, 413, 415, 507),
            200: {"model": UploadAnswer, "description": "What was stored; it is read after this."},
        },
    )
    async def upload_context_document(who: CurrentUser, session_id: SessionId, request: Request) -> JSONResponse:
        """Store documents and have them read. What type a file is, its content says. All are stored, or none."""
        upload = _Upload(form_of(request))
        with named_as(SPELLING):
            added = await services.context.add_all(
                who.actor,
                who.organization_id,
                session_id,
                upload.files(),
                describe=upload.description,
                user_id=who.user_id,
            )
        told = [presenters.context_document(document) for document in added]
        return JSONResponse({**told[0], "data": told})

    @router.get(
        "/sessions/{session_id}/context-documents",
        operation_id="listContextDocuments",
        summary="List the documents of a session",
        responses={**documented(404, 410), 200: {"model": ContextDocumentList, "description": "The documents."}},
    )
    async def list_context_documents(who: CurrentUser, session_id: SessionId) -> JSONResponse:
        """Return the session's documents, oldest first."""
        found = await services.context.list(who.organization_id, session_id, user_id=who.user_id)
        await trace_reading(services, who, "context_document.listed", "encounter", [session_id])
        return JSONResponse({"data": [presenters.context_document(document) for document in found]})

    @router.delete(
        "/sessions/{session_id}/context-documents",
        operation_id="deleteContextDocuments",
        summary="Remove documents from a session",
        status_code=204,
        response_class=Response,
        responses=documented(404, 410),
    )
    async def delete_context_documents(
        who: CurrentUser,
        session_id: SessionId,
        ids: Annotated[list[str], Query(description="The ids of the documents.", min_length=1, max_length=200)],
    ) -> Response:
        """Remove documents for good: all of them, or none if one is not there."""
        await services.encounters.standing(who.organization_id, session_id, user_id=who.user_id)
        wanted = [each for several in ids for each in several.split(",")]
        if not all(map(is_id, wanted)):
            raise ScribeError(DOCUMENT_NOT_FOUND, field="ids")
        with missing_is(DOCUMENT_NOT_FOUND, field="ids"):
            await services.context.delete(who.actor, who.organization_id, session_id, wanted, user_id=who.user_id)
        return Response(status_code=204)

    return router


async def _bounded(part: Part) -> AsyncIterator[bytes]:
    size = 0
    async for chunk in part.chunks():
        size += len(chunk)
        if size > MAX_BYTES:
            limit = MAX_BYTES // 1_000_000
            raise ScribeError(
                TOO_LARGE, message=f"The file is larger than {limit} MB; send a smaller one", field=part.name
            )
        yield chunk


def _flag(text: str) -> bool:
    said = text.strip().lower()
    if said not in YES | NO:
        raise invalid("unstructured", "unstructured: must be true or false")
    return said in YES


def _json(text: str) -> Any:
    if not text.strip():
        return {}
    try:
        return read_json(text.encode())
    except ScribeError:
        raise invalid("meta_data", "meta_data: must be a JSON text") from None
