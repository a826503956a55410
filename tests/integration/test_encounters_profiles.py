"""Patient profiles: made, found by what stands nowhere open, changed, deleted for good, linked to encounters."""

import asyncio
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from osler.access.model import LinkedAccount
from osler.encounters.model import EncounterPatient
from osler.kernel.errors import InvalidFieldError, NotFoundError
from osler.kernel.ids import new_id
from osler.storage.database import SqlDatabase
from osler.storage.tables.encounters import encounters, patient_profiles
from osler.storage.tables.sealing import object_keys
from tests.encounters_lab import DOCTOR, MARKER, NOON, EncountersLab

pytestmark = pytest.mark.anyio

EVERY_FIELD: dict[str, Any] = {
    "first_name": "Jane",
    "last_name": "Roe",
    "birth_date": date(1971, 2, 3),
    "gender": "FEMALE",
    "ehr_patient_id": "MRN-00417",
    "provider": "best-practice",
    "phone": "+61 2 5550 1234",
    "email": "jane@example.org",
    "patient_sex_code": "F",
    "identifiers": ({"system": "medicare", "value": "2951", "primary": True},),
    "demographic_string": "retired, lives alone",
    "additional_context": "prefers mornings",
}


@pytest.fixture
async def lab(database: SqlDatabase, tmp_path: Path) -> EncountersLab:
    return await EncountersLab.open(database, tmp_path)


async def test_every_field_is_given_back_as_it_was_set(lab: EncountersLab) -> None:
    organization = await lab.organization()
    made = await lab.profiles.create(DOCTOR, organization.id, (await lab.user(organization)).id, **EVERY_FIELD)
    assert await lab.profiles.get(organization.id, made.id) == made
    for field, value in EVERY_FIELD.items():
        assert getattr(made, field) == value, field


async def test_a_change_touches_the_field_that_was_sent_and_no_other(lab: EncountersLab) -> None:
    organization = await lab.organization()
    made = await lab.profiles.create(DOCTOR, organization.id, (await lab.user(organization)).id)
    for field, value in EVERY_FIELD.items():
        changed = await lab.profiles.change(DOCTOR, organization.id, made.id, {field: value})
        assert changed == replace(made, updated_at=changed.updated_at, **{field: value})
        assert await lab.profiles.get(organization.id, made.id) == changed
        made = changed


async def test_changes_of_many_at_once_all_survive(lab: EncountersLab) -> None:
    organization = await lab.organization()
    made = await lab.profiles.create(DOCTOR, organization.id, (await lab.user(organization)).id)
    await asyncio.gather(
        *(lab.profiles.change(DOCTOR, organization.id, made.id, {field: value}) for field, value in EVERY_FIELD.items())
    )
    read = await lab.profiles.get(organization.id, made.id)
    assert read == replace(made, updated_at=read.updated_at, **EVERY_FIELD)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"diagnosis": MARKER}, "diagnosis"),
        ({"birth_date": MARKER}, "birth_date"),
        ({"email": 7}, "email"),
        ({"first_name": MARKER * 100}, "first_name"),
        ({"identifiers": [MARKER]}, "identifiers"),
        ({"identifiers": [{"value": [MARKER]}]}, "identifiers"),
        ({"identifiers": [{"value": float("nan")}]}, "identifiers"),
    ],
)
async def test_a_field_that_cannot_be_used_is_named_and_its_value_is_not(
    lab: EncountersLab, changes: dict[str, Any], named: str
) -> None:
    organization = await lab.organization()
    made = await lab.profiles.create(DOCTOR, organization.id, (await lab.user(organization)).id)
    with pytest.raises(InvalidFieldError) as refused:
        await lab.profiles.change(DOCTOR, organization.id, made.id, changes)
    assert refused.value.field == named
    assert MARKER not in str(refused.value)


