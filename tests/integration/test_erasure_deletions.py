"""What a client deletes or takes back stays gone whatever happens: patient profiles, context documents, consent."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from osler.encounters.model import ErasureReason, ErasureScope
from osler.kernel.errors import BlobsUnavailableError, ConsentRequiredError, NotFoundError
from osler.storage.database import SqlDatabase
from osler.storage.database_url import SqliteLocation
from osler.storage.tables.encounters import context_documents, patient_profiles
from osler.storage.tables.erasures import erasures
from osler.storage.tables.sealing import object_keys
from tests.encounters_lab import DOCTOR, MARKER, EncountersLab, HandClock
from tests.older_state import OlderState

pytestmark = pytest.mark.anyio
MASTER = b"0123456789abcdef0123456789abcdef"


class Crash(BaseException):
    """The process ends here."""


@pytest.fixture
async def lab(database: SqlDatabase, tmp_path: Path) -> EncountersLab:
    return await EncountersLab.open(database, tmp_path, master=MASTER)


async def started_anew(lab: EncountersLab) -> EncountersLab:
    return await EncountersLab.open(lab.database, lab.folder, lab.clock, MASTER)


def older_state(lab: EncountersLab) -> OlderState:
    return OlderState(lab.database, lab.folder / "blobs", lab.folder / "older")


async def keys(lab: EncountersLab, ids: Sequence[str]) -> list[bytes | None]:
    async with lab.database.read() as transaction:
        query = select(object_keys.c.wrapped).where(object_keys.c.id.in_(ids))
        return list(await transaction.connection.scalars(query))


async def columns(lab: EncountersLab, table: Any, row_id: str, *names: str) -> list[Any]:
    async with lab.database.read() as transaction:
        row = (await transaction.connection.execute(select(table).where(table.c.id == row_id))).one()
        return [getattr(row, name) for name in names]


async def unfinished(lab: EncountersLab) -> int:
    async with lab.database.read() as transaction:
        rows = await transaction.connection.execute(select(erasures.c.id).where(erasures.c.finished_at.is_(None)))
        return len(rows.all())


def files_with(lab: EncountersLab, *texts: bytes) -> list[str]:
    """Return the names of the database's files that hold any of these bytes; of SQLite, of which we see them."""
    location = lab.database.location
    if not isinstance(location, SqliteLocation):
        return []
    found = {path.name: path.read_bytes() for path in location.path.parent.iterdir()}
    return [name for name, content in found.items() if any(text in content for text in texts)]


async def test_a_deleted_profile_leaves_no_trace_and_is_gone_again_after_an_older_state_is_restored(
    lab: EncountersLab,
) -> None:
    organization = await lab.organization()
    user = await lab.user(organization)
    deleted, kept = [
        await lab.profiles.create(DOCTOR, organization.id, user.id, first_name=MARKER, ehr_patient_id=MARKER)
        for _ in range(2)
    ]
    made = await lab.encounters.create(DOCTOR, organization.id, user.id, patient_profile_id=deleted.id)
    key_id, sealed = await columns(lab, patient_profiles, deleted.id, "key_id", "sealed")
    [wrapped] = await keys(lab, [key_id])
    assert wrapped is not None
    if lab.database.is_sqlite:
        assert files_with(lab, wrapped) and files_with(lab, sealed)
    older = older_state(lab)
    await older.take()
    assert await lab.profiles.delete_many(DOCTOR, organization.id, [deleted.id]) == ((deleted.id,), ())
    assert files_with(lab, wrapped, sealed) == []
    assert await unfinished(lab) == 0

    await older.put_back()
    lab = await started_anew(lab)
    assert await lab.profiles.get(organization.id, deleted.id) == deleted, "the older state is back"
    assert await lab.erasure.apply_ledger() == 1
    with pytest.raises(NotFoundError):
        await lab.profiles.get(organization.id, deleted.id)
    assert await keys(lab, [key_id]) == [None]
    assert files_with(lab, wrapped, sealed) == []
    encounter = await lab.encounters.get(organization.id, made.id)
    assert encounter.patient_profile_id is None and encounter.patient == made.patient
    assert await lab.profiles.get(organization.id, kept.id) == kept
    [entry] = [e for e in await lab.audit.list(organization.id) if e.event.action == "patient_profile.deleted"]
    assert entry.event.detail["again"] == "true"
    assert entry.event.subject["patient_profile"] == deleted.id
    assert await lab.erasure.apply_ledger() == 0
    assert MARKER not in "".join(path.read_text() for path in (lab.folder / "erasures").iterdir())


