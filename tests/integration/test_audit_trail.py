"""The audit trail on both databases: what is recorded stands, and every fault that another hand makes is named."""

import asyncio
import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import delete, func, insert, select, text, update

from osler.audit.model import (
    OPERATOR,
    Actor,
    ActorKind,
    AuditEvent,
    BrokenLink,
    ChainHead,
    Fault,
    Outcome,
    Verification,
)
from osler.audit.ports import AuditTrail, ChainKey
from osler.audit.service import AuditService
from osler.kernel.errors import DatabaseUnavailableError, InvalidFieldError
from osler.storage.database import SqlDatabase
from osler.storage.repositories.audit import SqlAuditRepository
from osler.storage.sealing.deployment import DeploymentSecret, DerivedChainKey
from osler.storage.sealing.keys import DataKey
from osler.storage.tables.audit import audit_entries, audit_heads

pytestmark = pytest.mark.anyio

AT = datetime(2026, 5, 4, 9, 30, 0, 123456, tzinfo=UTC)
READER = Actor(ActorKind.KEY, "5f0c", "192.0.2.7")
ONE, OTHER = "clinic-one", "clinic-other"


def event(number: int, organization_id: str = ONE, **changes: Any) -> AuditEvent:
    made = AuditEvent(
        organization_id=organization_id,
        actor=READER,
        action="transcript.read",
        at=AT + timedelta(seconds=number),
        subject={"encounter": str(number), "document": "größer"},
        detail={"route": "transcript"},
    )
    return replace(made, **changes)


@pytest.fixture
def chain_key() -> ChainKey:
    return DerivedChainKey(DeploymentSecret(DataKey(secrets.token_bytes(32))))


@pytest.fixture
def audit(database: SqlDatabase, chain_key: ChainKey) -> AuditService:
    return AuditService(database=database, repository=SqlAuditRepository(), chain_key=chain_key)


async def fill(audit: AuditService, database: SqlDatabase, count: int = 10, organization_id: str = ONE) -> None:
    async with database.write() as transaction:
        await audit.append(transaction, [event(number, organization_id) for number in range(1, count + 1)])


def faults(found: Verification) -> list[tuple[int, str]]:
    return [(broken.sequence, broken.fault.value) for broken in found.broken]


async def execute(database: SqlDatabase, *statements: Any) -> None:
    """Do as one would who has the database and not the key."""
    async with database.write() as transaction:
        for statement in statements:
            await transaction.connection.execute(statement)


def row(sequence: int, organization_id: str = ONE) -> Any:
    return (audit_entries.c.organization_id == organization_id) & (audit_entries.c.sequence == sequence)


# What is recorded


async def test_an_event_comes_back_as_it_was(audit: AuditService) -> None:
    made = event(1, outcome=Outcome.REFUSED, actor=OPERATOR, detail={"code": "missing_scope"})
    await audit.record(made)
    (entry,) = await audit.list(ONE)
    assert (entry.sequence, entry.event) == (1, made)


async def test_events_stand_if_and_only_if_their_transaction_does(audit: AuditService, database: SqlDatabase) -> None:
    trail: AuditTrail = audit
    with pytest.raises(ZeroDivisionError):
        async with database.write() as transaction:
            await trail.append(transaction, [event(1)])
            raise ZeroDivisionError
    assert await audit.list(ONE) == ()
    assert await audit.head(ONE) is None
    async with database.write() as transaction:
        await trail.append(transaction, [event(1), event(2)])
    assert [entry.sequence for entry in await audit.list(ONE)] == [2, 1]


async def test_each_organization_has_a_chain_of_its_own(audit: AuditService, database: SqlDatabase) -> None:
    async with database.write() as transaction:
        await audit.append(transaction, [event(1), event(2, OTHER), event(3), event(4, OTHER), event(5)])
    assert [entry.sequence for entry in await audit.list(ONE)] == [3, 2, 1]
    assert [entry.sequence for entry in await audit.list(OTHER)] == [2, 1]
    assert await audit.organizations() == (ONE, OTHER)
    for organization_id in (ONE, OTHER):
        assert (await audit.verify(organization_id)).broken == ()


