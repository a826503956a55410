"""``Idempotency-Key`` where two meet: repeat and answer, purge and new request, erasure and purge, upload and crash."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, func, select

from osler.access.idempotency import (
    Answer,
    Attempt,
    IdempotencyService,
    KeptRequest,
    RequestKey,
    StillRunningError,
)
from osler.encounters.model import ErasureReason, ErasureScope
from osler.kernel.errors import BlobsUnavailableError
from osler.storage.database import SqlDatabase, connection_of
from osler.storage.repositories.idempotency import SqlIdempotencyRepository
from osler.storage.repositories.sealed import SealedRows
from osler.storage.tables.idempotency import idempotent_requests
from osler.storage.tables.sealing import object_keys
from tests.encounters_lab import DOCTOR, EncountersLab, HandClock
from tests.scribe_lab import Door, opened_door

pytestmark = pytest.mark.anyio

MEANWHILE = 0.5
"""Seconds in which one writer lets another come as far as it can: to a row that this one holds."""


@pytest.fixture
async def lab(database: SqlDatabase, tmp_path: Path) -> EncountersLab:
    return await EncountersLab.open(database, tmp_path)


@pytest.fixture
async def door(anyio_backend: str, tmp_path: Path, database_url: str) -> AsyncIterator[Door]:
    async with opened_door(tmp_path, database_url) as door:
        await door.sign_in()
        yield door


class Held(SqlIdempotencyRepository):
    """Has one transaction last until others that came meanwhile wait for its rows."""

    holds = ""
    holding: asyncio.Event

    async def replace(self, *arguments: Any) -> None:
        await super().replace(*arguments)
        await self._hold("replace")

    async def keep(self, *arguments: Any) -> None:
        await super().keep(*arguments)
        await self._hold("keep")

    async def _hold(self, name: str) -> None:
        if self.holds == name:
            self.holding.set()
            await asyncio.sleep(MEANWHILE)


def process(lab: EncountersLab, clock: HandClock, *, holds: str = "") -> tuple[IdempotencyService, Held]:
    """Return the service as a process of its own has it."""
    repository = Held(SealedRows(lab.ring, clock), lab.secret)
    repository.holds, repository.holding = holds, asyncio.Event()
    return IdempotencyService(database=lab.database, repository=repository, clock=clock), repository


async def key_of(lab: EncountersLab) -> RequestKey:
    organization = await lab.organization()
    return RequestKey(organization.id, (await lab.user(organization)).id, "POST /somewhere", "k")


async def test_a_repeat_that_comes_while_the_answer_is_kept_gets_it_however_old_the_lease_is(
    lab: EncountersLab,
) -> None:
    key, clock = await key_of(lab), HandClock()
    slow, repository = process(lab, clock, holds="keep")
    other, _ = process(lab, HandClock(clock.time + timedelta(minutes=5)))
    attempt = await slow.begin(key)
    assert isinstance(attempt, Attempt)

    async def again() -> Attempt | KeptRequest:
        await repository.holding.wait()
        return await other.begin(key)

    _, kept = await asyncio.gather(slow.finish(attempt, b"d" * 32, Answer(200, {}, b"first")), again())
    assert isinstance(kept, KeptRequest) and kept.answer == Answer(200, {}, b"first")


async def test_the_purge_leaves_a_key_alone_that_is_used_anew_at_the_same_moment(lab: EncountersLab) -> None:
    key, clock = await key_of(lab), HandClock()
    service, repository = process(lab, clock, holds="replace")
    first = await service.begin(key)
    assert isinstance(first, Attempt)
    await service.finish(first, b"d" * 32, Answer(200, {}, b"first"))
    clock.pass_by(timedelta(hours=25))

    async def purge() -> int:
        await repository.holding.wait()
        return await service.purge(clock.now())

    second, purged = await asyncio.gather(service.begin(key), purge())
    assert isinstance(second, Attempt) and purged == 0
    with pytest.raises(StillRunningError):
        await service.begin(key, wait=0)
    await service.finish(second, b"e" * 32, Answer(200, {}, b"second"))
    kept = await service.begin(key)
    assert isinstance(kept, KeptRequest) and kept.answer == Answer(200, {}, b"second")
    assert await service.purge(clock.now() + timedelta(hours=25)) == 1
    async with lab.database.read() as transaction:
        count = select(func.count()).select_from(idempotent_requests)
        assert (await connection_of(transaction).execute(count)).scalar_one() == 0


async def test_an_erasure_and_the_purge_take_requests_before_their_keys(lab: EncountersLab) -> None:
    organization = await lab.organization()
    full = await lab.full(organization, await lab.user(organization))

    async def purge(begun: asyncio.Event) -> None:
        """Do what the purge does, and let the erasure come between."""
        async with lab.database.write() as transaction:
            connection = connection_of(transaction)
            row = (await connection.execute(select(idempotent_requests).with_for_update())).one()
            await connection.execute(delete(idempotent_requests).where(idempotent_requests.c.id == row.id))
            begun.set()
            await asyncio.sleep(MEANWHILE)
            await connection.execute(delete(object_keys).where(object_keys.c.id == row.key_id))

    async def erase(begun: asyncio.Event) -> None:
        await begun.wait()
        await lab.erasure.erase(
            DOCTOR,
            organization.id,
            full.encounter.id,
            scope=ErasureScope.EVERYTHING,
            reason=ErasureReason.COMMAND,
        )

    begun = asyncio.Event()
    await asyncio.gather(purge(begun), erase(begun))


def letter(text: bytes) -> dict[str, Any]:
    return {"files": {"file": ("letter.txt", text, "text/plain")}, "headers": {"Idempotency-Key": "k"}}


async def away(*_: Any, **__: Any) -> None:
    raise BlobsUnavailableError("The blob store is away; try again.")


async def cut_off(*_: Any, **__: Any) -> None:
    raise asyncio.CancelledError


@pytest.mark.parametrize("fails", [away, cut_off])
async def test_an_upload_of_which_nothing_was_stored_leaves_its_key_free(
    door: Door, monkeypatch: pytest.MonkeyPatch, fails: Callable[..., Awaitable[None]]
) -> None:
    path = f"/sessions/{(await door.post('/sessions', {})).json()['session_id']}/context-documents"
    with monkeypatch.context() as broken:
        broken.setattr(type(door.core.vault), "store", fails)
        with suppress(asyncio.CancelledError):
            assert (await door.http.post(path, **letter(b"Dear colleague"))).status_code == 503
    again = await door.http.post(path, **letter(b"Dear colleague"))
    assert again.status_code == 200, again.text
    assert len((await door.http.get(path)).json()["data"]) == 1
