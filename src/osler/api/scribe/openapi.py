"""The description of the scribe API (OpenAPI 3.1), made from the routes and models themselves."""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.responses import JSONResponse

from osler.api.scribe.errors import DOCUMENTED, ErrorAnswer
from osler.api.scribe.values import OURS

PATH: Final = "/openapi/v2/openapi.json"

ABOUT: Final = (
    "Osler listens to a visit and writes it down. This is its write side, for EHRs and telehealth apps: a tenant's "
    "key is exchanged for a token of one user, who keeps patient profiles and sessions, attaches context, sends audio, "
    "and gets transcripts, notes, documents and codes.\n\n"
    "Times are RFC 3339 in UTC with microseconds; times that clients send may have any zone, and none means UTC. A "
    "request sees what its user owns, or the whole tenant where the organization chose that. What is of another tenant "
    "is answered as what does not exist.\n\n"
    "Beside the routes below there is a WebSocket, an addition of this server: at "
    "`/sessions/{session_id}/transcript/stream` sound goes in and words come out as they are heard.\n\n"
    "Any POST may carry `Idempotency-Key` (1 to 255 characters): a repeat with the same body within 24 hours gets the "
    "first answer again and changes nothing; another body under the same key is refused with 409. A method that a path "
    "does not know is answered with 405, and `Allow` names those that it knows. Keys and routes "
    "marked `x-osler` are additions of this server."
)

IDEMPOTENCY_KEY: Final[Mapping[str, Any]] = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Makes a repeat of this request harmless: it gets the first answer again.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
    **OURS,
}


def described(app: FastAPI, *, server: str = "/") -> dict[str, Any]:
    """Return the description of an app's routes."""
    document = get_openapi(
        title=app.title,
        version="v2",
        openapi_version="3.1.0",
        summary="Visits in; transcripts, notes, documents and codes out.",
        description=ABOUT,
        routes=app.routes,
        servers=[{"url": server, "description": "This server"}],
        license_info={"name": "Apache License 2.0", "identifier": "Apache-2.0"},
        separate_input_output_schemas=False,
    )
    document["security"] = [{"bearerAuth": []}]
    document["components"].setdefault("securitySchemes", {})["bearerAuth"] = {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "The token of `GET /jwt`.",
    }
    for _, method, operation in operations(document):
        # FastAPI describes what it would answer to faults itself, which never happens here.
        for status in list(operation["responses"]):
            if _is_fastapis_own(operation["responses"][status]):
                del operation["responses"][status]
        if method == "post":
            operation.setdefault("parameters", []).append(dict(IDEMPOTENCY_KEY))
        for status in _of_every_such_operation(method, operation):
            operation["responses"].setdefault(str(status), _error(status))
        for status, response in operation["responses"].items():
            if int(status) >= 400:  # in JSON, whatever form the route's own answer has
                response["content"] = _error(int(status))["content"]
        operation["responses"] = dict(sorted(operation["responses"].items()))
    for schema in document.get("components", {}).get("schemas", {}).values():
        for described_property in schema.get("properties", {}).values():
            # A day that is left out of an answer is no empty text: that would be no day.
            if described_property.get("format") == "date" and described_property.get("default") == "":
                del described_property["default"]
    for name in ("HTTPValidationError", "ValidationError"):
        document.get("components", {}).get("schemas", {}).pop(name, None)
    return document


def operations(document: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield path, method and operation of a description."""
    for path, item in document["paths"].items():
        for method in ("get", "put", "post", "delete", "patch"):
            if method in item:
                yield path, method, item[method]


def field_names(document: Mapping[str, Any]) -> set[str]:
    """Return the names of all parameters and properties: what may be named in a message."""
    names: set[str] = set()

    def walk(node: Any) -> None:
        if isinstance(node, Mapping):
            properties = node.get("properties")
            if isinstance(properties, Mapping):
                names.update(properties)
            if "in" in node and isinstance(node.get("name"), str):
                names.add(node["name"])
            for child in node.values():
                walk(child)
        elif isinstance(node, list):
            for child in node:
                walk(child)

    walk(document)
    return names


def openapi_routes(app: FastAPI, base_path: str) -> APIRouter:
    """Return the route that serves the description of an app mounted at ``base_path``."""
    router = APIRouter()

    @cache
    def document() -> dict[str, Any]:
        return described(app, server=base_path)

    @router.get(PATH, include_in_schema=False)
    async def openapi() -> JSONResponse:
        """Serve the description; it is the same for everybody."""
        return JSONResponse(document(), headers={"Cache-Control": "public, max-age=300"})

    return router


def _of_every_such_operation(method: str, operation: Mapping[str, Any]) -> Iterator[int]:
    """Yield the statuses that come of having a body, or of being a POST that can be repeated."""
    if "requestBody" in operation:
        yield from (400, 408, 413, 415)
    if method == "post":
        yield 409


def _error(status: int) -> dict[str, Any]:
    schema = {"$ref": f"#/components/schemas/{ErrorAnswer.__name__}"}
    return {"description": DOCUMENTED[status], "content": {"application/json": {"schema": schema}}}


def _is_fastapis_own(response: Mapping[str, Any]) -> bool:
    schema = response.get("content", {}).get("application/json", {}).get("schema", {})
    return str(schema.get("$ref", "")).endswith("/HTTPValidationError")