async def test_profiles_are_found_by_ehr_id_and_provider_which_stand_nowhere_open(lab: EncountersLab) -> None:
    organization = await lab.organization()
    user = await lab.user(organization)
    made = [
        await lab.profiles.create(DOCTOR, organization.id, user.id, ehr_patient_id=ehr, provider=provider)
        for ehr, provider in (("MRN-1", "one"), ("MRN-1", "two"), ("MRN-2", "one"))
    ]
    cases: tuple[tuple[dict[str, Any], list[int]], ...] = (
        ({"ehr_patient_id": "mrn-1"}, [0, 1]),
        ({"provider": "One "}, [0, 2]),
        ({"ehr_patient_id": "MRN-1", "provider": "two", "user_id": user.id}, [1]),
        ({"ehr_patient_id": "MRN"}, []),
        ({}, [0, 1, 2]),
    )
    for filters, indexes in cases:
        page = await lab.profiles.list(organization.id, **filters)
        assert list(page.items) == [made[index] for index in indexes]
        assert await lab.profiles.count(organization.id, **filters) == len(indexes)
    first = await lab.profiles.list(organization.id, limit=2)
    assert first.items == tuple(made[:2])
    assert (await lab.profiles.list(organization.id, limit=2, after=first.following)).items == (made[2],)
    async with lab.database.read() as transaction:
        rows = (await transaction.connection.execute(select(patient_profiles))).all()
    assert "mrn-1" not in repr(rows).lower()


async def test_an_encounter_takes_from_its_profile_what_it_was_not_told_itself(lab: EncountersLab) -> None:
    organization = await lab.organization()
    user = await lab.user(organization)
    profile = await lab.profiles.create(DOCTOR, organization.id, user.id, **EVERY_FIELD)
    made = await lab.encounters.create(DOCTOR, organization.id, user.id, patient_profile_id=profile.id)
    assert made.patient == EncounterPatient("Jane Roe", "FEMALE", date(1971, 2, 3), "retired, lives alone")
    assert made.ehr_patient_id == "MRN-00417"
    told = await lab.encounters.create(
        DOCTOR, organization.id, user.id, patient={"name": "J. R."}, ehr_patient_id="other"
    )
    linked = await lab.profiles.link(DOCTOR, organization.id, profile.id, told.id)
    assert linked == await lab.encounters.get(organization.id, told.id)
    assert linked.patient == EncounterPatient("J. R.", "FEMALE", date(1971, 2, 3), "retired, lives alone")
    assert (linked.patient_profile_id, linked.ehr_patient_id) == (profile.id, "other")
    assert await lab.profiles.link(DOCTOR, organization.id, profile.id, told.id) == linked
    assert await lab.actions(organization.id, told.id) == ["encounter.created", "patient_profile.linked"]


@pytest.mark.parametrize("how", ["link", "change"])
async def test_an_encounter_linked_to_another_profile_keeps_nothing_of_the_former_patient(
    lab: EncountersLab, how: str
) -> None:
    organization = await lab.organization()
    user = await lab.user(organization)
    former = await lab.profiles.create(
        DOCTOR, organization.id, user.id, first_name="Jane", last_name="Doe", gender="FEMALE", ehr_patient_id="E1"
    )
    right = await lab.profiles.create(DOCTOR, organization.id, user.id, first_name="Jim", demographic_string="92 yo")
    made = await lab.encounters.create(DOCTOR, organization.id, user.id, patient_profile_id=former.id)
    if how == "link":
        linked = await lab.profiles.link(DOCTOR, organization.id, right.id, made.id)
    else:
        linked = await lab.encounters.change(DOCTOR, organization.id, made.id, {"patient_profile_id": right.id})
    assert linked.patient == EncounterPatient(name="Jim", demographic_details="92 yo")
    assert (linked.patient_profile_id, linked.ehr_patient_id) == (right.id, None)


