"""Every answer read three ways: by the YAML's schemas with nothing left out, by the prose, and by what we serve.

The same bytes are held against all of them. What the prose shows as an example is compared literally.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator, FormatChecker

from tests.contract import prose_client as prose
from tests.contract.live import PATIENCE, Deployment, Tenant
from tests.contract.yaml_client import operations, resolved, whole

UNKNOWN: Mapping[str, frozenset[str]] = {
    # A profile without a date of birth has no empty date to show.
    "profile": frozenset({"date_of_birth"})
}


@dataclass(frozen=True)
class Asked:
    """One request of the tour and its answer."""

    operation: str
    path: str
    method: str
    answer: httpx.Response
    prose: Any
    left_out: frozenset[str] = frozenset()


@pytest.fixture(scope="module")
def tour(deployment: Deployment, clinic: Tenant) -> list[Asked]:
    """Ask everything once, of things that hold all there is and of things that hold nothing."""
    token = deployment.token(clinic, "tour@example.org", "tour")
    asked: list[Asked] = []
    with deployment.client(token) as client:

        def ask(operation: str, method: str, path: str, kinds: Any, **more: Any) -> Any:
            left_out = more.pop("left_out", frozenset())
            answer = client.request(method, path, **more)
            assert answer.status_code == 200, f"{operation}: {answer.status_code} {answer.text}"
            asked.append(Asked(operation, path, method, answer, kinds, left_out))
            return answer.json()

        linked = ask(
            "linkAccount", "POST", "/users/linked-account", {"account": prose.ACCOUNT}, json={"kinde_user_id": "tour"}
        )
        assert linked["account"]["user_id"] == "tour"
        access = {"is_valid": bool, "is_linked": bool, "account": prose.ACCOUNT}
        ask("getLinkedAccountAccess", "GET", "/users/linked-account/access", access)
        envelope = {"templates": [prose.TEMPLATE], "data": list}
        ask("listTemplates", "GET", "/templates/document-templates", envelope)
        ask("listConsultNoteTemplates", "GET", "/templates/consult-note-templates", envelope)
        person = {
            "first_name": "Ada",
            "last_name": "Quill",
            "birth_date": "1951-02-03",
            "gender": "FEMALE",
            "ehr_patient_id": "mrn-tour",
            "provider": "EHR",
            "phone": "+44 20 7946 0000",
            "email": "ada@example.org",
            "patient_sex_code": "F",
            "identifiers": [{"type": "MR", "value": "1"}],
            "demographic_string": "75 years",
            "additional_context": "Hard of hearing.",
        }
        single = {**prose.PROFILE, "data": prose.PROFILE}
        full = ask("createPatientProfile", "POST", "/patient-profiles", single, json=person)["id"]
        unknown = UNKNOWN["profile"]
        bare = {key: kind for key, kind in single.items() if key != "birth_date"}
        empty = ask("createPatientProfile", "POST", "/patient-profiles", bare, json={}, left_out=unknown)["id"]
        ask("getPatientProfile", "GET", f"/patient-profiles/{full}", single)
        ask("getPatientProfile", "GET", f"/patient-profiles/{empty}", bare, left_out=unknown)
        ask("updatePatientProfile", "PATCH", f"/patient-profiles/{full}", single, json={"gender": "OTHER"})
        of_ehr = {"ehr_patient_id": "mrn-tour", "provider": "EHR"}
        ask("listPatientProfiles", "GET", "/patient-profiles", {"data": [prose.PROFILE]}, params=of_ehr)

        made = {"session_id": prose.SESSION_ID}
        nothing = ask("createSession", "POST", "/sessions", made, json={})["session_id"]
        body = {"patient_profile_id": full, "ehr_appointment_id": "a-1"}
        session = ask("createSession", "POST", "/sessions", made, json=body)["session_id"]
        told = {"session": prose.SESSION}
        ask("getSession", "GET", f"/sessions/{nothing}", told)
        changes = {
            "duration": 61,
            "language_code": "en",
            "output_language_code": "de",
            "patient": {"name": "Ada Quill", "gender": "FEMALE", "dob": "1951-02-03", "demographic_details": "75"},
            "clinician_notes": ["walks with a cane"],
            "consent_obtained": True,
            "linked_sessions_for_context": [nothing],
        }
        ask("updateSession", "PATCH", f"/sessions/{session}", told, json=changes)
        ask("getSession", "GET", f"/sessions/{session}", told)
        page = {**prose.PAGE, "has_next": bool, "has_previous": bool, "data": list}
        ask("listLinkedUserSessions", "GET", "/sessions/linked-user", page, params={"page_size": 1})
        ask(
            "linkSessionToPatientProfile",
            "POST",
            f"/patient-profiles/{empty}/sessions",
            {},
            json={"session_id": nothing},
        )

        letter = ("letter.txt", b"Dear colleague", "text/plain")
        path = f"/sessions/{session}/context-documents"
        upload = {"files": {"file": letter}, "data": {"unstructured": "true"}}
        ask("uploadContextDocument", "POST", path, prose.DOCUMENT, **upload)
        upload = {"files": {"context_documents": letter}, "data": {"meta_data": '{"a": 1}'}}
        ask("uploadContextDocument", "POST", path, prose.DOCUMENT, **upload)
        ask("listContextDocuments", "GET", path, {"data": [prose.DOCUMENT]})
        ids = {"patient_profile_ids": [full, "0" * 24]}
        ask("batchDeletePatientProfiles", "POST", "/patient-profiles:batch-delete", {}, json=ids)
        ask("unlinkAccount", "DELETE", "/users/linked-account:unlink", {"is_success": bool})
    return asked


def faults(schema: Any, value: Any) -> list[str]:
    checked = Draft202012Validator(schema, format_checker=FormatChecker()).iter_errors(value)
    return [f"{error.json_path}: {error.message[:200]}" for error in checked]


def test_the_yaml_reads_every_answer_and_misses_no_key(tour: list[Asked]) -> None:
    schemas = {
        operation["operationId"]: content["schema"]
        for _, _, operation in operations()
        for content in operation["responses"].get("200", {}).get("content", {}).values()
    }
    read = 0
    for asked in tour:
        if asked.operation in schemas:
            schema = whole(resolved(schemas[asked.operation]), asked.left_out)
            assert faults(schema, asked.answer.json()) == [], asked.operation
            read += 1
    assert read >= 15


def test_the_prose_reads_every_answer_and_misses_no_key(tour: list[Asked]) -> None:
    for asked in tour:
        prose.check(asked.answer.json(), asked.prose, asked.operation)


def test_every_answer_is_exactly_what_we_describe(deployment: Deployment, tour: list[Asked]) -> None:
    document = httpx.get(f"{deployment.server.url}/openapi/v2/openapi.json", timeout=PATIENCE).json()
    described: dict[str, Any] = {
        operation["operationId"]: operation for item in document["paths"].values() for operation in item.values()
    }
    for asked in tour:
        schema = described[asked.operation]["responses"]["200"]["content"]["application/json"]["schema"]
        with_parts = {**schema, "components": document["components"]}
        assert faults(with_parts, asked.answer.json()) == [], asked.operation


def test_both_readings_of_a_session_say_the_same(tour: list[Asked]) -> None:
    for asked in tour:
        if asked.operation in ("getSession", "updateSession"):
            answer = asked.answer.json()
            session = answer["session"]
            same = ("session_id", "duration", "clinician_notes", "consent_obtained", "created_at", "updated_at")
            assert all(answer[key] == session[key] for key in (*same, "linked_sessions_for_context", "patient"))
            assert (answer["language_code"] or None) == session["language_code"]
            assert (answer["documents"] or None) == session["documents"]


def test_an_empty_session_looks_like_the_example(tour: list[Asked]) -> None:
    empty = next(asked for asked in tour if asked.operation == "getSession").answer.json()["session"]
    assert empty["patient"] == {"name": "", "gender": None, "dob": None}
    assert empty["audio"] == [] and empty["clinician_notes"] == [] and empty["documents"] is None
    assert empty["consult_note"] is None and empty["linked_sessions_for_context"] == []


def test_templates_are_text_for_one_reader_and_parsed_for_the_other(tour: list[Asked]) -> None:
    for asked in tour:
        if "templates" in asked.path:
            answer = asked.answer.json()
            assert [each["id"] for each in answer["data"]] == [each["id"] for each in answer["templates"]] != []
            for parsed, text in zip(answer["data"], answer["templates"], strict=True):
                assert parsed["structure_template"]["text"] == text["structure_template"]
                assert isinstance(parsed["structure_template"]["sections"], list)


EXAMPLES: list[tuple[str, Callable[[httpx.Client], httpx.Response], int, Any]] = [
    (
        "a session that is not there",
        lambda client: client.get("/sessions/123456789012345678"),
        404,
        {"detail": {"msg": "Session not found", "type": "SessionNotFoundError"}},
    ),
    (
        "no linked user",
        lambda client: client.get("/sessions/linked-user"),
        400,
        {"detail": {"msg": "error: no linked user", "type": "NoLinkedUserException"}},
    ),
]


@pytest.mark.parametrize(("name", "ask", "status", "body"), EXAMPLES, ids=[each[0] for each in EXAMPLES])
def test_known_errors_are_to_the_letter(
    deployment: Deployment,
    clinic: Tenant,
    name: str,
    ask: Callable[[httpx.Client], httpx.Response],
    status: int,
    body: Any,
) -> None:
    with deployment.client(deployment.token(clinic, "errors@example.org", "errors")) as client:
        answer = ask(client)
    assert (answer.status_code, answer.json()) == (status, body), name


def test_what_is_anothers_is_answered_as_what_is_not_there(client: httpx.Client, stranger: httpx.Client) -> None:
    session = client.post("/sessions", json={}).json()["session_id"]
    profile = client.post("/patient-profiles", json={"first_name": "Ada"}).json()["id"]
    none_there = {"session": "9" * 18, "profile": "f" * 24}
    for method, path, body in [
        ("GET", "/sessions/{session}", None),
        ("PATCH", "/sessions/{session}", {"duration": 1}),
        ("GET", "/sessions/{session}/context-documents", None),
        ("GET", "/patient-profiles/{profile}", None),
        ("PATCH", "/patient-profiles/{profile}", {"first_name": "Eve"}),
        ("POST", "/patient-profiles/{profile}/sessions", {"session_id": session}),
    ]:
        anothers = stranger.request(method, path.format(session=session, profile=profile), json=body)
        missing = stranger.request(method, path.format(**none_there), json=body)
        assert anothers.status_code == missing.status_code == 404, (method, path)
        assert anothers.content == missing.content
    assert client.get(f"/sessions/{session}").json()["session"]["duration"] == 0
    assert client.get(f"/patient-profiles/{profile}").json()["first_name"] == "Ada"
