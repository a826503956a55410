"""``Idempotency-Key`` on a POST: a repeat gets the first answer again."""

import contextlib
import hashlib
import json
import re
from collections.abc import Awaitable, Callable
from typing import Final

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from osler.access.idempotency import (
    Answer,
    AnswerLostError,
    Attempt,
    IdempotencyService,
    KeptRequest,
    KeyReusedError,
    RequestKey,
    StillRunningError,
)
from osler.api.scribe.auth import ScribeUser
from osler.api.scribe.errors import Refusal, ScribeError, invalid, response_to
from osler.api.scribe.multipart import form_of
from osler.api.scribe.services import ScribeServices
from osler.kernel.errors import OslerError

HEADER: Final = "Idempotency-Key"

REUSED: Final = "IdempotencyKeyReusedError"
RUNNING: Final = "IdempotencyKeyInUseError"
LOST: Final = "IdempotencyAnswerLostError"

GIVEN_AGAIN: Final = frozenset({"content-type", "location", "content-disposition"})
"""Headers that belong to an answer; others belong to the request or the connection."""

_KEY: Final = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,253}[\x21-\x7e])?")
_ENCOUNTER_ID: Final = re.compile(r"[0-9]{1,20}")

Handle = Callable[[Request], Awaitable[Response]]


async def answer_once(request: Request, handle: Handle) -> Response:
    """Answer a request that carries a key: by ``handle`` the first time, later as the first time.

    Kept are answers below 500. Raises ScribeError (409, 422), and what ``handle`` raises for a failure of the server.
    """
    services: ScribeServices = request.app.state.services
    work = services.idempotency
    key = _key_of(request)
    try:
        begun = await work.begin(key)
        if isinstance(begun, KeptRequest):
            work.check_digest(begun, await _digest_of(request))
            assert begun.answer is not None
            return _again(begun.answer)
    except KeyReusedError as error:
        raise ScribeError(Refusal(409, str(error), REUSED)) from None
    except StillRunningError as error:
        raise ScribeError(Refusal(409, str(error), RUNNING), Retry_After="1") from None
    except AnswerLostError as error:
        raise ScribeError(Refusal(409, str(error), LOST)) from None
    return await _first_answer(request, handle, work, begun)


async def _first_answer(request: Request, handle: Handle, work: IdempotencyService, attempt: Attempt) -> Response:
    kept = False
    try:
        async with work.working(attempt):
            try:
                response = await handle(request)
            except (ScribeError, OslerError, RequestValidationError, HTTPException) as error:
                response = response_to(error, request)
            if isinstance(response, StreamingResponse):
                response = await _whole(response)
        if response.status_code < 500:
            digest = await _digest_of(request)
            headers = {name: value for name, value in response.headers.items() if name.lower() in GIVEN_AGAIN}
            await work.finish(attempt, digest, Answer(response.status_code, headers, bytes(response.body)))
            kept = True
        return response
    finally:
        if not kept:
            await work.give_up(attempt)


async def _whole(response: StreamingResponse) -> Response:
    # Kept as a whole before any of it goes out: a client that hangs up must find the same answer again.
    body = bytearray()
    async for chunk in response.body_iterator:
        body += chunk.encode() if isinstance(chunk, str) else bytes(chunk)
    whole = Response(bytes(body), response.status_code, background=response.background)
    for name, value in response.headers.items():
        whole.headers[name] = value
    return whole


def _key_of(request: Request) -> RequestKey:
    keys = request.headers.getlist(HEADER)
    if len(keys) != 1 or not _KEY.fullmatch(keys[0]):
        raise invalid(HEADER, f"{HEADER} is 1 to 255 printable characters of ASCII, once")
    user: ScribeUser = request.state.user
    named = request.path_params.get("session_id", "")
    encounter_id = named if _ENCOUNTER_ID.fullmatch(named) else None
    # The path, not its template: a key belongs to what the request was about. The query is a part of that.
    route = f"{request.method} {request.url.path}?{request.url.query}"
    return RequestKey(user.organization_id, user.user_id, route, keys[0], encounter_id)


async def _digest_of(request: Request) -> bytes:
    """Return the digest of the body: of a form its parts, of JSON its value, else its bytes. SHA-256."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type == "multipart/form-data":
        try:
            return await form_of(request).finish()
        except ScribeError:
            # A form that breaks off or is none was refused; it is another body than any whole one.
            return hashlib.sha256(b"no form").digest()
    body = await request.body()
    with contextlib.suppress(ScribeError):  # what is no JSON is compared as it is
        body = json.dumps(await request.json(), sort_keys=True, ensure_ascii=True).encode()
    return hashlib.sha256(media_type.encode() + b"\0" + body).digest()


def _again(answer: Answer) -> Response:
    response = Response(answer.body, answer.status, headers=dict(answer.headers))
    response.headers["Idempotent-Replayed"] = "true"
    return response
