"""What processes keep of access in memory, on both databases: for as long as nothing was changed, and no longer."""

import asyncio
import inspect
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import event, text
from sqlalchemy.engine import Engine

from osler.access import recent
from osler.access.model import ApiKey, KeyKind
from osler.access.public import PublicAccess, PublicRoute
from osler.access.recent import Watch
from osler.access.service import AccessService
from osler.audit.model import OPERATOR
from osler.audit.service import AuditService
from osler.bootstrap import initialise, open_core
from osler.config import Settings
from osler.kernel.errors import DatabaseUnavailableError, NotAllowedError
from osler.storage.database import SqlDatabase
from osler.storage.repositories.access import SqlPublicSwitchRepository
from osler.storage.repositories.access_revision import SqlAccessRevisionRepository
from tests.access_lab import AccessLab, HandTime, HeldReading

pytestmark = pytest.mark.anyio

KEPT = ("api_keys", "organizations", "public_switches", "signing_keys")
"""Tables of which processes keep rows in memory."""

HOUR = timedelta(hours=1)


class Shaky:
    """A database that can be made to fail or to hang, and counts how often it was read."""

    def __init__(self, database: SqlDatabase) -> None:
        self._database = database
        self.write = database.write
        self.away = False
        self.hangs: asyncio.Event | None = None
        self.reads = 0

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Any]:
        self.reads += 1
        if self.away:
            raise DatabaseUnavailableError("the database cannot be reached")
        if self.hangs is not None:
            await self.hangs.wait()
        async with self._database.read() as transaction:
            yield transaction


class Elsewhere:
    """What another process has: services on a database of its own, with a watch of another one."""

    def __init__(self, lab: AccessLab, url: str) -> None:
        self._database = SqlDatabase(url)
        self.database, self.looked_at = Shaky(self._database), Shaky(self._database)
        self.watch = Watch(database=self.looked_at, revisions=SqlAccessRevisionRepository())
        self.access = lab.another(self.database, watch=self.watch)

    def looks(self) -> int:
        """Return how often the watch began to look."""
        return self.looked_at.reads

    async def close(self) -> None:
        await self.access.stop()
        await self._database.dispose()


@pytest.fixture
def lab(anyio_backend: str, database: SqlDatabase, tmp_path: Path) -> AccessLab:
    return AccessLab(database, tmp_path)


@pytest.fixture
async def there(lab: AccessLab, database_url: str) -> AsyncIterator[Elsewhere]:
    elsewhere = Elsewhere(lab, database_url)
    yield elsewhere
    await elsewhere.close()


@pytest.fixture
async def made(lab: AccessLab) -> tuple[ApiKey, str]:
    clinic = await lab.access.create_organization(OPERATOR, "St Mary", "st-mary")
    return await lab.access.create_key(OPERATOR, clinic.id, KeyKind.PUBLIC)


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> HandTime:
    return HandTime(monkeypatch)


async def refusal(access: AccessService, presented: str) -> str:
    with pytest.raises(NotAllowedError) as refused:
        await access.authenticate(KeyKind.PUBLIC, presented)
    return refused.value.code


@contextmanager
def statements() -> Iterator[list[str]]:
    """Gather the statements of every database of this process."""
    seen: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        seen.append(" ".join(statement.split()))

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(Engine, "before_cursor_execute", note)


def changes_what_is_kept(statement: str) -> bool:
    """Say whether a statement changes rows of which a process may have a copy, or what it knows to be all of them."""
    match = re.match(r"(INSERT INTO|UPDATE|DELETE FROM) (\w+)( SET last_used_at=)?", statement)
    if match is None or match[2] not in KEPT or match[3]:
        return False
    # Keys and organizations that are not there are not kept as such.
    return not (match[1] == "INSERT INTO" and match[2] in ("api_keys", "organizations"))


# What brings another revision


