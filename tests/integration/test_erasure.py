"""What is erased is gone for good: from rows, blobs, files and lists; what is signed stays where the scope says so."""

import asyncio
import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Table, select, update

from osler.audio.model import RecordingState, SegmentStatus
from osler.audit.model import SYSTEM
from osler.encounters import erasure as erasure_module
from osler.encounters.model import EncounterState, ErasureReason, ErasureScope
from osler.kernel.errors import BlobsUnavailableError, CorruptedError, ErasedError, NotFoundError
from osler.kernel.ids import new_id
from osler.kernel.jobs import JobFilter, JobState
from osler.storage.database import SqlDatabase
from osler.storage.database_url import SqliteLocation
from osler.storage.tables import metadata
from osler.storage.tables.encounters import encounters
from osler.storage.tables.sealing import object_keys
from tests.encounters_lab import DOCTOR, MARKER, EncountersLab, FullEncounter, HandClock

pytestmark = pytest.mark.anyio


@pytest.fixture
async def lab(database: SqlDatabase, tmp_path: Path) -> EncountersLab:
    return await EncountersLab.open(database, tmp_path)


async def full(lab: EncountersLab, **fields: Any) -> FullEncounter:
    organization = await lab.organization(consent_grace=timedelta(hours=1))
    return await lab.full(organization, await lab.user(organization), **fields)


async def erase(lab: EncountersLab, made: FullEncounter, scope: ErasureScope) -> None:
    await lab.erasure.erase(
        DOCTOR, made.encounter.organization_id, made.encounter.id, scope=scope, reason=ErasureReason.COMMAND
    )


async def rows_below(lab: EncountersLab, encounter_id: str) -> dict[str, list[dict[str, Any]]]:
    """Return every row of every table that names the encounter."""
    found: dict[str, list[dict[str, Any]]] = {}
    async with lab.database.read() as transaction:
        for table in metadata.tables.values():
            column = table.c.id if table.name == "encounters" else table.c.get("encounter_id")
            if column is None or table.name in ("audit_entries", "erasures"):
                continue
            rows = await transaction.connection.execute(select(table).where(column == encounter_id))
            found[table.name] = [dict(row._mapping) for row in rows]
    return found


async def wrapped_keys(lab: EncountersLab) -> dict[str, bytes | None]:
    async with lab.database.read() as transaction:
        rows = await transaction.connection.execute(select(object_keys.c.id, object_keys.c.wrapped))
        return {row.id: row.wrapped for row in rows}


def keys_of(rows: dict[str, list[dict[str, Any]]]) -> set[str]:
    return {
        row[name]
        for each in rows.values()
        for row in each
        for name in ("key_id", "blob_key_id")
        if row.get(name) is not None
    }


async def test_everything_leaves_a_tombstone_and_no_key(lab: EncountersLab) -> None:
    made = await full(lab)
    organization_id, encounter_id = made.encounter.organization_id, made.encounter.id
    before = await rows_below(lab, encounter_id)
    assert all(before.values()), "the test must have something in every table that names an encounter"
    assert len(keys_of(before)) == 14
    await erase(lab, made, ErasureScope.EVERYTHING)

    after = await rows_below(lab, encounter_id)
    assert after["released_documents"] == after["context_documents"] == []
    assert all(row.get("sealed") is None for rows in after.values() for row in rows)
    assert all(row["blob_id"] is None and row["blob_digest"] is None for row in after["segments"])
    keys = await wrapped_keys(lab)
    assert all(keys[key] is None for key in keys_of(before))
    assert lab.blob_files() == set()
    [row] = after["encounters"]
    assert row["ehr_patient_index"] is None
    assert (row["state"], row["audio_erased_at"]) == ("erased", row["erased_at"])
    assert {job["state"] for job in after["jobs"]} == {"failed"}
    assert {job["error"] for job in after["jobs"]} == {"erased"}
    assert await lab.actions(organization_id, encounter_id) == ["encounter.created", "encounter.erased"]
    async with lab.database.read() as transaction:
        assert await lab.transcript_rows.current(transaction, organization_id, encounter_id) is None
        assert await lab.release_rows.of_encounters(transaction, organization_id, [encounter_id]) == []
    with pytest.raises(ErasedError):
        await erase(lab, made, ErasureScope.AUDIO)


