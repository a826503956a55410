"""Sessions through the scribe API: made, read by both kinds of readers, changed field by field."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from osler.config import Settings
from tests.scribe_lab import Clinician, ScribeLab, ok, refused, scribe_lab

pytestmark = pytest.mark.anyio


@pytest.fixture
async def lab(anyio_backend: str, tmp_path: Path) -> AsyncIterator[ScribeLab]:
    async with scribe_lab(Settings(data=tmp_path / "data")) as lab:
        yield lab


@pytest.fixture
async def clinician(lab: ScribeLab) -> Clinician:
    return await lab.clinician()


async def test_a_new_session_has_decimal_digits_for_an_id_and_the_empties_of_the_prose(clinician: Clinician) -> None:
    session_id = await clinician.session(anything="else", ehr_appointment_id="appointment 7")
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
    sent: dict[str, Any] = {
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
        "created_time_local": "2026-03-04T12:00:00.5+11:00",
        "linked_sessions_for_context": [former],
    }
    body = ok(await clinician.patch(f"/sessions/{session_id}", sent))
    expected = {**sent, "created_time_local": "2026-03-04T01:00:00.500000Z"}
    assert {field: body["session"][field] for field in expected} == expected
    for field in ("patient", "duration", "language_code", "output_language_code", "clinician_notes"):
        assert body[field] == sent[field]
    assert body["consent_obtained"] is True and body["linked_sessions_for_context"] == [former]
    assert ok(await clinician.get(f"/sessions/{session_id}")) == body
