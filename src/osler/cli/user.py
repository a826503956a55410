"""``osler user``: the clinicians of an organization."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from osler.access.model import User
from osler.cli.output import JsonOption, OutputOption, check_writable, emit, table

if TYPE_CHECKING:
    from osler.bootstrap import Core

app = typer.Typer(no_args_is_help=True, help="Users: the clinicians of an organization, as its EHR knows them.")

OrganizationOption = Annotated[str, typer.Option("--org", metavar="ORG", help="Id of the organization.")]


@app.command("create")
def create(
    organization_id: OrganizationOption,
    email: Annotated[str, typer.Option("--email", metavar="EMAIL", help="The e-mail address that the EHR sends.")],
    third_party_id: Annotated[
        str, typer.Option("--third-party-id", metavar="ID", help="The EHR's own id of the user.")
    ],
    as_json: JsonOption = False,
    output: OutputOption = None,
) -> None:
    """Add a user; one who exchanges a tenant key for a token is added by himself."""
    check_writable(output)
    from osler.audit.model import OPERATOR
    from osler.cli.core import run

    async def work(core: "Core") -> User:
        return await core.access.create_user(OPERATOR, organization_id, email, third_party_id)

    user = run(work)
    emit(table(_HEAD, [_row(user)]), _to_json(user), as_json=as_json, output=output)


@app.command("list")
def list_users(organization_id: OrganizationOption, as_json: JsonOption = False, output: OutputOption = None) -> None:
    """Show the users of an organization."""
    check_writable(output)
    from osler.cli.core import run

    async def work(core: "Core") -> tuple[User, ...]:
        return await core.access.users(organization_id)

    found = run(work)
    text = table(_HEAD, [_row(user) for user in found]) if found else "This organization has no users yet."
    emit(text, {"users": [_to_json(user) for user in found]}, as_json=as_json, output=output)


_HEAD = ("USER", "E-MAIL", "THIRD-PARTY ID", "CREATED")


def _row(user: User) -> tuple[str, ...]:
    return (user.id, user.email, user.third_party_id, user.created_at.isoformat(timespec="seconds"))


def _to_json(user: User) -> dict[str, Any]:
    return {
        "user_id": user.id,
        "organization_id": user.organization_id,
        "email": user.email,
        "third_party_id": user.third_party_id,
        "created_at": user.created_at.isoformat(),
    }
