"""A user's account elsewhere: linked, unlinked, asked for."""

from typing import Final

from fastapi import APIRouter
from pydantic import Field

from osler.access.model import LinkedAccount, User
from osler.api.scribe.auth import CurrentUser
from osler.api.scribe.errors import ALREADY_LINKED, NOT_LINKED, ScribeError, documented, invalid, missing_is
from osler.api.scribe.services import ScribeServices
from osler.api.scribe.values import Answered, Given, Time
from osler.kernel.errors import ConflictError, InvalidFieldError

TAG: Final = "Linked accounts"


class LinkedAccountCreate(Given):
    """The account to link."""

    kinde_user_id: str = Field(max_length=255, description="The id of the account.")


class Account(Answered):
    """A linked account. ``user_id`` is the account's own; the EHR's fields say who it is linked to."""

    id: str = Field(alias="_id")
    user_id: str
    ehr_provider: str | None
    ehr_email: str
    ehr_user_id: str
    created_at: Time
    updated_at: Time
    deleted_at: Time | None


class AccountAnswer(Answered):
    """A linked account."""

    account: Account


class AccessAnswer(Answered):
    """Whether the token is good, and what its user is linked to."""

    is_valid: bool
    is_linked: bool
    account: Account | None


class Success(Answered):
    """It was done."""

    is_success: bool


def _shown(account: LinkedAccount, user: User) -> Account:
    return Account(
        _id=account.id,
        user_id=account.account_id,
        ehr_provider=account.ehr_provider,
        ehr_email=user.email,
        ehr_user_id=user.third_party_id,
        created_at=account.created_at,
        updated_at=account.updated_at,
        deleted_at=account.deleted_at,
    )


def linked_account_routes(services: ScribeServices, router: APIRouter) -> APIRouter:
    """Add the routes of linked accounts to a router."""
    access = services.access

    @router.post(
        "/users/linked-account",
        operation_id="linkAccount",
        summary="Link the user to his account elsewhere",
        responses=documented(409),
    )
    async def link_account(who: CurrentUser, body: LinkedAccountCreate) -> AccountAnswer:
        """Link the user to an account, one to one. Linking the same account again is a conflict too."""
        user = await access.user(who.organization_id, who.user_id)
        try:
            account = await access.link_account(who.actor, who.organization_id, who.user_id, body.kinde_user_id)
        except InvalidFieldError as error:
            raise invalid("kinde_user_id", str(error)) from None
        except ConflictError:
            raise ScribeError(ALREADY_LINKED) from None
        return AccountAnswer(account=_shown(account, user))

    @router.delete(
        "/users/linked-account:unlink",
        operation_id="unlinkAccount",
        summary="End the link of the user's account",
        responses=documented(404),
    )
    async def unlink_account(who: CurrentUser) -> Success:
        """Unlink the account, which can then be linked anew."""
        with missing_is(NOT_LINKED):
            await access.unlink_account(who.actor, who.organization_id, who.user_id)
        return Success(is_success=True)

    @router.get(
        "/users/linked-account/access",
        operation_id="getLinkedAccountAccess",
        summary="Say whether the user is linked, and to what",
        responses=documented(),
    )
    async def linked_account_access(who: CurrentUser) -> AccessAnswer:
        """Say that the token is good, and to which account its user is linked."""
        account = await access.account(who.organization_id, who.user_id)
        user = await access.user(who.organization_id, who.user_id)
        shown = None if account is None else _shown(account, user)
        return AccessAnswer(is_valid=True, is_linked=account is not None, account=shown)

    return router
