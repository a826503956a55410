"""What the public API promises, in one place: routes, parameters, and every reason code with its status and its words.

The checks raise :class:`RefusalError` by these codes, and the served description is made from the same tables.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from osler.access.model import Scope
from osler.access.public import REQUIRED_SCOPES, PublicRoute

PREFIX: Final = "/external"
"""Everything at and below this path is answered in the four-key shape."""

DEFAULT_LIMIT: Final = 50
MOST_LIMIT: Final = 100
MOST_OFFSET: Final = 10_000


@dataclass(frozen=True, slots=True)
class Reason:
    """One way to be refused. ``ours``: an addition to the contract. ``field`` is the one that the examples name."""

    status: int
    error: str
    message: str
    field: str | None = None
    ours: bool = False


_UNAUTHORIZED: Final = "api_key_unauthorized"
_FORBIDDEN: Final = "api_key_forbidden"
_BAD_REQUEST: Final = "public_api_bad_request"
_INVALID: Final = "api_key_validation_failed"
_NOT_FOUND: Final = "public_api_not_found"
_UNAVAILABLE: Final = "public_api_unavailable"
_RATE_LIMITED: Final = "public_api_rate_limited"

REASONS: Final[Mapping[str, Reason]] = MappingProxyType(
    {
        # 1. Who asks
        "missing_bearer": Reason(401, _UNAUTHORIZED, "A bearer API key is required."),
        "api_keys_disabled": Reason(401, _UNAUTHORIZED, "API-key authentication is disabled."),
        "test_prefix_not_allowed": Reason(401, _UNAUTHORIZED, "Test API keys are not allowed in this environment."),
        "malformed_token": Reason(401, _UNAUTHORIZED, "The API key token is malformed."),
        "digest_key_unavailable": Reason(503, _UNAVAILABLE, "API-key verification is temporarily unavailable."),
        "invalid_key": Reason(401, _UNAUTHORIZED, "The API key is invalid."),
        "disabled_key": Reason(401, _UNAUTHORIZED, "The API key is disabled."),
        "revoked_key": Reason(401, _UNAUTHORIZED, "The API key has been revoked."),
        "expired_key": Reason(401, _UNAUTHORIZED, "The API key has expired."),
        "rate_limited": Reason(
            429, _RATE_LIMITED, "The API key has made too many requests; wait as Retry-After says.", ours=True
        ),
        # 2. Whether the key opens this
        "org_scope_only_required": Reason(403, _FORBIDDEN, "Organization-scoped API keys are required."),
        "route_not_allowed": Reason(403, _FORBIDDEN, "This public API route is not enabled."),
        "organization_not_allowlisted": Reason(
            403, _FORBIDDEN, "The organization is not allowlisted for this public API route."
        ),
        "missing_scope": Reason(403, _FORBIDDEN, "The API key is missing a required scope."),
        # 3. and 4. What the query says
        "invalid_limit": Reason(422, _INVALID, "The limit query parameter is invalid.", "limit"),
        "invalid_offset": Reason(422, _INVALID, "The offset query parameter is invalid.", "offset"),
        "invalid_sort": Reason(422, _INVALID, "The sort_order query parameter is invalid.", "sort_order"),
        "invalid_query": Reason(422, _INVALID, "The query parameters are invalid.", "start_at"),
        "unsupported_filter": Reason(400, _BAD_REQUEST, "The request includes an unsupported filter.", "owners"),
        # 5. What there is
        "encounter_not_found": Reason(404, _NOT_FOUND, "The encounter was not found."),
        "cross_organization_denied": Reason(403, _FORBIDDEN, "The API key is not authorized for this encounter."),
        "demo_training_denied": Reason(
            403, _FORBIDDEN, "Demo and training encounters are not available through this API."
        ),
        "document_not_found": Reason(404, _NOT_FOUND, "The document was not found."),
        "unsupported_document_type": Reason(
            400, _BAD_REQUEST, "The document type is not supported for this public API route."
        ),
        "transcript_not_found": Reason(404, _NOT_FOUND, "The finalized transcript was not found."),
        "audio_not_available_for_document": Reason(400, _BAD_REQUEST, "Audio is not available for this document."),
        "audio_not_found": Reason(404, _NOT_FOUND, "The audio object was not found."),
        "audio_storage_unavailable": Reason(503, _UNAVAILABLE, "Audio storage is temporarily unavailable."),
        # Where no route is
        "route_not_found": Reason(404, _NOT_FOUND, "There is no such public API route.", ours=True),
        "method_not_allowed": Reason(405, _BAD_REQUEST, "Public API routes answer GET only.", ours=True),
        # What is no HTTP: answered before any check, by the server itself
        "malformed_request": Reason(400, _BAD_REQUEST, "The request is not valid HTTP.", ours=True),
        # What is our own fault
        "internal_error": Reason(500, _UNAVAILABLE, "The public API cannot answer now; try again later.", ours=True),
    }
)
"""Every reason code. The words of those that are not ours are the contract's."""