async def test_another_encounter_keeps_everything(lab: EncountersLab) -> None:
    organization = await lab.organization()
    user = await lab.user(organization)
    erased, kept = await lab.full(organization, user), await lab.full(organization, user)
    before, keys = await rows_below(lab, kept.encounter.id), await wrapped_keys(lab)
    await erase(lab, erased, ErasureScope.EVERYTHING)
    assert await rows_below(lab, kept.encounter.id) == before
    after = await wrapped_keys(lab)
    assert all(after[key] == keys[key] for key in keys_of(before))
    assert lab.blob_files() == {blob.id for blob in kept.blobs}
    assert await lab.encounters.get(organization.id, kept.encounter.id) == kept.encounter


async def test_audio_alone_goes_and_the_texts_stay(lab: EncountersLab) -> None:
    made = await full(lab)
    organization_id, encounter_id = made.encounter.organization_id, made.encounter.id
    await erase(lab, made, ErasureScope.AUDIO)
    encounter = await lab.encounters.get(organization_id, encounter_id)
    assert encounter.audio_erased_at is not None
    assert encounter.state is EncounterState.COMPLETED, "no transcript is awaited any more, and the note is written"
    assert (
        replace(
            encounter, state=EncounterState.OPEN, audio_erased_at=None, updated_at=made.encounter.updated_at, revision=1
        )
        == made.encounter
    )
    async with lab.database.read() as transaction:
        recording = await lab.recording_rows.get(transaction, organization_id, made.recording.id)
        [segment] = await lab.recording_rows.segments(transaction, organization_id, made.recording.id)
        assert recording.state is RecordingState.ERASED
        assert (segment.blob, segment.status, segment.failure) == (None, SegmentStatus.FAILED, "erased")
        assert await lab.transcript_rows.current(transaction, organization_id, encounter_id) == made.transcript
        assert await lab.note_rows.current(transaction, organization_id, encounter_id) == made.unsigned_note
        assert len(await lab.release_rows.of_encounters(transaction, organization_id, [encounter_id])) == 6
        jobs = await lab.job_rows.list(transaction, JobFilter(encounter_id=encounter_id))
        context = await lab.context_rows.get(transaction, organization_id, encounter_id, made.context.id)
    assert {job.kind.value: job.state for job in jobs} == {
        "transcribe_recording": JobState.FAILED,
        "write_note": JobState.QUEUED,
    }
    assert context == made.context
    assert lab.blob_files() == {made.context.blob.id}


async def withdraw(lab: EncountersLab, made: FullEncounter) -> None:
    for answer in (True, False):
        await lab.encounters.change(
            DOCTOR, made.encounter.organization_id, made.encounter.id, {"consent_given": answer}
        )


async def assert_only_signed_is_left(lab: EncountersLab, made: FullEncounter) -> None:
    organization_id, encounter_id = made.encounter.organization_id, made.encounter.id
    encounter = await lab.encounters.get(organization_id, encounter_id)
    assert encounter.patient is not None
    assert encounter.patient == made.encounter.patient
    assert encounter.clinician_notes == ()
    assert encounter.consent.withdrawn
    assert encounter.consent.erase_at is None
    async with lab.database.read() as transaction:
        notes = await lab.note_rows.versions(transaction, organization_id, encounter_id)
        documents = await lab.document_rows.list(transaction, organization_id, encounter_id)
        assert await lab.transcript_rows.current(transaction, organization_id, encounter_id) is None
        assert await lab.document_rows.answers(transaction, organization_id, encounter_id) == []
        assert await lab.context_rows.list(transaction, organization_id, encounter_id) == []
        released = await lab.release_rows.of_encounters(transaction, organization_id, [encounter_id])
    assert [note.content is not None for note in notes] == [True, False]
    assert notes[0] == made.signed_note
    assert [document.content is not None for document in documents] == [True, False]
    assert documents[0] == made.signed_document
    assert {document.slot: document.source_id for document in released} == {
        "note": made.signed_note.id,
        f"document:{made.signed_document.id}": made.signed_document.id,
    }
    rows = await rows_below(lab, encounter_id)
    for table in ("transcripts", "segment_transcripts", "checklists", "form_answers", "code_sets"):
        assert [row["sealed"] for row in rows[table]] == [None]
    assert lab.blob_files() == set()


