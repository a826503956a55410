"""A session with something of everything: its answers are as both descriptions and our own say."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from openapi_schema_validator import OAS31Validator, oas31_format_checker

from osler.api.scribe.profiles import DeletionAnswer, PatientProfileAnswer, PatientProfileList
from osler.api.scribe.session_models import SessionAnswer, SessionPage
from osler.api.scribe.templates import TemplateList
from osler.audio.model import AudioRecording, RecordingKind, RecordingState
from osler.kernel.ids import new_id
from osler.notes.model import ContentType, Document, TextStatus, WrittenText
from osler.storage.repositories.audio import SqlRecordingRepository
from osler.storage.repositories.notes import SqlDocumentRepository
from osler.storage.repositories.sealed import SealedRows
from tests.scribe_practice import Clinician, ok
from tests.scribe_practice import clinician as clinician
from tests.scribe_practice import shared_town as shared_town

pytestmark = pytest.mark.anyio

THEIRS: Mapping[str, Any] = yaml.safe_load(
    (Path(__file__).parents[1] / "contract" / "scribe-api.v2.openapi.yaml").read_text()
)


def hold_against_the_yaml(body: Any, name: str) -> None:
    schema = {"$ref": f"#/components/schemas/{name}", "components": THEIRS["components"]}
    OAS31Validator(schema, format_checker=oas31_format_checker).validate(body)
    schema = THEIRS["components"]["schemas"][name]
    for part in schema.get("allOf", [schema]):
        assert set(part.get("properties", {})) <= set(body), f"a key of {name} is missing"


async def full_session(clinician: Clinician) -> str:
    """Make a session with two recordings, an edited note and two documents, one of them not written yet."""
    session_id = await clinician.session(ehr_appointment_id="a-1")
    owned: dict[str, Any] = {"organization_id": clinician.organization.id, "encounter_id": session_id}
    now = datetime.now(UTC)
    rows = SealedRows(clinician.core.keyring, clinician.core.clock)
    async with clinician.core.database.write() as transaction:
        for index, state in enumerate((RecordingState.COMPLETE, RecordingState.FAILED)):
            recording = AudioRecording(
                id=new_id(),
                kind=RecordingKind.USER_UPLOADED,
                index=index,
                created_at=now,
                state=state,
                duration=61.23456,
                **owned,
            )
            await SqlRecordingRepository(rows).add(transaction, recording)
        for index, status in enumerate((TextStatus.CREATED, TextStatus.GENERATING)):
            document = Document(
                id=new_id(),
                index=index,
                name="Referral letter",
                created_at=now,
                status=status,
                template="referral",
                voice_style="BRIEF",
                content=WrittenText("<p>Dear</p>", ContentType.HTML) if status is TextStatus.CREATED else None,
                **owned,
            )
            await SqlDocumentRepository(rows).add(transaction, document)
    ok(await clinician.patch(f"/sessions/{session_id}", {"consult_note": {"result": "Well.", "heading": "Visit"}}))
    return session_id


async def test_a_session_with_everything_is_as_it_is_described(clinician: Clinician) -> None:
    for session_id in (await clinician.session(), await full_session(clinician)):
        body = ok(await clinician.get(f"/sessions/{session_id}"))
        hold_against_the_yaml(body, "Session")
        for document in body["documents"]:
            hold_against_the_yaml(document, "Document")
        SessionAnswer.model_validate(body)
        assert SessionAnswer.model_validate(ok(await clinician.patch(f"/sessions/{session_id}", {})))
    told = body["session"]
    assert [(each["index"], each["status"], each["duration"]) for each in told["audio"]] == [
        (0, "COMPLETE", 61.235), (1, "FAILED", 61.235)
    ]  # fmt: skip
    assert told["duration"] == body["duration"] == 122 and body["audio"]["count"] == 2
    assert [each["content"] for each in told["documents"]] == ["<p>Dear</p>"]  # the other one is still being written
    assert body["documents"] == told["documents"] and body["consult_note"] == told["consult_note"]
    assert body["session"]["audio"] == body["audio"]["recordings"]


async def test_a_list_is_as_it_is_described(clinician: Clinician) -> None:
    await clinician.link(f"account of {clinician.user.id}")
    made = {await clinician.session(), await full_session(clinician), await full_session(clinician)}
    body = ok(await clinician.get("/sessions/linked-user"))
    SessionPage.model_validate(body)
    assert {each["session_id"] for each in body["data"]} == made
    for each in body["data"]:
        hold_against_the_yaml(each, "Session")
    assert sorted(len(each["audio"]) for each in body["sessions"]) == [0, 2, 2]
    assert sorted(len(each["documents"] or ()) for each in body["sessions"]) == [0, 1, 1]
    one = ok(await clinician.get(f"/sessions/{body['sessions'][0]['session_id']}"))["session"]
    assert body["sessions"][0] == one


async def test_profiles_and_templates_are_as_they_are_described(clinician: Clinician) -> None:
    for fields in ({"birth_date": "1950-02-28", "gender": "other", "identifiers": [{"mrn": 1}]}, {}):
        body = ok(await clinician.post("/patient-profiles", fields))
        PatientProfileAnswer.model_validate(body)
        schema = {"$ref": "#/components/schemas/PatientProfile", "components": THEIRS["components"]}
        OAS31Validator(schema, format_checker=oas31_format_checker).validate(body)
    body = ok(await clinician.get("/patient-profiles"))
    PatientProfileList.model_validate(body)
    hold_against_the_yaml(body["data"][0], "PatientProfile")
    DeletionAnswer.model_validate(
        ok(await clinician.post("/patient-profiles:batch-delete", {"patient_profile_ids": []}))
    )
    body = ok(await clinician.get("/templates/document-templates"))
    TemplateList.model_validate(body)
    for template in body["data"]:
        hold_against_the_yaml(template, "Template")
