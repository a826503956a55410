"""Around every request: its id, its line in the log, its metrics, its largest body, the last resort for errors."""

import asyncio
import time
import uuid
from collections.abc import Mapping
from typing import Any, Final

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from osler import logs
from osler.api.errors import error_response
from osler.api.metrics import Metrics

REQUEST_ID: Final = "X-Request-Id"

UNMATCHED: Final = "unmatched"
"""The route of a request that no route matched."""

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

SMALL: Final = 4 << 20
"""Bytes of the largest body that is not an upload: JSON and forms. The longest text that any field takes fits in, each
character written as ``\\u....``; a text that is too long is refused by its field, not by the size of the body."""

SMALL_TYPES: Final = frozenset({"application/json", "application/x-www-form-urlencoded"})

NOTHING: Final = -1
"""Limit of a body that says beforehand that it is too large: not one byte of it is read."""

SLOWEST: Final = 1000
"""Bytes a second that a body has to come with, once it takes longer than a client may pause."""

GONE: Final = 499
"""Status in log and metrics of a request whose client went away before the answer began."""

_log: Final = structlog.get_logger()


class TooLargeError(HTTPException):
    """More bytes came than this server takes. Each part of the app answers it in its own form."""

    def __init__(self) -> None:
        super().__init__(413, headers={"Connection": "close"})  # the rest of the body is not read


class StalledError(HTTPException):
    """The client does not go on with its body. Each part of the app answers it in its own form."""

    def __init__(self) -> None:
        super().__init__(408, headers={"Connection": "close"})  # what is still to come is not read


class Requests:
    """The outermost layer. Nothing that goes wrong below it leaves as anything but JSON without PHI."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics, max_upload_bytes: int, pause_seconds: float) -> None:
        """``pause_seconds`` is how long a client may pause inside of a body."""
        self._app = app
        self._metrics = metrics
        self._max_upload = max_upload_bytes
        self._pause = pause_seconds
        logs.know_routes([UNMATCHED])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        headers = Headers(scope=scope)
        request_id = _request_id(headers)
        scope.setdefault("state", {})["request_id"] = request_id  # for what goes on record
        answer = _Answer(send, request_id)
        error: BaseException | None = None
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                error = await self._run(scope, headers, receive, answer)
            except BaseException as unexpected:
                error = unexpected
                raise
            finally:
                self._note(scope, answer.status or GONE, time.perf_counter() - started, error)

    async def _run(self, scope: Scope, headers: Headers, receive: Receive, answer: "_Answer") -> Exception | None:
        limit = _limit(headers, self._max_upload)
        declared = headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > limit:
            limit = NOTHING
        try:
            await self._app(scope, _counted(receive, limit, self._pause), answer)
        except (TooLargeError, StalledError) as error:
            if answer.status is None:
                code = "too_large" if error.status_code == 413 else "stalled"
                await error_response(error.status_code, code, headers=error.headers)(scope, receive, answer)
            return None
        except Exception as error:
            # Once the answer has begun, the connection must break: an answer cut short must not look whole.
            if answer.status is not None:
                raise
            await error_response(500, "internal")(scope, receive, answer)
            return error
        answered: Exception | None = scope.get("state", {}).get("error")
        return answered if answer.status is not None and answer.status >= 500 else None

    def _note(self, scope: Scope, status: int, seconds: float, error: BaseException | None) -> None:
        route = _route_of(scope)
        method = scope["method"] if scope["method"] in METHODS else "OTHER"
        self._metrics.count(route=route, method=method, status=status, seconds=seconds)
        fields: dict[str, Any] = {
            "route": route,
            "method": method,
            "status": status,
            "duration_ms": seconds * 1000,
        }
        if error is None:
            logs.request(**fields)
        else:
            _log.error("request", exc_info=error, **fields)


class _Answer:
    """Passes an answer on, with the request's id in its head, and remembers its status."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self._request_id = request_id
        self.status: int | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers[REQUEST_ID] = self._request_id
            headers.setdefault("X-Content-Type-Options", "nosniff")
            headers.setdefault("Cache-Control", "no-store")
        await self._send(message)


def _counted(receive: Receive, limit: int, pause: float) -> Receive:
    """Return ``receive`` with a limit of the body's bytes, and of the time in which they are waited for.

    Only the time counts in which nothing has come that could be read: not what the server itself needs with it.
    """
    received = 0
    waited = 0.0
    complete = False

    async def counted() -> Message:
        nonlocal received, waited, complete
        if limit == NOTHING:
            raise TooLargeError
        if complete:  # what comes now is that the client goes away
            return await receive()
        began = time.monotonic()
        try:
            async with asyncio.timeout(min(pause, max(pause + received / SLOWEST - waited, 0.0))):
                message = await receive()
        except TimeoutError:
            raise StalledError from None
        waited += time.monotonic() - began
        complete = not message.get("more_body", False)
        received += len(message.get("body", b""))
        if received > limit:
            raise TooLargeError
        return message

    return counted


def _limit(headers: Mapping[str, str], max_upload: int) -> int:
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    return min(SMALL, max_upload) if media_type in SMALL_TYPES else max_upload


def _request_id(headers: Mapping[str, str]) -> str:
    given = headers.get(REQUEST_ID.lower(), "").lower()
    return given if logs.REQUEST_ID.fullmatch(given) else str(uuid.uuid4())


def _route_of(scope: Scope) -> str:
    """Return the template of the route that answered, and let it into the log: templates are text of the code."""
    template = getattr(scope.get("route"), "path", None)
    if not isinstance(template, str) or not template:
        return UNMATCHED
    # Where an app is mounted: the path of the mount, which is text of the code too.
    template = str(scope.get("root_path", "")) + template
    logs.know_routes([template])
    return template