@pytest.mark.parametrize("phase", ["after the ledger", "before the commit", "after the commit"])
async def test_a_crash_while_profiles_are_deleted_is_finished_at_the_next_start(lab: EncountersLab, phase: str) -> None:
    organization = await lab.organization()
    user = await lab.user(organization)
    ids = [(await lab.profiles.create(DOCTOR, organization.id, user.id, first_name=MARKER)).id for _ in range(2)]

    async def crash(*_: Any, **__: Any) -> Any:
        raise Crash

    if phase == "after the ledger":
        lab.eraser.destroy = crash  # type: ignore[method-assign]
    elif phase == "before the commit":
        lab.audit.append = crash  # type: ignore[method-assign]
    else:
        lab.eraser.erase_traces = crash  # type: ignore[method-assign]
    with pytest.raises(Crash):
        await lab.profiles.delete_many(DOCTOR, organization.id, ids)
    lab = await started_anew(lab)
    assert await lab.erasure.apply_ledger() == (0 if phase == "after the commit" else 2)
    assert await lab.profiles.count(organization.id) == 0
    assert await unfinished(lab) == 0
    actions = [e.event.action for e in await lab.audit.list(organization.id)]
    assert actions.count("patient_profile.deleted") == 2


async def test_no_profile_is_deleted_if_the_ledger_cannot_be_written(lab: EncountersLab) -> None:
    organization = await lab.organization()
    profile = await lab.profiles.create(DOCTOR, organization.id, (await lab.user(organization)).id)

    async def away(_: object) -> None:
        raise BlobsUnavailableError("away")

    lab.ledger.append = away  # type: ignore[method-assign, assignment]
    with pytest.raises(BlobsUnavailableError):
        await lab.profiles.delete_many(DOCTOR, organization.id, [profile.id])
    assert await lab.profiles.get(organization.id, profile.id) == profile


async def test_a_stranger_leaves_no_line_in_the_ledger(lab: EncountersLab) -> None:
    organization = await lab.organization()
    profile = await lab.profiles.create(DOCTOR, organization.id, (await lab.user(organization)).id)
    elsewhere = await lab.organization()
    assert await lab.profiles.delete_many(DOCTOR, elsewhere.id, [profile.id]) == ((), (profile.id,))
    assert await lab.ledger.ids() == []


async def test_a_context_document_that_was_announced_is_deleted_with_its_file_and_stays_so(lab: EncountersLab) -> None:
    organization = await lab.organization()
    made = await lab.full(organization, await lab.user(organization))
    document, encounter_id = made.context, made.encounter.id
    key_ids = await columns(lab, context_documents, document.id, "key_id", "blob_key_id")
    older = older_state(lab)
    await older.take()

    async def gone() -> None:
        async with lab.database.read() as transaction:
            assert await lab.context_rows.list(transaction, organization.id, encounter_id) == []
        assert await keys(lab, key_ids) == [None, None]
        assert made.segment.blob is not None
        assert lab.blob_files() == {made.segment.blob.id}
        assert await unfinished(lab) == 0

    [announced] = await lab.erasure.announce(organization.id, ErasureScope.CONTEXT_DOCUMENT, [document.id])
    async with lab.database.write() as transaction:
        assert await lab.erasure.carry_out(transaction, announced)
        assert not await lab.erasure.carry_out(transaction, announced)
    await lab.erasure.finish()
    await gone()
    await older.put_back()
    lab = await started_anew(lab)
    assert document.blob.id in lab.blob_files(), "the older state is back"
    assert await lab.erasure.apply_ledger() == 1
    await gone()
    encounter = await lab.encounters.get(organization.id, encounter_id)
    assert (encounter.audio_erased_at, encounter.state) == (None, made.encounter.state)


