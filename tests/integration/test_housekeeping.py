"""What happens from time to time without anybody asking, in one process at a time."""

import asyncio
import contextlib
import io
import os
import wave
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import pytest

from osler.audit.model import OPERATOR
from osler.bootstrap import Core, initialise, open_core
from osler.config import Settings
from osler.encounters.erasure import ErasureService
from osler.encounters.model import EncounterState, Erasure, ErasureReason, ErasureScope
from osler.kernel.clock import SystemClock
from osler.kernel.errors import BlobsUnavailableError, DatabaseUnavailableError
from osler.kernel.ids import new_id
from osler.pipeline.housekeeping import DIED_OVER, Housekeeping
from osler.storage.database import SqlDatabase
from osler.storage.repositories.jobs import SqlExecutorRepository
from osler.workflows.lease import STALE_AFTER, ExecutorLease

pytestmark = pytest.mark.anyio


class Ago:
    """A clock that is behind."""

    def __init__(self, behind: timedelta) -> None:
        self._behind = behind

    def now(self) -> datetime:
        return datetime.now(UTC) - self._behind


def lease(database: SqlDatabase, behind: timedelta = timedelta()) -> ExecutorLease:
    return ExecutorLease(database, SqlExecutorRepository(Ago(behind)), "housekeeping")


async def sound() -> AsyncIterator[bytes]:
    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(os.urandom(32_000))
    yield stream.getvalue()


async def test_one_holds_a_lease_until_it_gives_it_back(database: SqlDatabase) -> None:
    first, second = lease(database), lease(database)
    async with first.held() as mine:
        assert mine
        async with second.held() as also_mine:
            assert not also_mine
        async with second.held() as also_mine:
            assert not also_mine
    async with second.held() as mine:
        assert mine


async def test_a_lease_is_given_back_by_work_that_fails(database: SqlDatabase) -> None:
    with pytest.raises(ZeroDivisionError):
        async with lease(database).held():
            raise ZeroDivisionError
    async with lease(database).held() as mine:
        assert mine


async def test_ten_at_once_are_one_at_a_time(database: SqlDatabase) -> None:
    at_work = most = turns = 0

    async def work() -> None:
        nonlocal at_work, most, turns
        async with lease(database).held() as mine:
            if mine:
                at_work, turns = at_work + 1, turns + 1
                most = max(most, at_work)
                await asyncio.sleep(0.05)
                at_work -= 1

    await asyncio.gather(*(work() for _ in range(10)))
    assert most == 1 and turns >= 1


async def test_a_lease_of_a_dead_process_lapses(sqlite_url: str) -> None:
    database = SqlDatabase(sqlite_url)
    dead = lease(database, STALE_AFTER + timedelta(seconds=1)).held()
    assert await dead.__aenter__()
    async with lease(database).held() as mine:
        assert mine
    with contextlib.suppress(Exception):
        await dead.__aexit__(None, None, None)
    await database.dispose()


@pytest.fixture
async def core(anyio_backend: str, tmp_path: Path) -> AsyncIterator[Core]:
    settings = Settings(data=tmp_path / "data")
    await initialise(settings)
    async with open_core(settings, engine="inline") as core:
        yield core


async def test_a_withdrawal_of_consent_is_carried_out_without_anybody_asking(core: Core) -> None:
    organization = await core.access.create_organization(OPERATOR, "Practice")
    await core.access.update_organization(OPERATOR, organization.id, consent_grace=timedelta(0))
    user = await core.access.create_user(OPERATOR, organization.id, "dr@clinic.example", "ehr-1")
    encounter = await core.encounters.create(OPERATOR, organization.id, user.id, consent_given=True)
    recording, _ = await core.audio.upload(OPERATOR, organization.id, encounter.id, sound(), media_type="audio/wav")
    assert await core.housekeeping.once()
    _, (segment,) = await core.audio.segments(organization.id, encounter.id, recording.id)
    assert segment.blob is not None
    await core.encounters.change(OPERATOR, organization.id, encounter.id, {"consent_given": False})
    assert await core.housekeeping.once()
    _, (segment,) = await core.audio.segments(organization.id, encounter.id, recording.id)
    assert segment.blob is None


