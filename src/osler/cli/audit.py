"""``osler audit``: who did what, and whether the record of it is whole."""

import json
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from osler.audit.model import DEPLOYMENT, AuditEntry, ChainHead, Verification
from osler.cli.output import JsonOption, OutputOption, check_writable, emit, table
from osler.cli.times import utc_time
from osler.kernel.errors import CorruptedError, InvalidFieldError, NotFoundError, UnreadableFileError

if TYPE_CHECKING:
    from osler.bootstrap import Core

app = typer.Typer(no_args_is_help=True, help="The audit trail: who did what, and proof that the record is whole.")

OrganizationOption = Annotated[
    str | None,
    typer.Option("--org", "--organization", metavar="ORG", help="Only of this organization.", show_default=False),
]

_LARGEST_HEAD: Final = 10_000
"""Bytes of a file with a head; it has about 200."""


@app.command("list")
def list_entries(
    organization_id: OrganizationOption = None,
    encounter_id: Annotated[
        str | None, typer.Option("--encounter", metavar="ID", help="Only of this encounter.", show_default=False)
    ] = None,
    action: Annotated[
        str | None,
        typer.Option(
            "--action", metavar="ACTION", help="Only of this action, such as consent.withdrawn.", show_default=False
        ),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--since", metavar="TIME", help="Only from then on; ISO 8601, UTC if without zone.", show_default=False
        ),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=100_000, help="At most so many.")] = 100,
    as_json: JsonOption = False,
    output: OutputOption = None,
) -> None:
    """Show the newest entries first."""
    begin = None if since is None else utc_time(since, "--since")
    check_writable(output)
    from osler.cli.core import run

    async def work(core: "Core") -> list[AuditEntry]:
        chains = await core.audit.organizations() if organization_id is None else (organization_id,)
        found: list[AuditEntry] = []
        for chain in chains:
            found += await core.audit.list(chain, encounter_id=encounter_id, action=action, since=begin, limit=limit)
        return sorted(found, key=lambda entry: entry.event.at, reverse=True)[:limit]

    entries = run(work)
    head = ("TIME", "ORGANIZATION", "NUMBER", "WHO", "FROM", "ACTION", "OUTCOME", "ABOUT", "DETAIL")
    text = table(head, [_row(entry) for entry in entries]) if entries else "There are no such entries."
    emit(text, {"entries": [_to_json(entry) for entry in entries]}, as_json=as_json, output=output)


@app.command("verify")
def verify(
    organization_id: OrganizationOption = None,
    head: Annotated[
        Path | None,
        typer.Option(
            "--head",
            metavar="FILE",
            help="A head from osler audit head that was kept elsewhere.",
            show_default=False,
            readable=False,
        ),
    ] = None,
    as_json: JsonOption = False,
    output: OutputOption = None,
) -> None:
    """Read every entry and name each that was changed, removed, reordered, cut off or rewritten; then fail."""
    check_writable(output)
    kept = None if head is None else _read_head(head)
    from osler.cli.core import run

    async def work(core: "Core") -> list[Verification]:
        known = {each.id for each in await core.access.organizations()} | set(await core.audit.organizations())
        if organization_id is None:
            chains = sorted(known if kept is None else known | {kept.organization_id})
        elif organization_id in known or organization_id == DEPLOYMENT or kept is not None:
            chains = [organization_id]
        else:
            raise NotFoundError("There is no such organization; osler org list shows those that are there.")
        found = []
        for chain in chains:
            belongs = kept is not None and (organization_id is not None or kept.organization_id == chain)
            found.append(await core.audit.verify(chain, kept if belongs else None))
        return found

    found = run(work)
    lines = [f"{each.organization_id}: {each.entries} entries, {_verdict(each)}" for each in found] or [
        "There is no organization yet, and nothing to verify."
    ]
    data = {
        "verified": not any(each.broken for each in found),
        "organizations": [
            {
                "organization_id": each.organization_id,
                "entries": each.entries,
                "verified": not each.broken,
                "broken": [{"sequence": broken.sequence, "fault": broken.fault.value} for broken in each.broken],
            }
            for each in found
        ],
    }
    emit("\n".join(lines), data, as_json=as_json, output=output)
    for each in found:
        if each.broken:
            first = each.broken[0]
            raise CorruptedError(
                f"The audit trail of {each.organization_id} is broken: number {first.sequence} is {first.fault.value}; "
                "find out who had the database, and compare it with a backup."
            )


@app.command("head")
def show_head(
    organization_id: Annotated[str, typer.Argument(metavar="ORG", help="Id of the organization.")],
    as_json: JsonOption = False,
    output: OutputOption = None,
) -> None:
    """Print the last link of a chain, to be kept on another machine: it shows later what was cut off or rewritten."""
    check_writable(output)
    from osler.cli.core import run

    async def work(core: "Core") -> ChainHead | None:
        return await core.audit.head(organization_id)

    head = run(work)
    if head is None:
        raise NotFoundError("There is no audit trail of this organization; osler org list shows those that are there.")
    data = {
        "organization_id": head.organization_id,
        "sequence": head.sequence,
        "mac": head.mac,
        "at": head.at.isoformat(),
    }
    # One form only: whichever was written, osler audit verify --head reads it.
    emit(json.dumps(data), data, as_json=as_json, output=output)


def _read_head(path: Path) -> ChainHead:
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_HEAD)
    except OSError as error:
        raise UnreadableFileError(f"The file with the head cannot be read: {error.strerror}.") from None
    try:
        data = json.loads(content)
        head = ChainHead(data["organization_id"], data["sequence"], data["mac"], datetime.fromisoformat(data["at"]))
    except (ValueError, TypeError, KeyError):
        head = None
    if (
        head is None
        or not all(isinstance(text, str) for text in (head.organization_id, head.mac))
        or type(head.sequence) is not int
    ):
        raise InvalidFieldError(
            "head", "The file holds no head; write one with: osler audit head ORG -o FILE"
        ) from None
    return head


def _verdict(found: Verification) -> str:
    if not found.broken:
        return "whole"
    return "broken: " + ", ".join(f"{broken.sequence} {broken.fault.value}" for broken in found.broken)


def _row(entry: AuditEntry) -> tuple[str, ...]:
    event = entry.event
    return (
        event.at.isoformat(timespec="seconds"),
        event.organization_id,
        str(entry.sequence),
        f"{event.actor.kind.value} {event.actor.id}",
        event.actor.origin,
        event.action,
        event.outcome.value,
        _pairs(event.subject),
        _pairs(event.detail),
    )


def _pairs(texts: Any) -> str:
    return " ".join(f"{name}={text}" for name, text in sorted(texts.items())) or "-"


def _to_json(entry: AuditEntry) -> dict[str, Any]:
    event = entry.event
    return {
        "organization_id": event.organization_id,
        "sequence": entry.sequence,
        "at": event.at.isoformat(),
        "actor": {"kind": event.actor.kind.value, "id": event.actor.id, "origin": event.actor.origin},
        "action": event.action,
        "subject": dict(event.subject),
        "outcome": event.outcome.value,
        "detail": dict(event.detail),
        "mac": entry.mac,
    }
