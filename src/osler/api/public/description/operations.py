"""The five routes, described: what they are for, what they take, and every answer that they give."""

from collections.abc import Mapping
from typing import Any, Final

from osler.access.public import PublicRoute
from osler.api.public.contract import DEFAULT_LIMIT, MOST_LIMIT, MOST_OFFSET, REASONS, ROUTES, Route
from osler.api.public.description.examples import ENCOUNTER, TRANSCRIPT, answers
from osler.api.public.description.schemas import ERROR, OUR_ERROR, OURS, reference
from osler.api.public.presenters import error_body

TAG: Final = "Public API"
SECURITY: Final = "publicApiKeyBearer"

_CHECKED: Final = (
    "The key, the route, the organization and the scopes are checked before the query is read, and the query before "
    "anything is looked up. Every answer with data is put on record before it is given, each time anew."
)

_ABOUT: Final[Mapping[PublicRoute, tuple[str, str, str]]] = {
    PublicRoute.LIST_ENCOUNTERS: (
        "Page through encounters",
        "Lists the encounters of the key's organization, by the time when they were made and then by id.\n\n"
        "Numbers are written in plain decimal digits. Times need a zone: RFC 3339. A name that stands here twice, and "
        "one that does not stand here at all, is refused. Pages are read one by one: what is made in between moves "
        "what comes after it. Encounters for demonstration and training are never listed.",
        "Encounters, and how many there are in all.",
    ),
    PublicRoute.ENCOUNTER: (
        "Read an encounter",
        "Shows one encounter of the key's organization with its patient and a line about each readable document. "
        "No query parameter is taken.",
        "The encounter.",
    ),
    PublicRoute.DOCUMENT: (
        "Read a document",
        "Shows one document: a clinical one with its text in Markdown, a transcript without its turns, which have a "
        "route of their own. Billing and checklist summaries are only listed with their encounter. No query parameter "
        "is taken.",
        "The document.",
    ),
    PublicRoute.TRANSCRIPT: (
        "Read the turns of a transcript",
        "Shows who said what and when, once the transcript is finished. The document has to be a transcript. No query "
        "parameter is taken.",
        "The turns.",
    ),
    PublicRoute.AUDIO: (
        "Get an address to hear a recording at",
        "Signs an address at which the recording behind a transcript can be heard for a short while, by whoever has "
        "it. Each call may sign a new one. The document has to be a transcript that was made from a recording. No "
        "query parameter is taken.",
        "The address, and when it ends.",
    ),
}
"""Summary, description, and what 200 means."""

_QUERY: Final[Mapping[str, tuple[str, dict[str, Any], Any]]] = {
    "limit": (
        f"How many encounters a page has at most: 1 to {MOST_LIMIT}.",
        {"type": "integer", "default": DEFAULT_LIMIT, "minimum": 1, "maximum": MOST_LIMIT},
        DEFAULT_LIMIT,
    ),
    "offset": (
        f"How many encounters to leave out before the page begins: 0 to {MOST_OFFSET}.",
        {"type": "integer", "default": 0, "minimum": 0, "maximum": MOST_OFFSET},
        0,
    ),
    "sort_order": (
        "`desc`: the newest first; `asc`: the oldest.",
        {"type": "string", "default": "desc", "enum": ["asc", "desc"]},
        "desc",
    ),
    "start_at": (
        "Only encounters made then or later. A date and time with its zone.",
        {"type": "string", "format": "date-time"},
        "2026-03-01T00:00:00Z",
    ),
    "end_at": (
        "Only encounters made before then. A date and time with its zone, later than `start_at`.",
        {"type": "string", "format": "date-time"},
        "2026-04-01T00:00:00Z",
    ),
}

_IN_PATH: Final[Mapping[str, tuple[str, str]]] = {
    "encounter_id": ("Id of an encounter, as the list shows it. Its form means nothing and may change.", ENCOUNTER),
    "document_id": ("Id of a document, as its encounter shows it. Its form means nothing and may change.", TRANSCRIPT),
}

