"""Uploads read part by part: what a form holds, in whatever pieces it comes, and forms that are none."""

import asyncio
import hashlib
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from osler.api.scribe.errors import ScribeError
from osler.api.scribe.multipart import MOST_HEAD, MOST_PARTS, MOST_TEXT, Form

Parts = Sequence[tuple[str, str | None, bytes]]


def body_of(parts: Parts, boundary: str = "b0undary") -> bytes:
    body = b""
    for name, filename, content in parts:
        file = f'; filename="{filename}"\r\nContent-Type: text/plain' if filename is not None else ""
        body += f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'.encode()
        body += content + b"\r\n"
    return body + f"--{boundary}--\r\n".encode()


def form_of(body: bytes, piece: int = 1 << 16, content_type: str = "multipart/form-data; boundary=b0undary") -> Form:
    messages = [body[start : start + piece] for start in range(0, len(body), piece)] or [b""]

    async def receive() -> dict[str, object]:
        chunk = messages.pop(0)
        return {"type": "http.request", "body": chunk, "more_body": bool(messages)}

    scope = {"type": "http", "method": "POST", "headers": [(b"content-type", content_type.encode())]}
    return Form(Request(scope, receive))


async def read(form: Form) -> list[tuple[str, str | None, bytes]]:
    return [(part.name, part.filename, b"".join([c async for c in part.chunks()])) async for part in form]


def refused(body: bytes, **more: str) -> int:
    with pytest.raises(ScribeError) as error:
        asyncio.run(read(form_of(body, **more)))  # type: ignore[arg-type]
    return error.value.refusal.status


@given(
    st.lists(st.tuples(st.sampled_from(["file", "meta_data"]), st.none() | st.just("a.txt"), st.binary(max_size=200))),
    st.integers(1, 64),
)
def test_a_form_is_read_whole_in_whatever_pieces_it_comes(parts: Parts, piece: int) -> None:
    expected = [part for part in parts if b"--b0undary" not in part[2]]
    assert asyncio.run(read(form_of(body_of(expected), piece))) == expected


def test_parts_that_nobody_reads_are_skipped_and_count_for_the_digest() -> None:
    parts = [("file", "a.txt", b"x" * 100_000), ("unstructured", None, b"true")]

    async def names(form: Form) -> list[str]:
        return [part.name async for part in form]

    form, other = form_of(body_of(parts), 1000), form_of(body_of(parts))
    assert asyncio.run(names(form)) == ["file", "unstructured"]
    assert asyncio.run(form.finish()) == asyncio.run(other.finish())


@pytest.mark.parametrize(
    "other",
    [
        [("file", "a.txt", b"12"), ("b", None, b"3")],
        [("file", "a.txt", b"1"), ("b", None, b"23")],
        [("file", "b.txt", b"12"), ("a", None, b"3")],
        [("file", None, b"12"), ("a", None, b"3")],
        [("a", None, b"3"), ("file", "a.txt", b"12")],
    ],
)
def test_the_digest_is_of_the_parts_and_not_of_the_boundary(other: Parts) -> None:
    parts: Parts = [("file", "a.txt", b"12"), ("a", None, b"3")]
    renamed = form_of(body_of(parts, "another"), content_type="multipart/form-data; boundary=another")
    digest = asyncio.run(form_of(body_of(parts)).finish())
    assert asyncio.run(renamed.finish()) == digest and len(digest) == hashlib.sha256().digest_size
    assert asyncio.run(form_of(body_of(other)).finish()) != digest


def test_what_is_no_form_is_refused() -> None:
    whole = body_of([("file", "a.txt", b"content")])
    assert refused(b"") == 400
    assert refused(b"nonsense") == 400
    for cut in range(1, len(whole) - 4):
        assert refused(whole[:cut]) == 400
    assert refused(whole.replace(b'; name="file"', b"")) == 400
    assert refused(whole.replace(b'name="file"', b'name="\xff"')) == 400
    assert refused(whole, content_type="application/json") == 415
    assert refused(whole, content_type="multipart/form-data") == 415
    assert refused(body_of([("a", None, b"")] * (MOST_PARTS + 1))) == 400
    assert refused(whole.replace(b"a.txt", b"x" * (MOST_HEAD + 1))) == 400


@pytest.mark.parametrize("content", [b"x" * (MOST_TEXT + 1), b"\xff", b"a\0b"])
def test_a_field_that_is_no_short_text_is_named(content: bytes) -> None:
    async def text() -> None:
        async for part in form_of(body_of([("meta_data", None, content)])):
            await part.text()

    with pytest.raises(ScribeError) as error:
        asyncio.run(text())
    assert error.value.refusal.status == 422 and error.value.field == "meta_data"
