"""Around every route of the scribe API: who asks, a body read strictly, repeats, errors of the contract."""

from collections.abc import Callable, Coroutine
from typing import Any, Final, cast

from fastapi import APIRouter
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from osler.api.scribe.auth import authenticated
from osler.api.scribe.errors import FAILED, WRONG_TYPE, ScribeError, response_to
from osler.api.scribe.idempotency import HEADER, answer_once
from osler.api.scribe.json_bodies import read_json
from osler.api.scribe.plain_routes import PlainHandler, is_plain, plain, received_again
from osler.kernel.errors import OslerError

Handler = Callable[[Request], Coroutine[Any, Any, Response]]

MULTIPART: Final = "multipart/form-data"
"""Value of a route's ``openapi_extra["requestBody"]["content"]`` by which it takes uploads."""

_EXPECTED: Final = (ScribeError, OslerError, RequestValidationError, HTTPException)


class ScribeRequest(Request):
    """A request whose JSON is read strictly, once."""

    async def json(self) -> Any:
        """Return the body's value. Raises ScribeError."""
        if not hasattr(self, "_value"):
            self._value = read_json(await self.body())
        return self._value


class ScribeRoute(APIRoute):
    """A route of this API. Who asks is known before anything of the request is read."""

    protected = True

    def __init__(self, path: str, endpoint: Callable[..., Any], **more: Any) -> None:
        """``more`` is what FastAPI takes."""
        super().__init__(path, endpoint, **more)
        if "POST" not in (self.methods or ()) and not self.dependencies and is_plain(endpoint):
            self.app = self._plain(plain(endpoint), self.app)

    def get_route_handler(self) -> Handler:
        """Return FastAPI's handler with the rest of the contract around it."""
        handle = super().get_route_handler()

        async def answer(request: Request) -> Response:
            response = await self._answer(ScribeRequest(request.scope, request.receive), handle)
            assert response is not None
            return response

        return answer

    def _plain(self, handle: PlainHandler, otherwise: ASGIApp) -> ASGIApp:
        """Return a plain route's app; ``otherwise`` is FastAPI's, for a body that does not fit."""

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            request = ScribeRequest(scope, receive)
            response = await self._answer(request, handle)
            if response is None:
                await otherwise(scope, received_again(await request.body(), receive), send)
            else:
                await response(scope, receive, send)

        return app

    async def _answer(self, request: ScribeRequest, handle: PlainHandler) -> Response | None:
        try:
            return await self._handled(request, handle)
        except _EXPECTED as error:
            return response_to(error, request)
        except Exception as error:  # noqa: BLE001  (whatever it is, the answer has the contract's form)
            request.state.error = error
            return response_to(ScribeError(FAILED), request)

    async def _handled(self, request: ScribeRequest, handle: PlainHandler) -> Response | None:
        if self.protected:
            request.state.user = await authenticated(request)
        if self.body_field is not None:
            await _refuse_other_types(request)
            if await request.body():
                await request.json()  # here, as FastAPI would answer its error with one of its own
        if self.protected and request.method == "POST" and HEADER in request.headers:
            return await answer_once(request, cast(Handler, handle))  # no plain route is a POST
        return await handle(request)


class OpenScribeRoute(ScribeRoute):
    """A route that needs no bearer token."""

    protected = False


async def _refuse_other_types(request: ScribeRequest) -> None:
    """Have a body that is not JSON refused as such. Raises ScribeError."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type == "application/json" or (media_type.startswith("application/") and media_type.endswith("+json")):
        return
    if media_type or await request.body():
        raise ScribeError(WRONG_TYPE)


def scribe_router(tag: str, *, protected: bool = True) -> APIRouter:
    """Return a router whose routes are of this API; ``tag`` is its chapter in the description."""
    return APIRouter(route_class=ScribeRoute if protected else OpenScribeRoute, tags=[tag])
