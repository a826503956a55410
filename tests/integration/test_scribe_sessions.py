"""Sessions through the scribe API: made, read by both kinds of readers, changed field by field."""

from typing import Any

import pytest

from osler.access.model import ReleasePolicy, Visibility
from osler.audit.model import OPERATOR
from osler.encounters.model import ErasureReason, ErasureScope
from osler.kernel.errors import DatabaseUnavailableError
from osler.notes.model import TextStatus
from osler.release.service import ReleaseService
from tests.scribe_practice import NOBODYS_ID, NOBODYS_SESSION, Clinician, Town, ok, refused
from tests.scribe_practice import clinician as clinician
from tests.scribe_practice import shared_town as shared_town

pytestmark = pytest.mark.anyio

DESCRIBED: dict[str, Any] = {
    "session_name": "Follow-up",
    "duration": 390,
    "language_code": "en",
    "output_language_code": "es-MX",
    "transcribe_mode": "dictate",
    "patient": {"name": "Ada Quill", "gender": "FEMALE", "dob": "1950-02-28", "demographic_details": "retired"},
    "clinician_notes": ["one", "two"],
    "ehr_patient_id": "p-1",
    "ehr_appt_id": "a-1",
    "generate_output_without_recording": True,
    "recording_status": "PAUSED",
    "session_status": "ACTIVE",
    "consent_obtained": True,
}


async def test_a_new_session_has_decimal_digits_for_an_id_and_the_empties_of_the_prose(clinician: Clinician) -> None:
    session_id = await clinician.session(anything={"else": [1]}, ehr_appointment_id="appointment 7")
    assert session_id.isascii() and session_id.isdecimal()
    body = ok(await clinician.get(f"/sessions/{session_id}"))
    told = body["session"]
    assert told["patient"] == {"name": "", "gender": None, "dob": None}
    assert told["audio"] == [] and told["clinician_notes"] == [] and told["documents"] is None
    assert told["consult_note"] is None and told["session_id"] == session_id
    assert told["ehr_appt_id"] == "appointment 7" and told["consent_obtained"] is False
    assert body["session_id"] == session_id and body["documents"] == [] and body["consult_note"] == {}
    assert body["audio"] == {"count": 0, "duration": 0, "recordings": []}


async def test_every_field_can_be_changed_and_is_told_to_both_readers(clinician: Clinician) -> None:
    session_id, former = await clinician.session(), await clinician.session()
    sent = {**DESCRIBED, "linked_sessions_for_context": [former]}
    body = ok(await clinician.patch(f"/sessions/{session_id}", {**sent, "unknown": {"key": True}}))
    assert {field: body["session"][field] for field in sent} == sent
    for field in ("patient", "duration", "language_code", "output_language_code", "clinician_notes"):
        assert body[field] == sent[field]
    assert body["consent_obtained"] is True and body["linked_sessions_for_context"] == [former]
    assert ok(await clinician.get(f"/sessions/{session_id}")) == body


@pytest.mark.parametrize("field", sorted(DESCRIBED))
async def test_only_what_is_sent_changes(clinician: Clinician, field: str) -> None:
    session_id = await clinician.session()
    before = await clinician.told(session_id)
    after = ok(await clinician.patch(f"/sessions/{session_id}", {field: DESCRIBED[field]}))["session"]
    assert after.pop(field) == DESCRIBED[field] and after.pop("updated_at") > before["updated_at"]
    assert after == {key: value for key, value in before.items() if key not in (field, "updated_at")}


async def test_of_the_patient_too_only_what_is_sent_changes(clinician: Clinician) -> None:
    session_id = await clinician.session()
    await clinician.patch(f"/sessions/{session_id}", {"patient": DESCRIBED["patient"]})
    await clinician.patch(f"/sessions/{session_id}", {"patient": {"dob": "1950-03-01", "mood": "cheerful"}})
    assert (await clinician.told(session_id))["patient"] == {**DESCRIBED["patient"], "dob": "1950-03-01"}
    await clinician.patch(f"/sessions/{session_id}", {"patient": {"gender": None, "demographic_details": None}})
    assert (await clinician.told(session_id))["patient"] == {"name": "Ada Quill", "gender": None, "dob": "1950-03-01"}


@pytest.mark.parametrize(
    ("spelling", "value", "told_as"),
    [
        ("ehr_appt_id", "a-2", "ehr_appt_id"),
        ("ehr_appointment_id", "a-2", "ehr_appt_id"),
        ("is_consent", True, "consent_obtained"),
        ("consent_obtained", True, "consent_obtained"),
    ],
)
async def test_both_spellings_are_accepted(clinician: Clinician, spelling: str, value: Any, told_as: str) -> None:
    session_id = await clinician.session()
    assert ok(await clinician.patch(f"/sessions/{session_id}", {spelling: value}))["session"][told_as] == value
    assert ok(await clinician.get(f"/sessions/{session_id}"))["session"][told_as] == value


