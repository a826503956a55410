"""The whole description, and the route that serves it."""

from functools import cache
from typing import Any, Final

from fastapi import APIRouter
from starlette.responses import Response

from osler.api.public.description.operations import SECURITY, TAG, paths
from osler.api.public.description.schemas import schemas
from osler.api.public.description.webhook import TAG as WEBHOOKS
from osler.api.public.description.webhook import webhooks
from osler.api.public.presenters import encode

PATH: Final = "/openapi/v1/openapi.json"

_ABOUT: Final = (
    "Osler's read side, for other systems: encounters, notes and other documents, transcripts and recordings, once "
    "they are released. Nothing can be written here.\n\n"
    "A key goes in `Authorization: Bearer`, from servers only; in a query it is not looked at. It opens what it has "
    "scopes for, of its own organization, on routes that the operator switched on. Every error is a JSON object of "
    "four keys, of which `reason_code` is what a client decides by: it names the first check that failed, and the "
    "checks have one order. What begins with `/external` and is no path of this description is answered with 404 "
    "`route_not_found` in the same shape; methods other than `GET` with 405.\n\n"
    "Documents and transcripts have an `ETag`; `If-None-Match` with it saves sending them again. Answers name the "
    "key's limit in `RateLimit` and `RateLimit-Policy`. `X-Request-Id` (a UUID) comes back as it was sent, and stands "
    "in the server's log and in the record of disclosures.\n\n"
    "What is marked `x-osler` is an addition of this server."
)


@cache
def description() -> dict[str, Any]:
    """Return the document. It is the same for everybody; do not change it."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "Osler Public API", "version": "v1", "description": _ABOUT},
        "servers": [{"url": "/", "description": "This server."}],
        "tags": [
            {"name": TAG, "description": "What can be read with a key."},
            {"name": WEBHOOKS, "description": "What is sent to those who subscribed."},
        ],
        "paths": paths(),
        "webhooks": webhooks(),
        "components": {
            "securitySchemes": {
                SECURITY: {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "API key",
                    "description": "A key of kind `public`, presented as `Authorization: Bearer <key>`.",
                }
            },
            "schemas": schemas(),
        },
    }


def public_openapi_routes() -> APIRouter:
    """Return the route that serves the description."""
    router = APIRouter()

    @cache
    def document() -> bytes:
        return encode(description())

    @router.get(PATH, include_in_schema=False)
    async def openapi() -> Response:
        """Serve the description; it is the same for everybody."""
        return Response(document(), media_type="application/json", headers={"Cache-Control": "public, max-age=300"})

    return router