async def test_a_list_is_filtered_and_goes_on_where_it_ended(audit: AuditService, database: SqlDatabase) -> None:
    await fill(audit, database, 5)
    await audit.record(event(2, action="encounter.changed"))
    assert [entry.sequence for entry in await audit.list(ONE, encounter_id="2")] == [6, 2]
    assert [entry.sequence for entry in await audit.list(ONE, action="encounter.changed")] == [6]
    assert [entry.sequence for entry in await audit.list(ONE, since=AT + timedelta(seconds=4))] == [5, 4]
    assert [entry.sequence for entry in await audit.list(ONE, limit=2)] == [6, 5]
    assert [entry.sequence for entry in await audit.list(ONE, limit=2, before=5)] == [4, 3]


async def test_no_call_of_the_repository_shows_another_organizations_chain(
    audit: AuditService, database: SqlDatabase
) -> None:
    await fill(audit, database, 3)
    repository = SqlAuditRepository()
    async with database.write() as transaction:
        assert await repository.lock_head(transaction, OTHER) is None
        assert await repository.head(transaction, OTHER) is None
        assert await repository.newest(transaction, OTHER, 10) == ()
        assert await repository.newest(transaction, OTHER, 10, encounter_id="1") == ()
        assert [entry async for entry in repository.entries(transaction, OTHER)] == []
    assert len(await audit.list(ONE)) == 3


@pytest.mark.parametrize(
    "changes",
    [{"at": AT.replace(tzinfo=None)}, {"subject": {"encounter": "\0"}}, {"detail": {"\ud800": "x"}}, {"action": "a\0"}],
)
async def test_what_cannot_be_stored_is_refused_at_once(audit: AuditService, changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidFieldError):
        await audit.record(event(1, **changes))
    assert await audit.list(ONE) == ()


# Many at once


async def test_what_many_callers_record_at_once_forms_one_chain(audit: AuditService) -> None:
    await asyncio.gather(*(audit.record(event(number, (ONE, OTHER)[number % 2])) for number in range(200)))
    for organization_id in (ONE, OTHER):
        found = await audit.verify(organization_id)
        assert (found.entries, found.broken) == (100, ())
        subjects = {entry.event.subject["encounter"] for entry in await audit.list(organization_id)}
        assert len(subjects) == 100


async def test_processes_that_write_one_chain_keep_it_whole(database_url: str, chain_key: ChainKey) -> None:
    # Two databases are two pools, as in two processes: nothing in memory keeps them apart.
    async def write(number: int) -> None:
        database = SqlDatabase(database_url)
        service = AuditService(database=database, repository=SqlAuditRepository(), chain_key=chain_key)
        for each in range(20):
            await service.record(event(100 * number + each))
            async with database.write() as transaction:
                await service.append(transaction, [event(100 * number + each, action="encounter.changed")])
        await database.dispose()

    await asyncio.gather(*(write(number) for number in range(3)))
    database = SqlDatabase(database_url)
    found = await AuditService(database=database, repository=SqlAuditRepository(), chain_key=chain_key).verify(ONE)
    await database.dispose()
    assert (found.entries, found.broken) == (120, ())


class Gate:
    """A database whose commits can be held up, counted and made to fail."""

    def __init__(self, database: SqlDatabase) -> None:
        self.opened = asyncio.Event()
        self.opened.set()
        self.writes = 0
        self.error: Exception | None = None
        self._database = database
        self.read = database.read

    def write(self) -> Any:
        from contextlib import asynccontextmanager

        @asynccontextmanager
        async def held() -> Any:
            self.writes += 1
            await self.opened.wait()
            if self.error is not None:
                raise self.error
            async with self._database.write() as transaction:
                yield transaction

        return held()


@pytest.fixture
def gate(anyio_backend: str, database: SqlDatabase) -> Gate:
    return Gate(database)


@pytest.fixture
def gated(gate: Gate, chain_key: ChainKey) -> AuditService:
    return AuditService(database=gate, repository=SqlAuditRepository(), chain_key=chain_key)


async def held_up(gate: Gate, gated: AuditService, count: int) -> list[asyncio.Task[None]]:
    """Return the tasks of one event whose commit is under way and of ``count`` that wait for the next."""
    gate.opened.clear()
    first = asyncio.create_task(gated.record(event(0)))
    while not gate.writes:
        await asyncio.sleep(0)
    rest = [asyncio.create_task(gated.record(event(number))) for number in range(1, count + 1)]
    await asyncio.sleep(0)
    return [first, *rest]


async def test_what_comes_in_during_a_commit_shares_the_next_one(gate: Gate, gated: AuditService) -> None:
    tasks = await held_up(gate, gated, 50)
    gate.opened.set()
    await asyncio.gather(*tasks)
    assert gate.writes == 2
    assert (await gated.verify(ONE)).entries == 51


