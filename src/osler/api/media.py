"""``/media/...``: a recording by a signed URL, whole or in parts; opened as it goes, kept by nobody."""

import re
from collections.abc import AsyncIterator
from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import Response, StreamingResponse

from osler.api.errors import error_response
from osler.api.ranges import UnsatisfiableRangeError, read_range
from osler.api.services import Services
from osler.audio.joined import PlayableFile
from osler.audio.playback import Heard
from osler.audit.model import Actor, ActorKind

SIGNED_URL: Final = "signed_url"
"""Who acts, in the audit trail: whoever holds the URL. The event that made the URL says who asked for it."""

_MEDIA_TYPE: Final = re.compile(r"[a-z0-9][a-z0-9.+-]*/[a-z0-9][a-z0-9.+-]*(?:;\s*[a-z]+=[A-Za-z0-9.,+-]+)*")
_FALLBACK: Final = "application/octet-stream"


def media_routes(services: Services) -> APIRouter:
    """Return the routes of recordings."""
    router = APIRouter()

    @router.api_route("/media/{blob_id}", methods=["GET", "HEAD"])
    async def media(request: Request, blob_id: str, expires: str = "", type: str = "", signature: str = "") -> Response:
        """Serve what the URL was signed for. The signature is the permission; nothing else is asked."""
        services.vault.verify_media_url(blob_id, expires=expires, media_type=type, signature=signature)
        return await _answer(services, request, await services.playback.segment(blob_id, type))

    @router.api_route("/media/recordings/{recording_id}", methods=["GET", "HEAD"])
    async def whole(
        request: Request, recording_id: str, expires: str = "", type: str = "", signature: str = ""
    ) -> Response:
        """Serve a whole recording, of however many segments, as one file."""
        services.vault.verify_recording_url(recording_id, expires=expires, media_type=type, signature=signature)
        return await _answer(services, request, await services.playback.recording(recording_id, type))

    return router


async def _answer(services: Services, request: Request, heard: Heard) -> Response:
    """Return the file, or the part of it that is asked for, once it is on record that it is handed out."""
    file = heard.file
    headers = {
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-store",
        "Content-Type": file.media_type if _MEDIA_TYPE.fullmatch(file.media_type) else _FALLBACK,
        "Content-Disposition": "inline",
        # A recording is shown, never run, and its address is passed on to nobody.
        "Content-Security-Policy": "default-src 'none'; media-src 'self'; sandbox",
        "Referrer-Policy": "no-referrer",
        "ETag": f'"{file.tag}"',
    }
    wanted = request.headers.get("range")
    if request.headers.get("if-range", headers["ETag"]) != headers["ETag"]:
        wanted = None
    try:
        part = read_range(wanted, file.size)
    except UnsatisfiableRangeError:
        return error_response(
            416, "range_not_satisfiable", "There are no such bytes.",
            headers={"Content-Range": f"bytes */{file.size}"},
        )  # fmt: skip
    start, end = part or (0, file.size)
    headers["Content-Length"] = str(end - start)
    if part is not None:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{file.size}"
    status = 200 if part is None else 206
    origin = request.client.host if request.client else "unknown"
    body = None if request.method == "HEAD" else await _begun(file, start, end)
    await services.playback.record_access(
        Actor(ActorKind.KEY, SIGNED_URL, origin), heard, start=start, end=end, method=request.method
    )
    if body is None:
        return Response(status_code=status, headers=headers)
    return StreamingResponse(body, status_code=status, headers=headers)


async def _begun(file: PlayableFile, start: int, end: int) -> AsyncIterator[bytes]:
    """Read the first piece now: what is missing, damaged or erased is answered as such, not in mid-stream."""
    pieces = file.stream(start, end)
    first = await anext(pieces, b"")

    async def all_of_it() -> AsyncIterator[bytes]:
        yield first
        async for piece in pieces:
            yield piece

    return all_of_it()
