"""HTTP/1.1 as it comes over the wire: what the parser refuses has an answer in an API's form."""

import re
from http import HTTPStatus
from typing import Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from osler.api.errors import error_response
from osler.api.public.presenters import refusal
from osler.api.public.routing import is_public

MOST_HEAD: Final = 256 * 1024
"""Bytes of a request's head, of which any part may still be on its way: a long key is refused as such, not cut off."""

_NEVER_IN_A_FIELD: Final = bytes.maketrans(b"\0\v\f", b"\xff\xff\xff")
"""What the parser refuses in a header's value becomes a byte that it takes, and that is part of no key, token, id or
media type (RFC 9110, section 5.5, lets a server choose between that and a refusal)."""

_END_OF_HEAD: Final = re.compile(rb"\n\r?\n")
_OVERLAP: Final = 2
"""Bytes of the end of a head that may have come before the rest of it."""

_REMEMBERED: Final = 16 * 1024
"""Bytes of a head that are kept until it is answered, to know what it was if it cannot be read."""

# No byte fits two neighbouring parts of it: what cannot be read may be as long as _REMEMBERED, and is tried in one go.
_PUBLIC: Final = re.compile(rb"\s*\S+ +(?:https?://[^/ \r\n]*)?/external(?:[/?%#\s]|$)", re.IGNORECASE)


class Http(H11Protocol):
    """The server's side of a connection. Strange bytes in a header's value reach the app, which refuses them in its own
    form; a head that cannot be read at all is refused as JSON. No byte of a body is touched.
    """

    _head = b""
    _last = b""

    def data_received(self, data: bytes) -> None:
        """Take what came of a connection."""
        if self.conn.their_state is h11.IDLE:
            data = self._of_head(data)
        super().data_received(data)

    def on_response_complete(self) -> None:
        """Go on to the next request."""
        self._head = self._last = b""
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what cannot be read, and hang up: where it ends and the next begins is anybody's guess."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            body = refusal_of(self._head)
            headers = [
                (b"content-type", b"application/json"),
                (b"content-length", str(len(body)).encode()),
                (b"cache-control", b"no-store"),
                (b"connection", b"close"),
            ]
            status = HTTPStatus.BAD_REQUEST
            for event in (
                h11.Response(status_code=status, headers=headers, reason=status.phrase.encode()),
                h11.Data(data=body),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _should_upgrade(self) -> bool:
        """Have the public API answer by itself, in its own form, whoever asks it for a WebSocket."""
        return super()._should_upgrade() and not is_public(dict(self.scope))

    def _of_head(self, data: bytes) -> bytes:
        """Return the bytes for the parser. What follows the head, if it begins in here, is left as it is."""
        end = _END_OF_HEAD.search(self._last + data)
        size = len(data) if end is None else end.end() - len(self._last)
        self._last = (self._last + data)[-_OVERLAP:]
        if len(self._head) < _REMEMBERED:
            self._head += data[: min(size, _REMEMBERED - len(self._head))]
        return data[:size].translate(_NEVER_IN_A_FIELD) + data[size:]


def refusal_of(head: bytes) -> bytes:
    """Return the body for a request that begins so and cannot be read."""
    if _PUBLIC.match(head) is not None:
        return refusal("malformed_request")
    return bytes(error_response(HTTPStatus.BAD_REQUEST, "invalid_request").body)
