"""``osler public``: what of the public API is switched on, for which routes and organizations."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from osler.access.model import ApiKey, KeyKind, Organization
from osler.access.public import REQUIRED_SCOPES, PublicRoute, PublicSwitches
from osler.cli.output import JsonOption, OutputOption, check_writable, emit, table, warn

if TYPE_CHECKING:
    from pathlib import Path

    from osler.bootstrap import Core

app = typer.Typer(
    no_args_is_help=True,
    help="The read-only public API: switch it on and off, by route and organization. Everything is off at first.",
)

ALL: Final = "all"

OrganizationArgument = Annotated[str, typer.Argument(metavar="ORG", help="Id of the organization.")]
RouteArgument = Annotated[
    str, typer.Argument(metavar="ROUTE|all", help=f"One of: {', '.join(PublicRoute)}; or all of them.")
]


class OnOff(StrEnum):
    """How a switch is to stand."""

    ON = "on"
    OFF = "off"


@dataclass(frozen=True)
class Standing:
    """The switches, every organization, and every key of the public API."""

    switches: PublicSwitches
    organizations: tuple[Organization, ...]
    keys: tuple[ApiKey, ...]
    now: datetime
    test_keys: bool


@app.command("allow-org")
def allow_organization(
    organization_id: OrganizationArgument, as_json: JsonOption = False, output: OutputOption = None
) -> None:
    """Let the public API serve an organization."""
    _allow(organization_id, True, as_json=as_json, output=output)


@app.command("deny-org")
def deny_organization(
    organization_id: OrganizationArgument, as_json: JsonOption = False, output: OutputOption = None
) -> None:
    """Have the public API serve an organization no longer, whatever its keys say."""
    _allow(organization_id, False, as_json=as_json, output=output)


@app.command("enable-route")
def enable_route(route: RouteArgument, as_json: JsonOption = False, output: OutputOption = None) -> None:
    """Switch a route on, for every organization that is allowed."""
    _switch_route(route, True, as_json=as_json, output=output)


@app.command("disable-route")
def disable_route(route: RouteArgument, as_json: JsonOption = False, output: OutputOption = None) -> None:
    """Switch a route off, for everybody."""
    _switch_route(route, False, as_json=as_json, output=output)


@app.command("api")
def switch_api(
    wanted: Annotated[OnOff, typer.Argument(metavar="on|off", help="How the switch is to stand.")],
    as_json: JsonOption = False,
    output: OutputOption = None,
) -> None:
    """Switch the public API as a whole; what was switched on below it stays so."""
    from osler.audit.model import OPERATOR

    _change(lambda core: core.public.access.switch_api(OPERATOR, wanted is OnOff.ON), as_json=as_json, output=output)


@app.command("status")
def status(as_json: JsonOption = False, output: OutputOption = None) -> None:
    """Show what is switched on, which organizations are served, and how many keys can read by which route."""
    _change(None, as_json=as_json, output=output)


def reasons_to_read_nothing(
    key: ApiKey, switches: PublicSwitches, organization: Organization, *, test_keys: bool
) -> list[str]:
    """Return why a public key reads nothing as things stand, a line each, with what to do about it."""
    reasons = []
    if not key.scopes:
        reasons.append("this key has no scope and reads nothing; make one with --scopes.")
    elif not any(scopes <= key.scopes for scopes in REQUIRED_SCOPES.values()):
        reasons.append("the scopes of this key suffice for no route; osler public status shows what each needs.")
    if key.user_id is not None:
        reasons.append("the public API refuses keys that belong to a user; make one without --user.")
    if key.test and not test_keys:
        reasons.append("test keys are refused here; OSLER_PUBLIC_TEST_KEYS=true is for a test environment.")
    if not switches.enabled:
        reasons.append("the public API is off; switch it on with: osler public api on")
    if not organization.public_api:
        reasons.append(f"the public API does not serve this organization: osler public allow-org {organization.id}")
    if switches.enabled and not switches.routes:
        reasons.append("no route of the public API is on; switch one on with: osler public enable-route ROUTE")
    return reasons


def _allow(organization_id: str, allowed: bool, *, as_json: bool, output: "Path | None") -> None:
    from osler.audit.model import OPERATOR

    _change(
        lambda core: core.access.update_organization(OPERATOR, organization_id, public_api=allowed),
        as_json=as_json,
        output=output,
    )


def _switch_route(name: str, on: bool, *, as_json: bool, output: "Path | None") -> None:
    if name != ALL and name not in set(PublicRoute):
        raise typer.BadParameter(f"there is no such route; there are {', '.join(PublicRoute)}, and {ALL}")
    from osler.audit.model import OPERATOR

    def change(core: "Core") -> Awaitable[PublicSwitches]:
        if name == ALL:
            return core.public.access.switch_routes(OPERATOR, on)
        return core.public.access.switch_route(OPERATOR, PublicRoute(name), on)

    _change(change, as_json=as_json, output=output)


def _change(call: "Callable[[Core], Awaitable[Any]] | None", *, as_json: bool, output: "Path | None") -> None:
    """Do ``call``, and show how everything stands then."""
    check_writable(output)
    from osler.cli.core import run

    async def work(core: "Core") -> Standing:
        if call is not None:
            await call(core)
        keys = tuple(key for key in await core.access.keys() if key.kind is KeyKind.PUBLIC)
        switches = await core.public.access.switches()
        return Standing(switches, await core.access.organizations(), keys, core.clock.now(), core.public.test_keys)

    standing = run(work)
    emit(_text(standing), _to_json(standing), as_json=as_json, output=output)
    _warn(standing)


def _text(standing: Standing) -> str:
    routes = [
        (
            route.value,
            "on" if route in standing.switches.routes else "off",
            " ".join(sorted(REQUIRED_SCOPES[route])),
            str(len(_readers(standing, route))),
        )
        for route in PublicRoute
    ]
    organizations = [
        (each.id, str(len(_usable(standing, each))), each.name) for each in standing.organizations if each.public_api
    ]
    parts = [
        f"public API  {'on' if standing.switches.enabled else 'off'}",
        table(("ROUTE", "STATE", "SCOPES NEEDED", "KEYS THAT CAN READ"), routes),
        table(("ORGANIZATION", "USABLE KEYS", "NAME"), organizations)
        if organizations
        else "No organization is allowed; allow one with: osler public allow-org ORG",
    ]
    return "\n\n".join(parts)


def _to_json(standing: Standing) -> dict[str, Any]:
    return {
        "enabled": standing.switches.enabled,
        "routes": [
            {
                "route": route.value,
                "enabled": route in standing.switches.routes,
                "required_scopes": sorted(REQUIRED_SCOPES[route]),
                "keys_that_can_read": len(_readers(standing, route)),
            }
            for route in PublicRoute
        ],
        "organizations": [
            {"organization_id": each.id, "allowed": each.public_api, "usable_keys": len(_usable(standing, each))}
            for each in standing.organizations
        ],
    }


def _warn(standing: Standing) -> None:
    """Say what keeps everything shut although some of it was opened."""
    allowed = any(each.public_api for each in standing.organizations)
    if not standing.switches.enabled and (allowed or standing.switches.routes):
        warn("the public API as a whole is off, so nothing is readable; switch it on with: osler public api on")
    elif standing.switches.enabled and not standing.switches.routes:
        warn("no route is on, so nothing is readable; switch one on with: osler public enable-route ROUTE")
    elif standing.switches.enabled and not allowed:
        warn("no organization is allowed, so nothing is readable; allow one with: osler public allow-org ORG")


def _usable(standing: Standing, organization: Organization) -> list[ApiKey]:
    """Return the keys of an organization that the public API accepts."""
    return [
        key
        for key in standing.keys
        if key.organization_id == organization.id
        and key.fault(standing.now) is None
        and key.user_id is None
        and (standing.test_keys or not key.test)
    ]


def _readers(standing: Standing, route: PublicRoute) -> list[ApiKey]:
    """Return the keys that can read by this route as things stand."""
    if not standing.switches.enabled or route not in standing.switches.routes:
        return []
    return [
        key
        for organization in standing.organizations
        if organization.public_api
        for key in _usable(standing, organization)
        if REQUIRED_SCOPES[route] <= key.scopes
    ]