async def test_nobody_is_told_before_his_event_is_durable(gate: Gate, gated: AuditService) -> None:
    tasks = await held_up(gate, gated, 3)
    await asyncio.sleep(0.05)
    assert not any(task.done() for task in tasks)
    gate.opened.set()
    await asyncio.gather(*tasks)


async def test_a_cancelled_caller_takes_nothing_away(gate: Gate, gated: AuditService) -> None:
    tasks = await held_up(gate, gated, 3)
    tasks[0].cancel()
    tasks[2].cancel()
    gate.opened.set()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(each) for each in ended] == [asyncio.CancelledError, type(None), asyncio.CancelledError, type(None)]
    await gated.stop()
    assert {entry.event.subject["encounter"] for entry in await gated.list(ONE)} == {"0", "1", "2", "3"}


async def test_an_error_reaches_every_caller_of_its_group_and_no_other(gate: Gate, gated: AuditService) -> None:
    tasks = await held_up(gate, gated, 3)
    gate.error = DatabaseUnavailableError("the database cannot be reached")
    gate.opened.set()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(each) for each in ended] == [DatabaseUnavailableError] * 4
    gate.error = None
    await gated.record(event(9))
    assert [entry.event.subject["encounter"] for entry in await gated.list(ONE)] == ["9"]


async def test_stop_waits_for_what_is_under_way_and_takes_no_more(gate: Gate, gated: AuditService) -> None:
    tasks = await held_up(gate, gated, 3)
    for task in tasks:
        task.cancel()
    stopping = asyncio.create_task(gated.stop())
    await asyncio.sleep(0.01)
    assert not stopping.done()
    with pytest.raises(RuntimeError, match="stopped"):
        await gated.record(event(5))
    gate.opened.set()
    await stopping
    assert len(await gated.list(ONE)) == 4
    await asyncio.gather(*tasks, return_exceptions=True)
    gated.start()
    await gated.record(event(6))


async def append(audit: AuditService, database: SqlDatabase, made: AuditEvent, *, fails: bool = False) -> None:
    async with database.write() as transaction:
        await audit.append(transaction, [made])
        if fails:
            raise ZeroDivisionError


async def test_transactions_that_end_together_leave_one_whole_chain_without_those_that_fail(
    audit: AuditService, database: SqlDatabase
) -> None:
    made = [event(number, (ONE, OTHER)[number % 2]) for number in range(120)]
    tasks: list[Any] = [append(audit, database, each, fails=n % 5 == 0) for n, each in enumerate(made)]
    tasks += [audit.record(event(number)) for number in range(200, 220)]
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(each) for each in ended if each is not None] == [ZeroDivisionError] * 24
    for organization_id, count in ((ONE, 48 + 20), (OTHER, 48)):
        found = await audit.verify(organization_id)
        assert (found.entries, found.broken) == (count, ())
    kept = {entry.event.subject["encounter"] for entry in await audit.list(OTHER)}
    assert kept == {str(number) for number in range(1, 120, 2) if number % 5}


async def test_a_damaged_chain_keeps_no_other_organization_from_its_work(sqlite_url: str, chain_key: ChainKey) -> None:
    database = SqlDatabase(sqlite_url)
    audit = AuditService(database=database, repository=SqlAuditRepository(), chain_key=chain_key)
    await fill(audit, database, organization_id=OTHER)
    await execute(database, text("UPDATE audit_heads SET mac = x'00ff'"))
    tasks = [append(audit, database, event(number, (ONE, OTHER)[number % 2])) for number in range(40)]
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(each) for each in ended] == [type(None), TypeError] * 20
    assert (await audit.verify(ONE)).entries == 20
    await database.dispose()


# What another hand does to the rows


async def test_a_whole_chain_has_no_fault(audit: AuditService, database: SqlDatabase) -> None:
    await fill(audit, database)
    assert await audit.verify(ONE) == Verification(ONE, 10, ())


@pytest.mark.parametrize(
    "changes",
    [
        {"actor_kind": "user"},
        {"actor_kind": "nobody"},
        {"actor_id": "5f0d"},
        {"origin": "192.0.2.8"},
        {"action": "transcript.seen"},
        {"outcome": "failed"},
        {"outcome": "unheard of"},
        {"at": AT},
        {"encounter_id": "4"},
        {"encounter_id": None},
        {"subject": {"encounter": "4", "document": "größer"}, "encounter_id": "4"},
        {"subject": {}, "encounter_id": None},
        {"subject": []},
        {"detail": {"route": "transcript", "more": ""}},
        {"detail": {"route": 1}},
        {"mac": "0" * 128},
        {"mac": ""},
    ],
)
async def test_a_changed_field_is_named_and_its_neighbours_are_not(
    audit: AuditService, database: SqlDatabase, changes: dict[str, Any]
) -> None:
    await fill(audit, database)
    for sequence in (1, 5, 10):
        await execute(database, update(audit_entries).where(row(sequence)).values(changes))
    assert faults(await audit.verify(ONE)) == [(1, "changed"), (5, "changed"), (10, "changed")]