async def test_a_withdrawal_of_consent_leaves_what_is_signed(database: SqlDatabase, tmp_path: Path) -> None:
    clock = HandClock()
    lab = await EncountersLab.open(database, tmp_path, clock)
    made = await full(lab)
    before = await wrapped_keys(lab)
    await withdraw(lab, made)
    assert await lab.erasure.run_policies(clock.now()) == 0
    clock.pass_by(timedelta(hours=1))
    assert await lab.erasure.run_policies(clock.now()) == 1
    await assert_only_signed_is_left(lab, made)
    assert await lab.erasure.run_policies(clock.now()) == 0
    after = await wrapped_keys(lab)
    # Of the fourteen keys those of the two signed texts are left; the encounter has a new one.
    destroyed = [key for key in before if before[key] is not None and after[key] is None]
    assert len(destroyed) == 12
    [event] = [
        entry.event
        for entry in await lab.audit.list(made.encounter.organization_id)
        if entry.event.action == "encounter.erased"
    ]
    assert event.actor == SYSTEM
    assert event.detail == {"scope": "audio and unsigned texts", "reason": "consent withdrawn"}


async def test_retention_erases_old_audio_once_and_only_where_it_is_asked_for(
    database: SqlDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasure_module, "BATCH", 2)
    clock = HandClock()
    lab = await EncountersLab.open(database, tmp_path, clock)
    keeping, other = await lab.organization(retention_days=30), await lab.organization()
    old = [await lab.full(keeping, await lab.user(keeping)) for _ in range(5)]
    without_audio = await lab.encounters.create(DOCTOR, keeping.id, old[0].encounter.owner_id)
    elsewhere = await lab.full(other, await lab.user(other))
    clock.pass_by(timedelta(days=29))
    young = await lab.full(keeping, await lab.user(keeping))
    assert await lab.erasure.run_policies(clock.now()) == 0
    clock.pass_by(timedelta(days=2))
    assert await lab.erasure.run_policies(clock.now()) == 5
    assert await lab.erasure.run_policies(clock.now()) == 0
    left = {blob.id for made in (young, elsewhere) for blob in made.blobs} | {made.context.blob.id for made in old}
    assert lab.blob_files() == left
    assert (await lab.encounters.get(keeping.id, without_audio.id)).audio_erased_at is None
    assert await lab.actions(keeping.id, old[0].encounter.id) == ["encounter.created", "encounter.erased"]
    # Audio that comes late to an old encounter is kept as long as any other, and then not forgotten.
    _, late = await lab.add_audio(old[0].encounter, index=1)
    assert await lab.erasure.run_policies(clock.now()) == 0
    clock.pass_by(timedelta(days=26))
    assert late.blob is not None and late.blob.id in lab.blob_files()
    assert await lab.erasure.run_policies(clock.now()) == 0
    clock.pass_by(timedelta(days=5))
    assert await lab.erasure.run_policies(clock.now()) == 2, "the late audio, and the young encounter's"
    assert lab.blob_files() == left - {young.segment.blob.id if young.segment.blob else ""}


