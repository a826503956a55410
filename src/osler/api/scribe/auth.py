"""Who asks: an API key is exchanged for a bearer token, and every other route wants the token."""

from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query
from fastapi.security import APIKeyHeader
from pydantic import BaseModel
from starlette.requests import Request

from osler.access.model import ApiKey, KeyKind
from osler.api.scribe.errors import documented, invalid, unauthorized
from osler.api.scribe.services import ScribeServices
from osler.api.scribe.values import Time
from osler.audit.model import Actor, ActorKind
from osler.kernel.errors import InvalidFieldError, NotAllowedError

KEY_HEADER: Final = "Heidi-Api-Key"

_API_KEY: Final = APIKeyHeader(
    name=KEY_HEADER, scheme_name="heidiApiKey", auto_error=False, description="The key of a tenant."
)


@dataclass(frozen=True, slots=True)
class ScribeUser:
    """Who asks. ``actor`` is he as the audit trail names him."""

    organization_id: str
    user_id: str
    actor: Actor


async def authenticated(request: Request) -> ScribeUser:
    """Return whom the request's token stands for. Raises ScribeError (401)."""
    services: ScribeServices = request.app.state.services
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise unauthorized("A bearer token is needed: Authorization: Bearer <token>", "missing_token")
    try:
        bearer = await services.tokens.verify(token.strip())
    except NotAllowedError as error:
        raise unauthorized(str(error), error.code) from None
    return ScribeUser(bearer.organization_id, bearer.user_id, Actor(ActorKind.USER, bearer.user_id, origin_of(request)))


def origin_of(request: Request) -> str:
    """Return the address that a request came from."""
    return request.client.host if request.client else "unknown"


async def current_user(request: Request) -> ScribeUser:
    """Return who asks; the route has found that out before anything else."""
    user: ScribeUser = request.state.user
    return user


CurrentUser = Annotated[ScribeUser, Depends(current_user)]
"""A route's parameter: who asks."""


class Jwt(BaseModel):
    """A bearer token and when it ends."""

    token: str
    expiration_time: Time


async def _tenant_key(request: Request, _key: Annotated[object, Depends(_API_KEY)]) -> ApiKey:
    services: ScribeServices = request.app.state.services
    presented = request.headers.get(KEY_HEADER)
    if not presented:
        raise unauthorized(f"An API key is needed in the header {KEY_HEADER}", "missing_token")
    try:
        return await services.access.authenticate(KeyKind.TENANT, presented)
    except NotAllowedError as error:
        raise unauthorized(str(error), error.code) from None


def authentication_routes(services: ScribeServices, router: APIRouter) -> APIRouter:
    """Add the exchange of a key for a token to an open router."""

    @router.get("/jwt", operation_id="getJwt", summary="Exchange an API key for a bearer token", responses=documented())
    async def get_jwt(
        request: Request,
        key: Annotated[ApiKey, Depends(_tenant_key)],
        email: Annotated[str, Query(json_schema_extra={"format": "email"})],
        third_party_internal_id: Annotated[str, Query(description="The user's id in the EHR.")],
    ) -> Jwt:
        """Return a token for a user of the key's tenant, good for minutes. The first exchange makes the user."""
        actor = Actor(ActorKind.KEY, key.id, origin_of(request))
        try:
            user = await services.access.find_or_create_user(actor, key.organization_id, email, third_party_internal_id)
        except InvalidFieldError as error:
            field = {"third_party_id": "third_party_internal_id"}.get(error.field, error.field)
            raise invalid(field, str(error)) from None
        token = await services.tokens.issue(key, user)
        return Jwt(token=token.text, expiration_time=token.expires_at)

    return router