def calls(lab: AccessLab, public: PublicAccess, text: str, key_id: str, user_id: str) -> dict[str, Callable[[], Any]]:
    """Return one call of every method of the services, in an order in which each has something to do."""
    access, clinic = lab.access, "st-mary"
    return {
        "create_organization": lambda: access.create_organization(OPERATOR, "St John"),
        "update_organization": lambda: access.update_organization(OPERATOR, clinic, public_api=True),
        "organization": lambda: access.organization(clinic),
        "recent_organization": lambda: access.recent_organization(clinic),
        "organizations": access.organizations,
        "create_user": lambda: access.create_user(OPERATOR, clinic, "ben@example.org", "8"),
        "find_or_create_user": lambda: access.find_or_create_user(OPERATOR, clinic, "cat@example.org", "8"),
        "user": lambda: access.user(clinic, user_id),
        "users": lambda: access.users(clinic),
        "link_account": lambda: access.link_account(OPERATOR, clinic, user_id, "kp_1"),
        "account": lambda: access.account(clinic, user_id),
        "unlink_account": lambda: access.unlink_account(OPERATOR, clinic, user_id),
        "create_key": lambda: access.create_key(OPERATOR, clinic, KeyKind.TENANT),
        "keys": access.keys,
        "key": lambda: access.key(clinic, key_id),
        "authenticate": lambda: access.authenticate(KeyKind.PUBLIC, text),
        "disable_key": lambda: access.disable_key(OPERATOR, key_id),
        "enable_key": lambda: access.enable_key(OPERATOR, key_id),
        "revoke_key": lambda: access.revoke_key(OPERATOR, key_id),
        "current_signing_key": access.current_signing_key,
        "signing_keys": access.signing_keys,
        "rotate_signing_key": lambda: access.rotate_signing_key(OPERATOR),
        "switches": public.switches,
        "recent_switches": public.recent_switches,
        "recent_organization_allowed": lambda: public.recent_organization_allowed(clinic),
        "switch_api": lambda: public.switch_api(OPERATOR, True),
        "switch_route": lambda: public.switch_route(OPERATOR, PublicRoute.AUDIO, True),
        "switch_routes": lambda: public.switch_routes(OPERATOR, False),
        "stop": access.stop,  # writes when the key was last used
    }


async def test_every_change_of_what_is_kept_in_memory_brings_another_revision(
    lab: AccessLab, database: SqlDatabase, made: tuple[ApiKey, str]
) -> None:
    key, presented = made
    ann = await lab.access.create_user(OPERATOR, "st-mary", "ann@example.org", "7")
    public = PublicAccess(
        database=database,
        clock=lab.clock,
        switches=SqlPublicSwitchRepository(),
        organizations=lab.access,
        audit=lab.audit,
    )
    every = calls(lab, public, presented, key.id, ann.id)
    methods = {
        name
        for service in (AccessService, PublicAccess)
        for name, _ in inspect.getmembers(service, inspect.iscoroutinefunction)
        if not name.startswith("_")
    }
    assert methods == set(every), "call the new method here too"

    async def revision() -> str | None:
        async with database.read() as transaction:
            return await SqlAccessRevisionRepository().current(transaction)

    seen = {await revision()}
    changing = set()
    for name, call in every.items():
        before = await revision()
        with statements() as executed:
            await call()
        after = await revision()
        if any(changes_what_is_kept(statement) for statement in executed):
            changing.add(name)
            assert after not in seen, f"{name} changes what other processes keep, and none of them would see it"
            seen.add(after)
        else:
            assert after == before, f"{name} has every process read anew what it did not change"
    assert changing == {
        "update_organization", "disable_key", "enable_key", "revoke_key", "current_signing_key", "rotate_signing_key",
        "switch_api", "switch_route", "switch_routes",
    }  # fmt: skip


def test_rows_of_access_are_written_by_their_repositories_only() -> None:
    """Else the test above would not see who else changes them."""
    source = Path(recent.__file__).parents[1]
    writes = re.compile(
        rf"(update|delete|insert|insert_unless_there)\(\s*(\w+,\s*)?({'|'.join(KEPT)})\b"
        rf"|({'|'.join(KEPT)})\.(insert|update|delete)\("
        rf"|(UPDATE|DELETE FROM|INSERT INTO) ({'|'.join(KEPT)})\b"
    )
    found = {
        str(path.relative_to(source))
        for path in source.rglob("*.py")
        if "versions" not in path.parts and writes.search(path.read_text())
    }
    assert found == {"storage/repositories/access.py"}


