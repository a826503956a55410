"""The public door on a real connection: bytes that no library would send, and that a server must take nevertheless."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import h11
import pytest
import uvicorn

from osler.api.wire import MOST_HEAD, Http, refusal_of
from tests.growth import assert_grows_with_its_size
from tests.public_lab import (
    ERROR_KEYS,
    House,
    public_house,  # noqa: F401  (a fixture)
)

pytestmark = pytest.mark.anyio

LIST = b"/external/v1/encounters"


@pytest.fixture
async def port(public_house: House) -> AsyncIterator[int]:  # noqa: F811
    config = uvicorn.Config(
        public_house.app,
        port=0,
        log_config=None,
        access_log=False,
        lifespan="off",
        http=Http,
        h11_max_incomplete_event_size=MOST_HEAD,
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server._serve())
    while not server.started:
        await asyncio.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    await serving


async def said(port: int, sent: bytes) -> tuple[int, dict[str, str], Any]:
    """Send these bytes and return status, header fields and JSON of the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(sent)
        head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60)).decode("latin-1")
        first, *lines = head.strip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = 0 if sent.startswith(b"HEAD") else int(headers.get("content-length", 0))
        body = await reader.readexactly(length)
        return int(first.split()[1]), headers, json.loads(body) if body else None
    finally:
        writer.close()


class _Connection:
    """A connection as the parser sees it: what it got, and whether it waits for a head."""

    def __init__(self) -> None:
        self._http = Http.__new__(Http)
        self._parser = h11.Connection(h11.SERVER)

    def take(self, data: bytes) -> bytes:
        if self._parser.their_state is h11.IDLE:
            data = self._http._of_head(data)
        if not data:  # to the parser: the end of the connection
            return data
        self._parser.receive_data(data)
        while self._parser.their_state is not h11.DONE and self._parser.next_event() is not h11.NEED_DATA:
            pass
        return data


def request(target: bytes = LIST, *fields: bytes, method: bytes = b"GET", version: bytes = b"1.1") -> bytes:
    return b"\r\n".join([b"%s %s HTTP/%s" % (method, target, version), b"Host: osler", *fields, b"", b""])


@pytest.mark.parametrize(
    "key",
    [
        b"ch_sk_\x00",
        b"ch_sk_" + b"a" * 42 + b"\x00",
        b"a\x0bb",
        "ключ".encode(),
        b"\xff\xfe",
        b"x" * 100_000,
        b"a\x01b",
    ],
    ids=["NUL", "NUL at the end", "tab", "unicode", "no UTF-8", "100 KB", "control"],
)
async def test_a_key_of_strange_bytes_is_malformed(port: int, key: bytes) -> None:
    status, headers, body = await said(port, request(LIST, b"authorization: bearer " + key))
    assert (status, body["reason_code"], list(body)) == (401, "malformed_token", ERROR_KEYS)
    assert headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "sent",
    [
        request("/external/v1/encounters/ü".encode()),
        request(LIST + b"\x00"),
        request(LIST, b"no colon"),
        request(LIST, b"X-\x00Odd: a"),
        request(LIST, b"X-Odd: a\rb"),
        request(LIST, b"Content-Length: many"),
        b"GET /external/v1/encounters HTTP/1.1\r\n\r\n",
        request(b"http://osler/external/v1/encounters\x01"),
    ],
    ids=["path", "NUL", "no field", "name", "return", "length", "no host", "control"],
)
async def test_what_is_no_http_keeps_the_shape(port: int, sent: bytes) -> None:
    status, headers, body = await said(port, sent)
    assert (status, body["reason_code"], list(body)) == (400, "malformed_request", ERROR_KEYS)
    assert headers["connection"] == "close" and headers["content-type"] == "application/json"


async def test_a_head_that_never_ends_is_refused_before_it_fills_the_memory(port: int) -> None:
    status, _, body = await said(port, request(LIST, b"X-Long: " + b"a" * MOST_HEAD)[: MOST_HEAD + 1])
    assert (status, body["reason_code"]) == (400, "malformed_request")


@pytest.mark.parametrize("filling", [b"\t", b"\x0b", b"a\t", b"a ", b"a http://"])
async def test_what_no_parser_takes_holds_nobody_up(port: int, filling: bytes) -> None:
    status, _, _ = await said(port, filling * (16384 // len(filling)) + b"\r\n\r\n")
    assert status == 400
    # What tried it from each place anew took five seconds.
    assert_grows_with_its_size(lambda size: refusal_of(filling * (size // len(filling))), 16384)


async def test_a_header_of_strange_bytes_that_nobody_reads_does_no_harm(port: int) -> None:
    status, _, body = await said(port, request(LIST, b"X-Odd: a\x00b\x0bc\x0c"))
    assert (status, body["reason_code"]) == (401, "missing_bearer")


@pytest.mark.parametrize("end", [b"\r\n\r\n", b"\n\n", b"\n\r\n"])
@pytest.mark.parametrize("fields", [b"a: b\0c\r\nd: e"])
def test_no_byte_behind_a_head_is_touched_wherever_it_is_cut(end: bytes, fields: bytes) -> None:
    body = b"\0\v\f\n\n\0RIFF\r\n\r\n\0"
    head = b"POST /x HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n" % len(body) + fields
    whole = head + end + body
    expected = head.replace(b"\0", b"\xff") + end + body
    for first in range(1, len(whole)):
        for second in range(first, len(whole)):
            connection, taken = _Connection(), b""
            for piece in (whole[:first], whole[first:second], whole[second:]):
                taken += connection.take(piece)
            assert taken == expected, (first, second)


async def test_elsewhere_it_is_the_servers_own_shape(port: int) -> None:
    for target in (b"/healthz", b"/externals"):
        status, _, body = await said(port, request(target, b"X-\x00Odd: a"))
        assert (status, body["error"]["code"]) == (400, "invalid_request")
    assert (await said(port, b"\x16\x03\x01\x02\x00\x01\r\n\r\n"))[0] == 400


async def test_long_ids_and_queries_are_read(port: int, public_house: House) -> None:  # noqa: F811
    key = f"Authorization: Bearer {public_house.client.key}".encode()
    for target, code in (
        (LIST + b"/" + b"a" * 10_000, 404),
        (LIST + b"/%00/documents/%2F..%2F", 404),
        (LIST + b"?" + b"a" * 10_000, 400),
        (LIST, 200),
    ):
        assert (await said(port, request(target, key)))[0] == code
    status, headers, body = await said(port, request(LIST, key, method=b"HEAD"))
    assert (status, headers["allow"], body) == (405, "GET", None)


async def test_who_asks_for_a_websocket_gets_an_answer(port: int, public_house: House) -> None:  # noqa: F811
    upgrade = (b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13")
    status, _, body = await said(port, request(LIST, *upgrade))
    assert (status, body["reason_code"]) == (401, "missing_bearer")
    nonce = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
    status, _, body = await said(port, request(b"/external/stream", *upgrade, nonce))
    assert (status, body["reason_code"]) == (404, "route_not_found")


async def test_one_connection_takes_request_after_request(port: int, public_house: House) -> None:  # noqa: F811
    key = f"Authorization: Bearer {public_house.client.key}".encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for target, expected in ((LIST, b"200"), (b"/healthz", b"200"), (LIST + b"/x", b"404")):
        writer.write(request(target, key))
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60)
        assert head.split()[1] == expected
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        await reader.readexactly(length)
    writer.write(request(LIST, b"Authorization: Bearer \x00"))
    assert (await asyncio.wait_for(reader.read(), 60)).startswith(b"HTTP/1.1 401 Unauthorized")
    writer.close()
