"""Erasures outlive crashes and restored backups: the ledger outside the database brings them about again."""

import json
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from osler.encounters.model import EncounterState, Erasure, ErasureReason, ErasureScope
from osler.kernel.errors import BlobsUnavailableError, CorruptedError, DatabaseUnavailableError
from osler.kernel.ids import new_id
from osler.storage.blobs.s3 import S3Objects, S3Settings
from osler.storage.blobs.vault import SealedBlobVault
from osler.storage.database import SqlDatabase
from osler.storage.database_url import SqliteLocation
from osler.storage.erasure_ledger import StoredErasureLedger
from osler.storage.sealing.deployment import DeploymentSecret
from osler.storage.sealing.keys import KeyRing, MasterKey
from osler.storage.tables.erasures import erasures
from tests.encounters_lab import DOCTOR, MARKER, NOON, EncountersLab, FullEncounter, HandClock
from tests.servers.swift import SwiftServer

pytestmark = pytest.mark.anyio
MASTER = b"0123456789abcdef0123456789abcdef"


class Crash(BaseException):
    """The process ends here."""


async def crash(*_: Any, **__: Any) -> Any:
    raise Crash


@pytest.fixture
async def lab(database: SqlDatabase, tmp_path: Path) -> EncountersLab:
    return await EncountersLab.open(database, tmp_path, master=MASTER)


async def full(lab: EncountersLab) -> FullEncounter:
    organization = await lab.organization(consent_grace=timedelta(hours=1))
    return await lab.full(organization, await lab.user(organization))


async def erase(lab: EncountersLab, made: FullEncounter, scope: ErasureScope = ErasureScope.EVERYTHING) -> Erasure:
    return await lab.erasure.erase(
        DOCTOR, made.encounter.organization_id, made.encounter.id, scope=scope, reason=ErasureReason.COMMAND
    )


async def finished(lab: EncountersLab) -> list[bool]:
    async with lab.database.read() as transaction:
        rows = await transaction.connection.execute(select(erasures.c.finished_at, erasures.c.blob_ids))
        return [row.finished_at is not None and row.blob_ids == [] for row in rows]


Sabotage = Callable[[EncountersLab], None]


def after_the_ledger(lab: EncountersLab) -> None:
    lab.eraser.destroy = crash  # type: ignore[method-assign]


def before_the_commit(lab: EncountersLab) -> None:
    lab.audit.append = crash  # type: ignore[method-assign]


def after_the_commit(lab: EncountersLab) -> None:
    lab.vault.delete = crash  # type: ignore[method-assign]


def after_the_blobs(lab: EncountersLab) -> None:
    lab.eraser.erase_traces = crash  # type: ignore[method-assign]


def after_the_traces(lab: EncountersLab) -> None:
    lab.eraser.finish = crash  # type: ignore[method-assign]


@pytest.mark.parametrize("scope", [ErasureScope.EVERYTHING, ErasureScope.AUDIO])
@pytest.mark.parametrize(
    "sabotage", [after_the_ledger, before_the_commit, after_the_commit, after_the_blobs, after_the_traces]
)
async def test_a_crash_between_any_two_phases_is_finished_at_the_next_start(
    lab: EncountersLab, sabotage: Sabotage, scope: ErasureScope
) -> None:
    made = await full(lab)
    sabotage(lab)
    with pytest.raises(Crash):
        await erase(lab, made, scope)
    started = await EncountersLab.open(lab.database, lab.folder, lab.clock, MASTER)
    committed = sabotage not in (after_the_ledger, before_the_commit)
    assert await started.erasure.apply_ledger() == (0 if committed else 1)
    left = set() if scope is ErasureScope.EVERYTHING else {made.context.blob.id}
    assert started.blob_files() == left
    encounter = await started.encounters.get(made.encounter.organization_id, made.encounter.id)
    assert (encounter.state is EncounterState.ERASED) is (scope is ErasureScope.EVERYTHING)
    assert encounter.audio_erased_at is not None
    assert await finished(started) == [True]
    actions = await started.actions(made.encounter.organization_id, made.encounter.id)
    assert actions == ["encounter.created", "encounter.erased"]
    assert await started.erasure.apply_ledger() == 0