async def test_a_change_that_is_rolled_back_brings_nothing(
    lab: AccessLab, there: Elsewhere, made: tuple[ApiKey, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    key, presented = made

    async def refuse(*_: Any) -> None:
        raise DatabaseUnavailableError("the disk is full")

    async def revision() -> str | None:
        async with there.database.read() as transaction:
            return await SqlAccessRevisionRepository().current(transaction)

    await lab.access.disable_key(OPERATOR, key.id)
    await lab.access.enable_key(OPERATOR, key.id)
    before = await revision()
    with monkeypatch.context() as patch:
        patch.setattr(AuditService, "append", refuse)
        with pytest.raises(DatabaseUnavailableError):
            await lab.access.revoke_key(OPERATOR, key.id)
    assert await revision() == before
    assert await there.access.authenticate(KeyKind.PUBLIC, presented) == key


async def test_operators_who_change_several_things_at_once_do_not_stand_in_each_others_way(
    lab: AccessLab, there: Elsewhere, made: tuple[ApiKey, str], database: SqlDatabase, database_url: str
) -> None:
    switches = SqlPublicSwitchRepository()
    other = SqlDatabase(database_url)
    names = [route.value for route in PublicRoute]

    async def switch(on: SqlDatabase, order: list[str]) -> None:
        async with on.write() as transaction:
            for name in order:
                await switches.switch_on(transaction, name, lab.clock.now())
                await asyncio.sleep(0.01)

    await asyncio.gather(switch(database, names), switch(other, names[::-1]))
    await other.dispose()


# How long something is kept


def test_a_look_may_be_late_by_as_much_as_it_is_due_and_all_of_it_lasts_less_than_a_second() -> None:
    assert 2 * recent.EVERY <= recent.FRESH < 1


async def test_a_key_that_was_used_once_costs_nothing_when_it_is_used_again(
    there: Elsewhere, made: tuple[ApiKey, str], time: HandTime
) -> None:
    key, presented = made
    assert await there.access.authenticate(KeyKind.PUBLIC, presented) == key
    assert there.database.reads == 1
    for pause in (1.0, 2.0):
        await time.pass_by(pause, there.looks)
        assert await there.access.authenticate(KeyKind.PUBLIC, presented) == key
    assert there.database.reads == 1


@pytest.mark.parametrize("pause", [0.05, 3.0], ids=["in use", "idle"])
async def test_a_key_that_is_revoked_elsewhere_is_refused_within_a_second(
    lab: AccessLab, there: Elsewhere, made: tuple[ApiKey, str], time: HandTime, pause: float
) -> None:
    key, presented = made
    await there.access.authenticate(KeyKind.PUBLIC, presented)
    for _ in range(round(3.0 / pause)):
        await time.pass_by(pause, there.looks)
        await there.access.authenticate(KeyKind.PUBLIC, presented)
    await lab.access.revoke_key(OPERATOR, key.id)
    until = time.now + 0.95
    while pause < 1 and time.now + pause < until:
        await time.pass_by(pause, there.looks)
        try:
            await there.access.authenticate(KeyKind.PUBLIC, presented)
        except NotAllowedError:
            break
    await time.pass_by(until - time.now, there.looks)
    assert await refusal(there.access, presented) == "revoked_key"


async def test_what_expires_is_refused_although_nobody_changed_it(
    lab: AccessLab, there: Elsewhere, time: HandTime
) -> None:
    clinic = await lab.access.create_organization(OPERATOR, "St Mary")
    ends = lab.clock.now() + HOUR
    _, presented = await lab.access.create_key(OPERATOR, clinic.id, KeyKind.PUBLIC, expires_at=ends)
    await there.access.authenticate(KeyKind.PUBLIC, presented)
    await time.pass_by(1, there.looks)
    lab.clock.go_on(HOUR)
    assert await refusal(there.access, presented) == "expired_key"
    assert there.database.reads == 1


async def test_while_the_database_is_away_nothing_is_vouched_for(
    lab: AccessLab, there: Elsewhere, made: tuple[ApiKey, str], time: HandTime, caplog: pytest.LogCaptureFixture
) -> None:
    key, presented = made
    await there.access.authenticate(KeyKind.PUBLIC, presented)
    await time.pass_by(1, there.looks)
    there.database.away = there.looked_at.away = True
    await time.pass_by(1, there.looks)
    for _ in range(3):
        with pytest.raises(DatabaseUnavailableError):
            await there.access.authenticate(KeyKind.PUBLIC, presented)
    assert [each.getMessage() for each in caplog.records if each.name == recent.__name__] == [
        "whether access was changed cannot be seen: DatabaseUnavailableError"
    ]
    there.database.away = there.looked_at.away = False
    assert await there.access.authenticate(KeyKind.PUBLIC, presented) == key
    there.database.away = there.looked_at.away = True
    await lab.access.revoke_key(OPERATOR, key.id)
    await time.pass_by(1, there.looks)
    there.database.away = there.looked_at.away = False
    assert await refusal(there.access, presented) == "revoked_key"


async def test_a_database_that_is_away_from_the_start_is_told_as_ever_and_used_once_it_is_there(
    there: Elsewhere, made: tuple[ApiKey, str]
) -> None:
    key, presented = made
    there.database.away = there.looked_at.away = True
    for _ in range(2):
        with pytest.raises(DatabaseUnavailableError):
            await there.access.authenticate(KeyKind.PUBLIC, presented)
    there.database.away = there.looked_at.away = False
    assert await there.access.authenticate(KeyKind.PUBLIC, presented) == key


async def test_a_look_that_takes_long_vouches_for_nothing(
    lab: AccessLab, there: Elsewhere, made: tuple[ApiKey, str], time: HandTime
) -> None:
    key, presented = made
    await there.access.authenticate(KeyKind.PUBLIC, presented)
    await time.pass_by(1, there.looks)
    there.looked_at.hangs = asyncio.Event()
    looks = there.looks()
    while there.looks() == looks:  # the one that hangs
        await asyncio.sleep(0.001)
    await lab.access.revoke_key(OPERATOR, key.id)
    assert await there.access.authenticate(KeyKind.PUBLIC, presented) == key
    await time.pass_by(0.95)
    assert await refusal(there.access, presented) == "revoked_key"
    there.looked_at.hangs.set()


async def test_a_first_look_that_hangs_does_not_hold_up_a_request(there: Elsewhere, made: tuple[ApiKey, str]) -> None:
    key, presented = made
    there.looked_at.hangs = asyncio.Event()
    async with asyncio.timeout(60):
        assert await there.access.authenticate(KeyKind.PUBLIC, presented) == key
    there.looked_at.hangs.set()


async def test_what_was_read_before_the_first_look_is_not_vouched_for(
    lab: AccessLab, there: Elsewhere, made: tuple[ApiKey, str], time: HandTime
) -> None:
    """The look might have begun after the change, and the reading before it."""
    key, presented = made
    there.looked_at.hangs = asyncio.Event()
    await there.access.authenticate(KeyKind.PUBLIC, presented)
    await lab.access.revoke_key(OPERATOR, key.id)
    there.looked_at.hangs.set()
    await time.pass_by(0.95, there.looks)
    assert await refusal(there.access, presented) == "revoked_key"


async def test_a_reading_that_began_before_a_change_elsewhere_and_ended_after_it_is_not_kept(
    lab: AccessLab, there: Elsewhere, made: tuple[ApiKey, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    key, presented = made
    await there.access.recent_organization("st-mary")  # the watch looks
    with monkeypatch.context() as patch:
        reading = HeldReading(lab.keys, patch)
        before = asyncio.create_task(there.access.authenticate(KeyKind.PUBLIC, presented))
        await reading.found.wait()
        await lab.access.revoke_key(OPERATOR, key.id)
        looks = there.looked_at.reads
        while there.looked_at.reads < looks + 2:
            await asyncio.sleep(0.01)
        reading.let_go.set()
        assert await before == key  # it was asked for while it was good
    assert await refusal(there.access, presented) == "revoked_key"


async def test_an_older_state_that_is_put_back_is_seen(
    lab: AccessLab, there: Elsewhere, made: tuple[ApiKey, str], time: HandTime, database: SqlDatabase
) -> None:
    """As a restored database may be: a revision that was there before, and other rows than are in memory."""
    key, presented = made
    await lab.access.disable_key(OPERATOR, key.id)
    async with database.read() as transaction:
        former = await SqlAccessRevisionRepository().current(transaction)
    await lab.access.enable_key(OPERATOR, key.id)
    await there.access.authenticate(KeyKind.PUBLIC, presented)
    await time.pass_by(1, there.looks)
    async with database.write() as transaction:
        await transaction.connection.execute(text("UPDATE access_revision SET revision = :former"), {"former": former})
        await transaction.connection.execute(text("UPDATE api_keys SET disabled_at = created_at"))
    await time.pass_by(0.95, there.looks)
    assert await refusal(there.access, presented) == "disabled_key"


# When nobody looks


@pytest.mark.usefixtures("made")
async def test_without_requests_the_watch_stops_and_begins_again_with_the_next(
    lab: AccessLab, there: Elsewhere, time: HandTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recent, "IDLE", 5.0)
    others = asyncio.all_tasks()

    async def stopped() -> None:
        async with asyncio.timeout(60):
            while asyncio.all_tasks() - others:
                await asyncio.sleep(0.001)

    assert there.looks() == 0
    clinic = await there.access.recent_organization("st-mary")
    await time.pass_by(recent.IDLE - 1, there.looks)
    time.now += 2
    await stopped()
    looks = there.looks()
    assert await there.access.recent_organization("st-mary") == clinic
    assert there.looks() > looks and there.database.reads == 1
    time.now += recent.IDLE
    await stopped()
    changed = await lab.access.update_organization(OPERATOR, "st-mary", name="St Luke")
    assert await there.access.recent_organization("st-mary") == changed != clinic


async def test_a_watch_that_was_stopped_leaves_nothing_behind_and_does_not_begin_again(
    lab: AccessLab, database_url: str, made: tuple[ApiKey, str], time: HandTime
) -> None:
    key, presented = made
    others = asyncio.all_tasks()
    elsewhere = Elsewhere(lab, database_url)
    await elsewhere.access.authenticate(KeyKind.PUBLIC, presented)
    await elsewhere.access.stop()
    looks = elsewhere.looked_at.reads
    assert await elsewhere.access.authenticate(KeyKind.PUBLIC, presented) == key
    time.now += 0.9
    await asyncio.sleep(0.1)  # of looks that there would be every two milliseconds
    assert elsewhere.looked_at.reads == looks
    await elsewhere.close()
    await asyncio.sleep(0)
    assert asyncio.all_tasks() <= others


# The whole deployment


async def test_what_a_request_asks_is_not_read_again_while_nothing_was_changed(
    tmp_path: Path, database_url: str, time: HandTime
) -> None:
    settings = Settings(data=tmp_path / "data", database=SecretStr(database_url))
    await initialise(settings)
    async with open_core(settings, engine="inline") as core:
        clinic = (await core.access.create_organization(OPERATOR, "Clinic")).id
        tenant, _ = await core.access.create_key(OPERATOR, clinic, KeyKind.TENANT)
        _, presented = await core.access.create_key(OPERATOR, clinic, KeyKind.PUBLIC)
        user = await core.access.create_user(OPERATOR, clinic, "ann@example.org", "7")
        token = (await core.tokens.issue(tenant, user)).text
        questions: tuple[Callable[[], Awaitable[Any]], ...] = (
            lambda: core.access.authenticate(KeyKind.PUBLIC, presented),
            core.public.access.recent_switches,
            lambda: core.public.access.recent_organization_allowed(clinic),
            lambda: core.tokens.verify(token),
        )
        answers = [await ask() for ask in questions]
        with statements() as executed:
            await time.pass_by(3, lambda: sum("access_revision" in each for each in executed))
            executed.clear()
            assert [await ask() for ask in questions] == answers
        assert [each for each in executed if "access_revision" not in each] == []