async def test_what_was_just_announced_is_left_to_whoever_announced_it(lab: EncountersLab) -> None:
    organization = await lab.organization()
    profile = await lab.profiles.create(DOCTOR, organization.id, (await lab.user(organization)).id)
    await lab.erasure.announce(organization.id, ErasureScope.PATIENT_PROFILE, [profile.id])
    assert await lab.erasure.apply_ledger(older_than=timedelta(minutes=10)) == 0
    assert await lab.profiles.count(organization.id) == 1
    assert isinstance(lab.clock, HandClock)
    lab.clock.pass_by(timedelta(minutes=11))
    assert await lab.erasure.apply_ledger(older_than=timedelta(minutes=10)) == 1
    assert await lab.profiles.count(organization.id) == 0


async def test_an_erasure_that_another_process_carried_out_meanwhile_is_answered_as_done(lab: EncountersLab) -> None:
    organization = await lab.organization()
    made = await lab.full(organization, await lab.user(organization))
    append = lab.ledger.append

    async def slowly(erasure: Any) -> None:
        await append(erasure)
        assert await (await started_anew(lab)).erasure.apply_ledger() == 1

    lab.ledger.append = slowly  # type: ignore[method-assign]
    await lab.erasure.erase(
        DOCTOR, organization.id, made.encounter.id, scope=ErasureScope.EVERYTHING, reason=ErasureReason.COMMAND
    )
    assert await lab.actions(organization.id, made.encounter.id) == ["encounter.created", "encounter.erased"]


async def test_a_withdrawal_of_consent_holds_after_a_restore_once_it_was_carried_out(lab: EncountersLab) -> None:
    organization = await lab.organization(consent_grace=timedelta(hours=1))
    made = await lab.full(organization, await lab.user(organization), consent_given=True)
    encounter_id = made.encounter.id
    older = older_state(lab)
    await older.take()
    await lab.encounters.change(DOCTOR, organization.id, encounter_id, {"consent_given": False})
    assert isinstance(lab.clock, HandClock)
    lab.clock.pass_by(timedelta(hours=2))
    assert await lab.erasure.run_policies(lab.clock.now()) == 1
    await older.put_back()
    lab = await started_anew(lab)
    assert await lab.erasure.apply_ledger() == 1
    assert lab.blob_files() == set()
    assert (await lab.encounters.get(organization.id, encounter_id)).consent.withdrawn
    with pytest.raises(ConsentRequiredError):
        async with lab.database.write() as transaction:
            await lab.encounters.audio_allowed(transaction, organization.id, encounter_id)


async def test_a_withdrawal_that_a_restore_forgot_erases_nothing_until_it_is_told_again(lab: EncountersLab) -> None:
    organization = await lab.organization(consent_grace=timedelta(hours=1))
    made = await lab.full(organization, await lab.user(organization), consent_given=True)
    older = older_state(lab)
    await older.take()
    await lab.encounters.change(DOCTOR, organization.id, made.encounter.id, {"consent_given": False})
    await older.put_back()
    lab = await started_anew(lab)
    assert isinstance(lab.clock, HandClock)
    lab.clock.pass_by(timedelta(hours=2))
    assert await lab.erasure.apply_ledger() == await lab.erasure.run_policies(lab.clock.now()) == 0
    assert lab.blob_files() == {blob.id for blob in made.blobs}
    await lab.encounters.change(DOCTOR, organization.id, made.encounter.id, {"consent_given": False})
    lab.clock.pass_by(timedelta(hours=2))
    assert await lab.erasure.run_policies(lab.clock.now()) == 1
    assert lab.blob_files() == set()
