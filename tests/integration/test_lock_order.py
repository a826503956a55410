"""Writers that want the same rows at once wait for each other, and never crosswise: PostgreSQL would end one of them.

Each test holds two writers at the places where they would meet crosswise; on SQLite one comes after the other anyway.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from osler.audit.model import AuditEvent
from osler.encounters.context import ContextDocumentService
from osler.encounters.model import Encounter
from osler.kernel.errors import NotFoundError
from osler.storage.database import SqlDatabase
from osler.storage.tables.notes import notes
from osler.workflows.inline import InlineEngine
from tests.encounters_lab import DOCTOR, EncountersLab

pytestmark = pytest.mark.anyio

MEANWHILE = 0.5
"""Seconds in which one writer lets another come as far as it can: that one either arrives, or waits for a row."""


@pytest.fixture
async def lab(database: SqlDatabase, tmp_path: Path) -> EncountersLab:
    return await EncountersLab.open(database, tmp_path)


def context_of(lab: EncountersLab) -> ContextDocumentService:
    return ContextDocumentService(
        database=lab.database,
        documents=lab.context_rows,
        encounters=lab.encounters,
        erasure=lab.erasure,
        vault=lab.vault,
        queue=InlineEngine(lab.database, lab.job_rows, lab.clock),
        audit=lab.audit,
        clock=lab.clock,
    )


async def come_as_far(event: asyncio.Event) -> None:
    """Wait until another writer has come so far, or for as long as shows that it cannot."""
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), MEANWHILE)


def after(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, then: Callable[..., Awaitable[None]]) -> None:
    """Have ``then`` awaited with the arguments of a method of ``owner`` whenever that has done its work."""
    method = getattr(owner, name)

    async def wrapped(*arguments: Any, **more: Any) -> Any:
        result = await method(*arguments, **more)
        await then(*arguments)
        return result

    monkeypatch.setattr(owner, name, wrapped)


async def test_a_document_is_deleted_while_what_its_encounter_is_written_from_is_changed(
    lab: EncountersLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    organization = await lab.organization()
    full = await lab.full(organization, await lab.user(organization))
    context, deleted, changing = context_of(lab), asyncio.Event(), asyncio.Event()

    async def is_deleted(*_: Any) -> None:
        deleted.set()

    async def mark(transaction: Any, _before: Encounter, now: Encounter) -> None:
        # By now the head of the audit trail is held, which the deletion needs too.
        changing.set()
        await come_as_far(deleted)
        await lab.note_rows.mark_all_stale(transaction, organization.id, now.id)

    async def delete() -> None:
        await changing.wait()
        await context.delete(DOCTOR, organization.id, full.encounter.id, [full.context.id])

    after(monkeypatch, lab.erasure, "carry_out", is_deleted)
    change = lab.encounters.change(
        DOCTOR, organization.id, full.encounter.id, {"clinician_notes": ["Seen."]}, finish=mark
    )
    await asyncio.gather(change, delete())
    with pytest.raises(NotFoundError):
        await context.get(organization.id, full.encounter.id, full.context.id)
    async with lab.database.read() as transaction:
        query = select(notes.c.stale).where(notes.c.id == full.unsigned_note.id)
        assert (await transaction.connection.execute(query)).scalar_one() is True


async def test_profiles_are_deleted_while_an_encounter_of_the_last_one_is_changed(
    lab: EncountersLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    organization = await lab.organization()
    user = await lab.user(organization)
    profiles = [await lab.profiles.create(DOCTOR, organization.id, user.id, first_name=name) for name in "AB"]
    last = max(profile.id for profile in profiles)
    encounter = await lab.encounters.create(DOCTOR, organization.id, user.id, patient_profile_id=last)
    told, held = asyncio.Event(), asyncio.Event()

    async def goes_on(_transaction: Any, events: Sequence[AuditEvent]) -> None:
        if events[0].action == "patient_profile.deleted":
            told.set()
            await come_as_far(held)

    async def is_held(*_: Any) -> None:
        if told.is_set():
            held.set()

    async def change() -> None:
        await told.wait()
        await lab.encounters.change(DOCTOR, organization.id, encounter.id, {"name": "Later"})

    after(monkeypatch, lab.audit, "append", goes_on)
    after(monkeypatch, lab.encounter_rows, "lock", is_held)
    (deleted, missing), _ = await asyncio.gather(
        lab.profiles.delete_many(DOCTOR, organization.id, [profile.id for profile in profiles]), change()
    )
    assert len(deleted) == 2 and not missing
    changed = await lab.encounters.get(organization.id, encounter.id)
    assert (changed.name, changed.patient_profile_id) == ("Later", None)


async def test_profiles_are_deleted_while_an_encounter_of_one_is_linked_to_the_other(
    lab: EncountersLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    organization = await lab.organization()
    user = await lab.user(organization)
    made = [await lab.profiles.create(DOCTOR, organization.id, user.id, first_name=name) for name in "AB"]
    first, last = sorted(profile.id for profile in made)
    encounter = await lab.encounters.create(DOCTOR, organization.id, user.id, patient_profile_id=first)
    linking, unlinked = asyncio.Event(), asyncio.Event()

    async def is_locked(_transaction: Any, _organization_id: str, profile_id: str) -> None:
        if profile_id == last and not linking.is_set():
            linking.set()
            await come_as_far(unlinked)

    async def is_unlinked(*_: Any) -> None:
        unlinked.set()

    async def delete() -> tuple[tuple[str, ...], tuple[str, ...]]:
        await linking.wait()
        return await lab.profiles.delete_many(DOCTOR, organization.id, [first, last])

    after(monkeypatch, lab.profile_rows, "lock", is_locked)
    after(monkeypatch, lab.encounter_rows, "unlink_profile", is_unlinked)
    _, (deleted, _) = await asyncio.gather(
        lab.encounters.change(DOCTOR, organization.id, encounter.id, {"patient_profile_id": last}), delete()
    )
    assert set(deleted) == {first, last}
    assert (await lab.encounters.get(organization.id, encounter.id)).patient_profile_id is None
