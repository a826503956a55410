"""Uploads read part by part as they arrive: nothing of a file is written down in the open, or held whole in memory."""

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from osler.api.scribe.errors import UNREADABLE, WRONG_TYPE, ScribeError, invalid

MOST_PARTS: Final = 100
MOST_HEAD: Final = 8 * 1024
"""Bytes of the headers of one part."""

MOST_TEXT: Final = 256 * 1024
"""Bytes of a part that is no file."""


@dataclass(slots=True)
class Part:
    """One part of a form. Its bytes can be read once, before the next part is asked for; what is left is skipped."""

    name: str
    filename: str | None
    media_type: str | None
    _form: "Form" = field(repr=False)

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the part's bytes as they come. Raises ScribeError for a body that breaks off."""
        while (event := await self._form.next_event()) is not None:
            if event is _END:
                self._form.part_open = False
                return
            assert isinstance(event, bytes)
            yield event

    async def text(self, *, most: int = MOST_TEXT) -> str:
        """Return a short part as text. Raises ScribeError: 422 with the part's name if too long or not UTF-8."""
        whole = bytearray()
        async for chunk in self.chunks():
            whole += chunk
            if len(whole) > most:
                raise invalid(self.name, f"{self.name} is longer than {most} bytes")
        try:
            value = whole.decode()
        except UnicodeDecodeError:
            raise invalid(self.name, f"{self.name} is not text in UTF-8") from None
        if "\0" in value:
            raise invalid(self.name, f"{self.name} holds characters that are no text")
        return value


_END: Final = object()


class Form:
    """A ``multipart/form-data`` body (RFC 7578): iterate over its parts, in their order.

    ``digest`` covers what was read: names, file names, media types and bytes of parts, but not the boundary, which
    clients choose anew each time.
    """

    def __init__(self, request: Request) -> None:
        """Raises ScribeError: 415 for another content type."""
        media_type, options = parse_options_header(request.headers.get("content-type", ""))
        boundary = options.get(b"boundary", b"")
        if media_type.lower() != b"multipart/form-data" or not 0 < len(boundary) <= 200:
            raise ScribeError(WRONG_TYPE, message="The body is to be multipart/form-data with a boundary")
        self.part_open = False
        self._stream = request.stream()
        self._events: list[Any] = []
        self._ended = False
        self._complete = False
        self._parts = 0
        self._head = bytearray()
        self._name = bytearray()
        self._value = bytearray()
        self._headers: dict[str, bytes] = {}
        self._hash = hashlib.sha256()
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._on_part_begin,
                "on_header_field": self._on_header_field,
                "on_header_value": self._on_header_value,
                "on_header_end": self._on_header_end,
                "on_headers_finished": self._on_headers_finished,
                "on_part_data": self._on_part_data,
                "on_part_end": self._on_part_end,
                "on_end": self._on_end,
            },
        )

    async def __aiter__(self) -> AsyncIterator[Part]:
        """Yield the parts. Raises ScribeError: 400 for a body that is no such form, or breaks off."""
        while True:
            while self.part_open:
                if await self.next_event() is _END:
                    self.part_open = False
            event = await self.next_event()
            if event is None:
                return
            assert isinstance(event, Part)
            self.part_open = True
            yield event

    async def finish(self) -> bytes:
        """Read what is left and return the digest of the whole form, SHA-256."""
        async for _ in self:
            pass
        return self._hash.digest()

    async def next_event(self) -> Any:
        """Return a part's beginning, bytes of it, its end, or None at the end of the form."""
        while not self._events:
            if self._ended:
                return None
            try:
                chunk = await anext(self._stream, b"")
            except ClientDisconnect:
                chunk = b""
            if not chunk:
                self._ended = True
                if not self._complete:
                    raise ScribeError(UNREADABLE, message="The form breaks off before its end")
                return None
            try:
                self._parser.write(chunk)
            except FormParserError:
                raise ScribeError(UNREADABLE, message="The body is not a form of parts") from None
        return self._events.pop(0)

    def _on_part_begin(self) -> None:
        self._parts += 1
        if self._parts > MOST_PARTS:
            raise ScribeError(UNREADABLE, message=f"The form has more than {MOST_PARTS} parts")
        self._headers = {}
        self._head_size = 0

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]
        self._bound(end - start)

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]
        self._bound(end - start)

    def _bound(self, size: int) -> None:
        self._head_size += size
        if self._head_size > MOST_HEAD:
            raise ScribeError(UNREADABLE, message="The head of a part of the form is too long")

    def _on_header_end(self) -> None:
        self._headers[self._name.decode("latin-1").lower()] = bytes(self._value)
        self._name, self._value = bytearray(), bytearray()

    def _on_headers_finished(self) -> None:
        disposition, options = parse_options_header(self._headers.get("content-disposition", b""))
        if disposition.lower() != b"form-data" or b"name" not in options:
            raise ScribeError(UNREADABLE, message="A part of the form has no name")
        media_type = self._headers.get("content-type")
        try:
            name = options[b"name"].decode()
            filename = options[b"filename"].decode() if b"filename" in options else None
        except UnicodeDecodeError:
            raise ScribeError(UNREADABLE, message="A name in the form is not UTF-8") from None
        for each in (options[b"name"], options.get(b"filename", b"\0"), media_type or b"\0"):
            self._hash.update(len(each).to_bytes(4, "big") + each)
        self._length = 0
        self._content = hashlib.sha256()
        self._events.append(Part(name, filename, media_type.decode("latin-1") if media_type else None, self))

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        piece = data[start:end]
        self._content.update(piece)
        self._events.append(piece)

    def _on_part_end(self) -> None:
        self._hash.update(self._content.digest())
        self._events.append(_END)

    def _on_end(self) -> None:
        self._complete = True


def form_of(request: Request) -> Form:
    """Return the request's form; the same one again if it was asked for before."""
    if not hasattr(request.state, "form"):
        request.state.form = Form(request)
    form: Form = request.state.form
    return form
