"""Whole recordings: uploaded to a session, sealed into the vault as they arrive, nowhere whole or in clear."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query
from pydantic import Field
from pydantic_core import PydanticCustomError
from starlette.requests import Request
from starlette.responses import JSONResponse

from osler.api.scribe import presenters
from osler.api.scribe.auth import CurrentUser
from osler.api.scribe.errors import TOO_LARGE, Refusal, ScribeError, documented, invalid
from osler.api.scribe.multipart import Form, Part, form_of
from osler.api.scribe.route import MULTIPART
from osler.api.scribe.sent import SessionId, named_as, read_time
from osler.api.scribe.services import ScribeServices
from osler.api.scribe.values import Answered, Time
from osler.audio.service import LONGEST_ACCESS, MAX_BYTES, RecordingTimes
from osler.kernel.errors import InvalidFieldError, StorageError

NOT_STORED: Final = Refusal(500, "error: failed to upload audio")

LONGEST_EXPIRY: Final = int(LONGEST_ACCESS.total_seconds())

SPELLING: Final = {"started_at": "start_time", "ended_at": "end_time"}

_TIME: Final = {"type": "string", "format": "date-time"}

UPLOAD: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            MULTIPART: {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {
                            "type": "string",
                            "format": "binary",
                            "description": "Sound in any common format (mp3, ogg, wav, m4a, flac, webm), up to 2 GB.",
                        },
                        "start_time": {**_TIME, "description": "When the recording began."},
                        "end_time": {**_TIME, "description": "When it ended; by default the start plus its length."},
                        "expiry": {
                            "type": "integer",
                            "minimum": 0,
                            "maximum": LONGEST_EXPIRY,
                            "description": "Seconds for which `access_url` is to be good; 0 or nothing: no URL.",
                        },
                    },
                }
            }
        },
    }
}


class UploadedAudio(Answered):
    """A recording that was taken in."""

    id: str
    index: int = Field(description="Which of the session's recordings it is, counted from 0.")
    status: Literal["INITIALIZED"] = Field(description="It is stored, and its transcription has begun.")
    created_at: Time
    access_url: str | None = Field(description="Serves the file without a token; null if not asked for.")
    expiry: int = Field(description="Seconds for which the URL is good from now on; 0 without one.")


class UploadAnswer(Answered):
    """What was stored."""

    uploaded_audio: UploadedAudio


class _Upload:
    """The form of an upload: its file as a stream, and what it says beside it, before or behind."""

    def __init__(self, form: Form, expiry: int | None) -> None:
        self._form = form
        self._times: dict[str, datetime] = {}
        self.expiry = expiry or 0

    async def file(self) -> AsyncIterator[bytes]:
        """Yield the file's bytes, then read the rest of the form. Raises ScribeError."""
        came = False
        async for part in self._form:
            if part.name == "file":
                if came:
                    raise invalid("file", "file: one recording at a time")
                came = True
                async for chunk in bounded(part):
                    yield chunk
            elif part.name in ("start_time", "end_time"):
                await self._time(part)
            elif part.name == "expiry":
                self.expiry = whole_number("expiry", await part.text(), LONGEST_EXPIRY, empty=0)
        if not came:
            raise invalid("file", "file: no recording came; send it as the part `file` of the form")

    def times(self) -> RecordingTimes:
        """Return the times that the form named, once all of it has been read."""
        return RecordingTimes(self._times.get("start_time"), self._times.get("end_time"))

    async def _time(self, part: Part) -> None:
        text = (await part.text()).strip()
        try:
            if text:
                self._times[part.name] = read_time(text)
        except PydanticCustomError as error:
            raise invalid(part.name, f"{part.name} {error.message()}") from None


def audio_upload_routes(services: ScribeServices, router: APIRouter) -> APIRouter:
    """Add the route of uploads to a router."""

    @router.post(
        "/sessions/{session_id}/upload-audio",
        operation_id="uploadSessionAudio",
        summary="Add a recording to a session and have it transcribed",
        openapi_extra=UPLOAD,
        responses={
            **documented(400, 404, 410, 413, 415),
            200: {"model": UploadAnswer, "description": "It is stored and will be transcribed."},
        },
    )
    async def upload_session_audio(
        who: CurrentUser,
        session_id: SessionId,
        request: Request,
        expiry: Annotated[
            int | None,
            Query(description="As in the form, which goes before it.", ge=0, le=LONGEST_EXPIRY),
        ] = None,
    ) -> JSONResponse:
        """Store a whole recording. That it is sound is found out by decoding it, not by its name or type.

        `GET .../transcript` then waits for its words.
        """
        upload = _Upload(form_of(request), expiry)
        await services.encounters.get(who.organization_id, session_id, user_id=who.user_id)
        with storing(request), named_as(SPELLING):
            recording, segment = await services.audio.upload(
                who.actor, who.organization_id, session_id, upload.file(), times=upload.times
            )
        url = None
        if upload.expiry:
            lifetime = timedelta(seconds=upload.expiry)
            url = await services.audio.access_url(who.actor, recording, segment, lifetime)
        return JSONResponse({"uploaded_audio": presenters.uploaded_audio(recording, url, upload.expiry)})

    return router


@contextmanager
def storing(request: Request) -> Iterator[None]:
    """Say that the audio was not stored where that is what went wrong; the log gets the cause."""
    try:
        yield
    except StorageError as error:
        request.state.error = error
        raise ScribeError(NOT_STORED) from None
    except InvalidFieldError as error:
        if error.field == "content":
            raise _too_large("file") from None
        raise


async def bounded(part: Part) -> AsyncIterator[bytes]:
    """Yield a part's bytes. Raises ScribeError when they are more than a recording may have."""
    size = 0
    async for chunk in part.chunks():
        size += len(chunk)
        if size > MAX_BYTES:
            raise _too_large(part.name)
        yield chunk


def whole_number(field: str, text: str, most: int, *, empty: int | None = None) -> int:
    """Return a number that stands in a form. Raises ScribeError: 422 with the field."""
    text = text.strip()
    if not text and empty is not None:
        return empty
    if not text.isascii() or not text.isdecimal() or len(text) > 15 or int(text) > most:
        raise invalid(field, f"{field} must be a whole number from 0 to {most}")
    return int(text)


def _too_large(field: str) -> ScribeError:
    return ScribeError(TOO_LARGE, message="The recording is larger than 2 GB; send it in segments", field=field)