_AUTHENTICATION: Final = (
    "missing_bearer",
    "api_keys_disabled",
    "test_prefix_not_allowed",
    "malformed_token",
    "digest_key_unavailable",
    "invalid_key",
    "disabled_key",
    "revoked_key",
    "expired_key",
)
# Scope before organization: the order of the served list, which is the contract's; that of the checks is the gate's.
_AUTHORIZATION: Final = (
    "org_scope_only_required",
    "route_not_allowed",
    "missing_scope",
    "organization_not_allowlisted",
)
_QUERY: Final = ("invalid_query", "invalid_limit", "invalid_offset", "invalid_sort")
_ENCOUNTER: Final = ("encounter_not_found", "cross_organization_denied", "demo_training_denied")
_DOCUMENT: Final = (*_ENCOUNTER, "document_not_found", "unsupported_document_type")


@dataclass(frozen=True, slots=True)
class Route:
    """One route. ``name`` is its ``operationId``; ``answer`` the schema of 200; ``reasons`` the codes of the contract.

    ``revalidates``: whether it has an ``ETag`` and answers 304.
    """

    name: PublicRoute
    path: str
    answer: str
    path_parameters: tuple[str, ...]
    query_parameters: tuple[str, ...]
    reasons: tuple[str, ...]
    revalidates: bool = False

    @property
    def scopes(self) -> tuple[Scope, ...]:
        """What a key must carry, in the order in which scopes are named everywhere."""
        return tuple(scope for scope in Scope if scope in REQUIRED_SCOPES[self.name])

    def reasons_by_status(self) -> Iterator[tuple[int, tuple[str, ...]]]:
        """Yield each status with its reason codes, as the contract lists them."""
        for status in sorted({REASONS[code].status for code in self.reasons}):
            yield status, tuple(code for code in self.reasons if REASONS[code].status == status)


_BASE: Final = f"{PREFIX}/v1/encounters"
_ONE_ENCOUNTER: Final = f"{_BASE}/{{encounter_id}}"
_ONE_DOCUMENT: Final = f"{_ONE_ENCOUNTER}/documents/{{document_id}}"
_IDS: Final = ("encounter_id", "document_id")

ROUTES: Final[Mapping[PublicRoute, Route]] = MappingProxyType(
    {
        route.name: route
        for route in (
            Route(
                PublicRoute.LIST_ENCOUNTERS,
                _BASE,
                "PublicEncounterListResponse",
                (),
                ("limit", "offset", "sort_order", "start_at", "end_at"),
                (*_AUTHENTICATION, *_AUTHORIZATION, *_QUERY, "unsupported_filter"),
            ),
            Route(
                PublicRoute.ENCOUNTER,
                _ONE_ENCOUNTER,
                "PublicEncounterDetailResponse",
                _IDS[:1],
                (),
                (*_AUTHENTICATION, *_AUTHORIZATION, "unsupported_filter", *_ENCOUNTER),
            ),
            Route(
                PublicRoute.DOCUMENT,
                _ONE_DOCUMENT,
                "PublicDocumentDetailResponse",
                _IDS,
                (),
                (*_AUTHENTICATION, *_AUTHORIZATION, "unsupported_filter", *_DOCUMENT),
                revalidates=True,
            ),
            Route(
                PublicRoute.TRANSCRIPT,
                f"{_ONE_DOCUMENT}/transcript",
                "PublicDocumentTranscriptResponse",
                _IDS,
                (),
                (*_AUTHENTICATION, *_AUTHORIZATION, "unsupported_filter", *_DOCUMENT, "transcript_not_found"),
                revalidates=True,
            ),
            Route(
                PublicRoute.AUDIO,
                f"{_ONE_DOCUMENT}/audio",
                "PublicDocumentAudioResponse",
                _IDS,
                (),
                (
                    *_AUTHENTICATION,
                    *_AUTHORIZATION,
                    "unsupported_filter",
                    *_DOCUMENT,
                    "audio_not_available_for_document",
                    "audio_not_found",
                    "audio_storage_unavailable",
                ),
            ),
        )
    }
)
"""The five routes, by name."""


class RefusalError(Exception):
    """A check refused. ``code`` is one of :data:`REASONS`; ``field`` names the query parameter that is to blame."""

    def __init__(self, code: str, field: str | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.field = field
        self.reason = REASONS[code]
