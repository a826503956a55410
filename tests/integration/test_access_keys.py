"""API keys and signing keys on both databases: who gets in, who does not, and for how long."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from osler.access.model import ApiKey, KeyKind, Scope
from osler.access.service import AccessService
from osler.audit.model import DEPLOYMENT, OPERATOR, SYSTEM
from osler.kernel.errors import (
    ConflictError,
    CorruptedError,
    DatabaseUnavailableError,
    InvalidFieldError,
    MasterKeyError,
    NotAllowedError,
    NotFoundError,
)
from osler.storage.database import SqlDatabase
from osler.storage.tables.access import api_keys, signing_keys
from tests.access_lab import NOON, AccessLab, HandTime, HeldReading

pytestmark = pytest.mark.anyio

KINDS = pytest.mark.parametrize("kind", list(KeyKind))
HOUR = timedelta(hours=1)


@pytest.fixture
def lab(anyio_backend: str, database: SqlDatabase, tmp_path: Path) -> AccessLab:
    return AccessLab(database, tmp_path)


@pytest.fixture
async def clinic(lab: AccessLab) -> str:
    return (await lab.access.create_organization(OPERATOR, "St Mary")).id


async def refusal(access: AccessService, kind: KeyKind, presented: str) -> str:
    with pytest.raises(NotAllowedError) as refused:
        await access.authenticate(kind, presented)
    assert len(presented) < 10 or presented not in str(refused.value)
    return refused.value.code


@KINDS
async def test_a_key_opens_its_own_door_only(lab: AccessLab, clinic: str, kind: KeyKind) -> None:
    key, text = await lab.access.create_key(OPERATOR, clinic, kind)
    assert await lab.access.authenticate(kind, text) == key
    (other,) = set(KeyKind) - {kind}
    assert await refusal(lab.access, other, text) == "invalid_key"


async def test_a_public_key_carries_what_it_was_made_with(lab: AccessLab, clinic: str) -> None:
    ann = await lab.access.create_user(OPERATOR, clinic, "ann@example.org", "7")
    scopes = frozenset({Scope.DOCUMENTS, Scope.ENCOUNTERS})
    key, text = await lab.access.create_key(
        OPERATOR, clinic, KeyKind.PUBLIC, scopes=scopes, test=True, expires_at=NOON + HOUR, user_id=ann.id
    )
    assert key == ApiKey(
        id=key.id,
        organization_id=clinic,
        kind=KeyKind.PUBLIC,
        hint=text[-4:],
        created_at=NOON,
        scopes=scopes,
        test=True,
        user_id=ann.id,
        expires_at=NOON + HOUR,
    )
    assert await lab.access.authenticate(KeyKind.PUBLIC, text) == key
    entry = (await lab.trace(clinic))[-1]
    assert (entry.event.action, dict(entry.event.subject)) == ("key.created", {"key": key.id})
    assert dict(entry.event.detail) == {"kind": "public", "scopes": "documents:read encounters:read", "test": "true"}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"scopes": frozenset({Scope.ENCOUNTERS})}, "scopes"),
        ({"user_id": "somebody"}, "user_id"),
        ({"expires_at": NOON.replace(tzinfo=None)}, "expires_at"),
    ],
)
async def test_a_tenant_key_that_means_nothing_is_refused(
    lab: AccessLab, clinic: str, changes: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidFieldError) as refused:
        await lab.access.create_key(OPERATOR, clinic, KeyKind.TENANT, **changes)
    assert refused.value.field == field
    assert await lab.access.keys(clinic) == ()


@KINDS
async def test_the_text_of_a_key_stands_nowhere(
    lab: AccessLab, clinic: str, database: SqlDatabase, kind: KeyKind
) -> None:
    _, text = await lab.access.create_key(OPERATOR, clinic, kind)
    async with database.read() as transaction:
        row = (await transaction.connection.execute(select(api_keys))).one()
    assert text[:-4] not in repr(row)
    assert len(row.digest) == 32
    assert text[:-4] not in repr(await lab.access.keys(clinic))
    assert text[:-4] not in repr(await lab.trace(clinic))


@KINDS
async def test_what_is_no_key_is_refused_without_error(lab: AccessLab, clinic: str, kind: KeyKind) -> None:
    _, text = await lab.access.create_key(OPERATOR, clinic, kind)
    prefix = text[:-43]
    wrong = text[:-1] + ("a" if text[-1] != "a" else "b")
    for presented in (
        "",
        " ",
        prefix,
        wrong,
        text + "\n",
        " " + text,
        text.upper(),
        text + "\0",
        prefix + "\0" * 43,
        prefix + "ä" * 43,
        prefix + "٣" * 43,
        prefix + "\ud800" * 43,
        prefix + "test_" + text[-43:],
        text[-43:],
        "x" * 100_000,
        text * 2000,
        prefix + "a" * 100_000,
        "'; drop table api_keys; --",
    ):
        assert await refusal(lab.access, kind, presented) == "invalid_key"


async def test_of_several_faults_the_first_in_the_contracts_order_is_told(lab: AccessLab, clinic: str) -> None:
    key, text = await lab.access.create_key(OPERATOR, clinic, KeyKind.PUBLIC, expires_at=NOON + HOUR)
    lab.clock.go_on(HOUR)
    assert await refusal(lab.access, KeyKind.PUBLIC, text) == "expired_key"
    await lab.access.revoke_key(OPERATOR, key.id)
    assert await refusal(lab.access, KeyKind.PUBLIC, text) == "revoked_key"
    await lab.access.disable_key(OPERATOR, key.id)
    assert await refusal(lab.access, KeyKind.PUBLIC, text) == "disabled_key"


async def test_a_key_opens_until_it_expires(lab: AccessLab, clinic: str) -> None:
    key, text = await lab.access.create_key(OPERATOR, clinic, KeyKind.TENANT, expires_at=NOON + HOUR)
    lab.clock.go_on(HOUR - timedelta(microseconds=1))
    assert await lab.access.authenticate(KeyKind.TENANT, text) == key


async def test_a_disabled_key_can_be_enabled_and_a_revoked_one_never(lab: AccessLab, clinic: str) -> None:
    key, text = await lab.access.create_key(OPERATOR, clinic, KeyKind.TENANT)
    lab.clock.go_on()
    disabled = await lab.access.disable_key(OPERATOR, key.id)
    assert disabled == replace(key, disabled_at=lab.clock.now())
    lab.clock.go_on()
    assert await lab.access.disable_key(OPERATOR, key.id) == disabled
    assert await refusal(lab.access, KeyKind.TENANT, text) == "disabled_key"
    assert await lab.access.enable_key(OPERATOR, key.id) == key
    assert await lab.access.authenticate(KeyKind.TENANT, text) == key
    revoked = await lab.access.revoke_key(OPERATOR, key.id)
    lab.clock.go_on()
    assert await lab.access.revoke_key(OPERATOR, key.id) == revoked
    with pytest.raises(ConflictError):
        await lab.access.enable_key(OPERATOR, key.id)
    assert await refusal(lab.access, KeyKind.TENANT, text) == "revoked_key"
    assert (await lab.actions(clinic))[1:] == ["key.created", "key.disabled", "key.enabled", "key.revoked"]


async def test_a_revocation_holds_at_once_here_and_within_a_second_in_every_process(
    lab: AccessLab, clinic: str, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    time = HandTime(monkeypatch)
    key, text = await lab.access.create_key(OPERATOR, clinic, KeyKind.TENANT)
    database = SqlDatabase(database_url)
    elsewhere = lab.another(database)
    for access in (elsewhere, lab.access):
        assert await access.authenticate(KeyKind.TENANT, text) == key
    await lab.access.disable_key(OPERATOR, key.id)
    assert await refusal(lab.access, KeyKind.TENANT, text) == "disabled_key"
    await time.pass_by(1)
    assert await refusal(elsewhere, KeyKind.TENANT, text) == "disabled_key"
    await lab.access.enable_key(OPERATOR, key.id)
    await lab.access.authenticate(KeyKind.TENANT, text)
    await time.pass_by(1)
    await elsewhere.authenticate(KeyKind.TENANT, text)
    await lab.access.revoke_key(OPERATOR, key.id)
    await time.pass_by(1)
    assert await refusal(elsewhere, KeyKind.TENANT, text) == "revoked_key"
    await elsewhere.stop()
    await database.dispose()


async def test_a_key_that_is_used_without_pause_is_still_read_anew_and_not_for_each_use(
    lab: AccessLab, clinic: str, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, text = await lab.access.create_key(OPERATOR, clinic, KeyKind.TENANT)
    time = HandTime(monkeypatch)
    database = SqlDatabase(database_url)
    elsewhere = lab.another(database)
    reads = 0
    find = type(lab.keys).find

    async def counted(*wanted: Any) -> ApiKey | None:
        nonlocal reads
        reads += 1
        return await find(*wanted)

    monkeypatch.setattr(type(lab.keys), "find", counted)
    await asyncio.gather(*(elsewhere.authenticate(KeyKind.TENANT, text) for _ in range(50)))
    assert reads == 1
    await lab.access.revoke_key(OPERATOR, key.id)
    until = time.now + 1
    uses = 0
    with pytest.raises(NotAllowedError):
        while time.now < until:
            await elsewhere.authenticate(KeyKind.TENANT, text)
            uses += 1
            await time.pass_by(0.01)
    assert uses > 1 and reads == 2
    await elsewhere.stop()
    await database.dispose()


async def test_a_revocation_while_a_key_is_being_read_is_not_overlooked(
    lab: AccessLab, clinic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, text = await lab.access.create_key(OPERATOR, clinic, KeyKind.TENANT)
    reading = HeldReading(lab.keys, monkeypatch)
    before = asyncio.create_task(lab.access.authenticate(KeyKind.TENANT, text))
    await reading.found.wait()
    await lab.access.revoke_key(OPERATOR, key.id)
    reading.let_go.set()
    assert await before == key  # it was asked for while it was good
    assert await refusal(lab.access, KeyKind.TENANT, text) == "revoked_key"


async def test_changes_of_one_key_at_once_are_all_kept(lab: AccessLab, clinic: str) -> None:
    key, _ = await lab.access.create_key(OPERATOR, clinic, KeyKind.TENANT)
    await asyncio.gather(lab.access.disable_key(OPERATOR, key.id), lab.access.revoke_key(OPERATOR, key.id))
    (found,) = await lab.access.keys(clinic)
    assert (found.disabled_at, found.revoked_at) == (NOON, NOON)


async def test_keys_are_listed_by_organization_or_all(lab: AccessLab, clinic: str) -> None:
    other = (await lab.access.create_organization(OPERATOR, "St John")).id
    one, _ = await lab.access.create_key(OPERATOR, clinic, KeyKind.TENANT)
    lab.clock.go_on()
    two, _ = await lab.access.create_key(OPERATOR, other, KeyKind.PUBLIC)
    assert await lab.access.keys(clinic) == (one,)
    assert await lab.access.keys() == (one, two)


async def test_a_digest_key_that_cannot_be_loaded_is_an_error_and_not_an_unknown_key(
    lab: AccessLab, clinic: str, database: SqlDatabase
) -> None:
    _, text = await lab.access.create_key(OPERATOR, clinic, KeyKind.TENANT)
    lab.pepper.path.unlink()
    with pytest.raises(MasterKeyError):
        await lab.another(database).authenticate(KeyKind.TENANT, text)


async def test_a_digest_key_that_is_put_back_opens_without_a_restart_and_nothing_does_before(
    lab: AccessLab, clinic: str, database: SqlDatabase
) -> None:
    key, text = await lab.access.create_key(OPERATOR, clinic, KeyKind.PUBLIC)
    unknown = text[:-1] + ("a" if text[-1] != "a" else "b")
    away = lab.pepper.path.rename(lab.pepper.path.with_name("away"))
    access = lab.another(database)
    for presented in (text, unknown, text):
        with pytest.raises(MasterKeyError):
            await access.authenticate(KeyKind.PUBLIC, presented)
    assert await refusal(access, KeyKind.PUBLIC, "no key at all") == "invalid_key"
    away.rename(lab.pepper.path)
    await asyncio.sleep(1)
    assert await access.authenticate(KeyKind.PUBLIC, text) == key
    assert await refusal(access, KeyKind.PUBLIC, unknown) == "invalid_key"


async def test_another_digest_key_knows_no_key(lab: AccessLab, clinic: str, database: SqlDatabase) -> None:
    _, text = await lab.access.create_key(OPERATOR, clinic, KeyKind.TENANT)
    lab.pepper.path.unlink()
    lab.pepper.create()
    assert await refusal(lab.another(database), KeyKind.TENANT, text) == "invalid_key"


# When keys were last used


class Counting:
    """A database that counts its write transactions, and can be made to refuse them."""

    def __init__(self, database: SqlDatabase) -> None:
        self.writes = 0
        self.broken = False
        self.read = database.read
        self._database = database

    def write(self) -> Any:
        if self.broken:
            raise DatabaseUnavailableError("the database cannot be reached")
        self.writes += 1
        return self._database.write()


@pytest.fixture
def counting(anyio_backend: str, database: SqlDatabase) -> Counting:
    return Counting(database)


@KINDS
async def test_uses_of_keys_are_written_together_at_stop(
    lab: AccessLab, clinic: str, counting: Counting, kind: KeyKind
) -> None:
    made = [await lab.access.create_key(OPERATOR, clinic, kind) for _ in range(3)]
    access = lab.another(counting)
    for _ in range(20):
        lab.clock.go_on()
        for _, text in made[:2]:
            await access.authenticate(kind, text)
    assert counting.writes == 0
    await access.stop()
    assert counting.writes == 1
    used = {key.id: key.last_used_at for key in await lab.access.keys(clinic)}
    assert used == {made[0][0].id: lab.clock.now(), made[1][0].id: lab.clock.now(), made[2][0].id: None}


async def test_uses_of_keys_are_written_within_the_interval(lab: AccessLab, clinic: str, counting: Counting) -> None:
    _, text = await lab.access.create_key(OPERATOR, clinic, KeyKind.TENANT)
    access = lab.another(counting, last_use_interval=0.05)
    await access.authenticate(KeyKind.TENANT, text)
    while (await lab.access.keys(clinic))[0].last_used_at is None:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.2)  # some intervals, in which there is nothing to write
    assert counting.writes == 1
    assert (await lab.access.keys(clinic))[0].last_used_at == NOON
    lab.clock.go_on()
    await access.authenticate(KeyKind.TENANT, text)
    while (await lab.access.keys(clinic))[0].last_used_at == NOON:
        await asyncio.sleep(0.01)
    await access.stop()


async def test_uses_that_could_not_be_written_are_written_later(
    lab: AccessLab, clinic: str, counting: Counting
) -> None:
    _, text = await lab.access.create_key(OPERATOR, clinic, KeyKind.TENANT)
    access = lab.another(counting, last_use_interval=0.01)
    counting.broken = True
    await access.authenticate(KeyKind.TENANT, text)
    await asyncio.sleep(0.1)
    counting.broken = False
    await access.stop()
    assert (await lab.access.keys(clinic))[0].last_used_at == NOON


async def test_a_later_use_is_never_overwritten_by_an_earlier_one(
    lab: AccessLab, clinic: str, database: SqlDatabase
) -> None:
    key, text = await lab.access.create_key(OPERATOR, clinic, KeyKind.TENANT)
    slow = lab.another(database)
    await slow.authenticate(KeyKind.TENANT, text)
    lab.clock.go_on()
    await lab.access.authenticate(KeyKind.TENANT, text)
    await lab.access.stop()
    await slow.stop()
    await lab.access.disable_key(OPERATOR, key.id)
    assert (await lab.access.keys(clinic))[0].last_used_at == lab.clock.now()


# Signing keys


async def test_the_first_signing_key_is_made_when_it_is_needed(lab: AccessLab) -> None:
    assert await lab.access.signing_keys() == ()
    key = await lab.access.current_signing_key()
    assert len(key.secret) == 32
    assert await lab.access.current_signing_key() == key
    assert await lab.access.signing_keys() == (key,)
    (entry,) = await lab.trace(DEPLOYMENT)
    assert (entry.event.action, entry.event.actor) == ("signing_key.created", SYSTEM)


async def test_processes_that_start_at_once_agree_on_one_signing_key(lab: AccessLab, database_url: str) -> None:
    databases = [SqlDatabase(database_url) for _ in range(3)]
    found = await asyncio.gather(*(lab.another(database).current_signing_key() for database in databases))
    for database in databases:
        await database.dispose()
    assert len({key.id for key in found}) == 1


async def test_the_newest_signs_and_former_ones_verify_until_they_are_retired(lab: AccessLab) -> None:
    old = await lab.access.current_signing_key()
    lab.clock.go_on()
    new = await lab.access.rotate_signing_key(OPERATOR, overlap=HOUR)
    assert new.secret != old.secret
    assert await lab.access.current_signing_key() == new
    assert await lab.access.signing_keys() == (new, replace(old, retired_at=lab.clock.now() + HOUR))
    lab.clock.go_on(HOUR)
    assert await lab.access.signing_keys() == (new,)
    assert await lab.actions(DEPLOYMENT) == ["signing_key.created", "signing_key.rotated"]


async def test_a_rotation_without_overlap_ends_what_a_stolen_key_signs(lab: AccessLab) -> None:
    await lab.access.current_signing_key()
    await lab.access.rotate_signing_key(OPERATOR, overlap=HOUR)
    newest = await lab.access.rotate_signing_key(OPERATOR, overlap=timedelta(0))
    assert await lab.access.signing_keys() == (newest,)
    with pytest.raises(InvalidFieldError):
        await lab.access.rotate_signing_key(OPERATOR, overlap=-HOUR)


async def test_the_newest_signs_although_the_clock_was_set_back(lab: AccessLab) -> None:
    await lab.access.current_signing_key()
    lab.clock.go_on(-HOUR)
    new = await lab.access.rotate_signing_key(OPERATOR)
    assert await lab.access.current_signing_key() == new


async def test_signing_keys_are_sealed_at_rest(lab: AccessLab, database: SqlDatabase) -> None:
    key = await lab.access.current_signing_key()
    async with database.read() as transaction:
        row = (await transaction.connection.execute(select(signing_keys))).one()
    assert key.secret not in row.sealed
    assert key.secret.hex().encode() not in row.sealed


async def test_a_key_that_was_swapped_in_from_another_row_does_not_sign(lab: AccessLab, database: SqlDatabase) -> None:
    old = await lab.access.current_signing_key()
    new = await lab.access.rotate_signing_key(OPERATOR)
    async with database.write() as transaction:
        row = (await transaction.connection.execute(select(signing_keys).where(signing_keys.c.id == old.id))).one()
        await transaction.connection.execute(
            update(signing_keys).where(signing_keys.c.id == new.id).values(key_id=row.key_id, sealed=row.sealed)
        )
    with pytest.raises(CorruptedError):
        await lab.access.current_signing_key()


async def test_a_key_of_another_organization_is_not_there(lab: AccessLab, clinic: str) -> None:
    other = (await lab.access.create_organization(OPERATOR, "St John")).id
    key, _ = await lab.access.create_key(OPERATOR, clinic, KeyKind.TENANT)
    with pytest.raises(NotFoundError):
        await lab.access.revoke_key(OPERATOR, key.id, organization_id=other)
    assert (await lab.access.revoke_key(OPERATOR, key.id, organization_id=clinic)).revoked_at == NOON
