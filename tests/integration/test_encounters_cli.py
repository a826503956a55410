"""`osler encounter`: how encounters stand, and what they hold only for an operator who leaves a trace."""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from osler.bootstrap import Core, open_core
from osler.cli import exits
from osler.encounters.model import Encounter
from osler.kernel.engine_record import EngineRecord
from osler.kernel.errors import NotFoundError
from osler.kernel.ids import new_id
from osler.notes.checklist import ChecklistItem, ChecklistName, ReadItems
from osler.notes.model import Evidence, NoteVersion, TextStatus, WrittenText
from osler.speech.model import Transcript, TranscriptVersion, Turn
from osler.storage.repositories.notes import SqlNoteRepository
from osler.storage.repositories.sealed import SealedRows
from osler.storage.repositories.speech import SqlTranscriptRepository
from tests.encounters_lab import DOCTOR, MARKER
from tests.integration.cli import Finished, osler

Result = TypeVar("Result")


@pytest.fixture
def deployment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Initialise a deployment with one organization and one user; return their ids."""
    for name in list(os.environ):
        if name.startswith("OSLER_") and name != "OSLER_MODELS":
            monkeypatch.delenv(name)
    monkeypatch.setenv("OSLER_DATA", str(tmp_path / "data"))
    succeed(osler("init"))
    organization = answer("org", "create", "Practice")["organization_id"]
    user = answer("user", "create", "--org", organization, "--email", "q@example.org", "--third-party-id", "7")
    return {"organization": organization, "user": user["user_id"]}


def succeed(done: Finished) -> Finished:
    assert done.code == 0, done.err
    return done


def answer(*args: str) -> Any:
    return json.loads(succeed(osler(*args, "--json")).out)


def inside(work: Callable[[Core], Awaitable[Result]]) -> Result:
    async def run() -> Result:
        async with open_core() as core:
            return await work(core)

    return asyncio.run(run())


def encounter_with_note(deployment: dict[str, Any]) -> Encounter:
    async def make(core: Core) -> Encounter:
        encounter = await core.encounters.create(
            DOCTOR,
            deployment["organization"],
            deployment["user"],
            patient={"name": MARKER, "birth_date": "1950-01-02"},
            clinician_notes=[MARKER],
        )
        now = core.clock.now()
        note = NoteVersion(
            id=new_id(),
            organization_id=encounter.organization_id,
            encounter_id=encounter.id,
            version=1,
            created_at=now,
            status=TextStatus.CREATED,
            template="full",
            voice_style="goldilocks",
            content=WrittenText(MARKER),
        )
        async with core.database.write() as transaction:
            await SqlNoteRepository(SealedRows(core.keyring, core.clock)).add(transaction, note)
        return encounter

    return inside(make)


def test_an_encounter_is_listed_shown_signed_and_erased(deployment: dict[str, Any]) -> None:
    encounter = encounter_with_note(deployment)
    organization = deployment["organization"]

    listed = succeed(osler("encounter", "list", "--org", organization)).out
    assert encounter.id in listed
    assert MARKER not in listed
    data = answer("encounter", "list", "--org", organization, "--state", "open", "--limit", "5")
    assert [each["encounter_id"] for each in data["encounters"]] == [encounter.id]
    assert data["total_count"] == 1
    assert MARKER not in json.dumps(data)
    assert MARKER in succeed(osler("encounter", "list", "--org", organization, "--show-patient")).out

    shown = answer("encounter", "show", encounter.id)
    assert shown["state"] == "open"
    assert shown["note"]["status"] == "created"
    assert (shown["recordings"], shown["transcript_version"], shown["released"]) == ([], None, [])
    assert MARKER not in json.dumps(shown)
    with_content = answer("encounter", "show", encounter.id, "--content")["content"]
    assert with_content["note"] == with_content["patient"]["name"] == MARKER

    refused = osler("encounter", "sign", encounter.id, "--user", new_id())
    assert refused.is_one_clear_line()
    assert answer("encounter", "sign", encounter.id, "--user", deployment["user"])["state"] == "signed"

    without_yes = osler("encounter", "erase", encounter.id)
    assert without_yes.code == 2
    audio_only = answer("encounter", "erase", encounter.id, "--audio-only", "--yes")
    assert audio_only["scope"] == "audio"
    assert answer("encounter", "show", encounter.id, "--content")["content"]["note"] == MARKER
    erased = succeed(osler("encounter", "erase", encounter.id, "--org", organization, "--yes"))
    assert erased.out == f"The encounter {encounter.id} is erased for good.\n"
    tombstone = succeed(osler("encounter", "show", encounter.id, "--content")).out
    assert "erased" in tombstone
    assert MARKER not in tombstone
    assert len(answer("encounter", "list", "--org", organization, "--state", "erased")["encounters"]) == 1
    again = osler("encounter", "erase", encounter.id, "--yes")
    assert again.is_one_clear_line()
    assert "erased for good already" in again.err

    async def trail(core: Core) -> list[str]:
        return [entry.event.action for entry in reversed(await core.audit.list(organization))]

    actions = [action for action in inside(trail) if action.startswith(("encounter.", "encounters."))]
    assert actions == [
        "encounter.created",
        "encounters.disclosed",
        "encounter.read",
        "encounter.signed",
        "encounter.erased",
        "encounter.read",
        "encounter.erased",
        "encounter.read",
    ]
    seen = answer("audit", "disclosures", "--encounter", encounter.id)["disclosures"]
    assert [(each["action"], each["route"]) for each in seen] == [
        ("encounters.disclosed", "osler encounter list"),
        *[("encounter.read", "")] * 3,
    ]


def test_an_encounter_that_is_not_there_or_elsewhere_is_one_clear_line(deployment: dict[str, Any]) -> None:
    encounter = encounter_with_note(deployment)
    elsewhere = answer("org", "create", "Elsewhere")["organization_id"]
    for args in (
        ("show", "123"),
        ("show", encounter.id, "--org", elsewhere),
        ("erase", encounter.id, "--org", elsewhere, "--yes"),
        ("list", "--org", new_id()),
    ):
        done = osler("encounter", *args)
        assert done.code == exits.CODES[NotFoundError]
        assert done.is_one_clear_line(), done.err
        assert done.out == ""


def test_a_checklist_is_shown_with_its_words_and_leaves_a_trace(deployment: dict[str, Any]) -> None:
    encounter = encounter_with_note(deployment)
    refused = osler("encounter", "checklist", encounter.id)
    assert refused.code == exits.CODES[NotFoundError] and MARKER not in refused.err

    words = Evidence(0, 0, len(MARKER), MARKER, 61.2, 63.0)
    items = tuple(
        ChecklistItem(name, name is ChecklistName.ALLERGIES, (words,) if name is ChecklistName.ALLERGIES else ())
        for name in ChecklistName
    )

    async def keep(core: Core) -> str:
        owned: dict[str, Any] = {"organization_id": encounter.organization_id, "encounter_id": encounter.id}
        recording = await core.audio.start_recording(DOCTOR, encounter.organization_id, encounter.id)
        version = TranscriptVersion(
            new_id(),
            **owned,
            recording_id=recording.id,
            version=1,
            created_at=core.clock.now(),
            transcript=Transcript((Turn("patient", MARKER),)),
        )
        async with core.database.write() as transaction:
            await SqlTranscriptRepository(SealedRows(core.keyring, core.clock)).add(transaction, version)
            stored = await core.checklists.store(transaction, version, ReadItems(items, EngineRecord("by hand", "1")))
        return stored.id

    checklist_id = inside(keep)
    shown = succeed(osler("encounter", "checklist", encounter.id)).out.splitlines()
    assert [line.split("  ")[0] for line in shown if not line.startswith(" ")] == [
        name.value.replace("_", " ") for name in ChecklistName
    ]
    assert f"turn 0, 61 s: “{MARKER}”" in shown[3]
    told = answer("encounter", "checklist", encounter.id)
    assert told["checklist_id"] == checklist_id
    assert [(item["name"], item["found"]) for item in told["items"] if item["found"]] == [("allergies", True)]
    assert told["items"][2]["evidence"][0]["quote"] == MARKER
    entries = answer("audit", "list", "--encounter", encounter.id)["entries"]
    assert [entry["action"] for entry in entries].count("checklist.read") == 2