@pytest.mark.parametrize("failure", [BlobsUnavailableError, DatabaseUnavailableError])
async def test_traces_that_cannot_be_removed_now_are_removed_by_the_next_run(
    lab: EncountersLab, failure: type[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    made = await full(lab)

    async def failing(*_: Any) -> None:
        raise failure("not now")

    delete, traces = lab.vault.delete, lab.eraser.erase_traces
    if failure is BlobsUnavailableError:
        lab.vault.delete = failing  # type: ignore[method-assign, assignment]
    else:
        lab.eraser.erase_traces = failing  # type: ignore[method-assign]
    await erase(lab, made)
    assert [record.getMessage() for record in caplog.records] == [
        f"traces of an erasure are left to the next run: {failure.__name__}"
    ]
    assert await finished(lab) == [False]
    lab.vault.delete, lab.eraser.erase_traces = delete, traces  # type: ignore[method-assign]
    assert await lab.erasure.run_policies(lab.clock.now()) == 0
    assert lab.blob_files() == set()
    assert await finished(lab) == [True]


class Backup:
    """Copies of a SQLite file and of the blobs, taken while nothing runs; the ledger is not among them."""

    def __init__(self, database: SqlDatabase, lab: EncountersLab, place: Path) -> None:
        location = database.location
        assert isinstance(location, SqliteLocation)
        self.pairs = ((location.path.parent, place / "database"), (lab.folder / "blobs", place / "blobs"))

    def take(self) -> None:
        for source, copy in self.pairs:
            shutil.copytree(source, copy)

    def put_back(self) -> None:
        for source, copy in self.pairs:
            shutil.rmtree(source)
            shutil.copytree(copy, source)


@pytest.fixture
async def sqlite_database(anyio_backend: str, sqlite_url: str) -> AsyncIterator[SqlDatabase]:
    database = SqlDatabase(sqlite_url)
    yield database
    await database.dispose()


async def restored(
    database: SqlDatabase, tmp_path: Path, work: Callable[[EncountersLab, FullEncounter], Awaitable[object]]
) -> tuple[EncountersLab, FullEncounter]:
    """Do ``work`` after a backup, put the backup back, and start anew without having applied the ledger."""
    clock = HandClock()
    lab = await EncountersLab.open(database, tmp_path / "deployment", clock, MASTER)
    made = await full(lab)
    await database.dispose()
    backup = Backup(database, lab, tmp_path / "backup")
    backup.take()
    await work(lab, made)
    await database.dispose()
    backup.put_back()
    started = await EncountersLab.open(database, tmp_path / "deployment", clock, MASTER)
    encounter = await started.encounters.get(made.encounter.organization_id, made.encounter.id)
    assert encounter == made.encounter, "the older state is back"
    assert started.blob_files() == {blob.id for blob in made.blobs}
    return started, made


async def test_what_was_erased_is_gone_again_after_an_older_state_is_restored(
    sqlite_database: SqlDatabase, tmp_path: Path
) -> None:
    lab, made = await restored(sqlite_database, tmp_path, erase)
    organization_id, encounter_id = made.encounter.organization_id, made.encounter.id
    assert await lab.erasure.apply_ledger() == 1
    tombstone = await lab.encounters.get(organization_id, encounter_id)
    assert tombstone.state is EncounterState.ERASED
    assert tombstone.name is None
    assert lab.blob_files() == set()
    async with lab.database.read() as transaction:
        notes = await lab.note_rows.versions(transaction, organization_id, encounter_id)
    assert [note.content for note in notes] == [None, None]
    [entry] = [entry for entry in await lab.audit.list(organization_id) if entry.event.action == "encounter.erased"]
    assert entry.event.detail["again"] == "true"
    assert await lab.erasure.apply_ledger() == 0
    held = b"".join(path.read_bytes() for path in (tmp_path / "deployment").rglob("*") if path.is_file())
    assert MARKER.encode() not in held


async def test_what_was_signed_stays_after_an_older_state_is_restored(
    sqlite_database: SqlDatabase, tmp_path: Path
) -> None:
    async def withdraw(lab: EncountersLab, made: FullEncounter) -> None:
        organization_id, encounter_id = made.encounter.organization_id, made.encounter.id
        for answer in (True, False):
            await lab.encounters.change(DOCTOR, organization_id, encounter_id, {"consent_given": answer})
        # Signed after the backup was taken: unsigned in it, and yet to be kept.
        async with lab.database.write() as transaction:
            await lab.document_rows.save(
                transaction, replace(made.unsigned_document, signed_at=lab.clock.now(), signed_by="someone")
            )
        assert isinstance(lab.clock, HandClock)
        lab.clock.pass_by(timedelta(hours=2))
        assert await lab.erasure.run_policies(lab.clock.now()) == 1

    lab, made = await restored(sqlite_database, tmp_path, withdraw)
    organization_id, encounter_id = made.encounter.organization_id, made.encounter.id
    assert await lab.erasure.apply_ledger() == 1
    async with lab.database.read() as transaction:
        notes = await lab.note_rows.versions(transaction, organization_id, encounter_id)
        documents = await lab.document_rows.list(transaction, organization_id, encounter_id)
        assert await lab.transcript_rows.current(transaction, organization_id, encounter_id) is None
    assert [note.content is not None for note in notes] == [True, False]
    assert [document.content is not None for document in documents] == [True, True]
    assert lab.blob_files() == set()
    # The older state knows of no consent that could have been withdrawn, so none is taken back.
    assert (await lab.encounters.get(organization_id, encounter_id)).consent.given is None


async def test_a_restored_state_that_still_says_yes_learns_that_consent_was_withdrawn(
    sqlite_database: SqlDatabase, tmp_path: Path
) -> None:
    clock = HandClock()
    lab = await EncountersLab.open(sqlite_database, tmp_path / "deployment", clock, MASTER)
    made = await full(lab)
    organization_id, encounter_id = made.encounter.organization_id, made.encounter.id
    await lab.encounters.change(DOCTOR, organization_id, encounter_id, {"consent_given": True})
    await sqlite_database.dispose()
    backup = Backup(sqlite_database, lab, tmp_path / "backup")
    backup.take()
    await lab.encounters.change(DOCTOR, organization_id, encounter_id, {"consent_given": False})
    clock.pass_by(timedelta(hours=2))
    assert await lab.erasure.run_policies(clock.now()) == 1
    await sqlite_database.dispose()
    backup.put_back()
    assert await lab.erasure.apply_ledger() == 1
    assert (await lab.encounters.get(organization_id, encounter_id)).consent.withdrawn


async def test_an_older_state_without_the_encounter_is_no_obstacle(
    sqlite_database: SqlDatabase, tmp_path: Path
) -> None:
    later: list[FullEncounter] = []

    async def make_and_erase(lab: EncountersLab, _: FullEncounter) -> None:
        later.append(await full(lab))
        await erase(lab, later[0])

    lab, made = await restored(sqlite_database, tmp_path, make_and_erase)
    assert await lab.erasure.apply_ledger() == 0
    assert await lab.erasure.apply_ledger() == 0
    assert await lab.encounters.get(made.encounter.organization_id, made.encounter.id) == made.encounter


async def test_applied_late_it_spares_what_came_after_it(lab: EncountersLab) -> None:
    made = await full(lab)
    lab.eraser.destroy = crash  # type: ignore[method-assign]
    with pytest.raises(Crash):
        await erase(lab, made, ErasureScope.AUDIO)
    assert isinstance(lab.clock, HandClock)
    lab.clock.pass_by(timedelta(minutes=10))
    started = await EncountersLab.open(lab.database, lab.folder, lab.clock, MASTER)
    _, segment = await started.add_audio(made.encounter, index=1)
    assert await started.erasure.apply_ledger() == 1
    assert segment.blob is not None
    assert started.blob_files() == {segment.blob.id, made.context.blob.id}


class TestLedger:
    async def test_it_gives_back_what_was_written(self, lab: EncountersLab) -> None:
        made = await full(lab)
        first = await erase(lab, made, ErasureScope.AUDIO)
        second = await erase(lab, made, ErasureScope.AUDIO_AND_UNSIGNED)
        assert set(second.kept) == {made.signed_note.id, made.signed_document.id}
        assert await lab.ledger.all() == [first, second]
        assert set(await lab.ledger.ids()) == {first.id, second.id}

    async def test_it_names_no_patient_and_is_for_its_owner_alone(self, lab: EncountersLab) -> None:
        erasure = await erase(lab, await full(lab))
        [path] = (lab.folder / "erasures").iterdir()
        assert path.name == f"{erasure.id}.json"
        assert MARKER not in path.read_text()
        assert path.stat().st_mode & 0o077 == 0

    @pytest.mark.parametrize(
        "forgery", ["other encounter", "other scope", "kept", "no mac", "no json", "renamed", "cut"]
    )
    async def test_an_entry_that_osler_did_not_write_is_refused_and_the_others_are_applied(
        self, lab: EncountersLab, forgery: str
    ) -> None:
        made, spared = await full(lab), await full(lab)
        lab.eraser.destroy = crash  # type: ignore[method-assign]
        with pytest.raises(Crash):
            await erase(lab, made)
        [genuine] = (lab.folder / "erasures").iterdir()
        entry = json.loads(genuine.read_text())
        name = "0" * 24
        if forgery == "other encounter":
            entry["erasure"] |= {"id": name, "subject_id": spared.encounter.id}
        elif forgery == "other scope":
            entry["erasure"] |= {"id": name, "scope": "audio"}
        elif forgery == "kept":
            entry["erasure"] |= {"id": name, "kept": [made.signed_note.id]}
        elif forgery == "no mac":
            entry = {"erasure": {**entry["erasure"], "id": name}}
        text = "{" if forgery == "no json" else json.dumps(entry)
        forged = genuine.with_name(f"{name}.json")
        forged.write_text(text[: len(text) // 2] if forgery == "cut" else text)

        started = await EncountersLab.open(lab.database, lab.folder, lab.clock, MASTER)
        with pytest.raises(CorruptedError, match=f"entry {name} is damaged or was not written by this deployment"):
            await started.erasure.apply_ledger()
        organization_id = made.encounter.organization_id
        assert (await started.encounters.get(organization_id, made.encounter.id)).state is EncounterState.ERASED
        assert await started.encounters.get(spared.encounter.organization_id, spared.encounter.id) == spared.encounter
        forged.unlink()
        assert await started.erasure.apply_ledger() == 0


@pytest.mark.services
async def test_the_ledger_stands_in_a_bucket_beside_the_blobs(swift: SwiftServer) -> None:
    bucket = f"erasures-{new_id()}"
    swift.make_bucket(bucket)
    settings = S3Settings(
        bucket,
        endpoint=swift.endpoint,
        region=swift.region,
        access_key_id=swift.access_key_id,
        secret_access_key=swift.secret_access_key,
    )
    ring = KeyRing(MasterKey(MASTER))
    _, secret = DeploymentSecret.create(ring)
    ledger = StoredErasureLedger(S3Objects(replace(settings, prefix="erasures")), secret)
    erasure = Erasure(
        new_id(), "organization", "encounter", ErasureScope.EVERYTHING, ErasureReason.COMMAND, NOON, ("a", "b")
    )
    await ledger.append(erasure)
    assert await ledger.ids() == [erasure.id]
    assert await ledger.get(erasure.id) == erasure
    vault = SealedBlobVault(S3Objects(settings), ring, secret)
    assert [blob_id async for blob_id in vault.list(NOON + timedelta(days=36500))] == []
    _, other = DeploymentSecret.create(ring)
    with pytest.raises(CorruptedError):
        await StoredErasureLedger(S3Objects(replace(settings, prefix="erasures")), other).get(erasure.id)
