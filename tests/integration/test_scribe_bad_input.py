"""What strangers send: refused with the field named and nothing changed, or kept as it was sent, letter by letter."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from osler.encounters.fields import MAX_LINE, MAX_TEXT
from tests.scribe_practice import Clinician, ok, refused
from tests.scribe_practice import clinician as clinician
from tests.scribe_practice import shared_town as shared_town

pytestmark = pytest.mark.anyio

HOSTILE = (
    "'; DROP TABLE encounters; --",
    '" OR ""="',
    "<script>alert('quill')</script>",
    "<img src=x onerror=alert(1)>&lt;&amp;",
    "{{7*7}} ${7*7} %s %n %x {0} \\x00 \\u0000 \\",
    "../../etc/passwd\r\nX-Injected: yes",
    "٣ naïve 🩺 \u202egnp.exe e\u0301 \ufeff\u200b",
    "=cmd|' /C calc'!A0",
    " leading and trailing \t\n",
)

SESSION_TEXTS = ("session_name", "ehr_patient_id", "ehr_appt_id")
PATIENT_TEXTS = ("name", "gender", "demographic_details")
PROFILE_TEXTS = (
    "first_name",
    "last_name",
    "ehr_patient_id",
    "provider",
    "phone",
    "email",
    "patient_sex_code",
    "demographic_string",
    "additional_context",
)

NO_DAYS = (
    "1950-02-30",
    "1950-2-3",
    "19500203",
    "1950-W01-5",
    "03/02/1950",
    "1950-02-03T00:00:00Z",
    "",
    "0000-01-01",
    "x",
)
NO_TIMES = ("yesterday", "2026-13-01T00:00:00Z", "2026-03-04T25:00:00", "1741089600", "", "0001-01-01T00:00:00+14:00")


def each(field: str, *wrong: Any) -> list[tuple[str, Any]]:
    """Return cases of a field; one with a dot is a field of an object, one with a number the item of a list."""
    first, _, second = field.partition(".")
    return [(field, {first: value if not second or second.isdecimal() else {second: value}}) for value in wrong]


WRONG_OF_SESSION = [
    *each("duration", -1, 1.5, "39", True, [3], 2**31, 1e300),
    *each("language_code", 7, ["en"], "<en>", "e" * 65, "français"),
    *each("output_language_code", False, {}, "en;--"),
    *each("transcribe_mode", 1, "dictate!", "x" * 65),
    *each("recording_status", 0, "'; DROP TABLE", []),
    *each("session_status", {"is": "done"}, "done\n"),
    *each("patient", "Ada", ["Ada"], 7),
    *each("patient.name", 7, ["Ada"], {"first": "Ada"}, "x" * (MAX_LINE + 1)),
    *each("patient.gender", True, ["F"]),
    *each("patient.dob", 19500203, *NO_DAYS),
    *each("patient.demographic_details", 7, "x" * (MAX_TEXT + 1)),
    *each("clinician_notes", "one", {"0": "one"}, ["note"] * 201),
    *each("clinician_notes.0", [7], [None], [["one"]], ["x" * (MAX_TEXT + 1)]),
    *each("ehr_patient_id", 17, ["p"], "x" * (MAX_LINE + 1)),
    *each("ehr_appt_id", 17, {}),
    *each("ehr_appointment_id", 17, {}),
    *each("generate_output_without_recording", "true", 1, []),
    *each("is_consent", "yes", 1, {}),
    *each("consent_obtained", "true", 0, [True]),
    *each("created_time_local", 1741089600, *NO_TIMES),
    *each("linked_sessions_for_context", "123", {}, ["1"] * 201),
    *each("linked_sessions_for_context.0", [123], [None]),
    *each("consult_note", "Well.", ["Well."]),
    *each("consult_note.result", 7, ["Well."], "x" * 500_001),
    *each("session_name", 7, ["x"], "x" * (MAX_LINE + 1)),
]

WRONG_OF_PROFILE = [
    *(case for field in PROFILE_TEXTS for case in each(field, 7, ["x"], {"x": "y"})),
    *(case for field in ("birth_date", "date_of_birth") for case in each(field, 19500203, *NO_DAYS)),
    *each("gender", "BANANA", 1, ["MALE"]),
    *each("identifiers", "mrn", {"mrn": 1}, [{}] * 201, [{"a": {"b": 1}}], [{"a": "x" * (MAX_LINE + 1)}]),
    *each("identifiers.0", ["mrn"], [17], [None]),
    *each("last_name", "x" * (MAX_LINE + 1)),
    *each("additional_context", "x" * (MAX_TEXT + 1)),
]


async def test_a_wrong_value_of_a_session_is_refused_by_name_and_changes_nothing(clinician: Clinician) -> None:
    session_id = await clinician.session()
    before = await clinician.told(session_id)
    for field, wrong in WRONG_OF_SESSION:
        # What is right beside it is not taken either.
        answer = await clinician.patch(f"/sessions/{session_id}", {"session_name": "x", **wrong})
        refused(answer, 422, "ValidationError", field)
    assert await clinician.told(session_id) == before
    assert await clinician.traces("encounter.changed") == [] == await clinician.traces("note.edited")


async def test_a_wrong_value_of_a_profile_is_refused_by_name_and_changes_nothing(clinician: Clinician) -> None:
    profile = await clinician.profile(last_name="Quill")
    for field, wrong in WRONG_OF_PROFILE:
        body = {"phone": "1", **wrong}
        refused(await clinician.patch(f"/patient-profiles/{profile['id']}", body), 422, "ValidationError", field)
        refused(await clinician.post("/patient-profiles", body), 422, "ValidationError", field)
    assert [each["id"] for each in ok(await clinician.get("/patient-profiles"))["data"]] == [profile["id"]]
    assert ok(await clinician.get(f"/patient-profiles/{profile['id']}"))["data"] == profile


@pytest.mark.parametrize(
    ("method", "path", "field", "bodies"),
    [
        ("POST", "/sessions", "patient_profile_id", [{"patient_profile_id": 7}, {"patient_profile_id": "x" * 1001}]),
        ("POST", "/sessions", "ehr_appointment_id", [{"ehr_appointment_id": ["a"]}]),
        ("POST", "/patient-profiles:batch-delete", "patient_profile_ids", [{}, {"patient_profile_ids": "x"}]),
        ("POST", "/patient-profiles:batch-delete", "patient_profile_ids.0", [{"patient_profile_ids": [7]}]),
        ("POST", "/patient-profiles:batch-delete", "patient_profile_ids", [{"patient_profile_ids": ["x"] * 1001}]),
        ("POST", "/patient-profiles/0123456789abcdef01234567/sessions", "session_id", [{}, {"session_id": 7}]),
    ],
)
async def test_a_wrong_value_anywhere_else_is_refused_by_name(
    clinician: Clinician, method: str, path: str, field: str, bodies: list[Any]
) -> None:
    for body in bodies:
        refused(await clinician.call(method, path, json=body), 422, "ValidationError", field)


async def test_what_is_no_object_is_refused(clinician: Clinician) -> None:
    session_id, profile = await clinician.session(), await clinician.profile()
    for path in (f"/sessions/{session_id}", f"/patient-profiles/{profile['id']}"):
        nothing: tuple[Any, ...] = ([], "text", 7, True)
        for body in nothing:
            refused(await clinician.patch(path, body), 422)
        for content in (b"{", b"", b'{"a": 1,}', b"\xff\xfe{\0}\0", b'{"duration": NaN}', b"{}{}"):
            answer = await clinician.call("PATCH", path, content=content, headers={"Content-Type": "application/json"})
            assert answer.status_code in (400, 422), answer.text
            refused(answer, answer.status_code)
        for media_type in ("text/plain", "application/xml", "multipart/form-data; boundary=x", "x"):
            refused(await clinician.call("PATCH", path, content=b"{}", headers={"Content-Type": media_type}), 415)


async def test_deep_json_and_json_of_countless_parts_is_refused(clinician: Clinician) -> None:
    session_id = await clinician.session()
    for content in (
        b'{"a":' * 40 + b"1" + b"}" * 40,
        b'{"clinician_notes":' + b"[" * 2_000_000 + b"]" * 2_000_000 + b"}",
        b'{"clinician_notes":[' + b"[]," * 1_300_000 + b"1]}",
        b'{"clinician_notes":[' + b'"",' * 1_300_000 + b"1]}",
        b"{" + b'"a":{},' * 500_000 + b'"b":1}',
    ):
        answer = await clinician.call(
            "PATCH", f"/sessions/{session_id}", content=content, headers={"Content-Type": "application/json"}
        )
        refused(answer, 400)


@pytest.mark.parametrize("size", [1_000_000, 1 << 20])
async def test_a_text_of_a_megabyte_is_refused_with_its_field(clinician: Clinician, size: int) -> None:
    session_id = await clinician.session()
    before = await clinician.told(session_id)
    for field in ("session_name", "ehr_patient_id", "language_code"):
        answer = await clinician.patch(f"/sessions/{session_id}", {field: "x" * size})
        refused(answer, 422, "ValidationError", field)
    answer = await clinician.patch(f"/sessions/{session_id}", {"patient": {"demographic_details": "x" * size}})
    refused(answer, 422, "ValidationError", "patient.demographic_details")
    answer = await clinician.post("/patient-profiles", {"additional_context": "ü" * size})
    refused(answer, 422, "ValidationError", "additional_context")
    answer = await clinician.post("/sessions", {"ehr_appointment_id": "x" * size})
    refused(answer, 422, "ValidationError", "ehr_appointment_id")
    answer = await clinician.patch(f"/sessions/{session_id}", {"x" * size: 1, "unknown": "x" * size})
    assert ok(answer)["session"] == before and await clinician.told(session_id) == before


async def test_a_body_that_does_not_say_how_large_it_is_is_refused_when_it_is_too_large(clinician: Clinician) -> None:
    session_id = await clinician.session()

    async def body() -> AsyncIterator[bytes]:
        yield b'{"session_name": "'
        for _ in range(43):
            yield b"x" * 100_000
        yield b'"}'

    headers = {"Content-Type": "application/json"}
    answer = await clinician.call("PATCH", f"/sessions/{session_id}", content=body(), headers=headers)
    refused(answer, 413)


async def test_every_text_of_a_session_comes_back_as_it_was_sent(clinician: Clinician) -> None:
    session_id = await clinician.session()
    for text in HOSTILE:
        body: dict[str, Any] = dict.fromkeys(SESSION_TEXTS, text)
        body["patient"] = dict.fromkeys(PATIENT_TEXTS, text)
        body["clinician_notes"] = [text, text * 2]
        body["consult_note"] = {"result": text, "heading": text}
        ok(await clinician.patch(f"/sessions/{session_id}", body))
        told = await clinician.told(session_id)
        assert {field: told[field] for field in SESSION_TEXTS} == dict.fromkeys(SESSION_TEXTS, text)
        assert {field: told["patient"][field] for field in PATIENT_TEXTS} == body["patient"]
        assert told["clinician_notes"] == body["clinician_notes"]
        assert told["consult_note"]["result"] == told["consult_note"]["heading"] == text


async def test_every_text_of_a_profile_comes_back_as_it_was_sent(clinician: Clinician) -> None:
    for text in HOSTILE:
        body: dict[str, Any] = dict.fromkeys(PROFILE_TEXTS, text)
        body["identifiers"] = [{text: text}]
        profile = await clinician.profile(**body)
        assert {field: profile[field] for field in body} == body
        found = ok(await clinician.get("/patient-profiles", ehr_patient_id=text, provider=text))["data"]
        assert profile["id"] in [each["id"] for each in found]


async def test_characters_that_are_none_are_refused(clinician: Clinician) -> None:
    session_id = await clinician.session()
    for broken in ('"\\u0000"', '"\\ud800"', '"a\\udc00b"'):
        answer = await clinician.call(
            "PATCH",
            f"/sessions/{session_id}",
            content=f'{{"session_name": {broken}}}'.encode(),
            headers={"Content-Type": "application/json"},
        )
        assert refused(answer, 422, "ValidationError")["field"] == "session_name"


async def test_no_refusal_repeats_what_was_sent(clinician: Clinician) -> None:
    session_id = await clinician.session()
    marker = "Quillfeather"
    bodies: list[Any] = [
        {"duration": marker},
        {"patient": {"dob": marker}},
        {"patient": {"name": [marker]}},
        {marker: {marker: [marker]}, "duration": -1},
        {"clinician_notes": {marker: marker}},
        {"created_time_local": marker},
        {"linked_sessions_for_context": [marker]},
        [marker],
        marker,
    ]
    answers: list[httpx.Response] = [await clinician.patch(f"/sessions/{session_id}", body) for body in bodies]
    answers.append(await clinician.get(f"/sessions/{marker}"))
    answers.append(await clinician.get("/sessions/linked-user", page_size=marker, page=marker))
    answers.append(await clinician.post("/patient-profiles", {"gender": marker, "birth_date": marker}))
    answers.append(
        await clinician.call(
            "PATCH",
            f"/sessions/{session_id}",
            content=json.dumps(marker)[:-1].encode(),
            headers={"Content-Type": "application/json"},
        )
    )
    for answer in answers:
        assert answer.status_code in (400, 404, 422) and marker not in answer.text, answer.text
