"""What the routes answer: valid by the contract, and what its table of fields says of encounters and documents."""

import uuid
from datetime import datetime
from typing import Any

import pytest

from osler.encounters.model import ErasureScope, Purpose
from tests.contract.public.contract import (
    AUDIO,
    DOCUMENT,
    ENCOUNTER,
    LIST,
    ROUTES,
    TRANSCRIPT,
    Route,
    refused,
    success,
)
from tests.contract.public.lab import Clinic, Lab
from tests.contract.public.speaking import PROVIDER, SENTENCES
from tests.scribe_practice import ok

pytestmark = pytest.mark.anyio


async def read(lab: Lab, key: str, route: Route, *ids: str, **more: Any) -> dict[str, Any]:
    """Return the body of a success."""
    return success(route, await lab.get(route.url(*ids), key, **more))


async def encounter(lab: Lab, key: str, encounter_id: str) -> dict[str, Any]:
    told: dict[str, Any] = (await read(lab, key, ENCOUNTER, encounter_id))["encounter"]
    return told


async def test_a_whole_visit_is_shown_as_the_table_of_fields_says(lab: Lab, clinic: Clinic, key: str) -> None:
    profile = await clinic.clinician.profile(first_name="Ada", last_name="Quill", birth_date="1950-02-28")
    local = "2026-03-04T09:30:00+01:00"
    visit = await clinic.whole(patient_profile_id=profile["id"])
    ok(await clinic.clinician.patch(f"/sessions/{visit.id}", {"created_time_local": local}))
    told = await encounter(lab, key, visit.id)
    assert (told["encounter_id"], told["organization_id"]) == (visit.id, clinic.organization.id)
    assert datetime.fromisoformat(told["date_of_service"]) == datetime.fromisoformat(local)
    assert told["patient"] == {
        "patient_id": profile["id"],
        "first_name": "Ada",
        "last_name": "Quill",
        "date_of_birth": "1950-02-28",
    }
    assert (told["status"], told["encounter_type"]) == ("completed", "ambient")
    assert datetime.fromisoformat(told["created_at"]) <= datetime.fromisoformat(told["updated_at"])
    documents = {each["document_id"]: each for each in told["documents"]}
    assert documents.keys() == set(visit.documents.values())
    kinds = sorted(each["schema_type"] for each in told["documents"])
    assert kinds == ["ambient_transcript", "billing", "document", "document", "encounter_checklist"]
    transcript = documents[visit["transcript"]]
    assert transcript["audio_duration_seconds"] == pytest.approx(2 * len(SENTENCES), abs=0.1)
    assert transcript["workflow_variant"] == "ambient" and transcript["status"]
    for slot in ("note", "document", "billing", "checklist"):
        assert documents[visit[slot]]["workflow_variant"] is None
        assert documents[visit[slot]]["audio_duration_seconds"] is None
        assert documents[visit[slot]]["title"]


async def test_every_document_that_has_a_detail_shows_it_and_the_others_are_summaries_only(
    lab: Lab, clinic: Clinic, key: str
) -> None:
    visit = await clinic.whole()
    for slot in ("note", "document"):
        told = (await read(lab, key, DOCUMENT, visit.id, visit[slot]))["document"]
        assert (told["document_id"], told["encounter_id"]) == (visit[slot], visit.id)
        assert (told["schema_type"], told["status"], told["workflow_variant"]) == ("document", None, None)
        assert told["content"]["format"] == "markdown" and "lisinopril" in told["content"]["text"]
    told = (await read(lab, key, DOCUMENT, visit.id, visit["transcript"]))["document"]
    assert (told["schema_type"], told["workflow_variant"]) == ("ambient_transcript", "ambient")
    assert "content" not in told and "turns" not in told
    for slot in ("billing", "checklist"):
        for route in (DOCUMENT, TRANSCRIPT, AUDIO):
            answer = await lab.get(route.url(visit.id, visit[slot]), key)
            assert (answer.status_code, refused(answer)) == (400, "unsupported_document_type")
    for route in (TRANSCRIPT, AUDIO):
        answer = await lab.get(route.url(visit.id, visit["note"]), key)
        assert (answer.status_code, refused(answer)) == (400, "unsupported_document_type")


