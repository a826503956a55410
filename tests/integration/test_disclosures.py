"""Disclosures on both databases: each read leaves one, they are found by encounter, and the chain stays whole."""

import asyncio
import secrets
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, text

from osler.access.public import PublicRoute
from osler.audit.disclosures import READ_ACTIONS, DisclosureService
from osler.audit.model import OPERATOR, Actor, ActorKind, AuditEvent
from osler.kernel.errors import DatabaseUnavailableError
from osler.storage.database import SqlDatabase
from osler.storage.repositories.audit import SqlAuditRepository
from tests.access_lab import AccessLab

pytestmark = pytest.mark.anyio

READER = Actor(ActorKind.KEY, "c0ffee", "203.0.113.7")
ONE, TWO = "123456789012345678", "223456789012345678"
LIST = PublicRoute.LIST_ENCOUNTERS
OF_ONE = [route for route in PublicRoute if route is not LIST]


@pytest.fixture
def lab(anyio_backend: str, database: SqlDatabase, tmp_path: Path) -> AccessLab:
    return AccessLab(database, tmp_path)


@pytest.fixture
def service(lab: AccessLab) -> DisclosureService:
    return DisclosureService(audit=lab.audit, repository=SqlAuditRepository(), database=lab.database, clock=lab.clock)


@pytest.fixture
async def clinic(lab: AccessLab) -> str:
    return (await lab.access.create_organization(OPERATOR, "St Mary")).id


async def test_a_page_of_a_list_is_one_entry_that_every_encounter_on_it_finds(
    lab: AccessLab, service: DisclosureService, clinic: str
) -> None:
    ids = [ONE, *(str(10**17 + number) for number in range(48)), TWO]
    await service.listed(READER, clinic, ids, route=LIST, request_id="r-1")
    (_, entry) = await lab.trace(clinic)
    assert entry.event.action == "encounters.disclosed"
    assert entry.event.actor == READER
    assert entry.event.at == lab.clock.now()
    assert dict(entry.event.detail) == {"route": "listPublicEncounters", "request": "r-1"}
    assert entry.event.subject["encounters"].split() == ids
    for encounter_id in (ids[0], ids[20], ids[-1]):
        assert await service.of_encounter(encounter_id) == [entry]


async def test_an_id_that_is_a_part_of_another_and_one_with_wildcards_find_nothing(
    service: DisclosureService, clinic: str
) -> None:
    await service.listed(READER, clinic, [ONE, TWO], route=LIST, request_id="r-1")
    for encounter_id in (ONE[:-1], ONE[1:], f"{ONE} {TWO}", "%", "_" * 18, "", '"', "\\"):
        assert await service.of_encounter(encounter_id) == []


@pytest.mark.parametrize("route", OF_ONE)
async def test_a_read_says_who_what_when_from_where_and_by_which_route(
    lab: AccessLab, service: DisclosureService, clinic: str, route: PublicRoute
) -> None:
    document_id = None if route is PublicRoute.ENCOUNTER else "d0c"
    for _ in range(2):  # the same again is another disclosure
        await service.read(READER, clinic, ONE, document_id, route=route, request_id="r-2")
    first, second = await service.of_encounter(ONE)
    assert first.event == second.event
    assert first.event.action == READ_ACTIONS[route]
    assert first.event.actor == READER
    assert dict(first.event.subject) == {"encounter": ONE} | ({"document": "d0c"} if document_id else {})
    assert dict(first.event.detail) == {"route": route.value, "request": "r-2"}
    assert {type(text) for text in first.event.detail.values()} == {str}
    assert (await lab.audit.verify(clinic)).broken == ()


async def test_every_route_that_shows_one_encounter_has_an_action_of_its_own(service: DisclosureService) -> None:
    assert set(READ_ACTIONS) == {route.value for route in OF_ONE}
    assert len(set(READ_ACTIONS.values())) == len(OF_ONE)
    with pytest.raises(ValueError):
        await service.read(READER, "clinic", ONE, None, route=LIST, request_id="r")


