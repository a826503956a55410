"""Organizations, users and linked accounts on both databases."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select

from osler.access.model import ConsentPolicy, KeyKind, Organization, ReleasePolicy, Visibility
from osler.audit.model import DEPLOYMENT, OPERATOR, Actor, ActorKind
from osler.kernel.errors import ConflictError, InvalidFieldError, NotFoundError
from osler.kernel.ids import new_id
from osler.storage.database import SqlDatabase
from osler.storage.migrations import migrate, migrate_to
from osler.storage.tables.access import users
from tests.access_lab import NOON, AccessLab

pytestmark = pytest.mark.anyio

TENANT = Actor(ActorKind.KEY, "key-of-the-ehr", "192.0.2.7")


@pytest.fixture
def lab(anyio_backend: str, database: SqlDatabase, tmp_path: Path) -> AccessLab:
    return AccessLab(database, tmp_path)


async def test_an_organization_begins_with_the_default_policies(lab: AccessLab) -> None:
    made = await lab.access.create_organization(OPERATOR, "St Mary")
    assert made == Organization(made.id, "St Mary", NOON)
    assert await lab.access.organization(made.id) == made
    (entry,) = await lab.trace(made.id)
    assert (entry.event.action, entry.event.actor, entry.event.at) == ("organization.created", OPERATOR, NOON)


async def test_an_organization_takes_the_id_that_was_chosen_once(lab: AccessLab) -> None:
    await lab.access.create_organization(OPERATOR, "St Mary", "st-mary")
    with pytest.raises(ConflictError):
        await lab.access.create_organization(OPERATOR, "Another", "st-mary")
    assert [each.name for each in await lab.access.organizations()] == ["St Mary"]
    assert await lab.actions("st-mary") == ["organization.created"]


@pytest.mark.parametrize("name", ["", " ", "a" * 201, "St\nMary", "St\0Mary"])
async def test_an_organization_needs_a_name(lab: AccessLab, name: str) -> None:
    with pytest.raises(InvalidFieldError) as refused:
        await lab.access.create_organization(OPERATOR, name)
    assert refused.value.field == "name"


@pytest.mark.parametrize("chosen", ["", "-x", "a b", "ä", "a" * 65, "a/b", "x\n", DEPLOYMENT])
async def test_an_organizations_id_is_safe_to_show_anywhere(lab: AccessLab, chosen: str) -> None:
    with pytest.raises(InvalidFieldError) as refused:
        await lab.access.create_organization(OPERATOR, "St Mary", chosen)
    assert refused.value.field == "organization_id"


async def test_policies_change_one_by_one_and_leave_a_trace(lab: AccessLab) -> None:
    made = await lab.access.create_organization(OPERATOR, "St Mary")
    await lab.access.update_organization(OPERATOR, made.id, release=ReleasePolicy.SIGN_OFF, retention_days=30)
    changed = await lab.access.update_organization(
        OPERATOR,
        made.id,
        name="St Mary and St John",
        consent=ConsentPolicy.REQUIRED,
        visibility=Visibility.TENANT,
        consent_grace=timedelta(hours=1),
        public_api=True,
    )
    assert changed == await lab.access.organization(made.id)
    assert changed == Organization(
        id=made.id,
        name="St Mary and St John",
        created_at=made.created_at,
        release=ReleasePolicy.SIGN_OFF,
        consent=ConsentPolicy.REQUIRED,
        visibility=Visibility.TENANT,
        retention_days=30,
        consent_grace=timedelta(hours=1),
        public_api=True,
    )
    kept = await lab.access.update_organization(OPERATOR, made.id, retention_days=None, release=ReleasePolicy.SIGN_OFF)
    assert kept.retention_days is None
    assert [dict(entry.event.detail) for entry in await lab.trace(made.id)] == [
        {},
        {"release": "sign-off", "retention_days": "30"},
        {
            "name": "changed",
            "consent": "required",
            "visibility": "tenant",
            "consent_grace": "3600 s",
            "public_api": "true",
        },
        {"retention_days": "none"},
    ]


async def test_a_change_that_changes_nothing_leaves_no_trace(lab: AccessLab) -> None:
    made = await lab.access.create_organization(OPERATOR, "St Mary")
    await lab.access.update_organization(OPERATOR, made.id, consent=ConsentPolicy.OPTIONAL, name="St Mary")
    assert await lab.actions(made.id) == ["organization.created"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"retention_days": 0}, "retention_days"),
        ({"retention_days": -1}, "retention_days"),
        ({"retention_days": 10**9}, "retention_days"),
        ({"retention_days": True}, "retention_days"),
        ({"consent_grace": timedelta(seconds=-1)}, "consent_grace"),
        ({"consent_grace": timedelta(days=366)}, "consent_grace"),
        ({"release": "sometimes"}, "release"),
        ({"consent": "perhaps"}, "consent"),
        ({"visibility": ""}, "visibility"),
        ({"name": ""}, "name"),
    ],
)
async def test_a_policy_that_means_nothing_is_refused(lab: AccessLab, changes: dict[str, Any], field: str) -> None:
    made = await lab.access.create_organization(OPERATOR, "St Mary")
    with pytest.raises(InvalidFieldError) as refused:
        await lab.access.update_organization(OPERATOR, made.id, **changes)
    assert refused.value.field == field
    assert await lab.access.organization(made.id) == made


async def test_changes_of_different_policies_at_once_are_all_kept(lab: AccessLab) -> None:
    made = await lab.access.create_organization(OPERATOR, "St Mary")
    await asyncio.gather(
        lab.access.update_organization(OPERATOR, made.id, release=ReleasePolicy.SIGN_OFF),
        lab.access.update_organization(OPERATOR, made.id, consent=ConsentPolicy.REQUIRED),
        lab.access.update_organization(OPERATOR, made.id, visibility=Visibility.TENANT),
        lab.access.update_organization(OPERATOR, made.id, retention_days=7),
        lab.access.update_organization(OPERATOR, made.id, public_api=True),
    )
    found = await lab.access.organization(made.id)
    assert (found.release, found.consent, found.visibility) == ("sign-off", "required", "tenant")
    assert (found.retention_days, found.public_api) == (7, True)


async def test_nothing_is_done_for_an_organization_that_is_not_there(lab: AccessLab) -> None:
    for call in (
        lab.access.organization("nobody"),
        lab.access.update_organization(OPERATOR, "nobody", public_api=True),
        lab.access.create_user(TENANT, "nobody", "ann@example.org", "7"),
        lab.access.find_or_create_user(TENANT, "nobody", "ann@example.org", "7"),
        lab.access.users("nobody"),
        lab.access.create_key(OPERATOR, "nobody", KeyKind.TENANT),
        lab.access.keys("nobody"),
    ):
        with pytest.raises(NotFoundError):
            await call
    assert await lab.audit.organizations() == ()


# Users


async def test_a_user_is_found_by_e_mail_in_any_case_and_by_his_exact_id(lab: AccessLab) -> None:
    clinic = (await lab.access.create_organization(OPERATOR, "St Mary")).id
    ann = await lab.access.create_user(TENANT, clinic, "Ann.Müller@Example.org", "u-7A")
    assert await lab.access.find_or_create_user(TENANT, clinic, "ann.mÜller@EXAMPLE.ORG", "u-7A") == ann
    assert await lab.access.user(clinic, ann.id) == ann
    other = await lab.access.find_or_create_user(TENANT, clinic, "ann.müller@example.org", "u-7a")
    assert other.id != ann.id
    assert {user.id for user in await lab.access.users(clinic)} == {ann.id, other.id}
    assert await lab.actions(clinic) == ["organization.created", "user.created", "user.created"]


async def test_a_user_is_made_once(lab: AccessLab) -> None:
    clinic = (await lab.access.create_organization(OPERATOR, "St Mary")).id
    await lab.access.create_user(TENANT, clinic, "ann@example.org", "7")
    with pytest.raises(ConflictError):
        await lab.access.create_user(TENANT, clinic, "ANN@example.org", "7")
    assert len(await lab.access.users(clinic)) == 1
    assert await lab.actions(clinic) == ["organization.created", "user.created"]


async def test_a_changed_address_is_the_same_user_and_a_shared_one_is_not(lab: AccessLab) -> None:
    clinic = (await lab.access.create_organization(OPERATOR, "St Mary")).id
    ann = await lab.access.find_or_create_user(TENANT, clinic, "reception@example.org", "7")
    bob = await lab.access.find_or_create_user(TENANT, clinic, "reception@example.org", "8")
    assert ann.id != bob.id
    married = await lab.access.find_or_create_user(TENANT, clinic, "ann.roe@example.org", "7")
    assert married == replace(ann, email="ann.roe@example.org") == await lab.access.user(clinic, ann.id)
    assert await lab.access.find_or_create_user(TENANT, clinic, "Ann.Roe@example.org", "7") == married
    assert await lab.access.find_or_create_user(TENANT, clinic, "reception@example.org", "8") == bob
    with pytest.raises(ConflictError):
        await lab.access.create_user(TENANT, clinic, "another@example.org", "7")
    other = (await lab.access.create_organization(OPERATOR, "St Anne")).id
    assert (await lab.access.find_or_create_user(TENANT, other, "ann.roe@example.org", "7")).id != ann.id
    assert await lab.actions(clinic) == ["organization.created", "user.created", "user.created", "user.email_changed"]


async def test_first_exchanges_of_one_id_with_several_addresses_at_once_make_one_user(lab: AccessLab) -> None:
    clinic = (await lab.access.create_organization(OPERATOR, "St Mary")).id
    found = await asyncio.gather(
        *(lab.access.find_or_create_user(TENANT, clinic, f"ann{n % 3}@example.org", "7") for n in range(9))
    )
    assert len({user.id for user in found}) == len(await lab.access.users(clinic)) == 1


async def test_users_who_shared_an_id_before_it_alone_made_a_user_stay_apart(
    empty_database_url: str, tmp_path: Path
) -> None:
    database = SqlDatabase(empty_database_url)
    await migrate_to(database, "0004_templates", check=lambda _: None)
    lab = AccessLab(database, tmp_path)
    emails = {"ann": "ann@example.org", "bob": "bob@example.org"}
    async with database.write() as transaction:
        await lab.organizations.add(transaction, Organization("clinic", "St Mary", NOON))
        for n, (name, email) in enumerate(emails.items()):
            sealed = await lab.rows.add(transaction, "clinic", users, name, {"email": email, "third_party_id": "7"})
            indexes = lab.users._indexes("clinic", email, "7")
            row = {"id": name, "organization_id": "clinic", "created_at": NOON - timedelta(seconds=9 - n)}
            await transaction.connection.execute(insert(users).values(**row, **indexes, **sealed))
    await migrate(database)
    for name, email in emails.items():
        assert (await lab.access.find_or_create_user(TENANT, "clinic", email, "7")).id == name
    third = await lab.access.find_or_create_user(TENANT, "clinic", "carl@example.org", "7")
    assert third.id not in emails
    assert [each.email for each in await lab.access.users("clinic")] == [*emails.values(), "carl@example.org"]
    await database.dispose()


async def test_requests_of_one_new_user_at_once_make_one_user(lab: AccessLab, database_url: str) -> None:
    clinic = (await lab.access.create_organization(OPERATOR, "St Mary")).id
    databases = [SqlDatabase(database_url) for _ in range(2)]  # as in two processes
    services = [lab.another(database) for database in databases]
    emails = ("ann@example.org", "Ann@Example.org")
    found = await asyncio.gather(
        *(services[n % 2].find_or_create_user(TENANT, clinic, emails[n // 2 % 2], "7") for n in range(20))
    )
    for database in databases:
        await database.dispose()
    assert len({user.id for user in found}) == 1
    assert len(await lab.access.users(clinic)) == 1
    assert await lab.actions(clinic) == ["organization.created", "user.created"]


async def test_neither_e_mail_nor_id_of_a_user_stands_in_the_database(lab: AccessLab, database: SqlDatabase) -> None:
    clinic = (await lab.access.create_organization(OPERATOR, "St Mary")).id
    await lab.access.create_user(TENANT, clinic, "quillfeather@example.org", "zebulon-7")
    async with database.read() as transaction:
        row = (await transaction.connection.execute(select(users))).one()
    for value in row:
        assert b"quillfeather" not in (value if isinstance(value, bytes) else str(value).encode())
        assert b"zebulon" not in (value if isinstance(value, bytes) else str(value).encode())


# Linked accounts


async def test_an_account_is_linked_unlinked_and_linked_again(lab: AccessLab) -> None:
    clinic = (await lab.access.create_organization(OPERATOR, "St Mary")).id
    ann = (await lab.access.create_user(TENANT, clinic, "ann@example.org", "7")).id
    assert await lab.access.account(clinic, ann) is None
    linked = await lab.access.link_account(TENANT, clinic, ann, "kp_1", "Best Practice")
    assert (linked.account_id, linked.ehr_provider, linked.created_at) == ("kp_1", "Best Practice", NOON)
    assert await lab.access.account(clinic, ann) == linked
    with pytest.raises(ConflictError):
        await lab.access.link_account(TENANT, clinic, ann, "kp_2")
    lab.clock.go_on()
    unlinked = await lab.access.unlink_account(TENANT, clinic, ann)
    assert (unlinked.id, unlinked.deleted_at) == (linked.id, lab.clock.now())
    assert await lab.access.account(clinic, ann) is None
    with pytest.raises(NotFoundError):
        await lab.access.unlink_account(TENANT, clinic, ann)
    again = await lab.access.link_account(TENANT, clinic, ann, "kp_1")
    assert await lab.access.account(clinic, ann) == again
    assert (await lab.actions(clinic))[2:] == ["account.linked", "account.unlinked", "account.linked"]


async def test_an_account_belongs_to_one_user(lab: AccessLab) -> None:
    clinic = (await lab.access.create_organization(OPERATOR, "St Mary")).id
    ann = (await lab.access.create_user(TENANT, clinic, "ann@example.org", "7")).id
    bob = (await lab.access.create_user(TENANT, clinic, "bob@example.org", "8")).id
    ended = await asyncio.gather(
        *(lab.access.link_account(TENANT, clinic, user, "kp_1") for user in (ann, bob)), return_exceptions=True
    )
    assert sorted(type(each).__name__ for each in ended) == ["ConflictError", "LinkedAccount"]


async def test_an_account_is_unlinked_once_however_many_ask(lab: AccessLab) -> None:
    clinic = (await lab.access.create_organization(OPERATOR, "St Mary")).id
    ann = (await lab.access.create_user(TENANT, clinic, "ann@example.org", "7")).id
    await lab.access.link_account(TENANT, clinic, ann, "kp_1")
    ended = await asyncio.gather(
        *(lab.access.unlink_account(TENANT, clinic, ann) for _ in range(5)), return_exceptions=True
    )
    assert sorted(type(each).__name__ for each in ended) == ["LinkedAccount"] + ["NotFoundError"] * 4


# Another organization's ids


async def test_no_call_of_a_repository_shows_or_changes_what_another_organization_has(lab: AccessLab) -> None:
    clinic = (await lab.access.create_organization(OPERATOR, "St Mary")).id
    other = (await lab.access.create_organization(OPERATOR, "St John")).id
    ann = await lab.access.create_user(TENANT, clinic, "ann@example.org", "7")
    account = await lab.access.link_account(TENANT, clinic, ann.id, "kp_1")
    key, _ = await lab.access.create_key(OPERATOR, clinic, KeyKind.PUBLIC, user_id=ann.id)
    async with lab.database.write() as transaction:
        for missing in (
            lab.users.get(transaction, other, ann.id),
            lab.keys.lock(transaction, other, key.id),
        ):
            with pytest.raises(NotFoundError):
                await missing
        assert await lab.users.find(transaction, other, ann.email, ann.third_party_id) is None
        assert await lab.users.all(transaction, other) == ()
        assert await lab.users.account(transaction, other, ann.id) is None
        assert await lab.users.account(transaction, other, ann.id, lock=True) is None
        assert await lab.keys.all(transaction, other) == ()
        await lab.users.save_account(transaction, replace(account, organization_id=other, deleted_at=NOON))
        await lab.keys.save(transaction, replace(key, organization_id=other, revoked_at=NOON))
    assert await lab.access.account(clinic, ann.id) == account
    assert await lab.access.keys(clinic) == (key,)


async def test_no_call_of_the_service_reaches_into_another_organization(lab: AccessLab) -> None:
    clinic = (await lab.access.create_organization(OPERATOR, "St Mary")).id
    other = (await lab.access.create_organization(OPERATOR, "St John")).id
    ann = await lab.access.create_user(TENANT, clinic, "ann@example.org", "7")
    await lab.access.link_account(TENANT, clinic, ann.id, "kp_1")
    key, _ = await lab.access.create_key(OPERATOR, clinic, KeyKind.TENANT)
    for call in (
        lab.access.user(other, ann.id),
        lab.access.link_account(TENANT, other, ann.id, "kp_2"),
        lab.access.unlink_account(TENANT, other, ann.id),
        lab.access.create_key(OPERATOR, other, KeyKind.PUBLIC, user_id=ann.id),
        lab.access.disable_key(TENANT, key.id, organization_id=other),
        lab.access.enable_key(TENANT, key.id, organization_id=other),
        lab.access.revoke_key(TENANT, key.id, organization_id=other),
    ):
        with pytest.raises(NotFoundError):
            await call
    assert await lab.access.account(other, ann.id) is None
    # The same person in another organization is another user, and the same account may be linked there.
    twin = await lab.access.find_or_create_user(TENANT, other, ann.email, ann.third_party_id)
    assert twin.id != ann.id
    assert (await lab.access.link_account(TENANT, other, twin.id, "kp_1")).organization_id == other
    assert await lab.actions(other) == ["organization.created", "user.created", "account.linked"]


async def test_ids_that_nobody_has_are_no_error_of_the_database(lab: AccessLab) -> None:
    for each in ("", "0" * 10_000, "'; --", new_id()):
        with pytest.raises(NotFoundError):
            await lab.access.organization(each)
        with pytest.raises(NotFoundError):
            await lab.access.user(each, each)
        with pytest.raises(NotFoundError):
            await lab.access.revoke_key(OPERATOR, each)