async def test_the_transcript_has_what_was_said_by_whom_and_when(lab: Lab, clinic: Clinic, key: str) -> None:
    visit = await clinic.whole()
    told = await read(lab, key, TRANSCRIPT, visit.id, visit["transcript"])
    assert (told["encounter_id"], told["document_id"]) == (visit.id, visit["transcript"])
    transcript = told["transcript"]
    assert PROVIDER in transcript["provider"]
    assert transcript["audio_duration_seconds"] == pytest.approx(2 * len(SENTENCES), abs=0.1)
    turns = transcript["turns"]
    said = " ".join(turn["text"] for turn in turns).lower()
    assert all(word in said for word in ("cough", "lisinopril", "penicillin", "bronchitis"))
    assert [turn["start"] for turn in turns] == sorted(turn["start"] for turn in turns)
    assert all(0 <= turn["start"] <= turn["end"] <= 2 * len(SENTENCES) + 0.1 for turn in turns)
    assert {turn["speaker"] for turn in turns} <= {"clinician", "patient"} | {turn["speaker"] for turn in turns}


async def test_a_note_that_was_written_anew_is_shown_under_the_same_id(lab: Lab, clinic: Clinic, key: str) -> None:
    session = await clinic.begin()
    await clinic.author(session, "# Plan\nRest.")
    first = await clinic.released(session)
    assert "Rest" in (await read(lab, key, DOCUMENT, session, first["note"]))["document"]["content"]["text"]
    await clinic.author(session, "# Plan\nRest, and fluids.")
    assert await clinic.released(session) == first
    assert "fluids" in (await read(lab, key, DOCUMENT, session, first["note"]))["document"]["content"]["text"]


@pytest.mark.parametrize(
    ("patient", "first", "last"),
    [("Ada Quill", "Ada", "Quill"), ("Ada Maria de la Quill", "Ada", "Quill"), ("Quill", None, None)],
)
async def test_a_session_of_its_own_patient_has_a_patient_of_a_stable_id(
    lab: Lab, clinic: Clinic, key: str, patient: str, first: str | None, last: str | None
) -> None:
    session = await clinic.begin(patient={"name": patient, "dob": "1950-02-28"})
    told = (await encounter(lab, key, session))["patient"]
    assert told["patient_id"] and told["date_of_birth"] == "1950-02-28"
    if first and last:
        assert told["first_name"].startswith(first) and told["last_name"].endswith(last)
    assert " ".join(name for name in (told["first_name"], told["last_name"]) if name) == patient
    assert (await encounter(lab, key, session))["patient"] == told
    other = await clinic.begin(patient={"name": patient, "dob": "1950-02-28"})
    assert (await encounter(lab, key, other))["patient"]["patient_id"] != told["patient_id"]


async def test_a_session_of_nothing_has_no_patient_no_type_and_no_documents(lab: Lab, clinic: Clinic, key: str) -> None:
    told = await encounter(lab, key, await clinic.begin())
    assert (told["patient"], told["encounter_type"], told["documents"]) == (None, None, [])
    assert (told["status"], told["date_of_service"]) == ("in_progress", None)


async def test_the_type_is_the_first_that_applies(lab: Lab, clinic: Clinic, key: str) -> None:
    visit = await clinic.whole()
    written = await clinic.begin()
    await clinic.author(written, "# Assessment\nNo findings.")
    expected = {
        visit.id: "ambient",
        (await clinic.heard(Purpose.CARE, 3, transcribe_mode="phone_call")).id: "phone_call",
        (await clinic.heard(Purpose.CARE, 3, transcribe_mode="dictate")).id: "ambient",
        written: "clinical_documentation",
        (await clinic.leave_only(await clinic.whole(), "billing", "checklist")).id: "billing",
        (await clinic.leave_only(await clinic.whole(), "checklist")).id: "checklist",
        await clinic.begin(): None,
    }
    listed = (await read(lab, key, LIST))["items"]
    assert {each["encounter_id"]: each["encounter_type"] for each in listed} == expected
    for session, kind in expected.items():
        told = await encounter(lab, key, session)
        assert told["encounter_type"] == kind
        assert told in listed
        variants = {each["workflow_variant"] for each in told["documents"]} - {None}
        assert variants <= {kind}


async def test_the_status_goes_from_in_progress_over_completed_to_signed(lab: Lab, clinic: Clinic, key: str) -> None:
    session = await clinic.begin()
    assert (await encounter(lab, key, session))["status"] == "in_progress"
    await clinic.upload(session)
    assert (await encounter(lab, key, session))["status"] == "in_progress"
    await clinic.note(session)
    assert (await encounter(lab, key, session))["status"] == "completed"
    await clinic.sign(session)
    assert (await encounter(lab, key, session))["status"] == "signed"