@pytest.mark.parametrize(
    ("sent", "field"),
    [
        ({"ehr_appt_id": "a", "ehr_appointment_id": "b"}, "ehr_appointment_id"),
        ({"is_consent": True, "consent_obtained": False}, "consent_obtained"),
    ],
)
async def test_spellings_that_contradict_each_other_are_refused(
    clinician: Clinician, sent: dict[str, Any], field: str
) -> None:
    session_id = await clinician.session()
    before = await clinician.told(session_id)
    refused(await clinician.patch(f"/sessions/{session_id}", sent), 422, field=field)
    assert await clinician.told(session_id) == before


async def test_null_empties_and_says_nothing_of_consent(clinician: Clinician) -> None:
    session_id = await clinician.session()
    await clinician.patch(f"/sessions/{session_id}", DESCRIBED)
    told = ok(await clinician.patch(f"/sessions/{session_id}", dict.fromkeys(DESCRIBED)))["session"]
    assert told["patient"] == {"name": "", "gender": None, "dob": None} and told["clinician_notes"] == []
    for field in ("language_code", "output_language_code", "ehr_appt_id", "ehr_patient_id", "session_status"):
        assert told[field] is None
    assert told["session_name"] == "" and told["duration"] == 0
    assert told["consent_obtained"] is True and told["generate_output_without_recording"] is True


async def test_a_session_sent_back_as_it_was_read_reads_the_same(clinician: Clinician) -> None:
    session_id = await clinician.session()
    before = await clinician.told(session_id)
    after = ok(await clinician.patch(f"/sessions/{session_id}", before))["session"]
    assert {**after, "updated_at": None} == {**before, "updated_at": None}
    await clinician.patch(f"/sessions/{session_id}", {**DESCRIBED, "consult_note": {"result": "Well."}})
    before = await clinician.told(session_id)
    assert ok(await clinician.patch(f"/sessions/{session_id}", before))["session"] == before
    assert len(await clinician.core.notes.versions(clinician.organization.id, session_id)) == 1


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        ("2026-03-04T12:00:00", "2026-03-04T12:00:00.000000Z"),
        ("2026-03-04T12:00:00.123456Z", "2026-03-04T12:00:00.123456Z"),
        ("2026-03-04T12:00:00.5+11:00", "2026-03-04T01:00:00.500000Z"),
        ("2026-03-04 12:00:00-0330", "2026-03-04T15:30:00.000000Z"),
        ("2026-03-04t12:00z", "2026-03-04T12:00:00.000000Z"),
    ],
)
async def test_times_come_in_with_or_without_zone_and_go_out_in_utc(clinician: Clinician, sent: str, told: str) -> None:
    session_id = await clinician.session()
    body = ok(await clinician.patch(f"/sessions/{session_id}", {"created_time_local": sent}))
    assert body["session"]["created_time_local"] == told


async def test_a_profile_gives_a_session_what_it_knows_and_takes_nothing_when_it_goes(clinician: Clinician) -> None:
    profile = await clinician.profile(
        first_name="Ada", last_name="Quill", date_of_birth="1950-02-28", gender="FEMALE", ehr_patient_id="p-1"
    )
    session_id = await clinician.session(patient_profile_id=profile["id"])
    told = await clinician.told(session_id)
    known = {"name": "Ada Quill", "gender": "FEMALE", "dob": "1950-02-28"}
    assert told["patient"] == known and told["ehr_patient_id"] == "p-1" and told["patient_profile_id"] == profile["id"]
    await clinician.post("/patient-profiles:batch-delete", {"patient_profile_ids": [profile["id"]]})
    told = await clinician.told(session_id)
    assert told["patient"] == known and told["ehr_patient_id"] == "p-1" and told["patient_profile_id"] is None


async def test_an_edited_note_is_a_new_version_with_its_author(clinician: Clinician) -> None:
    session_id = await clinician.session()
    note = ok(await clinician.patch(f"/sessions/{session_id}", {"consult_note": {"result": "First."}}))["consult_note"]
    assert (note["status"], note["result"], note["generation_method"]) == ("CREATED", "First.", "TEMPLATE")
    edit = {"result": "## Plan\n\nRest.", "heading": "Visit", "status": "made up", "brain": "RIGHT"}
    told = ok(await clinician.patch(f"/sessions/{session_id}", {"consult_note": edit}))["session"]["consult_note"]
    assert (told["result"], told["heading"], told["brain"]) == ("## Plan\n\nRest.", "Visit", "LEFT")
    versions = await clinician.core.notes.versions(clinician.organization.id, session_id)
    assert [version.content and version.content.text for version in versions] == ["First.", "## Plan\n\nRest."]
    assert {version.author_id for version in versions} == {clinician.user.id}
    assert [trace["encounter"] for trace in await clinician.traces("note.edited")] == [session_id] * 2