_STATUSES: Final[Mapping[int, str]] = {
    304: "The client's copy still is what this would show; no body. Put on record like any other read.",
    400: "The query or the document's sort does not go with this route.",
    401: "No key that opens this API was presented.",
    403: "The key may not see this.",
    404: "There is no such thing to read.",
    405: "The path is known, the method is not: `GET` is the only one.",
    422: "A query parameter has a value that cannot be used.",
    429: "The key has asked too often; `Retry-After` says in how many seconds it may ask again.",
    503: "Something that is needed cannot be had just now; ask again later.",
}

_NO_ROUTE: Final = "The path leads nowhere: so is answered whatever begins with `/external` and is none of these paths."

_OURS: Final = ("rate_limited", "method_not_allowed")
"""Additions that any route can answer. The contract allows no others: that a server can fail is not described."""

_TEXT: Final = {"type": "string"}

_RATE: Final[Mapping[str, Any]] = {
    "RateLimit-Policy": {
        "description": "Requests (`q`) that a key may make in a window of `w` seconds.",
        "schema": _TEXT,
    },
    "RateLimit": {
        "description": "Requests that are left (`r`), and the seconds until they are new (`t`).",
        "schema": _TEXT,
    },
}


def paths() -> dict[str, Any]:
    """Return the path items of the five routes."""
    return {route.path: {"get": _operation(route)} for route in ROUTES.values()}


def _operation(route: Route) -> dict[str, Any]:
    summary, description, _ = _ABOUT[route.name]
    scopes = ", ".join(f"`{scope}`" for scope in route.scopes)
    parameters = [_path_parameter(name) for name in route.path_parameters]
    parameters += [_query_parameter(name) for name in route.query_parameters]
    if route.revalidates:
        parameters.append(
            {
                "name": "If-None-Match",
                "in": "header",
                "required": False,
                "description": "Tag of the copy that the client has.",
                "schema": _TEXT,
                **OURS,
            }
        )
    return {
        "operationId": route.name.value,
        "tags": [TAG],
        "summary": summary,
        "description": f"{description}\n\nThe key needs the scopes {scopes}. {_CHECKED}",
        "security": [{SECURITY: []}],
        "x-charthero-required-scopes": [scope.value for scope in route.scopes],
        "parameters": parameters,
        "responses": _responses(route),
    }


def _path_parameter(name: str) -> dict[str, Any]:
    description, example = _IN_PATH[name]
    schema = {"type": "string", "title": name.replace("_", " ").title()}
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": description,
        "example": example,
        "schema": schema,
    }


def _query_parameter(name: str) -> dict[str, Any]:
    description, schema, example = _QUERY[name]
    return {
        "name": name,
        "in": "query",
        "required": False,
        "description": description,
        "example": example,
        "schema": schema,
    }


def _responses(route: Route) -> dict[str, Any]:
    responses: dict[str, Any] = {
        "200": {
            "description": _ABOUT[route.name][2],
            "content": {"application/json": {"schema": reference(route.answer), "examples": answers(route.name)}},
        }
    }
    for status, codes in route.reasons_by_status():
        responses[str(status)] = {
            "description": _STATUSES[status],
            "content": _errors(ERROR, codes),
            "x-charthero-reason-codes": list(codes),
        }
    if route.revalidates:
        responses["304"] = {"description": _STATUSES[304], "headers": _tag(), **OURS}
    for code in _OURS:
        status = REASONS[code].status
        responses[str(status)] = {"description": _STATUSES[status], "content": _errors(OUR_ERROR, (code,)), **OURS}
    # What is below no path of this description is answered so; the list's has no other 404 to stand beside.
    if not route.path_parameters:
        responses["404"] = {"description": _NO_ROUTE, "content": _errors(OUR_ERROR, ("route_not_found",)), **OURS}
    responses["429"]["headers"] = {
        "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 1}},
        **_RATE,
    }
    responses["405"]["headers"] = {"Allow": {"description": "`GET`.", "schema": _TEXT}}
    return dict(sorted(responses.items()))


def _errors(schema: str, codes: tuple[str, ...]) -> dict[str, Any]:
    examples = {code: {"summary": code, "value": dict(error_body(code, REASONS[code].field))} for code in sorted(codes)}
    return {"application/json": {"schema": reference(schema), "examples": examples}}


def _tag() -> dict[str, Any]:
    return {"ETag": {"description": "Tag of what is shown.", "schema": _TEXT}}
