"""Texts that are read while they are written: objects one a line, or server-sent events where the client asks."""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any, Final

from pydantic import Field
from starlette.requests import Request
from starlette.responses import StreamingResponse

from osler.api.scribe.values import OURS, Answered

LINES: Final = "application/x-ndjson"
EVENTS: Final = "text/event-stream"

ALIVE: Final = b": \n\n"
"""An event stream's comment, which clients skip. Lines have no such thing: an empty one would be no JSON."""


class StreamChunk(Answered):
    """A piece of a text. All pieces one after another are the text. The keys of ours come in a last object alone."""

    data: str = Field(description="The next characters of the text; empty in a last object that says something else.")
    error: dict[str, str] | None = Field(
        default=None,
        description="Why the text breaks off here: `type`, and `msg` with what to do. Nothing comes after it.",
        json_schema_extra=OURS,
    )
    voice_notes: int | None = Field(
        default=None,
        description="Of a text in the style MY_VOICE: how many of the user's own notes it was learned from. 0: there "
        "are none yet, and the text is written as GOLDILOCKS.",
        json_schema_extra=OURS,
    )


class StreamedText(StreamingResponse):
    """The answer of a route that streams; for ``response_class``, so that it is described as what it is."""

    media_type = LINES


def described_stream(description: str) -> dict[int | str, dict[str, Any]]:
    """Return the description of a streamed answer, for a route's ``responses``."""
    return {
        200: {
            "description": description,
            "content": {
                LINES: {"schema": StreamChunk.model_json_schema()},
                EVENTS: {
                    "schema": {
                        "type": "string",
                        "description": 'An event a piece: a line `data: {"data": "..."}` and an empty line.',
                    },
                },
            },
        }
    }


Said = str | Mapping[str, Any]
"""A piece of a text, empty to show that the connection lives; or a last object, whole."""


async def streamed(request: Request, pieces: AsyncIterator[Said]) -> StreamedText:
    """Answer with a text as it is written, in the form that ``Accept`` asks for.

    Returns when the first piece is there, so that what fails before it is answered as any error. A failure after it
    breaks the connection off: what is cut short must not look whole. ``pieces`` is closed when the client hangs up.
    """
    first = await anext(pieces, None)
    as_events = wants_events(request.headers.get("accept", ""))

    async def body() -> AsyncIterator[bytes]:
        async with aclosing(_closeable(pieces)) as rest:
            if first:
                yield _frame(first, as_events)
            async for piece in rest:
                if piece:
                    yield _frame(piece, as_events)
                elif as_events:
                    yield ALIVE

    return StreamedText(
        body(),
        media_type=EVENTS if as_events else LINES,
        # Proxies that gather an answer before they pass it on would make a stream pointless.
        headers={"X-Accel-Buffering": "no", "Vary": "Accept"},
    )


def wants_events(accept: str) -> bool:
    """Say whether an ``Accept`` header prefers server-sent events to lines (RFC 9110, section 12.5.1)."""
    events = lines = 0.0
    for each in accept.split(","):
        name, *parameters = (part.strip().lower() for part in each.split(";"))
        quality = 1.0
        for parameter in parameters:
            key, _, value = parameter.partition("=")
            if key.strip() == "q":
                try:
                    quality = float(value)
                except ValueError:
                    quality = 0.0
        if name == EVENTS:
            events = quality
        elif name in (LINES, "application/*", "application/json"):
            lines = max(lines, quality)
    return events > 0 and events >= lines


async def _closeable(pieces: AsyncIterator[Said]) -> AsyncGenerator[Said]:
    """Yield what comes, and close its source in the end if it can be closed."""
    try:
        async for piece in pieces:
            yield piece
    finally:
        close = getattr(pieces, "aclose", None)
        if close is not None:
            await close()


def _frame(piece: Said, as_event: bool) -> bytes:
    line = json.dumps({"data": piece} if isinstance(piece, str) else dict(piece), ensure_ascii=False)
    return f"data: {line}\n\n".encode() if as_event else f"{line}\n".encode()
