"""From Osler's errors to status codes, and the JSON that every error of this door is."""

from collections.abc import Mapping
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from osler.kernel import errors

STATUS: Final[Mapping[type[errors.OslerError], tuple[int, str]]] = {
    errors.NotFoundError: (404, "not_found"),
    errors.ConsentRequiredError: (409, "consent_required"),
    errors.ErasedError: (410, "erased"),
    errors.ConflictError: (409, "conflict"),
    errors.InvalidFieldError: (422, "invalid_field"),
    errors.NotAudioError: (415, "not_audio"),
    errors.EmptyAudioError: (422, "empty_audio"),
    errors.InputError: (400, "invalid_request"),
    errors.NotAllowedError: (403, "not_allowed"),
    errors.DatabaseUnavailableError: (503, "database_unavailable"),
    errors.BlobsUnavailableError: (503, "blobs_unavailable"),
    errors.StorageFullError: (507, "storage_full"),
    errors.CorruptedError: (500, "corrupted"),
    errors.OslerError: (500, "internal"),
}
"""An error has the entry of its nearest class."""

TEXTS: Final[Mapping[int, str]] = {
    400: "The request cannot be read; check its form.",
    401: "This needs a key.",
    403: "This is not allowed.",
    404: "There is nothing here; check the path.",
    405: "This path does not know that method.",
    413: "The request is larger than this server takes; send less.",
    415: "The content is not of a type that is taken here.",
    422: "The request holds a value that cannot be used.",
    500: "Something went wrong inside Osler; the server's log says where, by the request id.",
    503: "The server cannot do this now; try again later.",
    507: "No space is left on the server; nothing that was acknowledged is lost.",
}
"""What is said where the cause is the server's own affair or none of the caller's."""

RETRY_AFTER: Final = "5"
"""Seconds after which it makes sense to ask an unavailable server again."""


def error_response(
    status: int,
    code: str,
    message: str | None = None,
    *,
    field: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """Return ``{"error": {"code", "message"}}``, and ``field`` where one is to blame."""
    error = {"code": code, "message": message or TEXTS.get(status, TEXTS[500])}
    if field is not None:
        error["field"] = field
    extra = {"Retry-After": RETRY_AFTER} if status == 503 else {}
    return JSONResponse({"error": error}, status_code=status, headers={**extra, **(headers or {})})


def status_of(error: errors.OslerError) -> tuple[int, str]:
    """Return the status and the code of an error: those of its nearest class in the table."""
    status, code = next(STATUS[cls] for cls in type(error).__mro__ if cls in STATUS)
    return status, error.code if isinstance(error, errors.NotAllowedError) else code


def response_to(error: errors.OslerError) -> JSONResponse:
    """Return the answer to an error. Its own text goes out only where the caller can do something about it."""
    status, code = status_of(error)
    told = str(error) if isinstance(error, errors.InputError | errors.NotAllowedError) else None
    return error_response(
        status, code, told, field=error.field if isinstance(error, errors.InvalidFieldError) else None
    )


def handle_errors(app: FastAPI) -> None:
    """Have every error that a route raises answered as JSON without a trace of where it happened."""

    async def of_osler(request: Request, error: Exception) -> Response:
        assert isinstance(error, errors.OslerError)
        request.state.error = error
        return response_to(error)

    async def of_http(_request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        codes: dict[int, Any] = {404: "not_found", 405: "method_not_allowed", 413: "too_large"}
        return error_response(error.status_code, codes.get(error.status_code, "refused"), headers=error.headers)

    async def of_validation(_request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        # The place of the fault, never the value; a part of it that the caller named himself stays out.
        place = error.errors()[0]["loc"] if error.errors() else ()
        known = [str(part) for part in place[:2] if isinstance(part, str)]
        return error_response(422, "invalid_field", field=known[-1] if len(known) > 1 else None)

    app.add_exception_handler(errors.OslerError, of_osler)
    app.add_exception_handler(HTTPException, of_http)
    app.add_exception_handler(RequestValidationError, of_validation)
