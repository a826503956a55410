"""Steps 1 and 2 of the contract: who asks, how often, and whether the key opens this route. In this order, always."""

from collections.abc import Iterable
from typing import Final

from osler.access.key_text import is_key_text, is_test_key_text
from osler.access.model import ApiKey, KeyKind
from osler.access.public import REQUIRED_SCOPES, PublicRoute
from osler.api.public.contract import RefusalError
from osler.api.public.rate import RateLimit, Standing
from osler.api.public.services import PublicServices
from osler.kernel.errors import NotAllowedError, StorageError

_SCHEME: Final = b"bearer"


class Gate:
    """Lets a request in or refuses it. What was presented is compared as a keyed digest, and never kept or logged."""

    def __init__(self, services: PublicServices) -> None:
        self._access = services.access
        self._public = services.public
        self._rate = RateLimit(services.public.requests_per_minute)

    async def authenticate(self, headers: Iterable[tuple[bytes, bytes]]) -> ApiKey:
        """Return the key of a request. Raises RefusalError with a code of step 1."""
        presented = presented_key(headers)
        if presented is None:
            raise RefusalError("missing_bearer")
        try:
            return await self._verify(presented)
        except NotAllowedError as error:
            raise RefusalError(error.code) from None
        except StorageError as error:
            # No digest key, or no database: of the contract's words these are the ones for a key that cannot be
            # verified just now, and the only ones that every route has.
            raise RefusalError("digest_key_unavailable") from error

    async def _verify(self, presented: str) -> ApiKey:
        switches = await self._public.access.recent_switches()
        if not switches.enabled:
            raise RefusalError("api_keys_disabled")
        if is_test_key_text(KeyKind.PUBLIC, presented) and not self._public.test_keys:
            raise RefusalError("test_prefix_not_allowed")
        if not is_key_text(KeyKind.PUBLIC, presented):
            raise RefusalError("malformed_token")
        return await self._access.authenticate(KeyKind.PUBLIC, presented)

    def count(self, key: ApiKey) -> Standing | None:
        """Count a request of a key; None if keys are not limited. The caller refuses what is exceeded."""
        return self._rate.count(key.id)

    async def admit(self, key: ApiKey, route: PublicRoute) -> None:
        """Raises RefusalError with a code of step 2."""
        if key.user_id is not None:
            raise RefusalError("org_scope_only_required")
        switches = await self._public.access.recent_switches()
        if route not in switches.routes:
            raise RefusalError("route_not_allowed")
        if not await self._public.access.recent_organization_allowed(key.organization_id):
            raise RefusalError("organization_not_allowlisted")
        if not key.scopes >= REQUIRED_SCOPES[route]:
            raise RefusalError("missing_scope")


def presented_key(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """Return what stands behind ``Bearer``, in whatever case (RFC 9110, section 11.1); None if there is no such thing.

    Several ``Authorization`` lines are one list (section 5.3): behind the first's scheme stands then what is no key.
    Bytes that are no ASCII are taken as Latin-1, which no key has.
    """
    lines = [value for name, value in headers if name == b"authorization"]
    if not lines:
        return None
    scheme, _, credentials = b", ".join(lines).strip(b" \t").partition(b" ")
    if scheme.lower() != _SCHEME:
        return None
    return credentials.strip(b" \t").decode("latin-1") or None