async def test_neighbours_that_were_both_changed_are_both_named(audit: AuditService, database: SqlDatabase) -> None:
    await fill(audit, database)
    await execute(database, update(audit_entries).where(row(5) | row(6)).values(outcome="failed"))
    assert faults(await audit.verify(ONE)) == [(5, "changed"), (6, "changed")]


async def test_a_removed_entry_is_named(audit: AuditService, database: SqlDatabase) -> None:
    await fill(audit, database)
    await execute(database, delete(audit_entries).where(row(1) | row(4) | row(5)))
    assert faults(await audit.verify(ONE)) == [(1, "missing"), (4, "missing"), (5, "missing")]


async def test_swapped_entries_are_named_and_their_neighbours_are_not(
    audit: AuditService, database: SqlDatabase
) -> None:
    await fill(audit, database)
    for one, other in ((2, 3), (5, 9)):
        await execute(
            database,
            update(audit_entries).where(row(one)).values(sequence=100),
            update(audit_entries).where(row(other)).values(sequence=one),
            update(audit_entries).where(row(100)).values(sequence=other),
        )
    assert faults(await audit.verify(ONE)) == [(number, "reordered") for number in (2, 3, 5, 9)]


async def test_entries_moved_together_over_a_removed_one_are_named(audit: AuditService, database: SqlDatabase) -> None:
    await fill(audit, database)
    await execute(database, delete(audit_entries).where(row(8)))
    for sequence in (9, 10):
        await execute(database, update(audit_entries).where(row(sequence)).values(sequence=sequence - 1))
    assert faults(await audit.verify(ONE)) == [(8, "reordered"), (9, "reordered"), (10, "cut off")]


async def rows_of(database: SqlDatabase, organization_id: str = ONE) -> list[dict[str, Any]]:
    async with database.read() as transaction:
        query = select(audit_entries).where(audit_entries.c.organization_id == organization_id)
        found = await transaction.connection.execute(query.order_by(audit_entries.c.sequence))
        return [dict(each._mapping) for each in found]


async def test_an_entry_that_was_slipped_in_is_named(audit: AuditService, database: SqlDatabase) -> None:
    await fill(audit, database)
    rows = await rows_of(database)
    copies = [rows[6] | {"sequence": 0}, rows[6] | {"sequence": 11}, rows[6] | {"sequence": -3, "actor_id": "other"}]
    await execute(database, insert(audit_entries).values(copies))
    assert faults(await audit.verify(ONE)) == [
        (-3, "changed"),
        (0, "reordered"),
        (11, "reordered"),
        (11, "rewritten"),
    ]


async def test_an_entry_of_another_organizations_chain_is_no_entry_of_this_one(
    audit: AuditService, database: SqlDatabase
) -> None:
    await fill(audit, database)
    await fill(audit, database, organization_id=OTHER)
    foreign = (await rows_of(database, OTHER))[4]
    await execute(
        database,
        delete(audit_entries).where(row(5)),
        insert(audit_entries).values(foreign | {"organization_id": ONE}),
    )
    assert faults(await audit.verify(ONE)) == [(5, "changed")]


async def test_a_cut_off_tail_shows_by_the_head(audit: AuditService, database: SqlDatabase) -> None:
    await fill(audit, database)
    await execute(database, delete(audit_entries).where(audit_entries.c.sequence > 7))
    assert faults(await audit.verify(ONE)) == [(8, "cut off")]


@pytest.mark.parametrize("left", ["entry's mac", "its link", "old head", "none"])
async def test_a_cut_off_tail_shows_although_the_head_was_repaired(
    audit: AuditService, database: SqlDatabase, left: str
) -> None:
    await fill(audit, database)
    last = (await rows_of(database))[6]
    await execute(database, delete(audit_entries).where(audit_entries.c.sequence > 7))
    repaired = {"entry's mac": last["mac"], "its link": last["mac"][64:], "old head": audit_heads.c.mac}
    if left == "none":
        await execute(database, delete(audit_heads))
    else:
        await execute(database, update(audit_heads).values(sequence=7, mac=repaired[left], at=last["at"]))
    assert faults(await audit.verify(ONE)) == [(8, "cut off")]


