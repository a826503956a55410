"""The errors of the scribe API: ``{"detail": text}`` or ``{"detail": {"msg", "type"}}``, and Osler's errors in them."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from osler.api.scribe.values import OURS
from osler.kernel import errors

_ENCOUNTER: Final = re.compile(r"\b(an )?encounter(s?)\b")
"""What this API calls a session is an encounter in the core's messages."""

AGAIN: Final = "5"
"""Seconds after which it makes sense to ask again for what is unavailable now."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """One of the contract's refusals. ``type`` None: ``detail`` is the text alone."""

    status: int
    message: str
    type: str | None = None


SESSION_NOT_FOUND: Final = Refusal(404, "Session not found", "SessionNotFoundError")
PROFILE_NOT_FOUND: Final = Refusal(404, "Patient profile not found", "PatientProfileNotFoundError")
TEMPLATE_NOT_FOUND: Final = Refusal(404, "Template not found", "TemplateNotFoundError")
DOCUMENT_NOT_FOUND: Final = Refusal(404, "Context document not found", "ContextDocumentNotFoundError")
RECORDING_NOT_FOUND: Final = Refusal(404, "Recording not found", "RecordingNotFoundError")
TRANSCRIPT_NOT_FOUND: Final = Refusal(
    404, "There is no transcript: send audio to this session first", "TranscriptNotFoundError"
)
NOT_LINKED: Final = Refusal(404, "This user has no linked account", "LinkedAccountNotFoundError")
NO_LINKED_USER: Final = Refusal(400, "error: no linked user", "NoLinkedUserException")
ALREADY_LINKED: Final = Refusal(
    409, "This user or this account is linked already; unlink it first", "OpenAPIHeidiAccountAlreadyLinkedError"
)
UNREADABLE: Final = Refusal(400, "The body cannot be read; check its form", "UnreadableBodyError")
WRONG_TYPE: Final = Refusal(415, "The body is not of a content type that is taken here", "UnsupportedMediaTypeError")
TOO_LARGE: Final = Refusal(413, "The request is larger than this server takes", "RequestTooLargeError")
STALLED: Final = Refusal(408, "The rest of the request did not come in time; send it again", "RequestStalledError")
NOT_SERVED: Final = Refusal(404, "Not Found")
FAILED: Final = Refusal(500, "Something went wrong inside the server; its log says where, by the request id")

NOT_FOUND_BELOW: Final[Mapping[str, Refusal]] = {
    "sessions": SESSION_NOT_FOUND,
    "patient-profiles": PROFILE_NOT_FOUND,
    "templates": TEMPLATE_NOT_FOUND,
}
"""What is missing where a route does not say more, by the first part of its path."""

TABLE: Final[Mapping[type[errors.OslerError], Refusal]] = {
    errors.NotFoundError: NOT_SERVED,
    errors.ConsentRequiredError: Refusal(409, "", "ConsentRequiredError"),
    errors.ErasedError: Refusal(410, "", "SessionErasedError"),
    errors.ConflictError: Refusal(409, "", "ConflictError"),
    errors.InvalidFieldError: Refusal(422, "", "ValidationError"),
    errors.NotAudioError: Refusal(400, "only audio file is allowed"),
    errors.InputError: Refusal(400, "", "InputError"),
    errors.NotAllowedError: Refusal(403, "", "NotAllowedError"),
    errors.DatabaseUnavailableError: Refusal(503, "The server cannot do this now; try again later"),
    errors.BlobsUnavailableError: Refusal(503, "The server cannot do this now; try again later"),
    errors.StorageFullError: Refusal(507, "No space is left on the server; nothing that was acknowledged is lost"),
    errors.OslerError: FAILED,
}
"""An error has the entry of its nearest class; where the entry has no message, the error's own goes out."""


class ScribeError(Exception):
    """A refusal that this door itself decides on."""

    def __init__(
        self, refusal: Refusal, *, message: str | None = None, field: str | None = None, **headers: str
    ) -> None:
        """``headers`` are named with ``_`` for ``-``: ``Retry_After="1"``."""
        super().__init__(message or refusal.message)
        self.refusal = refusal
        self.field = field
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def invalid(field: str, message: str) -> ScribeError:
    """Return the refusal of a field's value, which ``message`` must not quote."""
    return ScribeError(Refusal(422, message, "ValidationError"), field=field)


def unauthorized(message: str, code: str) -> ScribeError:
    """Return the refusal of a caller who is not who he says (RFC 6750, section 3)."""
    challenge = "Bearer" if code == "missing_token" else 'Bearer error="invalid_token"'
    return ScribeError(Refusal(401, message), WWW_Authenticate=challenge)


