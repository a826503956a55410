"""``osler encounter``: which encounters there are and how they stand; signing and erasing one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from osler.cli.output import JsonOption, OutputOption, check_writable, emit, table, warn
from osler.encounters.model import Encounter, EncounterFilter, EncounterState, Erasure, ErasureReason, ErasureScope
from osler.kernel.errors import NotFoundError

if TYPE_CHECKING:
    from osler.audio.model import AudioRecording
    from osler.bootstrap import Core
    from osler.notes.model import NoteVersion
    from osler.release.model import ReleasedDocument
    from osler.speech.model import TranscriptVersion

app = typer.Typer(no_args_is_help=True, help="Encounters: which there are, how they stand; sign or erase one.")

EncounterArgument = Annotated[str, typer.Argument(metavar="ENCOUNTER", help="Id of the encounter.")]
OrganizationOption = Annotated[
    str | None,
    typer.Option("--org", metavar="ORG", help="Its organization; looked up if left out.", show_default=False),
]


@app.command("list")
def list_encounters(
    organization_id: Annotated[str, typer.Option("--org", metavar="ORG", help="Id of the organization.")],
    state: Annotated[
        EncounterState | None, typer.Option("--state", help="Only in this state.", show_default=False)
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="At most so many.")] = 100,
    show_patient: Annotated[bool, typer.Option("--show-patient", help="With the patients' names; audited.")] = False,
    as_json: JsonOption = False,
    output: OutputOption = None,
) -> None:
    """Show encounters, newest first; erased ones only with --state erased."""
    check_writable(output)
    from osler.audit.model import OPERATOR
    from osler.cli.core import run

    wanted = EncounterFilter(states=frozenset({state}) if state else None)

    async def read(core: "Core") -> tuple[Sequence[Encounter], int, Sequence[str]]:
        await core.access.organization(organization_id)
        page = await core.encounters.list(organization_id, wanted, limit=limit)
        if show_patient:
            # As a list of the public API: who asks later who saw one of them finds it.
            ids = [each.id for each in page.items]
            await core.public.disclosures.listed(
                OPERATOR, organization_id, ids, route="osler encounter list", request_id=""
            )
        return page.items, await core.encounters.count(organization_id, wanted), page.damaged

    found, count, damaged = run(read)
    head = ("ENCOUNTER", "STATE", "CREATED", "OWNER", "CONSENT", "PURPOSE", *(("PATIENT",) if show_patient else ()))
    rows = [
        (
            each.id,
            each.state.value,
            each.created_at.isoformat(timespec="seconds"),
            each.owner_id,
            _consent(each),
            each.purpose.value,
            *((_patient(each),) if show_patient else ()),
        )
        for each in found
    ]
    text = table(head, rows) if rows else "There are no such encounters."
    if count > len(found) + len(damaged):
        text += f"\n{len(found) + len(damaged)} of {count}; see more with --limit."
    data = [_summary(each) | ({"patient_name": _patient(each)} if show_patient else {}) for each in found]
    answer = {"encounters": data, "total_count": count, "damaged": list(damaged)}
    emit(text, answer, as_json=as_json, output=output)
    for each_id in damaged:
        warn(f"Encounter {each_id} is damaged and cannot be opened; restore it from a backup (osler restore).")


@app.command("show")
def show(
    encounter_id: EncounterArgument,
    organization_id: OrganizationOption = None,
    content: Annotated[bool, typer.Option("--content", help="With patient, transcript and note; audited.")] = False,
    as_json: JsonOption = False,
    output: OutputOption = None,
) -> None:
    """Show how an encounter stands: its recordings, its note, what is released; no content without --content."""
    check_writable(output)
    from osler.cli.core import run

    async def read(core: "Core") -> _Standing:
        encounter = await find(core, encounter_id, organization_id)
        if content:
            await record_read(core, encounter.organization_id, "encounter.read", {"encounter": encounter.id}, {})
        ids = (encounter.organization_id, encounter.id)
        return _Standing(
            encounter,
            await core.audio.recordings(*ids),
            await core.transcripts.current(*ids),
            await core.notes.current(*ids),
            await core.release.of_encounter(*ids),
        )

    standing = run(read)
    emit(_text(standing, content), _to_json(standing, content), as_json=as_json, output=output)


@app.command("sign")
def sign(
    encounter_id: EncounterArgument,
    user_id: Annotated[str, typer.Option("--user", metavar="USER", help="Id of the user who signs.")],
    organization_id: OrganizationOption = None,
    as_json: JsonOption = False,
    output: OutputOption = None,
) -> None:
    """Sign the current note and documents on behalf of a user."""
    check_writable(output)
    from osler.audit.model import OPERATOR
    from osler.cli.core import run

    async def work(core: "Core") -> Encounter:
        encounter = await find(core, encounter_id, organization_id)
        if user_id not in {user.id for user in await core.access.users(encounter.organization_id)}:
            raise NotFoundError("There is no such user in the encounter's organization; see: osler user list --org ORG")
        return await core.release.sign(OPERATOR, encounter.organization_id, encounter.id, user_id)

    signed = run(work)
    emit(f"The encounter {signed.id} is signed.", _summary(signed), as_json=as_json, output=output)


@app.command("erase")
def erase(
    encounter_id: EncounterArgument,
    organization_id: OrganizationOption = None,
    audio_only: Annotated[bool, typer.Option("--audio-only", help="Only the audio; texts stay.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Yes, destroy it; nothing and nobody brings it back.")] = False,
    as_json: JsonOption = False,
    output: OutputOption = None,
) -> None:
    """Erase an encounter for good, also what is signed, and also from backups that are restored later."""
    if not yes:
        raise typer.BadParameter("nothing was erased; add --yes to destroy it for good")
    check_writable(output)
    from osler.audit.model import OPERATOR
    from osler.cli.core import run

    scope = ErasureScope.AUDIO if audio_only else ErasureScope.EVERYTHING

    async def work(core: "Core") -> Erasure:
        encounter = await find(core, encounter_id, organization_id)
        return await core.erasure.erase(
            OPERATOR, encounter.organization_id, encounter.id, scope=scope, reason=ErasureReason.COMMAND
        )

    erasure = run(work)
    what = f"The audio of the encounter {encounter_id}" if audio_only else f"The encounter {encounter_id}"
    data = {
        "erasure_id": erasure.id,
        "encounter_id": erasure.subject_id,
        "organization_id": erasure.organization_id,
        "scope": erasure.scope.value,
        "erased_at": erasure.at.isoformat(),
    }
    emit(f"{what} is erased for good.", data, as_json=as_json, output=output)


@dataclass(frozen=True, slots=True)
class _Standing:
    """All that ``show`` knows of an encounter."""

    encounter: Encounter
    recordings: "Sequence[AudioRecording]"
    transcript: "TranscriptVersion | None"
    note: "NoteVersion | None"
    released: "Sequence[ReleasedDocument]"


async def find(core: "Core", encounter_id: str, organization_id: str | None) -> Encounter:
    """Return the encounter, of whatever organization if none is named. Raises NotFoundError."""
    if organization_id is not None:
        return await core.encounters.get(organization_id, encounter_id)
    for organization in await core.access.organizations():
        try:
            return await core.encounters.get(organization.id, encounter_id)
        except NotFoundError:
            continue
    raise NotFoundError("There is no such encounter; see: osler encounter list --org ORG")


async def record_read(
    core: "Core", organization_id: str, action: str, subject: dict[str, str], detail: dict[str, str]
) -> None:
    """Leave a trace of what an operator reads."""
    from osler.audit.model import OPERATOR, AuditEvent

    await core.audit.record(
        AuditEvent(organization_id, OPERATOR, action, core.clock.now(), subject=subject, detail=detail)
    )


def _consent(encounter: Encounter) -> str:
    if encounter.consent.withdrawn:
        return "withdrawn"
    return {True: "given", False: "denied", None: "unknown"}[encounter.consent.given]


def _patient(encounter: Encounter) -> str:
    return encounter.patient.name if encounter.patient else ""


def _summary(encounter: Encounter) -> dict[str, Any]:
    """Return what says nothing of the patient."""
    times = {
        "created_at": encounter.created_at,
        "updated_at": encounter.updated_at,
        "signed_at": encounter.signed_at,
        "consent_erase_at": encounter.consent.erase_at,
        "audio_erased_at": encounter.audio_erased_at,
        "erased_at": encounter.erased_at,
    }
    return {
        "encounter_id": encounter.id,
        "organization_id": encounter.organization_id,
        "owner_id": encounter.owner_id,
        "state": encounter.state.value,
        "purpose": encounter.purpose.value,
        "consent": _consent(encounter),
        "language_code": encounter.language_code,
        **{name: time and time.isoformat() for name, time in times.items()},
    }


def _to_json(standing: _Standing, content: bool) -> dict[str, Any]:
    encounter, transcript, note = standing.encounter, standing.transcript, standing.note
    data = _summary(encounter) | {
        "recordings": [
            {
                "recording_id": each.id,
                "kind": each.kind.value,
                "state": each.state.value,
                "created_at": each.created_at.isoformat(),
                "duration": each.duration,
                "failure": each.failure,
            }
            for each in standing.recordings
        ],
        "transcript_version": transcript and transcript.version,
        "note": note
        and {
            "note_id": note.id,
            "version": note.version,
            "status": note.status.value,
            "signed": note.signed_at is not None,
            "stale": note.stale,
            "failure": note.failure,
        },
        "released": [{"document_id": each.id, "kind": each.kind.value} for each in standing.released],
    }
    if content:
        patient = encounter.patient
        data["content"] = {
            "name": encounter.name,
            "patient": patient
            and {
                "name": patient.name,
                "gender": patient.gender,
                "birth_date": patient.birth_date and patient.birth_date.isoformat(),
                "demographic_details": patient.demographic_details,
            },
            "ehr_patient_id": encounter.ehr_patient_id,
            "ehr_appointment_id": encounter.ehr_appointment_id,
            "clinician_notes": list(encounter.clinician_notes),
            "transcript": transcript and transcript.transcript.to_json(),
            "note": note.content.text if note and note.content else None,
        }
    return data


def _text(standing: _Standing, content: bool) -> str:
    encounter, transcript, note = standing.encounter, standing.transcript, standing.note
    rows = [
        (name.replace("_", " ").removesuffix(" id"), str(value))
        for name, value in _summary(encounter).items()
        if value is not None
    ]
    rows += [
        (
            "recording",
            f"{each.id}  {each.kind.value}, {each.state.value}"
            + (f", {each.duration:.0f} s" if each.duration is not None else "")
            + (f", {each.failure}" if each.failure else ""),
        )
        for each in standing.recordings
    ]
    rows.append(("transcript", f"version {transcript.version}" if transcript else "none"))
    if note is None:
        rows.append(("note", "none"))
    else:
        signed = ", signed" if note.signed_at is not None else ""
        rows.append(("note", f"version {note.version}, {note.failure or note.status.value}{signed}"))
    rows += [("released", f"{each.id}  {each.kind.value}") for each in standing.released]
    if content:
        rows += [("name", encounter.name or ""), ("patient", _patient(encounter))]
        rows += [("clinician's note", text) for text in encounter.clinician_notes]
    lines = [f"{label:<18}{value}" for label, value in rows]
    if content and transcript:
        from osler.speech.rendering import to_text

        lines += ["", to_text(transcript.transcript)]
    if content and note and note.content:
        lines += ["", note.content.text]
    return "\n".join(lines)