async def test_an_edited_note_is_released_as_the_organization_chose(shared_town: Town) -> None:
    for policy, shown in ((ReleasePolicy.AUTOMATIC, 1), (ReleasePolicy.SIGN_OFF, 0)):
        clinician = await shared_town.clinician(await shared_town.practice(release=policy))
        session_id = await clinician.session()
        await clinician.patch(f"/sessions/{session_id}", {"consult_note": {"result": "Well."}})
        assert len(await shared_town.core.release.of_encounter(clinician.organization.id, session_id)) == shown


async def test_fields_and_note_of_one_change_are_taken_together_or_not_at_all(
    clinician: Clinician, monkeypatch: pytest.MonkeyPatch
) -> None:
    session_id = await clinician.session()
    before = await clinician.told(session_id)

    async def fail(*_anything: Any) -> None:
        raise DatabaseUnavailableError("the database went away")

    monkeypatch.setattr(ReleaseService, "release_note", fail)
    sent = {"duration": 60, "consult_note": {"result": "Well."}}
    refused(await clinician.patch(f"/sessions/{session_id}", sent), 503)
    assert await clinician.told(session_id) == before
    assert await clinician.traces("encounter.changed") == [] == await clinician.traces("note.edited")
    monkeypatch.undo()
    assert ok(await clinician.patch(f"/sessions/{session_id}", sent))["session"]["consult_note"]["result"] == "Well."


async def test_a_note_is_generating_until_it_is_written(clinician: Clinician) -> None:
    session_id = await clinician.session(ehr_appt_id="a")
    await clinician.patch(f"/sessions/{session_id}", {"generate_output_without_recording": True})
    await clinician.core.notes.request(
        OPERATOR, clinician.organization.id, session_id, options={"brain": "RIGHT", "template_id": "soap"}
    )
    note = (await clinician.told(session_id))["consult_note"]
    assert (note["status"], note["result"]) == ("GENERATING", None)
    assert (note["brain"], note["template_id"], note["voice_style"]) == ("RIGHT", "soap", "GOLDILOCKS")
    async with clinician.core.database.write() as transaction:
        (version,) = await clinician.core.notes.versions(clinician.organization.id, session_id)
        await clinician.core.notes.fail(transaction, version, "NoSpeechError")
    note = (await clinician.told(session_id))["consult_note"]
    assert note["status"] == "FAILED" and note["result"] is None
    assert note["failure"]["type"] == "NoSpeechError" and "record again" in note["failure"]["msg"]
    assert version.status is TextStatus.GENERATING


async def test_a_withdrawal_of_consent_is_on_record_with_its_grace(clinician: Clinician) -> None:
    session_id = await clinician.session()
    await clinician.patch(f"/sessions/{session_id}", {"consent_obtained": False})
    encounter = await clinician.core.encounters.get(clinician.organization.id, session_id)
    assert encounter.consent.given is False and not encounter.consent.withdrawn
    await clinician.patch(f"/sessions/{session_id}", {"is_consent": True})
    await clinician.patch(f"/sessions/{session_id}", {"is_consent": False})
    encounter = await clinician.core.encounters.get(clinician.organization.id, session_id)
    assert encounter.consent.withdrawn and encounter.consent.erase_at is not None
    assert len(await clinician.traces("consent.withdrawn")) == 1


async def test_what_is_not_there_or_not_his_is_the_same_to_a_clinician(shared_town: Town) -> None:
    practice = await shared_town.practice()
    clinician, colleague = await shared_town.clinician(practice), await shared_town.clinician(practice, "colleague")
    stranger = await shared_town.clinician()
    own, profile = await clinician.session(), await clinician.profile(first_name="Ada")
    for other in (colleague, stranger):
        mine = await other.session()
        for session_id in (own, NOBODYS_SESSION, "1", "9" * 40, "abc", "%00", "1%00", "１２３"):
            for answer in (
                await other.get(f"/sessions/{session_id}"),
                await other.patch(f"/sessions/{session_id}", {"session_name": "Mine"}),
            ):
                assert refused(answer, 404) == {"msg": "Session not found", "type": "SessionNotFoundError"}
        for linked in (own, NOBODYS_SESSION):
            answer = await other.patch(f"/sessions/{mine}", {"linked_sessions_for_context": [linked], "duration": 3})
            assert refused(answer, 404, "SessionNotFoundError") == {
                "msg": "Session not found",
                "type": "SessionNotFoundError",
                "field": "linked_sessions_for_context",
            }
        for profile_id in (profile["id"], NOBODYS_ID):
            answer = await other.post("/sessions", {"patient_profile_id": profile_id})
            refused(answer, 404, "PatientProfileNotFoundError")
        told = await other.told(mine)
        assert told["duration"] == 0 and told["linked_sessions_for_context"] == []
        assert await shared_town.core.encounters.count(other.organization.id, user_id=other.user.id) == 1
    assert (await clinician.told(own))["session_name"] == ""


