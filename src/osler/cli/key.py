"""``osler key``: the API keys that open the two doors."""

from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from osler.access.model import ApiKey, KeyKind, Scope
from osler.cli.output import JsonOption, OutputOption, check_writable, emit, table, warn
from osler.cli.public import reasons_to_read_nothing
from osler.cli.times import utc_time

if TYPE_CHECKING:
    from osler.bootstrap import Core

app = typer.Typer(no_args_is_help=True, help="API keys: make them, show them, disable, enable or revoke them.")

KeyArgument = Annotated[str, typer.Argument(metavar="KEY", help="Id of the key (not the key itself).")]


@app.command("create")
def create(
    organization_id: Annotated[str, typer.Option("--org", metavar="ORG", help="Id of the organization.")],
    kind: Annotated[KeyKind, typer.Option("--kind", help="tenant: the scribe API; public: the read-only public API.")],
    scopes: Annotated[
        str | None,
        typer.Option(
            "--scopes",
            metavar="A,B",
            help=f"What a public key may read; of: {', '.join(Scope)}. None if left out.",
            show_default=False,
        ),
    ] = None,
    test: Annotated[bool, typer.Option("--test", help="A test key, refused outside a test environment.")] = False,
    expires: Annotated[
        str | None,
        typer.Option(
            "--expires", metavar="TIME", help="ISO 8601; UTC if without zone. Never if left out.", show_default=False
        ),
    ] = None,
    user_id: Annotated[
        str | None,
        typer.Option("--user", metavar="ID", help="Bind a public key to this user.", show_default=False),
    ] = None,
    as_json: JsonOption = False,
    output: OutputOption = None,
) -> None:
    """Make a key and print it, this once: only a digest of it is kept."""
    wanted = _scopes(scopes)
    expires_at = None if expires is None else utc_time(expires, "--expires")
    check_writable(output)
    from osler.audit.model import OPERATOR
    from osler.cli.core import run

    async def work(core: "Core") -> tuple[ApiKey, str, list[str]]:
        key, text = await core.access.create_key(
            OPERATOR, organization_id, kind, scopes=wanted, test=test, expires_at=expires_at, user_id=user_id
        )
        if kind is not KeyKind.PUBLIC:
            return key, text, []
        organization = await core.access.organization(organization_id)
        switches = await core.public.access.switches()
        return key, text, reasons_to_read_nothing(key, switches, organization, test_keys=core.public.test_keys)

    key, text, reasons = run(work)
    for reason in reasons:
        warn(reason)
    if expires_at is not None and expires_at <= datetime.now(UTC):
        warn("this key has expired already; it opens nothing.")
    emit(
        f"{text}\n\nThe id of this key is {key.id}. The key itself is shown this once: keep it safe.",
        {"key_id": key.id, "key": text, **_to_json(key)},
        as_json=as_json,
        output=output,
    )


@app.command("list")
def list_keys(
    organization_id: Annotated[
        str | None, typer.Option("--org", metavar="ORG", help="Only of this organization.", show_default=False)
    ] = None,
    as_json: JsonOption = False,
    output: OutputOption = None,
) -> None:
    """Show keys without what is secret of them: state, scopes, last use, the last four characters."""
    check_writable(output)
    from osler.cli.core import run

    async def work(core: "Core") -> tuple[ApiKey, ...]:
        return await core.access.keys(organization_id)

    _show(run(work), as_json=as_json, output=output)


@app.command("disable")
def disable(key_id: KeyArgument, as_json: JsonOption = False, output: OutputOption = None) -> None:
    """Switch a key off until it is enabled."""
    _change(lambda core, actor: core.access.disable_key(actor, key_id), as_json=as_json, output=output)


@app.command("enable")
def enable(key_id: KeyArgument, as_json: JsonOption = False, output: OutputOption = None) -> None:
    """Switch a disabled key on again."""
    _change(lambda core, actor: core.access.enable_key(actor, key_id), as_json=as_json, output=output)


@app.command("revoke")
def revoke(key_id: KeyArgument, as_json: JsonOption = False, output: OutputOption = None) -> None:
    """Switch a key off for good."""
    _change(lambda core, actor: core.access.revoke_key(actor, key_id), as_json=as_json, output=output)


def _change(call: "Callable[[Core, Any], Coroutine[Any, Any, ApiKey]]", *, as_json: bool, output: Any) -> None:
    check_writable(output)
    from osler.audit.model import OPERATOR
    from osler.cli.core import run

    key = run(lambda core: call(core, OPERATOR))
    emit(_table([key]), _to_json(key), as_json=as_json, output=output)


def _scopes(text: str | None) -> frozenset[Scope]:
    names = (text or "").replace(",", " ").split()
    if wrong := [name for name in names if name not in set(Scope)]:
        raise typer.BadParameter(f"no such scope: {wrong[0]}; there are {', '.join(Scope)}")
    return frozenset(map(Scope, names))


def _show(keys: tuple[ApiKey, ...], *, as_json: bool, output: Any) -> None:
    text = _table(list(keys)) if keys else "There are no keys; make one with: osler key create"
    emit(text, {"keys": [_to_json(key) for key in keys]}, as_json=as_json, output=output)


def _table(keys: list[ApiKey]) -> str:
    head = ("KEY", "ORGANIZATION", "KIND", "STATE", "ENDS", "SCOPES", "USER", "EXPIRES", "LAST USED", "CREATED")
    return table(head, [_row(key) for key in keys])


def _row(key: ApiKey) -> tuple[str, ...]:
    return (
        key.id,
        key.organization_id,
        f"{key.kind.value} (test)" if key.test else key.kind.value,
        _state(key),
        f"...{key.hint}",
        ",".join(sorted(key.scopes)) or "-",
        key.user_id or "-",
        _shown(key.expires_at),
        _shown(key.last_used_at),
        _shown(key.created_at),
    )


def _state(key: ApiKey) -> str:
    """Return what the key's holder would be told: ``active``, ``disabled``, ``revoked`` or ``expired``."""
    fault = key.fault(datetime.now(UTC))
    return "active" if fault is None else fault.removesuffix("_key")


def _shown(time: datetime | None) -> str:
    return "-" if time is None else time.isoformat(timespec="seconds")


def _to_json(key: ApiKey) -> dict[str, Any]:
    return {
        "key_id": key.id,
        "organization_id": key.organization_id,
        "kind": key.kind.value,
        "state": _state(key),
        "hint": key.hint,
        "scopes": sorted(key.scopes),
        "test": key.test,
        "user_id": key.user_id,
        "created_at": key.created_at.isoformat(),
        "expires_at": _iso(key.expires_at),
        "disabled_at": _iso(key.disabled_at),
        "revoked_at": _iso(key.revoked_at),
        "last_used_at": _iso(key.last_used_at),
    }


def _iso(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat()
