"""Patient profiles through the scribe API: both names of the birth date, filters, deletion, links."""

from typing import Any

import pytest
from sqlalchemy import update

from osler.access.model import Visibility
from osler.storage.database import connection_of
from osler.storage.tables.encounters import patient_profiles
from tests.scribe_practice import NOBODYS_ID, NOBODYS_SESSION, Clinician, Town, ok, refused
from tests.scribe_practice import clinician as clinician
from tests.scribe_practice import shared_town as shared_town

pytestmark = pytest.mark.anyio

KNOWN: dict[str, Any] = {
    "first_name": "Ada",
    "last_name": "Quill",
    "birth_date": "1950-02-28",
    "gender": "FEMALE",
    "ehr_patient_id": "p-1",
    "provider": "Best Practice",
    "phone": "+61 2 5550 0000",
    "email": "ada@quill.example",
    "patient_sex_code": "F",
    "identifiers": [{"system": "mrn", "value": "17", "primary": True, "rank": 1, "until": None}],
    "demographic_string": "75-year-old woman",
    "additional_context": "Hard of hearing.",
}


@pytest.mark.parametrize("name", ["date_of_birth", "birth_date"])
async def test_a_profile_takes_either_name_of_the_birth_date_and_tells_both(clinician: Clinician, name: str) -> None:
    sent = {**KNOWN, name: KNOWN["birth_date"]}
    if name != "birth_date":
        del sent["birth_date"]
    made = ok(await clinician.post("/patient-profiles", {**sent, "unknown": 1}))
    assert {field: made[field] for field in KNOWN} == KNOWN and made["date_of_birth"] == KNOWN["birth_date"]
    assert made["data"] == {field: value for field, value in made.items() if field != "data"}
    assert len(made["id"]) == 24 and int(made["id"], 16) >= 0
    assert ok(await clinician.get(f"/patient-profiles/{made['id']}")) == made


async def test_what_is_not_known_is_null_to_one_reader_and_empty_to_the_other(clinician: Clinician) -> None:
    made = ok(await clinician.post("/patient-profiles", {}))
    assert made["first_name"] == made["gender"] == "" and "date_of_birth" not in made
    assert made["data"]["first_name"] is made["data"]["gender"] is made["data"]["date_of_birth"] is None
    assert made["identifiers"] == made["data"]["identifiers"] == []
    (listed,) = ok(await clinician.get("/patient-profiles"))["data"]
    assert listed == {field: value for field, value in made.items() if field != "data"}


@pytest.mark.parametrize("field", sorted(KNOWN))
async def test_only_what_is_sent_changes_and_null_empties(clinician: Clinician, field: str) -> None:
    made = await clinician.profile(**KNOWN)
    same = {"birth_date", "date_of_birth"} if field == "birth_date" else {field}
    emptied = ok(await clinician.patch(f"/patient-profiles/{made['id']}", {field: None}))["data"]
    assert emptied[field] in (None, []) and emptied["updated_at"] > made["updated_at"]
    assert {k: v for k, v in emptied.items() if k not in same | {"updated_at"}} == {
        k: v for k, v in made.items() if k not in same | {"updated_at"}
    }
    again = ok(await clinician.patch(f"/patient-profiles/{made['id']}", {field: KNOWN[field]}))["data"]
    assert {**again, "updated_at": None} == {**made, "updated_at": None}


@pytest.mark.parametrize("route", ["create", "change"])
async def test_birth_dates_that_contradict_each_other_are_refused(clinician: Clinician, route: str) -> None:
    made = await clinician.profile(**KNOWN)
    sent = {"birth_date": "1950-02-28", "date_of_birth": "1950-03-01"}
    answer = (
        await clinician.post("/patient-profiles", sent)
        if route == "create"
        else await clinician.patch(f"/patient-profiles/{made['id']}", sent)
    )
    refused(answer, 422, "ValidationError", "date_of_birth")
    assert ok(await clinician.get("/patient-profiles"))["data"][0]["birth_date"] == KNOWN["birth_date"]


async def test_the_filters_are_exact(clinician: Clinician) -> None:
    made = [
        (await clinician.profile(ehr_patient_id=patient, provider=provider))["id"]
        for patient, provider in (("p-1", "epic"), ("p-1", "cerner"), ("p-10", "epic"))
    ]

    async def found(**query: str) -> list[str]:
        return [each["id"] for each in ok(await clinician.get("/patient-profiles", **query))["data"]]

    assert await found() == made
    assert await found(ehr_patient_id="p-1") == made[:2]
    assert await found(provider="epic") == [made[0], made[2]]
    assert await found(ehr_patient_id="p-1", provider="cerner") == [made[1]]
    assert await found(ehr_patient_id="p-") == await found(provider="' OR 1=1 --") == []


async def test_a_list_holds_all_profiles_however_many(clinician: Clinician) -> None:
    made = [
        await clinician.core.profiles.create(
            clinician.user_as_actor, clinician.organization.id, clinician.user.id, last_name=f"{n}"
        )
        for n in range(205)
    ]
    listed = ok(await clinician.get("/patient-profiles"))["data"]
    assert [each["id"] for each in listed] == [each.id for each in made]


