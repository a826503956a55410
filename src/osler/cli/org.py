"""``osler org``: organizations and their policies."""

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from osler.access.model import ConsentPolicy, Organization, ReleasePolicy, Visibility
from osler.cli.output import JsonOption, OutputOption, check_writable, emit, table

if TYPE_CHECKING:
    from osler.access.service import OrganizationChanges
    from osler.bootstrap import Core

app = typer.Typer(no_args_is_help=True, help="Organizations: make them, show them, set their policies.")

OrganizationArgument = Annotated[str, typer.Argument(metavar="ORG", help="Id of the organization.")]


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What people call it.")],
    organization_id: Annotated[
        str | None, typer.Option("--id", metavar="ID", help="Its id; a random one if left out.", show_default=False)
    ] = None,
    as_json: JsonOption = False,
    output: OutputOption = None,
) -> None:
    """Make an organization with the default policies."""
    check_writable(output)
    from osler.audit.model import OPERATOR
    from osler.cli.core import run

    async def work(core: "Core") -> Organization:
        return await core.access.create_organization(OPERATOR, name, organization_id)

    _show(run(work), as_json=as_json, output=output)


@app.command("list")
def list_organizations(as_json: JsonOption = False, output: OutputOption = None) -> None:
    """Show every organization."""
    check_writable(output)
    from osler.cli.core import run

    async def work(core: "Core") -> tuple[Organization, ...]:
        return await core.access.organizations()

    found = run(work)
    head = ("ORGANIZATION", "NAME", "RELEASE", "CONSENT", "VISIBILITY", "RETENTION", "CREATED")
    rows = [
        (
            each.id,
            each.name,
            each.release.value,
            each.consent.value,
            each.visibility.value,
            _retention(each),
            each.created_at.isoformat(timespec="seconds"),
        )
        for each in found
    ]
    text = table(head, rows) if rows else "There is no organization yet; make one with: osler org create NAME"
    emit(text, {"organizations": [_to_json(each) for each in found]}, as_json=as_json, output=output)


@app.command("show")
def show(organization_id: OrganizationArgument, as_json: JsonOption = False, output: OutputOption = None) -> None:
    """Show one organization."""
    check_writable(output)
    from osler.cli.core import run

    async def work(core: "Core") -> Organization:
        return await core.access.organization(organization_id)

    _show(run(work), as_json=as_json, output=output)


@app.command("set")
def set_policies(
    organization_id: OrganizationArgument,
    name: Annotated[str | None, typer.Option("--name", help="What people call it.", show_default=False)] = None,
    release: Annotated[
        ReleasePolicy | None,
        typer.Option("--release", help="When documents can be read from outside.", show_default=False),
    ] = None,
    consent: Annotated[
        ConsentPolicy | None,
        typer.Option("--consent", help="Whether audio is refused before consent is given.", show_default=False),
    ] = None,
    visibility: Annotated[
        Visibility | None, typer.Option("--visibility", help="Whose encounters a user sees.", show_default=False)
    ] = None,
    retention_days: Annotated[
        str | None,
        typer.Option(
            "--retention-days", metavar="N|none", help="Erase audio after N days; none keeps it.", show_default=False
        ),
    ] = None,
    consent_grace_hours: Annotated[
        float | None,
        typer.Option(
            "--consent-grace-hours",
            metavar="N",
            help="Hours from a withdrawal of consent to the erasure.",
            show_default=False,
        ),
    ] = None,
    public_api: Annotated[
        bool | None,
        typer.Option("--public-api/--no-public-api", help="Serve it in the public API.", show_default=False),
    ] = None,
    as_json: JsonOption = False,
    output: OutputOption = None,
) -> None:
    """Change what is given and leave the rest."""
    changes: OrganizationChanges = {}
    if name is not None:
        changes["name"] = name
    if release is not None:
        changes["release"] = release
    if consent is not None:
        changes["consent"] = consent
    if visibility is not None:
        changes["visibility"] = visibility
    if retention_days is not None:
        changes["retention_days"] = _days(retention_days)
    if consent_grace_hours is not None:
        changes["consent_grace"] = _hours(consent_grace_hours)
    if public_api is not None:
        changes["public_api"] = public_api
    if not changes:
        raise typer.BadParameter("say what to set; osler org set --help lists it")
    check_writable(output)
    from osler.audit.model import OPERATOR
    from osler.cli.core import run

    async def work(core: "Core") -> Organization:
        return await core.access.update_organization(OPERATOR, organization_id, **changes)

    _show(run(work), as_json=as_json, output=output)


def _days(text: str) -> int | None:
    if text.lower() == "none":
        return None
    # No more digits than a number of days can have: the service names the bounds.
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise typer.BadParameter("--retention-days is a number of days, or none")
    return int(text)


def _hours(hours: float) -> timedelta:
    try:
        return timedelta(hours=hours)
    except (OverflowError, ValueError):
        raise typer.BadParameter("--consent-grace-hours is not a number of hours") from None


def _retention(organization: Organization) -> str:
    return "none" if organization.retention_days is None else f"{organization.retention_days} days"


def _show(organization: Organization, *, as_json: bool, output: Any) -> None:
    rows = [
        ("organization", organization.id),
        ("name", organization.name),
        ("release", organization.release.value),
        ("consent", organization.consent.value),
        ("visibility", organization.visibility.value),
        ("retention", _retention(organization)),
        ("consent grace", f"{_grace_hours(organization):g} hours"),
        ("public API", "on" if organization.public_api else "off"),
        ("created", organization.created_at.isoformat(timespec="seconds")),
    ]
    text = "\n".join(f"{label:<15}{value}" for label, value in rows)
    emit(text, _to_json(organization), as_json=as_json, output=output)


def _grace_hours(organization: Organization) -> float:
    return organization.consent_grace / timedelta(hours=1)


def _to_json(organization: Organization) -> dict[str, Any]:
    return {
        "organization_id": organization.id,
        "name": organization.name,
        "release": organization.release.value,
        "consent": organization.consent.value,
        "visibility": organization.visibility.value,
        "retention_days": organization.retention_days,
        "consent_grace_hours": _grace_hours(organization),
        "public_api": organization.public_api,
        "created_at": organization.created_at.isoformat(),
    }
