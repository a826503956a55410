"""Recordings in segments: begun, sent piece by piece in any order, finished; each piece durable before its answer."""

from collections.abc import AsyncIterator
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Path, Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse

from osler.api.scribe.audio_upload import bounded, storing, whole_number
from osler.api.scribe.auth import CurrentUser
from osler.api.scribe.errors import RECORDING_NOT_FOUND, ScribeError, documented, invalid, missing_is
from osler.api.scribe.multipart import Form, form_of
from osler.api.scribe.route import MULTIPART
from osler.api.scribe.sent import SessionId, is_id
from osler.api.scribe.services import ScribeServices
from osler.api.scribe.values import OURS, Answered
from osler.audio.model import RecordingKind
from osler.audio.service import MAX_INDEX

BEGIN: Final = "/sessions/{session_id}/restful-segment-transcription"

SOURCES: Final = {"LIVE": RecordingKind.LIVE, "BACKUP": RecordingKind.BACKUP}

SEGMENT: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            MULTIPART: {
                "schema": {
                    "type": "object",
                    "required": ["file", "index"],
                    "properties": {
                        "file": {
                            "type": "string",
                            "format": "binary",
                            "description": "A file of sound by itself, or the next slice of a browser's recorder: of "
                            "such WebM slices only the first one has a header.",
                        },
                        "index": {
                            "type": "integer",
                            "minimum": 0,
                            "maximum": MAX_INDEX,
                            "description": "The segment's place in the recording, counted from 0.",
                        },
                    },
                }
            }
        },
    }
}


class RecordingBegun(Answered):
    """A recording that segments can be sent to."""

    recording_id: str


class Done(Answered):
    """It is done, and durable."""

    is_success: bool


class Finished(Done):
    """The recording is closed."""

    missing_indexes: list[int] = Field(
        description="Segments below the last one that never came. They can still be sent: then it is heard anew.",
        json_schema_extra=OURS,
    )


async def _recording_id(recording_id: Annotated[str, Path(description="The id of a recording.")]) -> str:
    if not is_id(recording_id):
        raise ScribeError(RECORDING_NOT_FOUND)
    return recording_id


RecordingId = Annotated[str, Depends(_recording_id)]


class _Piece:
    """The form of a segment: its file as a stream, and its index before or behind it."""

    def __init__(self, form: Form) -> None:
        self._form = form
        self._parts = aiter(form)
        self._index: int | None = None
        self._file: AsyncIterator[bytes] | None = None

    async def begin(self) -> "int | None":
        """Read up to the file and return the index if it stands before that. Raises ScribeError."""
        async for part in self._parts:
            if part.name == "file":
                self._file = bounded(part)
                return self._index
            if part.name == "index":
                self._index = whole_number("index", await part.text(), MAX_INDEX)
        raise invalid("file", "file: no sound came; send it as the part `file` of the form")

    async def file(self) -> AsyncIterator[bytes]:
        """Yield the file's bytes, then read the rest of the form. Raises ScribeError."""
        assert self._file is not None
        async for chunk in self._file:
            yield chunk
        async for part in self._parts:
            if part.name == "file":
                raise invalid("file", "file: one segment at a time")
            if part.name == "index":
                self._index = whole_number("index", await part.text(), MAX_INDEX)
        if self._index is None:
            raise invalid("index", "index: say which segment this is, counted from 0")

    def index(self) -> int:
        """Return the index, once all of the form has been read."""
        assert self._index is not None
        return self._index


def segment_routes(services: ScribeServices, router: APIRouter) -> APIRouter:
    """Add the routes of recordings in segments to a router."""

    # The routes with a colon first: an id has none.
    @router.post(
        BEGIN + "/{recording_id}:transcribe",
        operation_id="transcribeSegment",
        summary="Send a segment of a recording",
        openapi_extra=SEGMENT,
        responses={**documented(400, 404, 409, 410, 413, 415), 200: {"model": Done, "description": "It is stored."}},
    )
    async def transcribe_segment(
        who: CurrentUser, session_id: SessionId, recording_id: RecordingId, request: Request
    ) -> JSONResponse:
        """Store a segment and have it transcribed at once. Segments may come in any order, twice, or late.

        The same bytes at the same index again change nothing; other bytes there are refused with 409. After the
        recording was finished only what fills a gap is taken, and the transcript is made anew.
        """
        await services.encounters.get(who.organization_id, session_id, user_id=who.user_id)
        piece = _Piece(form_of(request))
        index = await piece.begin()
        with missing_is(RECORDING_NOT_FOUND), storing(request):
            await services.audio.add_segment(
                who.actor,
                who.organization_id,
                session_id,
                recording_id,
                piece.index if index is None else index,
                piece.file(),
            )
        return JSONResponse({"is_success": True})

    @router.post(
        BEGIN + "/{recording_id}:finish",
        operation_id="finishRecording",
        summary="Close a recording that came in segments",
        responses={**documented(404, 410), 200: {"model": Finished, "description": "It is closed."}},
    )
    async def finish_recording(who: CurrentUser, session_id: SessionId, recording_id: RecordingId) -> JSONResponse:
        """Have the final transcript made from the whole recording. A second time changes nothing."""
        await services.encounters.get(who.organization_id, session_id, user_id=who.user_id)
        with missing_is(RECORDING_NOT_FOUND):
            _, missing = await services.audio.finish(who.actor, who.organization_id, session_id, recording_id)
        return JSONResponse({"is_success": True, "missing_indexes": list(missing)})

    @router.post(
        BEGIN,
        operation_id="beginRecording",
        summary="Begin a recording that is sent in segments",
        responses={**documented(404, 410), 200: {"model": RecordingBegun, "description": "Where to send segments."}},
    )
    async def begin_recording(
        who: CurrentUser,
        session_id: SessionId,
        source: Annotated[
            str,
            Query(
                description="`BACKUP` is a second recording of the same visit: used only if there is no other.",
                pattern="^(LIVE|BACKUP)$",
                json_schema_extra=OURS,
            ),
        ] = "LIVE",
    ) -> JSONResponse:
        """Open a recording. It may stay open as long as the visit lasts, also across restarts of the server."""
        await services.encounters.get(who.organization_id, session_id, user_id=who.user_id)
        recording = await services.audio.start_recording(who.actor, who.organization_id, session_id, SOURCES[source])
        return JSONResponse({"recording_id": recording.id})

    return router