async def test_a_practice_can_have_all_its_clinicians_see_all(shared_town: Town) -> None:
    practice = await shared_town.practice(visibility=Visibility.TENANT)
    clinician, colleague = await shared_town.clinician(practice), await shared_town.clinician(practice, "colleague")
    session_id = await clinician.session()
    ok(await colleague.patch(f"/sessions/{session_id}", {"session_name": "Handed over"}))
    assert (await clinician.told(session_id))["session_name"] == "Handed over"


async def test_an_erased_session_is_gone_for_good(clinician: Clinician) -> None:
    session_id = await clinician.session()
    await clinician.core.erasure.erase(
        OPERATOR, clinician.organization.id, session_id, scope=ErasureScope.EVERYTHING, reason=ErasureReason.COMMAND
    )
    refused(await clinician.get(f"/sessions/{session_id}"), 410, "SessionErasedError")
    refused(await clinician.patch(f"/sessions/{session_id}", {"duration": 1}), 410, "SessionErasedError")
    documents = f"/sessions/{session_id}/context-documents"
    refused(await clinician.get(documents), 410, "SessionErasedError")
    for document in (NOBODYS_ID, "zz"):
        detail = refused(await clinician.call("DELETE", f"{documents}?ids={document}"), 410, "SessionErasedError")
        assert "session" in detail["msg"] and "encounter" not in detail["msg"]
    living = await clinician.session()
    linking = {"linked_sessions_for_context": [session_id]}
    refused(await clinician.patch(f"/sessions/{living}", linking), 404, "SessionNotFoundError")


async def test_a_session_is_made_without_a_body_too(clinician: Clinician) -> None:
    for more in ({}, {"headers": {"Content-Type": "application/json"}}, {"content": b"{}"}):
        answer = await clinician.call("POST", "/sessions", **more)
        if "content" in more:
            refused(answer, 415)  # what is sent must say what it is
        else:
            assert ok(answer)["session_id"].isdecimal()


async def test_ids_that_are_none_are_answered_as_those_that_are_not_there(clinician: Clinician) -> None:
    session_id = await clinician.session()
    for profile in ("", "zz", "x" * 80, NOBODYS_ID):
        answer = await clinician.post("/sessions", {"patient_profile_id": profile})
        refused(answer, 404, "PatientProfileNotFoundError")
        assert answer.json()["detail"]["field"] == "patient_profile_id"
    for linked in ("", "zz", "1" * 80, NOBODYS_SESSION):
        answer = await clinician.patch(f"/sessions/{session_id}", {"linked_sessions_for_context": [linked]})
        refused(answer, 404, "SessionNotFoundError")
        assert answer.json()["detail"]["field"] == "linked_sessions_for_context"
    details = []
    for document in ("", "zz", NOBODYS_ID):
        answer = await clinician.call("DELETE", f"/sessions/{session_id}/context-documents?ids={document}")
        details.append(refused(answer, 404, "ContextDocumentNotFoundError"))
    assert details == [details[0]] * 3 and details[0]["field"] == "ids"


async def test_a_session_is_not_linked_to_itself(clinician: Clinician) -> None:
    session_id = await clinician.session()
    answer = await clinician.patch(f"/sessions/{session_id}", {"linked_sessions_for_context": [session_id]})
    detail = refused(answer, 422, "ValidationError", "linked_sessions_for_context")
    assert detail["msg"] == "linked_sessions_for_context: a session cannot be linked to itself"


async def test_every_reading_and_every_change_is_on_record(clinician: Clinician) -> None:
    session_id = await clinician.session()
    await clinician.told(session_id)
    await clinician.patch(f"/sessions/{session_id}", {"patient": {"name": "Ada"}, "duration": 3})
    assert await clinician.traces("encounter.created") == [{"encounter": session_id}]
    assert await clinician.traces("encounter.changed") == [{"encounter": session_id, "fields": "duration,patient"}]
    assert {trace["encounter"] for trace in await clinician.traces("encounter.read")} == {session_id}
    assert not (await clinician.core.audit.verify(clinician.organization.id)).broken