@pytest.mark.parametrize("how", ["link", "change"])
async def test_nor_of_one_whose_profile_was_deleted_before(lab: EncountersLab, how: str) -> None:
    organization = await lab.organization()
    user = await lab.user(organization)
    former = await lab.profiles.create(DOCTOR, organization.id, user.id, **EVERY_FIELD)
    right = await lab.profiles.create(DOCTOR, organization.id, user.id, first_name="Jim", ehr_patient_id="E2")
    made = await lab.encounters.create(DOCTOR, organization.id, user.id, patient_profile_id=former.id)
    await lab.profiles.delete_many(DOCTOR, organization.id, [former.id])
    await lab.encounters.change(DOCTOR, organization.id, made.id, {"patient": {"gender": "other"}})
    if how == "link":
        linked = await lab.profiles.link(DOCTOR, organization.id, right.id, made.id)
    else:
        linked = await lab.encounters.change(DOCTOR, organization.id, made.id, {"patient_profile_id": right.id})
    assert linked.patient == EncounterPatient(name="Jim")
    assert (linked.ehr_patient_id, linked.ehr_provider, linked.patient_profile_id) == ("E2", None, right.id)


async def test_the_ehr_of_an_encounter_is_that_of_its_patient_or_else_of_its_user(lab: EncountersLab) -> None:
    organization = await lab.organization()
    user = await lab.user(organization)
    account = LinkedAccount(new_id(), organization.id, user.id, "a1", "best practice", NOON, NOON)
    async with lab.database.write() as transaction:
        await lab.users.add_account(transaction, account)
    epic, unsaid = [
        await lab.profiles.create(DOCTOR, organization.id, user.id, ehr_patient_id="7", **more)
        for more in ({"provider": "EPIC of Ms Quill"}, {})
    ]
    alone = await lab.encounters.create(DOCTOR, organization.id, user.id)
    of_patient = await lab.encounters.create(DOCTOR, organization.id, user.id, patient_profile_id=epic.id)
    of_user = await lab.encounters.create(DOCTOR, organization.id, user.id, patient_profile_id=unsaid.id)
    assert [each.ehr_provider for each in (alone, of_patient, of_user)] == [
        "best practice",
        "EPIC of Ms Quill",
        "best practice",
    ]
    linked = await lab.profiles.link(DOCTOR, organization.id, epic.id, alone.id)
    assert (linked.ehr_provider, linked.ehr_patient_id) == ("EPIC of Ms Quill", "7")
    other = await lab.encounters.create(DOCTOR, organization.id, user.id, ehr_patient_id="8")
    assert (await lab.profiles.link(DOCTOR, organization.id, epic.id, other.id)).ehr_provider == "best practice"
    assert await lab.encounters.get(organization.id, linked.id) == linked
    async with lab.database.read() as transaction:
        providers = await transaction.connection.scalars(select(encounters.c.ehr_provider))
        assert set(providers) == {None}


async def test_a_deleted_profile_is_gone_and_its_encounters_keep_their_data_unlinked(lab: EncountersLab) -> None:
    organization = await lab.organization()
    user = await lab.user(organization)
    profile, kept = [await lab.profiles.create(DOCTOR, organization.id, user.id, **EVERY_FIELD) for _ in range(2)]
    made = await lab.encounters.create(DOCTOR, organization.id, user.id, patient_profile_id=profile.id)
    async with lab.database.read() as transaction:
        query = select(patient_profiles.c.key_id).where(patient_profiles.c.id == profile.id)
        key_id = (await transaction.connection.execute(query)).scalar_one()
    gone = await lab.profiles.delete_many(DOCTOR, organization.id, ["none", profile.id, profile.id])
    assert gone == ((profile.id,), ("none",))
    with pytest.raises(NotFoundError):
        await lab.profiles.get(organization.id, profile.id)
    assert (await lab.profiles.list(organization.id)).items == (kept,)
    read = await lab.encounters.get(organization.id, made.id)
    assert read == replace(made, patient_profile_id=None, revision=2)
    async with lab.database.read() as transaction:
        query = select(object_keys.c.wrapped).where(object_keys.c.id == key_id)
        assert (await transaction.connection.execute(query)).scalar_one() is None
    [deleted] = [e.event for e in await lab.audit.list(organization.id) if e.event.action == "patient_profile.deleted"]
    assert deleted.subject == {"patient_profile": profile.id}
    assert deleted.detail == {"unlinked": "1"}