async def test_a_chain_of_which_nothing_is_left_is_cut_off(audit: AuditService, database: SqlDatabase) -> None:
    await fill(audit, database)
    await execute(database, delete(audit_entries))
    assert faults(await audit.verify(ONE)) == [(1, "cut off")]
    await execute(database, delete(audit_heads))
    assert faults(await audit.verify(ONE)) == [(1, "cut off")]


async def test_a_head_that_was_set_back_shows(audit: AuditService, database: SqlDatabase) -> None:
    await fill(audit, database, 7)
    async with database.read() as transaction:
        old = (await transaction.connection.execute(select(audit_heads))).one()
    await audit.record(event(8))
    await execute(database, update(audit_heads).values(sequence=7, mac=old.mac, at=old.at))
    assert faults(await audit.verify(ONE)) == [(8, "rewritten")]


@pytest.mark.parametrize("column", ["sequence", "mac", "at"])
async def test_a_head_that_was_made_unreadable_shows(sqlite_url: str, chain_key: ChainKey, column: str) -> None:
    # Only SQLite takes any value in any column.
    database = SqlDatabase(sqlite_url)
    audit = AuditService(database=database, repository=SqlAuditRepository(), chain_key=chain_key)
    await fill(audit, database)
    await execute(database, text(f"UPDATE audit_heads SET {column} = x'00ff'"))
    assert faults(await audit.verify(ONE)) == [(11, "cut off")]
    await database.dispose()


@pytest.mark.parametrize("column", ["at", "actor_id", "origin", "action", "outcome", "subject", "detail", "mac"])
async def test_an_entry_that_was_made_unreadable_is_named(sqlite_url: str, chain_key: ChainKey, column: str) -> None:
    database = SqlDatabase(sqlite_url)
    audit = AuditService(database=database, repository=SqlAuditRepository(), chain_key=chain_key)
    await fill(audit, database)
    await execute(database, text(f"UPDATE audit_entries SET {column} = x'00ff' WHERE sequence = 5"))
    assert faults(await audit.verify(ONE)) == [(5, "changed")]
    assert len(await audit.list(ONE)) == 10
    await database.dispose()


class Guess:
    """A chain key of one who has all but the key."""

    def mac(self, organization_id: str, data: bytes) -> str:
        return hmac.new(b"a guess" + organization_id.encode(), data, hashlib.sha256).hexdigest()


async def rewrite(database: SqlDatabase, key: ChainKey, events: Sequence[AuditEvent]) -> None:
    await execute(database, delete(audit_entries), delete(audit_heads))
    forger = AuditService(database=database, repository=SqlAuditRepository(), chain_key=key)
    async with database.write() as transaction:
        await forger.append(transaction, events)


async def test_a_chain_made_anew_without_the_key_is_rewritten(audit: AuditService, database: SqlDatabase) -> None:
    await fill(audit, database)
    await rewrite(database, Guess(), [event(number) for number in range(1, 11)])
    assert faults(await audit.verify(ONE)) == [(1, "rewritten")]


async def test_a_tail_made_anew_without_the_key_is_rewritten_from_there(
    audit: AuditService, database: SqlDatabase
) -> None:
    await fill(audit, database)
    genuine = await rows_of(database)
    await rewrite(database, Guess(), [event(number) for number in range(1, 11)])
    for old in genuine[:6]:
        await execute(database, update(audit_entries).where(row(old["sequence"])).values(mac=old["mac"]))
    assert faults(await audit.verify(ONE)) == [(7, "rewritten")]


async def test_a_head_kept_elsewhere_fits_the_chain_that_went_on(audit: AuditService, database: SqlDatabase) -> None:
    await fill(audit, database)
    kept = await audit.head(ONE)
    assert kept is not None
    assert (kept.organization_id, kept.sequence, kept.at) == (ONE, 10, event(10).at)
    assert (await audit.verify(ONE, kept)).broken == ()
    await audit.record(event(11))
    assert (await audit.verify(ONE, kept)).broken == ()