async def test_ids_are_the_same_in_every_answer(lab: Lab, clinic: Clinic, key: str) -> None:
    visit = await clinic.whole()
    first = await encounter(lab, key, visit.id)
    await clinic.note(visit.id)
    again = await encounter(lab, key, visit.id)
    assert {d["document_id"] for d in first["documents"]} == {d["document_id"] for d in again["documents"]}
    assert first["created_at"] == again["created_at"]


async def test_what_is_of_others_or_not_of_care_is_in_no_list(lab: Lab, clinic: Clinic, key: str) -> None:
    mine = await clinic.heard()
    for purpose in (Purpose.DEMO, Purpose.TRAINING):
        await clinic.heard(purpose)
    await (await lab.clinic("Other")).heard()
    gone = await clinic.heard()
    await clinic.erase(gone.id)
    told = await read(lab, key, LIST)
    assert ([each["encounter_id"] for each in told["items"]], told["total"]) == ([mine.id], 1)


async def test_an_erased_encounter_is_gone_at_once_from_every_route(lab: Lab, clinic: Clinic, key: str) -> None:
    visit = await clinic.whole()
    await encounter(lab, key, visit.id)
    await clinic.erase(visit.id)
    assert (await read(lab, key, LIST))["items"] == []
    for route in ROUTES:
        if route is not LIST:
            answer = await lab.get(route.url(visit.id, visit["transcript"]), key)
            assert (answer.status_code, refused(answer)) == (404, "encounter_not_found")


async def test_an_encounter_whose_audio_was_erased_keeps_its_texts(lab: Lab, clinic: Clinic, key: str) -> None:
    visit = await clinic.whole()
    await clinic.erase(visit.id, ErasureScope.AUDIO)
    assert len((await encounter(lab, key, visit.id))["documents"]) == 5
    await read(lab, key, TRANSCRIPT, visit.id, visit["transcript"])
    answer = await lab.get(AUDIO.url(visit.id, visit["transcript"]), key)
    assert (answer.status_code, refused(answer)) == (404, "audio_not_found")


async def test_each_answer_has_the_requests_id_and_is_kept_by_no_shared_cache(
    lab: Lab, clinic: Clinic, key: str
) -> None:
    visit = await clinic.whole()
    for route in ROUTES:
        asked = str(uuid.uuid4())
        answer = await lab.get(route.url(visit.id, visit["transcript"]), key, headers={"X-Request-Id": asked})
        success(route, answer)
        assert answer.headers["x-request-id"] == asked
        assert {"no-store", "private", "no-cache"} & set(answer.headers["cache-control"].replace(",", " ").split())
        assert "public" not in answer.headers["cache-control"] and "set-cookie" not in answer.headers


async def test_a_test_key_opens_nothing_unless_this_is_a_test_environment(lab: Lab, clinic: Clinic) -> None:
    answer = await lab.get(LIST.path, await lab.key(clinic, {"test"}))
    assert (answer.status_code, refused(answer)) == (401, "test_prefix_not_allowed")


@pytest.mark.parametrize("route", [DOCUMENT, TRANSCRIPT], ids=lambda route: route.id)
async def test_what_the_client_has_already_is_not_sent_again(lab: Lab, clinic: Clinic, key: str, route: Route) -> None:
    visit = await clinic.whole()
    url = route.url(visit.id, visit["transcript"])
    first = await lab.get(url, key)
    success(route, first)
    tag = first.headers["etag"]
    for known in (tag, f'"other", {tag}', "*", f"W/{tag.removeprefix('W/')}"):
        answer = await lab.get(url, key, headers={"If-None-Match": known})
        assert (answer.status_code, answer.content) == (304, b""), known
        assert answer.headers["etag"] == tag
    for unknown in ('"other"', "", "nonsense"):
        assert (await lab.get(url, key, headers={"If-None-Match": unknown})).status_code == 200
    wrong = await lab.get(f"{url}?x=1", key, headers={"If-None-Match": tag})
    assert refused(wrong) == "unsupported_filter"
    nobody = await lab.get(url, None, headers={"If-None-Match": "*"})
    assert refused(nobody) == "missing_bearer"


async def test_a_note_that_changed_has_another_tag(lab: Lab, clinic: Clinic, key: str) -> None:
    session = await clinic.begin()
    await clinic.author(session, "# Plan\nRest.")
    url = DOCUMENT.url(session, (await clinic.released(session))["note"])
    tag = (await lab.get(url, key)).headers["etag"]
    assert (await lab.get(url, key, headers={"If-None-Match": tag})).status_code == 304
    await clinic.author(session, "# Plan\nRest, and fluids.")
    answer = await lab.get(url, key, headers={"If-None-Match": tag})
    assert answer.status_code == 200 and answer.headers["etag"] != tag