async def test_an_orphan_is_swept_and_a_recording_is_not(core: Core) -> None:
    organization = await core.access.create_organization(OPERATOR, "Practice")
    user = await core.access.create_user(OPERATOR, organization.id, "dr@clinic.example", "ehr-1")
    encounter = await core.encounters.create(OPERATOR, organization.id, user.id)
    await core.audio.upload(OPERATOR, organization.id, encounter.id, sound(), media_type="audio/wav")
    await core.vault.store(organization.id, sound())
    folder = Path(core.settings.blobs_place)
    objects = [path for path in folder.glob("??/*") if path.is_file()]
    assert len(objects) == 2
    for path in objects:
        os.utime(path, (0, 0))
    assert await core.housekeeping.once()
    assert len([path for path in folder.glob("??/*") if path.is_file()]) == 1


async def test_another_process_at_it_is_left_to_it(core: Core) -> None:
    async with lease(core.database).held() as mine:
        assert mine
        assert not await core.housekeeping.once()
    assert await core.housekeeping.once()


class Failing:
    """Policies of a database that is away at first."""

    def __init__(self) -> None:
        self.runs = 0
        self.done = asyncio.Event()

    async def run_policies(self, now: datetime) -> int:
        self.runs += 1
        if self.runs == 1:
            raise DatabaseUnavailableError("away")
        return 0

    async def apply_ledger(self, older_than: timedelta) -> int:
        return 0

    async def sweep_orphan_blobs(self) -> int:
        self.done.set()
        return 0


async def test_a_failure_is_tried_again(sqlite_url: str) -> None:
    database = SqlDatabase(sqlite_url)
    failing = Failing()
    housekeeping = Housekeeping(
        erasure=cast(ErasureService, failing),
        lease=lease(database),
        clock=SystemClock(),
        policies_every=timedelta(milliseconds=10),
    )
    running = asyncio.create_task(housekeeping.run())
    await asyncio.wait_for(failing.done.wait(), 60)
    running.cancel()
    await asyncio.wait((running,))
    assert failing.runs >= 2
    await database.dispose()


async def test_an_erasure_that_a_dead_process_only_announced_is_carried_out_while_others_go_on(core: Core) -> None:
    organization = await core.access.create_organization(OPERATOR, "Practice")
    user = await core.access.create_user(OPERATOR, organization.id, "dr@clinic.example", "ehr-1")
    encounter = await core.encounters.create(OPERATOR, organization.id, user.id)
    await core.audio.upload(OPERATOR, organization.id, encounter.id, sound(), media_type="audio/wav")
    long_ago = datetime.now(UTC) - DIED_OVER - timedelta(seconds=1)
    scope, reason = ErasureScope.EVERYTHING, ErasureReason.COMMAND
    await core.ledger.append(Erasure(new_id(), organization.id, encounter.id, scope, reason, long_ago))
    assert await core.housekeeping.once()
    assert (await core.encounters.get(organization.id, encounter.id)).state is EncounterState.ERASED
    assert not [path for path in Path(core.settings.blobs_place).glob("??/*") if path.is_file()]


async def test_objects_that_could_not_be_removed_are_removed_by_the_next_round(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    organization = await core.access.create_organization(OPERATOR, "Practice")
    user = await core.access.create_user(OPERATOR, organization.id, "dr@clinic.example", "ehr-1")
    encounter = await core.encounters.create(OPERATOR, organization.id, user.id)
    await core.audio.upload(OPERATOR, organization.id, encounter.id, sound(), media_type="audio/wav")

    async def away(*_: object) -> None:
        raise BlobsUnavailableError("away")

    with monkeypatch.context() as patch:
        patch.setattr(core.vault, "delete", away)
        scope, reason = ErasureScope.AUDIO, ErasureReason.COMMAND
        await core.erasure.erase(OPERATOR, organization.id, encounter.id, scope=scope, reason=reason)
    folder = Path(core.settings.blobs_place)
    assert len([path for path in folder.glob("??/*") if path.is_file()]) == 1
    assert await core.housekeeping.once()
    assert not [path for path in folder.glob("??/*") if path.is_file()]
