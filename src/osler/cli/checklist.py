"""``osler encounter checklist``: what a visit covered, item by item, with the words that hold it; audited."""

from typing import TYPE_CHECKING, Any

from osler.cli.encounter import EncounterArgument, OrganizationOption, find, record_read
from osler.cli.output import JsonOption, OutputOption, check_writable, emit

if TYPE_CHECKING:
    from osler.bootstrap import Core
    from osler.notes.checklist import ChecklistItem, EncounterChecklist


def checklist(
    encounter_id: EncounterArgument,
    organization_id: OrganizationOption = None,
    as_json: JsonOption = False,
    output: OutputOption = None,
) -> None:
    """Show what the visit covered, with the words that hold it; audited."""
    check_writable(output)
    from osler.cli.core import run

    async def read(core: "Core") -> "EncounterChecklist":
        encounter = await find(core, encounter_id, organization_id)
        found = await core.checklists.get(encounter.organization_id, encounter.id)
        await record_read(
            core, encounter.organization_id, "checklist.read", {"encounter": encounter.id}, {"checklist": found.id}
        )
        return found

    found = run(read)
    emit(_text(found), _to_json(found), as_json=as_json, output=output)


def _to_json(found: "EncounterChecklist") -> dict[str, Any]:
    return {
        "checklist_id": found.id,
        "encounter_id": found.encounter_id,
        "organization_id": found.organization_id,
        "transcript_id": found.transcript_id,
        "created_at": found.created_at.isoformat(),
        "items": [item.to_json() for item in found.items],
        "engine": found.engine.to_json(),
    }


def _text(found: "EncounterChecklist") -> str:
    lines = []
    for item in found.items:
        lines.append(f"{item.name.value.replace('_', ' '):<22}{_standing(item)}")
        for piece in item.evidence:
            when = "" if piece.audio_start is None else f", {piece.audio_start:.0f} s"
            lines.append(f"{'':<22}turn {piece.turn}{when}: “{piece.quote}”")
    return "\n".join(lines)


def _standing(item: "ChecklistItem") -> str:
    return "found" if item.found else "refused" if item.refused else "not found"