async def test_reads_by_every_door_are_found_in_order_and_writes_are_not(
    lab: AccessLab, service: DisclosureService, clinic: str
) -> None:
    other = (await lab.access.create_organization(OPERATOR, "St John")).id
    user = Actor(ActorKind.USER, "u1", "198.51.100.2")
    seen = ["encounter.read", "note.read", "transcript.read", "encounter.asked", "context_document.listed",
            "recording.url_signed", "recording.read"]  # fmt: skip
    for action in [*seen, "note.written", "encounter.changed", "encounter.signed", "encounter.erased"]:
        lab.clock.go_on()
        await lab.audit.record(AuditEvent(clinic, user, action, lab.clock.now(), subject={"encounter": ONE}))
    lab.clock.go_on()
    await service.listed(READER, clinic, [TWO, ONE], route=LIST, request_id="r-1")
    lab.clock.go_on()
    await service.read(READER, clinic, ONE, None, route=PublicRoute.ENCOUNTER, request_id="r-2")
    await service.read(READER, clinic, TWO, None, route=PublicRoute.ENCOUNTER, request_id="r-3")
    lab.clock.go_on()
    await service.read(READER, other, ONE, None, route=PublicRoute.ENCOUNTER, request_id="r-4")
    found = await service.of_encounter(ONE)
    actions = [entry.event.action for entry in found]
    assert actions == [*seen, "encounters.disclosed", "encounter.disclosed", "encounter.disclosed"]
    assert [entry.event.organization_id for entry in found] == [clinic] * 9 + [other]
    assert await service.of_encounter(ONE, clinic) == found[:-1]
    assert await service.of_encounter(ONE, other) == found[-1:]
    assert await service.of_encounter("323456789012345678") == []


async def test_a_disclosure_that_cannot_be_kept_is_an_error_and_reads_at_once_share_commits(
    lab: AccessLab, service: DisclosureService, clinic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits = 0
    write = lab.database.write

    def counted() -> object:
        nonlocal commits
        commits += 1
        return write()

    monkeypatch.setattr(lab.database, "write", counted)
    await asyncio.gather(
        *(service.listed(READER, clinic, [ONE, TWO], route=LIST, request_id=f"r-{number}") for number in range(64))
    )
    assert commits <= 3
    assert len(await service.of_encounter(ONE)) == 64
    assert (await lab.audit.verify(clinic)).broken == ()

    def refuse() -> object:
        raise DatabaseUnavailableError("the database cannot be reached")

    monkeypatch.setattr(lab.database, "write", refuse)
    with pytest.raises(DatabaseUnavailableError):
        await service.listed(READER, clinic, [ONE], route=LIST, request_id="r")


async def test_more_pages_than_are_read_at_once_are_all_found(
    service: DisclosureService, clinic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("osler.storage.repositories.audit.PAGE", 3)
    for number in range(8):
        await service.listed(READER, clinic, [ONE, TWO], route=LIST, request_id=f"r-{number}")
    found = await service.of_encounter(TWO)
    assert [entry.event.detail["request"] for entry in found] == [f"r-{number}" for number in range(8)]


async def test_the_search_goes_by_the_indexes(service: DisclosureService, clinic: str, database: SqlDatabase) -> None:
    await asyncio.gather(
        *(
            service.listed(READER, clinic, [secrets.token_hex(9) for _ in range(5)], route=LIST, request_id="r")
            for _ in range(50)
        ),
        *(
            service.read(READER, clinic, secrets.token_hex(9), None, route=PublicRoute.ENCOUNTER, request_id="r")
            for _ in range(500)
        ),
    )
    statements: list[tuple[str, Any]] = []
    engine = database._readers.sync_engine

    @event.listens_for(engine, "before_cursor_execute")
    def heard(_c: object, _k: object, statement: str, parameters: Any, *_: object) -> None:
        statements.append((statement, parameters))

    await service.of_encounter(ONE, clinic)
    event.remove(engine, "before_cursor_execute", heard)
    plans = []
    async with database.read() as transaction:
        if not database.is_sqlite:
            await transaction.connection.execute(text("SET LOCAL enable_seqscan = off"))
        for statement, parameters in statements:
            if "FROM audit_entries" in statement:
                explain = "EXPLAIN QUERY PLAN " if database.is_sqlite else "EXPLAIN "
                rows = await transaction.connection.exec_driver_sql(explain + statement, parameters)
                plans.append("\n".join(str(row) for row in rows))
    assert len(plans) == 2
    assert any("ix_audit_entries_encounter_id" in plan for plan in plans), plans
    assert any("ix_audit_entries_encounters_disclosed" in plan for plan in plans), plans
