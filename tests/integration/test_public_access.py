"""The switches of the public API on both databases: off at first, audited, and as fresh as a revoked key."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from osler.access import recent
from osler.access.model import Scope
from osler.access.public import API, REQUIRED_SCOPES, PublicAccess, PublicRoute, PublicSwitches
from osler.access.service import AccessService
from osler.audit.model import DEPLOYMENT, OPERATOR
from osler.kernel.errors import DatabaseUnavailableError
from osler.storage.database import SqlDatabase
from osler.storage.repositories.access import SqlPublicSwitchRepository
from tests.access_lab import AccessLab

pytestmark = pytest.mark.anyio

EVERY = frozenset(PublicRoute)


def public(lab: AccessLab, database: SqlDatabase, access: AccessService) -> PublicAccess:
    return PublicAccess(
        database=database,
        clock=lab.clock,
        switches=SqlPublicSwitchRepository(),
        organizations=access,
        audit=lab.audit,
    )


@pytest.fixture
def lab(anyio_backend: str, database: SqlDatabase, tmp_path: Path) -> AccessLab:
    return AccessLab(database, tmp_path)


@pytest.fixture
def here(lab: AccessLab, database: SqlDatabase) -> PublicAccess:
    return public(lab, database, lab.access)


async def test_nothing_is_public_until_somebody_switched_it_on(lab: AccessLab, here: PublicAccess) -> None:
    clinic = await lab.access.create_organization(OPERATOR, "St Mary")
    assert await here.switches() == await here.recent_switches() == PublicSwitches(enabled=False, routes=frozenset())
    assert not await here.recent_organization_allowed(clinic.id)
    assert not await here.recent_organization_allowed("nobody")


async def test_each_switch_is_its_own_and_leaves_one_event_for_each_change(lab: AccessLab, here: PublicAccess) -> None:
    assert (await here.switch_route(OPERATOR, PublicRoute.AUDIO, True)).routes == {PublicRoute.AUDIO}
    for _ in range(2):  # what is on already stays, and nothing is said of it
        assert await here.switch_api(OPERATOR, True) == PublicSwitches(True, frozenset({PublicRoute.AUDIO}))
    assert await here.switch_routes(OPERATOR, True) == PublicSwitches(True, EVERY)
    for _ in range(2):
        await here.switch_route(OPERATOR, PublicRoute.DOCUMENT, False)
    assert await here.switch_api(OPERATOR, False) == PublicSwitches(False, EVERY - {PublicRoute.DOCUMENT})
    assert (await here.switch_routes(OPERATOR, False)).routes == frozenset()
    events = [(entry.event.action, entry.event.subject["switch"]) for entry in await lab.trace(DEPLOYMENT)]
    assert events[:2] == [("public_route.enabled", "getPublicDocumentAudioUrl"), ("public_api.enabled", API)]
    others = EVERY - {PublicRoute.AUDIO}
    assert set(events[2:6]) == {("public_route.enabled", route.value) for route in others}
    assert events[6:8] == [("public_route.disabled", "getPublicDocument"), ("public_api.disabled", API)]
    assert set(events[8:]) == {("public_route.disabled", route.value) for route in EVERY - {PublicRoute.DOCUMENT}}
    assert len(events) == 12


async def test_a_change_that_could_not_be_audited_did_not_take_place(
    lab: AccessLab, here: PublicAccess, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: Any) -> None:
        raise DatabaseUnavailableError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(lab.audit, "append", refuse)
        with pytest.raises(DatabaseUnavailableError):
            await here.switch_api(OPERATOR, True)
    assert await here.switches() == await here.recent_switches() == PublicSwitches()


async def test_operators_who_switch_at_once_leave_one_event(lab: AccessLab, here: PublicAccess) -> None:
    await asyncio.gather(*(here.switch_api(OPERATOR, True) for _ in range(5)))
    assert await lab.actions(DEPLOYMENT) == ["public_api.enabled"]


async def test_a_change_holds_here_at_once_and_within_a_second_in_every_other_process(
    lab: AccessLab, here: PublicAccess, database_url: str
) -> None:
    clinic = (await lab.access.create_organization(OPERATOR, "St Mary")).id
    database = SqlDatabase(database_url)
    there = public(lab, database, lab.another(database))
    try:
        for on in (True, False):
            for each in (here, there):  # both have the former state in memory
                await each.recent_switches()
                await each.recent_organization_allowed(clinic)
            await here.switch_api(OPERATOR, on)
            await here.switch_route(OPERATOR, PublicRoute.ENCOUNTER, on)
            await lab.access.update_organization(OPERATOR, clinic, public_api=on)
            wanted = PublicSwitches(on, frozenset({PublicRoute.ENCOUNTER} if on else ()))
            assert (await here.recent_switches(), await here.recent_organization_allowed(clinic)) == (wanted, on)
            await asyncio.sleep(0.9)
            assert (await there.recent_switches(), await there.recent_organization_allowed(clinic)) == (wanted, on)
    finally:
        await database.dispose()


async def test_what_requests_ask_is_not_read_for_each_of_them(
    here: PublicAccess, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = 0
    everything = SqlPublicSwitchRepository.all

    async def counted(*asked: Any) -> frozenset[str]:
        nonlocal reads
        reads += 1
        return await everything(*asked)

    monkeypatch.setattr(SqlPublicSwitchRepository, "all", counted)
    monkeypatch.setattr(recent, "monotonic", lambda: 1000.0)  # however long the machine needs
    await asyncio.gather(*(here.recent_switches() for _ in range(100)))
    for _ in range(100):
        await here.recent_switches()
    assert reads == 1
    monkeypatch.setattr(recent, "monotonic", lambda: 1001.0)
    await here.recent_switches()
    assert reads == 2


def test_every_route_needs_what_the_contract_says() -> None:
    assert {route.value: sorted(scopes) for route, scopes in REQUIRED_SCOPES.items()} == {
        "listPublicEncounters": [Scope.DOCUMENTS, Scope.ENCOUNTERS, Scope.PATIENTS],
        "getPublicEncounter": [Scope.DOCUMENTS, Scope.ENCOUNTERS, Scope.PATIENTS],
        "getPublicDocument": [Scope.DOCUMENTS, Scope.ENCOUNTERS],
        "getPublicDocumentTranscript": [Scope.DOCUMENTS, Scope.ENCOUNTERS],
        "getPublicDocumentAudioUrl": [Scope.DOCUMENTS, Scope.ENCOUNTERS, Scope.RECORDINGS],
    }
