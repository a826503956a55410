"""Routes that are called without FastAPI's resolution of dependencies, which takes longer than what they do.

A route is plain if all it wants is who asks, a session's id and a body, and it returns the answer itself. FastAPI still
describes it; and a request whose body does not fit starts again on FastAPI's way, and gets the errors that it makes.
"""

import inspect
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive

from osler.api.scribe.auth import CurrentUser
from osler.api.scribe.sent import SessionId, read_session_id
from osler.api.scribe.values import Given

PlainHandler = Callable[[Request], Coroutine[Any, Any, Response | None]]
"""Answers a request, or returns None if its body does not fit."""

WHO: Final = "who"
SESSION: Final = "session_id"
BODY: Final = "body"
"""Names of a plain route's parameters."""


def is_plain(endpoint: Callable[..., Any]) -> bool:
    """Say whether a route can be called by what :func:`plain` returns."""
    signature = inspect.signature(endpoint)
    wanted = {name: parameter.annotation for name, parameter in signature.parameters.items()}
    answered = signature.return_annotation
    return (
        isinstance(answered, type)
        and issubclass(answered, Response)
        and wanted.keys() <= {WHO, SESSION, BODY}
        and wanted.get(WHO, CurrentUser) == CurrentUser
        and wanted.get(SESSION, SessionId) == SessionId
        and all(parameter.default is parameter.empty for parameter in signature.parameters.values())
        and _is_model(wanted.get(BODY, Given))
    )


def plain(endpoint: Callable[..., Awaitable[Response]]) -> PlainHandler:
    """Return what calls a plain route."""
    wanted = {name: parameter.annotation for name, parameter in inspect.signature(endpoint).parameters.items()}
    model: type[Given] | None = wanted.get(BODY)

    async def handle(request: Request) -> Response | None:
        values: dict[str, Any] = {}
        if WHO in wanted:
            values[WHO] = request.state.user
        if SESSION in wanted:
            values[SESSION] = await read_session_id(request.path_params[SESSION])
        if model is not None:
            try:
                values[BODY] = model.model_validate(await request.json() if await request.body() else None)
            except ValidationError:
                return None
        return await endpoint(**values)

    return handle


def received_again(body: bytes, receive: Receive) -> Receive:
    """Return what receives a body that was received already, and then what ``receive`` has."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return messages.pop() if messages else await receive()

    return again


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Given)