async def test_audio_that_comes_while_retention_is_at_work_is_kept(
    database: SqlDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = HandClock()
    lab = await EncountersLab.open(database, tmp_path, clock)
    organization = await lab.organization(retention_days=30)
    made = await lab.full(organization, await lab.user(organization))
    clock.pass_by(timedelta(days=31))
    append = lab.ledger.append
    fresh: list[str] = []

    async def slow(erasure: Any) -> None:
        await append(erasure)
        _, segment = await lab.add_audio(made.encounter, index=1)
        fresh.extend([segment.blob.id] if segment.blob else [])

    monkeypatch.setattr(lab.ledger, "append", slow)
    assert await lab.erasure.run_policies(clock.now()) == 1
    assert lab.blob_files() == {*fresh, made.context.blob.id}


@pytest.mark.parametrize("damage", ["content", "key"])
async def test_what_no_key_opens_any_more_keeps_nothing_else_from_being_erased(
    database: SqlDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    monkeypatch.setattr(erasure_module, "BATCH", 1)
    clock = HandClock()
    lab = await EncountersLab.open(database, tmp_path, clock)
    organization = await lab.organization(consent_grace=timedelta(0), retention_days=30)
    user = await lab.user(organization)
    damaged, sound = [await lab.full(organization, user) for _ in range(2)], await lab.full(organization, user)
    for made in (*damaged, sound):
        await withdraw(lab, made)
    ids = [made.encounter.id for made in damaged]
    keys = select(encounters.c.key_id).where(encounters.c.id.in_(ids))
    noise = {"content": update(encounters).where(encounters.c.id.in_(ids)).values(sealed=os.urandom(60))}
    noise["key"] = update(object_keys).where(object_keys.c.id.in_(keys)).values(wrapped=os.urandom(60))
    async with lab.database.write() as transaction:
        await transaction.connection.execute(noise[damage])
    assert await lab.erasure.run_policies(clock.now()) == 1
    await assert_only_signed_is_left_in_rows(lab, sound)


async def test_one_encounter_that_cannot_be_erased_does_not_keep_the_others(
    database: SqlDatabase, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = HandClock()
    lab = await EncountersLab.open(database, tmp_path, clock)
    organization = await lab.organization(consent_grace=timedelta(0))
    user = await lab.user(organization)
    damaged, sound = await lab.full(organization, user), await lab.full(organization, user)
    for made in (damaged, sound):
        await withdraw(lab, made)
    destroy = lab.eraser.destroy

    async def failing(transaction: Any, erasure: Any, **options: Any) -> bool:
        if erasure.subject_id == damaged.encounter.id:
            raise CorruptedError("damaged")
        return await destroy(transaction, erasure, **options)

    lab.eraser.destroy = failing  # type: ignore[method-assign]
    assert await lab.erasure.run_policies(clock.now()) == 1
    await assert_only_signed_is_left_in_rows(lab, sound)
    assert [record.getMessage() for record in caplog.records] == [
        f"encounter {damaged.encounter.id} cannot be erased: CorruptedError"
    ]
    lab.eraser.destroy = destroy  # type: ignore[method-assign]
    assert await lab.erasure.run_policies(clock.now()) == 1


async def assert_only_signed_is_left_in_rows(lab: EncountersLab, made: FullEncounter) -> None:
    rows = await rows_below(lab, made.encounter.id)
    assert [row["sealed"] is None for row in rows["notes"]] == [False, True]


async def test_nothing_is_erased_if_the_ledger_cannot_be_written(lab: EncountersLab) -> None:
    made = await full(lab)
    before = await rows_below(lab, made.encounter.id)

    class FullLedger:
        async def append(self, erasure: object) -> None:
            raise BlobsUnavailableError("no")

    lab.erasure._ledger = FullLedger()  # type: ignore[assignment]
    with pytest.raises(BlobsUnavailableError):
        await erase(lab, made, ErasureScope.EVERYTHING)
    assert await rows_below(lab, made.encounter.id) == before
    assert lab.blob_files() == {blob.id for blob in made.blobs}


async def test_an_unknown_encounter_cannot_be_erased_and_leaves_no_line_in_the_ledger(lab: EncountersLab) -> None:
    made = await full(lab)
    elsewhere = await lab.organization()
    with pytest.raises(NotFoundError):
        await lab.erasure.erase(
            DOCTOR,
            elsewhere.id,
            made.encounter.id,
            scope=ErasureScope.EVERYTHING,
            reason=ErasureReason.COMMAND,
        )
    assert await lab.ledger.ids() == []


async def test_audio_that_arrives_while_an_encounter_is_erased_is_refused_or_erased_with_it(lab: EncountersLab) -> None:
    made = await full(lab)
    organization_id, encounter_id = made.encounter.organization_id, made.encounter.id

    async def send(index: int) -> bool:
        await asyncio.sleep(index * 0.004)
        blob = await lab.store(organization_id, MARKER.encode())
        segment = replace(made.segment, id=new_id(), index=index, blob=blob, received_at=lab.clock.now())
        try:
            async with lab.database.write() as transaction:
                await lab.encounters.audio_allowed(transaction, organization_id, encounter_id)
                await lab.recording_rows.add_segment(transaction, segment)
        except ErasedError:
            return False
        return True

    async def erase_soon() -> None:
        await asyncio.sleep(0.04)
        await erase(lab, made, ErasureScope.EVERYTHING)

    assert await send(1)
    taken = (await asyncio.gather(erase_soon(), *(send(index) for index in range(2, 42))))[1:]
    assert not await send(42)
    rows = await rows_below(lab, encounter_id)
    assert len(rows["segments"]) == 2 + taken.count(True)
    assert all(row["blob_id"] is None for row in rows["segments"])
    assert await lab.erasure.sweep_orphan_blobs(timedelta(days=-36500)) == taken.count(False) + 1
    assert lab.blob_files() == set()


@pytest.mark.parametrize("scope", [ErasureScope.EVERYTHING, ErasureScope.AUDIO_AND_UNSIGNED])
async def test_no_file_of_the_database_holds_what_was_erased(
    sqlite_url: str, tmp_path: Path, anyio_backend: str, scope: ErasureScope
) -> None:
    database = SqlDatabase(sqlite_url)
    try:
        lab = await EncountersLab.open(database, tmp_path)
        made = await full(lab)
        rows, keys = await rows_below(lab, made.encounter.id), await wrapped_keys(lab)
        kept = {made.signed_note.id, made.signed_document.id} if scope is not ErasureScope.EVERYTHING else set()
        gone = [row for each in rows.values() for row in each if row.get("id") not in kept]
        secrets = [bytes(row["sealed"]) for row in gone if row.get("sealed")]
        secrets += [bytes(keys[row["key_id"]] or b"?") for row in gone if row.get("key_id")]
        secrets += [bytes(keys[row["blob_key_id"]] or b"?") for row in gone if row.get("blob_key_id")]
        if scope is ErasureScope.EVERYTHING:
            secrets += [row["ehr_patient_index"] for row in rows["encounters"]]
        location = database.location
        assert isinstance(location, SqliteLocation)
        folder = location.path.parent

        def everything_on_disk() -> bytes:
            return b"".join(path.read_bytes() for path in sorted(folder.iterdir()))

        held = everything_on_disk()
        assert len(secrets) >= 18
        assert all(secret in held for secret in secrets), "before the erasure they must be there"
        await erase(lab, made, scope)
        held = everything_on_disk()
        assert not [secret for secret in secrets if secret in held]
        assert MARKER.encode() not in held
        assert not any(MARKER.encode() in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    finally:
        await database.dispose()


async def test_objects_that_no_row_names_go_after_a_day_and_no_others(database: SqlDatabase, tmp_path: Path) -> None:
    clock = HandClock()
    lab = await EncountersLab.open(database, tmp_path, clock)
    made = await full(lab)
    orphan = await lab.store(made.encounter.organization_id, b"a crash came before the row")
    unfinished = lab.folder / "blobs" / "ab" / f"s{'ab' * 16}#1"
    unfinished.parent.mkdir(exist_ok=True)
    unfinished.write_bytes(b"half")
    for path in (lab.folder / "blobs").rglob("*"):
        written = clock.time.timestamp()
        os.utime(path, (written, written))
    clock.pass_by(timedelta(hours=23))
    assert await lab.erasure.sweep_orphan_blobs() == 0
    clock.pass_by(timedelta(hours=2))
    young = await lab.store(made.encounter.organization_id, b"on its way")
    now = clock.time.timestamp()
    os.utime(lab.folder / "blobs" / young.id[1:3] / young.id, (now, now))
    assert await lab.erasure.sweep_orphan_blobs() == 2
    assert orphan.id not in lab.blob_files()
    assert lab.blob_files() == {blob.id for blob in (*made.blobs, young)}


def test_every_table_that_seals_below_an_encounter_is_erased() -> None:
    """A table that is added later must be added to the erasure too."""
    from osler.storage.repositories.destruction import TEXTS

    def seals(table: Table) -> bool:
        return "encounter_id" in table.c and ("sealed" in table.c or "blob_id" in table.c)

    named = {table.name for table in metadata.tables.values() if seals(table)}
    apart = {"segments", "context_documents", "idempotent_requests", "released_documents"}
    assert named == {table.name for table in TEXTS} | apart