async def test_a_deletion_says_what_was_deleted_and_what_was_not_found(shared_town: Town) -> None:
    clinician, stranger = await shared_town.clinician(), await shared_town.clinician()
    mine = [(await clinician.profile())["id"] for _ in range(3)]
    others = (await stranger.profile())["id"]
    wanted = [mine[2], others, NOBODYS_ID, mine[0], "no id'; DROP TABLE patient_profiles", mine[2]]
    body = ok(await clinician.post("/patient-profiles:batch-delete", {"patient_profile_ids": wanted}))
    assert body["deleted"] == [mine[2], mine[0]]
    assert body["not_found"] == [others, NOBODYS_ID, "no id'; DROP TABLE patient_profiles"]
    assert body["data"] == {"deleted": body["deleted"], "not_found": body["not_found"]}
    refused(await clinician.get(f"/patient-profiles/{mine[0]}"), 404, "PatientProfileNotFoundError")
    assert [each["id"] for each in ok(await clinician.get("/patient-profiles"))["data"]] == [mine[1]]
    ok(await stranger.get(f"/patient-profiles/{others}"))
    assert {trace["patient_profile"] for trace in await clinician.traces("patient_profile.deleted")} == {*mine[::2]}


async def test_a_session_is_linked_and_takes_over_what_it_does_not_know(clinician: Clinician) -> None:
    profile = await clinician.profile(**KNOWN)
    session_id = await clinician.session()
    await clinician.patch(f"/sessions/{session_id}", {"patient": {"name": "Ms Quill"}})
    linked = ok(await clinician.post(f"/patient-profiles/{profile['id']}/sessions", {"session_id": session_id}))
    assert linked == {"is_success": True, "session_id": session_id, "patient_profile_id": profile["id"]}
    told = await clinician.told(session_id)
    assert told["patient_profile_id"] == profile["id"] and told["ehr_patient_id"] == "p-1"
    assert told["patient"]["name"] == "Ms Quill" and told["patient"]["dob"] == "1950-02-28"


async def test_nothing_is_linked_that_is_not_there_or_not_his(shared_town: Town) -> None:
    clinician, stranger = await shared_town.clinician(), await shared_town.clinician()
    profile, session_id = await clinician.profile(), await clinician.session()
    theirs, their_session = await stranger.profile(), await stranger.session()
    for profile_id in (theirs["id"], NOBODYS_ID, "x", "%20", profile["id"].upper() + "A"):
        answer = await clinician.post(f"/patient-profiles/{profile_id}/sessions", {"session_id": session_id})
        refused(answer, 404, "PatientProfileNotFoundError")
    for other in (their_session, NOBODYS_SESSION, "x", ""):
        answer = await clinician.post(f"/patient-profiles/{profile['id']}/sessions", {"session_id": other})
        assert refused(answer, 404, "SessionNotFoundError")["field"] == "session_id"
    assert (await clinician.told(session_id))["patient_profile_id"] is None
    assert (await stranger.told(their_session))["patient_profile_id"] is None


async def test_what_is_not_there_or_not_his_is_the_same_to_a_clinician(shared_town: Town) -> None:
    practice = await shared_town.practice()
    clinician, colleague = await shared_town.clinician(practice), await shared_town.clinician(practice, "colleague")
    stranger, profile = await shared_town.clinician(), await clinician.profile(**KNOWN)
    for other in (colleague, stranger):
        for profile_id in (profile["id"], NOBODYS_ID, "x", "%00", "1" * 5000):
            for answer in (
                await other.get(f"/patient-profiles/{profile_id}"),
                await other.patch(f"/patient-profiles/{profile_id}", {"first_name": "Eve"}),
            ):
                assert refused(answer, 404) == {
                    "msg": "Patient profile not found",
                    "type": "PatientProfileNotFoundError",
                }
        for query in ({}, {"ehr_patient_id": "p-1"}, {"provider": "Best Practice"}):
            assert ok(await other.get("/patient-profiles", **query))["data"] == []
    assert ok(await clinician.get(f"/patient-profiles/{profile['id']}"))["data"] == profile


async def test_a_practice_can_have_all_its_clinicians_see_all(shared_town: Town) -> None:
    practice = await shared_town.practice(visibility=Visibility.TENANT)
    clinician, colleague = await shared_town.clinician(practice), await shared_town.clinician(practice, "colleague")
    profile = await clinician.profile(**KNOWN)
    assert ok(await colleague.get(f"/patient-profiles/{profile['id']}"))["data"] == profile
    assert [each["id"] for each in ok(await colleague.get("/patient-profiles"))["data"]] == [profile["id"]]


async def test_every_reading_and_every_change_is_on_record(clinician: Clinician) -> None:
    profile = await clinician.profile(**KNOWN)
    trace = {"patient_profile": profile["id"]}
    await clinician.get(f"/patient-profiles/{profile['id']}")
    await clinician.get("/patient-profiles")
    assert await clinician.traces("patient_profile.read") == [trace, {**trace, "by": "list"}]
    await clinician.patch(f"/patient-profiles/{profile['id']}", {"phone": None, "date_of_birth": "1950-03-01"})
    assert await clinician.traces("patient_profile.changed") == [{**trace, "fields": "birth_date,phone"}]
    entries = await clinician.core.audit.list(clinician.organization.id, limit=1000)
    assert not any(word in str(entry) for entry in entries for word in ("Quill", "1950-0", "1950, ", "p-1"))


async def test_a_damaged_profile_is_named_and_hides_none_of_the_others(clinician: Clinician) -> None:
    made = [ok(await clinician.post("/patient-profiles", {"first_name": name}))["id"] for name in ("A", "B", "C")]
    async with clinician.core.database.write() as transaction:
        column = patient_profiles.c.id
        damaged = update(patient_profiles).where(column == made[1]).values(sealed=b"\x01" + bytes(60))
        await connection_of(transaction).execute(damaged)
    answer = ok(await clinician.get("/patient-profiles"))
    assert [each["id"] for each in answer["data"]] == [made[0], made[2]]
    assert answer["damaged_profiles"] == [made[1]]
