"""``Idempotency-Key`` on a POST: a repeat gets the first answer again."""

import asyncio
import contextlib
import hashlib
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import count
from typing import Any, Final

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

SUBJECTS: Final = frozenset({"id", "session_id", "patient_profile_id"})
"""Fields of answers, and parts of paths, with the id of something that the answer tells of."""

_SUBJECT_ID: Final = re.compile(r"[0-9a-f]{24}|[1-9][0-9]{17}")
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
            kept = True  # by the reader, once it has read to the end
            return _read_along(request, response, work, attempt, await _digest_of(request))
        if response.status_code < 500:
            digest = await _digest_of(request)
            answer = _answer(response, bytes(response.body))
            await work.finish(attempt, digest, answer, _subjects_of(request, answer))
            kept = True
        return response
    finally:
        if not kept:
            await work.give_up(attempt)


_reading: Final[set[asyncio.Task[None]]] = set()
"""Streams that are read to their end, whoever still listens."""


def _read_along(
    request: Request, response: StreamingResponse, work: IdempotencyService, attempt: Attempt, digest: bytes
) -> StreamingResponse:
    """Return a stream of what ``response`` streams, which is read to its end and kept even if the client hangs up."""
    chunks: list[bytes] = []
    news = asyncio.Event()

    async def read() -> None:
        kept = False
        try:
            async with work.working(attempt):
                async for chunk in response.body_iterator:
                    chunks.append(chunk.encode() if isinstance(chunk, str) else bytes(chunk))
                    news.set()
            answer = _answer(response, b"".join(chunks))
            await work.finish(attempt, digest, answer, _subjects_of(request, answer))
            kept = True
        finally:
            if not kept:
                await work.give_up(attempt)

    def ended(task: asyncio.Task[None]) -> None:
        _reading.discard(task)
        news.set()
        if not task.cancelled():
            task.exception()  # told to whoever still listens, and to nobody else

    reading = asyncio.create_task(read(), name="stream of an idempotent request")
    _reading.add(reading)
    reading.add_done_callback(ended)

    async def body() -> AsyncIterator[bytes]:
        for number in count():
            while number == len(chunks) and not reading.done():
                news.clear()
                await news.wait()
            if number == len(chunks):
                break
            yield chunks[number]
        reading.result()  # what broke the reading off breaks the answer off

    headers = dict(response.headers)
    return StreamingResponse(body(), response.status_code, headers=headers, background=response.background)


def _answer(response: Response, body: bytes) -> Answer:
    headers = {name: value for name, value in response.headers.items() if name.lower() in GIVEN_AGAIN}
    return Answer(response.status_code, headers, body)


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


def _subjects_of(request: Request, answer: Answer) -> tuple[str, ...]:
    """Return the ids of what the answer tells of, by the path and by the answer itself."""
    found = {value for name, value in request.path_params.items() if name in SUBJECTS}

    def look(value: Any) -> None:
        if isinstance(value, dict):
            found.update(each for name, each in value.items() if name in SUBJECTS and isinstance(each, str))
            value = list(value.values())
        if isinstance(value, list):
            for each in value:
                look(each)

    with contextlib.suppress(ValueError):  # a stream of texts; its path says whose they are
        look(json.loads(answer.body))
    return tuple(sorted(each for each in found if _SUBJECT_ID.fullmatch(each)))


def _again(answer: Answer) -> Response:
    response = Response(answer.body, answer.status, headers=dict(answer.headers))
    response.headers["Idempotent-Replayed"] = "true"
    return response