async def test_an_older_state_shows_by_a_head_kept_elsewhere_only(audit: AuditService, database: SqlDatabase) -> None:
    await fill(audit, database, 7)
    entries = await rows_of(database)
    async with database.read() as transaction:
        heads = [dict(each._mapping) for each in await transaction.connection.execute(select(audit_heads))]
    for number in (8, 9, 10):
        await audit.record(event(number))
    kept = await audit.head(ONE)
    await execute(
        database,
        delete(audit_entries),
        delete(audit_heads),
        insert(audit_entries).values(entries),
        insert(audit_heads).values(heads),
    )
    assert (await audit.verify(ONE)).broken == ()
    assert faults(await audit.verify(ONE, kept)) == [(8, "cut off")]
    # It went on from there, past where it was.
    for number in range(8, 13):
        await audit.record(event(number, action="other.act"))
    assert (await audit.verify(ONE)).broken == ()
    assert faults(await audit.verify(ONE, kept)) == [(10, "rewritten")]


async def test_a_chain_made_anew_with_the_key_shows_by_a_head_kept_elsewhere(
    audit: AuditService, database: SqlDatabase, chain_key: ChainKey
) -> None:
    await fill(audit, database)
    kept = await audit.head(ONE)
    await rewrite(database, chain_key, [event(number, outcome=Outcome.REFUSED) for number in range(1, 11)])
    assert (await audit.verify(ONE)).broken == ()
    assert faults(await audit.verify(ONE, kept)) == [(10, "rewritten")]


async def test_a_head_cannot_be_forged_from_the_rows(audit: AuditService, database: SqlDatabase) -> None:
    await fill(audit, database)
    for each in (await rows_of(database))[6:]:
        for guess in (each["mac"], each["mac"][64:], each["mac"][:64]):
            forged = ChainHead(ONE, each["sequence"], guess, each["at"])
            assert faults(await audit.verify(ONE, forged)) == [(each["sequence"], "rewritten")]


async def test_a_head_of_another_organization_is_refused(audit: AuditService, database: SqlDatabase) -> None:
    await fill(audit, database)
    await fill(audit, database, organization_id=OTHER)
    with pytest.raises(InvalidFieldError):
        await audit.verify(ONE, await audit.head(OTHER))


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("osler.audit.service.PAGE", 50)
    monkeypatch.setattr("osler.storage.repositories.audit.PAGE", 20)


@pytest.mark.usefixtures("small_pages")
async def test_a_chain_is_verified_while_it_grows(audit: AuditService, database: SqlDatabase) -> None:
    await fill(audit, database, 120)

    async def grow() -> None:
        for number in range(30):
            await audit.record(event(number))

    growing = asyncio.create_task(grow())
    while not growing.done():
        assert (await audit.verify(ONE)).broken == ()
    await growing
    async with database.read() as transaction:
        count = await transaction.connection.scalar(select(func.count()).select_from(audit_entries))
    assert (await audit.verify(ONE)).entries == count == 150


@pytest.mark.usefixtures("small_pages")
@pytest.mark.parametrize("gap", [1, 19, 20, 21, 70, 10**6, 2**62])
async def test_entries_beyond_a_gap_of_any_width_are_found(
    audit: AuditService, database: SqlDatabase, gap: int
) -> None:
    await fill(audit, database, 30)
    await execute(database, update(audit_entries).where(row(30)).values(sequence=30 + gap))
    found = await audit.verify(ONE)
    assert found.entries == 30
    assert BrokenLink(30, Fault.MISSING) in found.broken
    assert len(found.broken) == min(gap + 2, 1000)
    repository = SqlAuditRepository()
    async with database.read() as transaction:
        for limit in (1, 20, 29, 30, 100):
            entries = [entry async for entry in repository.entries(transaction, ONE, limit=limit)]
            expected = [*range(1, 30), 30 + gap][:limit]
            assert [entry.sequence for entry in entries] == expected


@pytest.mark.usefixtures("small_pages")
@pytest.mark.parametrize("edge", [19, 20, 21, 49, 50, 51, 100])
async def test_faults_around_the_edges_of_pages_are_named(
    audit: AuditService, database: SqlDatabase, edge: int
) -> None:
    await fill(audit, database, 110)
    await execute(
        database,
        delete(audit_entries).where(row(edge)),
        update(audit_entries).where(row(edge + 1)).values(outcome="failed"),
        # Makes its page be read row by row.
        update(audit_entries).where(row(edge + 3)).values(outcome="unheard of"),
    )
    found = await audit.verify(ONE)
    assert found.entries == 109
    assert found.broken == (
        BrokenLink(edge, Fault.MISSING),
        BrokenLink(edge + 1, Fault.CHANGED),
        BrokenLink(edge + 3, Fault.CHANGED),
    )