@contextmanager
def missing_is(refusal: Refusal, *, field: str | None = None) -> Iterator[None]:
    """Say what it is that is not there, where it is not what the route's path begins with; ``field`` named it."""
    try:
        yield
    except errors.NotFoundError:
        raise ScribeError(refusal, field=field) from None


def response_to(error: Exception, request: Request) -> Response:
    """Return the answer to an error; the error itself is left for the log. Others than those listed are raised."""
    match error:
        case ScribeError():
            return _response(error.refusal, str(error), error.field, error.headers)
        case errors.OslerError():
            return _of_osler(error, request)
        case RequestValidationError():
            return _of_validation(error)
        case HTTPException():
            refusal = {404: NOT_SERVED, 408: STALLED, 413: TOO_LARGE, 400: UNREADABLE}.get(error.status_code)
            message = refusal.message if refusal else "This path does not know that method"
            return _response(refusal or Refusal(error.status_code, message), message, None, dict(error.headers or {}))
        case _:
            raise error


def _of_osler(error: errors.OslerError, request: Request) -> Response:
    request.state.error = error
    refusal = next(TABLE[cls] for cls in type(error).__mro__ if cls in TABLE)
    if isinstance(error, errors.NotFoundError):
        path = getattr(request.scope.get("route"), "path", "/")
        refusal = NOT_FOUND_BELOW.get(path.split("/")[1].partition(":")[0], refusal)
    field = error.field if isinstance(error, errors.InvalidFieldError) else None
    return _response(refusal, refusal.message or str(error), field, {})


def _of_validation(error: RequestValidationError) -> Response:
    """Name the fields at fault and what is expected of them; pydantic's messages quote no values, its inputs do."""
    faults = error.errors()
    told = []
    for fault in faults[:5]:
        field = shown_field(fault["loc"][1:])
        told.append(f"{field}: {fault['msg']}" if field else str(fault["msg"]))
        fault["field"] = field
    return _response(
        Refusal(422, "", "ValidationError"), "; ".join(told), str(faults[0]["field"]) if faults else None, {}
    )


_known_fields: set[str] = set()
_unread_fields: list[Callable[[], set[str]]] = []


def shown_field(place: Iterable[str | int]) -> str:
    """Return a place in a request as text, without names that the caller made up."""
    return ".".join(str(part) for part in place if isinstance(part, int) or part in _fields())


def know_fields(names: Callable[[], set[str]]) -> None:
    """Let these names of fields into messages: those of the served description, none that a caller made up.

    They are asked for with the first message that needs them, as a server is to be ready before.
    """
    _unread_fields.append(names)


def _fields() -> set[str]:
    while _unread_fields:
        _known_fields.update(_unread_fields.pop()())
    return _known_fields


def _response(refusal: Refusal, message: str, field: str | None, headers: Mapping[str, str]) -> JSONResponse:
    message = _ENCOUNTER.sub(lambda found: f"{'a ' if found[1] else ''}session{found[2]}", message)
    detail: Any = message
    if refusal.type is not None:
        detail = {"msg": message, "type": refusal.type}
        if field:
            detail["field"] = field
    again = {"Retry-After": AGAIN} if refusal.status == 503 else {}
    return JSONResponse({"detail": detail}, status_code=refusal.status, headers={**again, **headers})


class TypedDetail(BaseModel):
    """What is wrong, with the name of the kind of error."""

    msg: str
    type: str
    field: str | None = Field(default=None, description="The field at fault, if one is.", json_schema_extra=OURS)


class ErrorAnswer(BaseModel):
    """Every error of this API."""

    detail: str | TypedDetail


DOCUMENTED: Final[Mapping[int, str]] = {
    400: "The request cannot be read, or cannot be carried out as things stand.",
    401: "The key or token is missing, malformed, expired, revoked or wrongly signed.",
    403: "This is not allowed.",
    404: "There is nothing of this id that the caller may see.",
    408: "The rest of the request did not come in time.",
    409: "The request contradicts what is stored.",
    410: "What this is about was erased for good.",
    413: "The request is larger than this server takes.",
    415: "The body is not of a content type that is taken here.",
    422: "A parameter or field is missing or its value cannot be used; it is named.",
    500: "Something went wrong inside the server.",
    503: "The server cannot do this now; `Retry-After` says when to ask again.",
    507: "No space is left on the server.",
}


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the description of a route's errors: those that every route may have, and ``statuses``."""
    return {
        status: {"model": ErrorAnswer, "description": DOCUMENTED[status]}
        for status in sorted({401, 422, 500, 503, *statuses})
    }
