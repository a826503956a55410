"""Bearer tokens of the scribe API: signed claims of who a request is from, good for minutes (RFC 7519)."""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any, Final

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey
from joserfc.jws import extract_compact

from osler.access.model import ApiKey, SigningKey, User
from osler.access.recent import FRESH, Recent, Watch
from osler.access.service import AccessService
from osler.kernel.clock import Clock
from osler.kernel.errors import NotAllowedError, NotFoundError
from osler.kernel.ids import new_id

ALGORITHM: Final = "HS256"
"""The only algorithm that signs or verifies, whatever a token's own header says (RFC 8725, section 3.1)."""

ISSUER: Final = "osler"
AUDIENCE: Final = "scribe-api"

SKEW: Final = timedelta(seconds=60)
"""By how much clocks may disagree: a token is good for so much longer, and may be from so far in the future."""

LONGEST: Final = 4096
"""Characters of a token; ours have some 400."""

KEPT: Final = 4096
"""Tokens whose signature was verified and is not computed again."""

_CLAIMS: Final[Mapping[str, type]] = {"org": str, "sub": str, "key": str, "jti": str, "iat": int, "exp": int}


@dataclass(frozen=True, slots=True)
class BearerToken:
    """A token and when it ends, in whole seconds."""

    text: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Bearer:
    """Whom a token stands for: ids only. ``key_id`` is the tenant key that it was exchanged for."""

    organization_id: str
    user_id: str
    key_id: str
    token_id: str
    issued_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class _Verified:
    bearer: Bearer
    signing_key: SigningKey


class BearerTokens:
    """Issues tokens and verifies them.

    A token is bound to the tenant key that it was exchanged for: once that key is disabled, revoked or expired, its
    tokens end with it, within a second in every process (:data:`osler.access.recent.FRESH`).
    """

    def __init__(
        self,
        *,
        access: AccessService,
        clock: Clock,
        lifetime: timedelta,
        fresh: float = FRESH,
        watch: Watch | None = None,
    ) -> None:
        """``lifetime``: how long a token is good, without the skew.

        ``fresh``: how long keys are remembered; ``watch`` lets them stay until one is changed.
        """
        self._access = access
        self._clock = clock
        self._lifetime = lifetime
        self._fresh = fresh
        self._verified: OrderedDict[str, _Verified] = OrderedDict()
        self._asked_for_unknown = float("-inf")
        self._signing: Recent[None, Mapping[str, SigningKey]] = Recent(fresh, watch=watch)
        self._keys: Recent[str, ApiKey] = Recent(fresh, watch=watch)

    async def issue(self, key: ApiKey, user: User) -> BearerToken:
        """Return a token for a user of the tenant of ``key``, signed by the key that signs now."""
        signing = await self._access.current_signing_key()
        now = self._clock.now()
        ends = int((now + self._lifetime).timestamp())
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "org": user.organization_id,
            "sub": user.id,
            "key": key.id,
            "jti": new_id(),
            "iat": int(now.timestamp()),
            "exp": ends,
        }
        text = jwt.encode(
            {"alg": ALGORITHM, "kid": signing.id}, claims, OctKey.import_key(signing.secret), algorithms=[ALGORITHM]
        )
        return BearerToken(text, datetime.fromtimestamp(ends, UTC))

    async def verify(self, text: str) -> Bearer:
        """Return whom a token stands for.

        Raises NotAllowedError with code ``invalid_token`` (malformed, forged, of a retired key, from the future),
        ``expired_token``, or that of its tenant key: ``disabled_key``, ``revoked_key``, ``expired_key``.
        """
        verified = self._verified.get(text) or await self._read(text)
        bearer = verified.bearer
        signing = (await self._signing_keys()).get(verified.signing_key.id)
        now = self._clock.now()
        # A key that was retired since the last look at the table is found out here, to the second.
        if signing is None or (signing.retired_at is not None and signing.retired_at <= now):
            raise _invalid()
        if bearer.issued_at > now + SKEW:
            raise _invalid()
        if bearer.expires_at + SKEW <= now:
            self._verified.pop(text, None)
            raise NotAllowedError("expired_token", "The token has expired; exchange the API key for a new one.")
        fault = await self._fault(bearer, now)
        if fault is not None:
            raise NotAllowedError(fault, "The API key of this token opens nothing any more; use another key.")
        self._verified[text] = verified
        if len(self._verified) > KEPT:
            self._verified.popitem(last=False)
        return bearer

    async def _read(self, text: str) -> _Verified:
        """Verify the signature and the form of the claims; not their times."""
        if len(text) > LONGEST or not text.isascii():
            raise _invalid()
        known = await self._signing_keys()
        try:
            key_id = _key_id(text)
            if key_id not in known:
                known = await self._signing_keys(anew=True)
            signing = known[key_id]
            token = jwt.decode(text, OctKey.import_key(signing.secret), algorithms=[ALGORITHM])
            return _Verified(_bearer(token.claims), signing)
        except (JoseError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
            raise _invalid() from None

    async def _signing_keys(self, *, anew: bool = False) -> Mapping[str, SigningKey]:
        # Tokens that name keys that there are not must not have the table read for each of them.
        if anew and monotonic() - self._asked_for_unknown > min(FRESH, self._fresh):
            self._asked_for_unknown = monotonic()
            self._signing.forget()
        return await self._signing.get(None, self._read_signing_keys) or {}

    async def _read_signing_keys(self) -> Mapping[str, SigningKey]:
        return {key.id: key for key in await self._access.signing_keys()}

    async def _fault(self, bearer: Bearer, now: datetime) -> str | None:
        try:
            key = await self._keys.get(bearer.key_id, lambda: self._access.key(bearer.organization_id, bearer.key_id))
        except NotFoundError:
            return "revoked_key"
        return "revoked_key" if key is None else key.fault(now)


def _key_id(text: str) -> str:
    """Return the ``kid`` of a token's header, unverified. Raises ValueError, JoseError, KeyError."""
    key_id = extract_compact(text.encode()).headers()["kid"]
    if not isinstance(key_id, str):
        raise ValueError("not a key id")
    return key_id


def _bearer(claims: Mapping[str, Any]) -> Bearer:
    """Raises ValueError, KeyError for claims that we did not make."""
    if claims.get("iss") != ISSUER or claims.get("aud") != AUDIENCE:
        raise ValueError("of another issuer or for another audience")
    for name, kind in _CLAIMS.items():
        if type(claims[name]) is not kind:
            raise ValueError("a claim of another type")
    return Bearer(
        organization_id=claims["org"],
        user_id=claims["sub"],
        key_id=claims["key"],
        token_id=claims["jti"],
        issued_at=datetime.fromtimestamp(claims["iat"], UTC),
        expires_at=datetime.fromtimestamp(claims["exp"], UTC),
    )


def _invalid() -> NotAllowedError:
    return NotAllowedError("invalid_token", "The token is not valid; exchange the API key for a new one.")
