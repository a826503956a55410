"""Which route a path is, read from the path as it was sent: an encoded slash is part of an id, not of the path."""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_to_bytes

from starlette.types import Scope

from osler.access.public import PublicRoute
from osler.api.public.contract import PREFIX, ROUTES, Route

_ID: Final = re.compile(rb"[!-~]{1,128}")
"""Any id that this server ever gave out, and a good many more; only such a one is looked for in the database."""

_MOST_SEGMENTS: Final = max(route.path.count("/") for route in ROUTES.values()) + 1

NO_ID: Final = ""
"""Stands for an id that nothing can have."""


@dataclass(frozen=True, slots=True)
class Target:
    """A route and the ids in its path. One that cannot be an id is :data:`NO_ID`, which is never found."""

    route: Route
    encounter_id: str = NO_ID
    document_id: str = NO_ID


def is_public(scope: Scope) -> bool:
    """Say whether a request is this API's to answer, whatever its path holds of escapes."""
    path = str(scope["path"])
    if root := scope.get("root_path", ""):
        path = path.removeprefix(root)
    return path == PREFIX or path.startswith(PREFIX + "/")


def target_of(scope: Scope) -> Target | None:
    """Return what the request is for; None if no route has its path, of whatever method."""
    # No route has more segments: the rest of a longer path is not taken apart.
    match [unquote_to_bytes(segment) for segment in _raw_path(scope).split(b"/", _MOST_SEGMENTS)]:
        case [b"", b"external", b"v1", b"encounters", *rest]:
            return _below(rest)
    return None


def _below(rest: list[bytes]) -> Target | None:
    match rest:
        case []:
            return Target(ROUTES[PublicRoute.LIST_ENCOUNTERS])
        case [encounter] if encounter:
            return Target(ROUTES[PublicRoute.ENCOUNTER], _id(encounter))
        case [encounter, b"documents", document, *last] if encounter and document:
            name = {
                (): PublicRoute.DOCUMENT,
                (b"transcript",): PublicRoute.TRANSCRIPT,
                (b"audio",): PublicRoute.AUDIO,
            }.get(tuple(last))
            return Target(ROUTES[name], _id(encounter), _id(document)) if name else None
    return None


def _raw_path(scope: Scope) -> bytes:
    """Return the path with its escapes, without where a reverse proxy says that this server stands."""
    raw = scope.get("raw_path")
    if raw is None:  # optional in ASGI; without it nothing is known of escapes
        return str(scope["path"]).encode("utf-8", "surrogatepass")
    path, root = bytes(raw).partition(b"?")[0], str(scope.get("root_path", "")).encode()
    return path.removeprefix(root) if root else path


def _id(segment: bytes) -> str:
    return segment.decode("ascii") if _ID.fullmatch(segment) else NO_ID
