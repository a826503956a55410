"""Around every route of the scribe API: who asks, a body read strictly, repeats, errors of the contract."""

from collections.abc import Callable, Coroutine
from typing import Any, Final

from fastapi import APIRouter
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from osler.api.scribe.auth import authenticated
from osler.api.scribe.errors import FAILED, WRONG_TYPE, ScribeError, response_to
from osler.api.scribe.idempotency import HEADER, answer_once
from osler.api.scribe.json_bodies import read_json
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

    def get_route_handler(self) -> Handler:
        """Return FastAPI's handler with the rest of the contract around it."""
        handle = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                return await self._answer(ScribeRequest(request.scope, request.receive), handle)
            except _EXPECTED as error:
                return response_to(error, request)
            except Exception as error:  # noqa: BLE001  (whatever it is, the answer has the contract's form)
                request.state.error = error
                return response_to(ScribeError(FAILED), request)

        return answer

    async def _answer(self, request: ScribeRequest, handle: Handler) -> Response:
        if self.protected:
            request.state.user = await authenticated(request)
        if self.body_field is not None:
            await _refuse_other_types(request)
            if await request.body():
                await request.json()  # here, as FastAPI would answer its error with one of its own
        if self.protected and request.method == "POST" and HEADER in request.headers:
            return await answer_once(request, handle)
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
