"""Routes of the scribe API that FastAPI only describes: which those are, and that what does not fit takes its way."""

from typing import Annotated, Any

import pytest
from fastapi import Depends, Query
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from osler.api.scribe.auth import CurrentUser
from osler.api.scribe.errors import ScribeError
from osler.api.scribe.plain_routes import is_plain, plain
from osler.api.scribe.sent import SessionId
from osler.api.scribe.values import Given

pytestmark = pytest.mark.anyio


class Body(Given):
    number: int


async def all_of_it(who: CurrentUser, session_id: SessionId, body: Body) -> JSONResponse:
    return JSONResponse([who, session_id, body.number])


async def session_only(session_id: SessionId) -> Response:
    return JSONResponse([session_id])


async def with_query(session_id: SessionId, page: Annotated[int, Query()]) -> JSONResponse:
    return JSONResponse([session_id, page])


async def with_another_user(who: Annotated[str, Depends(str)]) -> JSONResponse:
    return JSONResponse([who])


async def with_an_optional_body(body: Body | None = None) -> JSONResponse:
    return JSONResponse([body is None])


async def with_a_default(body: Body = Body(number=1)) -> JSONResponse:  # noqa: B008
    return JSONResponse([body.number])


async def with_a_plain_id(session_id: str) -> JSONResponse:
    return JSONResponse([session_id])


async def answered_as_a_model(session_id: SessionId) -> dict[str, str]:
    return {"session_id": session_id}


@pytest.mark.parametrize("endpoint", [all_of_it, session_only])
def test_a_route_that_wants_no_more_is_plain(endpoint: Any) -> None:
    assert is_plain(endpoint)


@pytest.mark.parametrize(
    "endpoint",
    [with_query, with_another_user, with_an_optional_body, with_a_default, with_a_plain_id, answered_as_a_model],
)
def test_any_other_route_is_left_to_fastapi(endpoint: Any) -> None:
    assert not is_plain(endpoint)


def request(body: bytes, session_id: str = "123") -> Request:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    scope = {"type": "http", "method": "PATCH", "headers": [], "path_params": {"session_id": session_id}}
    return Request({**scope, "state": {"user": "who asks"}}, receive)


async def test_what_fits_is_answered_at_once() -> None:
    answer = await plain(all_of_it)(request(b'{"number": 7, "unknown": 1}'))
    assert answer is not None
    assert answer.body == b'["who asks","123",7]'


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"{}", b'{"number": "7"}', b'{"number": null}'])
async def test_a_body_that_does_not_fit_is_left_to_fastapi(body: bytes) -> None:
    assert await plain(all_of_it)(request(body)) is None


@pytest.mark.parametrize("body", [b'{"number": 7}', b"{}"])
async def test_an_id_that_can_be_none_is_told_before_the_body_is_looked_at(body: bytes) -> None:
    with pytest.raises(ScribeError):
        await plain(all_of_it)(request(body, "none"))
