"""``osler audit disclosures``: who saw the record of a visit, when, what of it, by which route and from where."""

import csv
import io
from collections.abc import Sequence
from datetime import UTC
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from osler.access.model import ApiKey
from osler.audit.model import ActorKind, AuditEntry
from osler.cli.output import JsonOption, OutputOption, check_writable, emit, table, warn

if TYPE_CHECKING:
    from osler.bootstrap import Core

COLUMNS: Final = (
    "time",
    "organization_id",
    "number",
    "actor_kind",
    "actor_id",
    "key_hint",
    "key_organization_id",
    "origin",
    "action",
    "encounter_id",
    "document_id",
    "route",
    "request_id",
)
"""What a line of the CSV and an object of the JSON say; ``number`` is that of the entry in the organization's chain."""

_PARTS: Final = ("document", "note", "form", "codes", "context_document", "recording")
"""Names under which entries say what part of an encounter was seen, the most telling first."""

_FORMULA: Final = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What a cell must not begin with: spreadsheets take it for a formula (OWASP, CSV injection). The latter four are the
full-width forms, which some spreadsheets take for the former."""


def disclosures(
    encounter_id: Annotated[str, typer.Option("--encounter", metavar="ID", help="Id of the encounter.")],
    organization_id: Annotated[
        str | None,
        typer.Option("--org", "--organization", metavar="ORG", help="Only of this organization.", show_default=False),
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV instead of text.")] = False,
    as_json: JsonOption = False,
    output: OutputOption = None,
) -> None:
    """Show who saw this encounter, oldest first, by whatever door; also if it was erased since."""
    if as_csv and as_json:
        raise typer.BadParameter("--csv and --json: choose one")
    check_writable(output)
    from osler.cli.core import run

    async def work(core: "Core") -> tuple[Sequence[AuditEntry], dict[str, ApiKey], bool]:
        entries = await core.public.disclosures.of_encounter(encounter_id, organization_id)
        keys = {key.id: key for key in await core.access.keys()} if entries else {}
        return entries, keys, bool(entries) or await _is_known(core, encounter_id, organization_id)

    entries, keys, known = run(work)
    rows = [_row(entry, encounter_id, keys) for entry in entries]
    data = {"encounter_id": encounter_id, "disclosures": [dict(zip(COLUMNS, row, strict=True)) for row in rows]}
    emit(_csv(rows) if as_csv else _text(rows), data, as_json=as_json, output=output)
    if not known:
        warn("there is no encounter of this id, and never was one that anybody saw; is it written right?")


async def _is_known(core: "Core", encounter_id: str, organization_id: str | None) -> bool:
    from osler.kernel.errors import NotFoundError

    for each in await core.access.organizations():
        if organization_id in (None, each.id):
            try:
                await core.encounters.get(each.id, encounter_id)
            except NotFoundError:
                continue
            return True
    return False


def _row(entry: AuditEntry, encounter_id: str, keys: dict[str, ApiKey]) -> tuple[Any, ...]:
    event = entry.event
    key = keys.get(event.actor.id) if event.actor.kind is ActorKind.KEY else None
    told = {**event.detail, **event.subject}
    return (
        event.at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        event.organization_id,
        entry.sequence,
        event.actor.kind.value,
        event.actor.id,
        f"...{key.hint}" if key else "",
        key.organization_id if key else "",
        event.actor.origin,
        event.action,
        encounter_id,
        next((told[part] for part in _PARTS if part in told), ""),
        event.detail.get("route", ""),
        event.detail.get("request", ""),
    )


def _text(rows: Sequence[tuple[Any, ...]]) -> str:
    if not rows:
        return "Nobody saw anything of this encounter."
    head = ("TIME", "ORGANIZATION", "NUMBER", "WHO", "KEY", "FROM", "ACTION", "DOCUMENT", "ROUTE", "REQUEST")
    lines = []
    for row in rows:
        told = dict(zip(COLUMNS, row, strict=True))
        lines.append(
            (
                told["time"],
                told["organization_id"],
                str(told["number"]),
                f"{told['actor_kind']} {told['actor_id']}",
                told["key_hint"] or "-",
                told["origin"],
                told["action"],
                told["document_id"] or "-",
                told["route"] or "-",
                told["request_id"] or "-",
            )
        )
    return table(head, lines)


def _csv(rows: Sequence[tuple[Any, ...]]) -> str:
    """Return RFC 4180: a header line, CRLF, cells quoted where they must be."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    writer.writerows([_harmless(str(cell)) for cell in row] for row in rows)
    return text.getvalue()


def _harmless(cell: str) -> str:
    """Put an apostrophe before what a spreadsheet would take for a formula; it shows such a cell as text."""
    return f"'{cell}" if cell.lstrip().startswith(_FORMULA) or cell[:1] in ("\t", "\r", "\n") else cell
