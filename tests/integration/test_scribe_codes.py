"""Clinical codes at the scribe API: of note and transcript, each with its words, anew after a change."""

import asyncio
import time
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from osler.access.model import ReleasePolicy
from osler.audit.model import OPERATOR
from osler.kernel.jobs import JobFilter, JobKind, JobState
from osler.release.model import ReleasedKind
from tests.contract.prose_client import check
from tests.contract.yaml_client import operations, resolved, whole
from tests.scribe_practice import NOBODYS_SESSION, Clinician, Town, ok, refused
from tests.writing_lab import (
    VISIT,
    a_visit,
    hear,
    writing_clinician,  # noqa: F401  (a fixture)
    writing_town,  # noqa: F401  (a fixture)
)

pytestmark = pytest.mark.anyio

NOTE = """## Subjective

The patient has no chest pain. His father had diabetes. He has high blood pressure.

## Assessment and plan

**Hypertension, uncontrolled.**
- Increase lisinopril.

**Right knee osteoarthritis.**
- Possible gout.
"""
PROSE_CODE = {"code": str, "code_name": str, "metadata": dict, "score": (int, float), "code_system": str}
PROSE = {
    "id": str,
    "session_id": str,
    "consult_note_id": (str, type(None)),
    "clinical_entities": [
        {
            "location_in_note": [{"start": int, "end": int}],
            "reference_in_transcript": [{"transcript_text": str, "location_in_transcript": {"start": int, "end": int}}],
            "reference_in_context": list,
            "primary_code": PROSE_CODE,
            "similar_codes": [PROSE_CODE],
        }
    ],
}


@pytest.fixture
def clinician(writing_clinician: Clinician) -> Clinician:  # noqa: F811
    return writing_clinician


async def coded(clinician: Clinician, session_id: str, system: str = "ICD-10-CM") -> dict[str, Any]:
    """Ask until the codes are there or have failed."""
    deadline = time.monotonic() + 60
    while True:
        told = ok(await clinician.get(f"/sessions/{session_id}/clinical-codes", coding_system=system))
        if told["status"] != "PROCESSING" or time.monotonic() > deadline:
            return told
        await asyncio.sleep(0.05)


async def with_note(clinician: Clinician, text: str = NOTE) -> str:
    session_id = await clinician.session()
    ok(await clinician.patch(f"/sessions/{session_id}", {"consult_note": {"result": text, "heading": "Note"}}))
    return session_id


def codes_of(told: dict[str, Any]) -> set[str]:
    return {entity["primary_code"]["code"] for entity in told["entities"]}


async def test_only_own_present_conditions_are_coded_and_each_shows_its_words(
    clinician: Clinician,
) -> None:
    told = await coded(clinician, await with_note(clinician))
    assert told["status"] == "READY" and told["failure"] is None
    assert codes_of(told) == {"I10", "M17.11"}
    for entity in told["entities"]:
        assert entity["references"] and len(entity["similar_codes"]) <= 5
        for reference in entity["references"]:
            assert reference["source"] == "CONSULT_NOTE"
            assert NOTE[reference["start"] : reference["end"]] == reference["text"]
    knee = next(entity for entity in told["entities"] if entity["primary_code"]["code"] == "M17.11")
    assert knee["entity"] == "Right knee osteoarthritis"
    assert knee["primary_code"]["valid"] is True and knee["primary_code"]["hierarchy"][-1] == "M17.1"


async def test_one_answer_reads_by_the_yaml_by_the_prose_and_by_both_alike(clinician: Clinician) -> None:
    session_id = await a_visit(clinician)
    answer = await clinician.post(f"/sessions/{session_id}/consult-note", {})
    assert answer.status_code == 200, answer.text
    told = await coded(clinician, session_id)
    assert told["status"] == "READY" and told["entities"]
    check(told, PROSE)
    (operation,) = [o for _, _, o in operations() if o["operationId"] == "getSessionClinicalCodes"]
    schema = resolved(operation)["responses"]["200"]["content"]["application/json"]["schema"]
    errors = Draft202012Validator(whole(schema), format_checker=FormatChecker()).iter_errors(told)
    assert [error.message for error in errors] == []
    assert len(told["entities"]) == len(told["clinical_entities"])
    for yaml, prose in zip(told["entities"], told["clinical_entities"], strict=True):
        assert prose["primary_code"]["code"] == yaml["primary_code"]["code"]
        assert prose["primary_code"]["code_name"] == yaml["primary_code"]["description"]
        assert [c["code"] for c in prose["similar_codes"]] == [c["code"] for c in yaml["similar_codes"]]
        places = [(r["start"], r["end"]) for r in yaml["references"] if r["source"] == "CONSULT_NOTE"]
        assert [(place["start"], place["end"]) for place in prose["location_in_note"]] == places


async def test_words_of_the_transcript_stand_where_they_are_said_to_in_the_transcript_that_is_served(
    clinician: Clinician,
) -> None:
    session_id = await a_visit(clinician)
    told = await coded(clinician, session_id)
    assert told["status"] == "READY" and told["consult_note_id"] is None
    assert {"R05.9", "R50.9", "I10"} <= codes_of(told)
    assert not any(code.startswith("R07") for code in codes_of(told)), "chest pain was denied"
    served = ok(await clinician.get(f"/sessions/{session_id}/transcript"))["transcript"]
    for entity in told["entities"]:
        for reference in entity["references"]:
            assert reference["source"] == "TRANSCRIPT"
            assert served[reference["start"] : reference["end"]] == reference["text"] != ""


async def test_codes_follow_the_note(clinician: Clinician) -> None:
    session_id = await with_note(clinician)
    first = await coded(clinician, session_id)
    ok(await clinician.patch(f"/sessions/{session_id}", {"consult_note": {"result": "## Assessment\n\nAsthma.\n"}}))
    second = await coded(clinician, session_id)
    assert codes_of(second) == {"J45.909"}
    assert second["consult_note_id"] != first["consult_note_id"]
    again = await coded(clinician, session_id)
    assert again["id"] == second["id"], "what stands is not made twice"


async def test_codes_follow_the_transcript_where_there_is_no_note(clinician: Clinician) -> None:
    session_id = await a_visit(clinician)
    first = await coded(clinician, session_id)
    await hear(clinician, session_id, type(VISIT)(turns=VISIT.turns[5:6], language="en"))
    second = await coded(clinician, session_id)
    assert codes_of(second) == {"I10"} < codes_of(first)


async def test_a_written_note_is_coded_unasked_and_billing_is_told(writing_town: Town) -> None:  # noqa: F811
    clinician = await writing_town.clinician(await writing_town.practice(release=ReleasePolicy.AUTOMATIC))
    session_id = await with_note(clinician)
    core, organization_id = clinician.core, clinician.organization.id
    wanted = JobFilter(organization_id, kinds=frozenset({JobKind.CODE_ENCOUNTER}))
    async with asyncio.timeout(60):
        while not ((jobs := await core.jobs.list(wanted)) and jobs[0].state is JobState.DONE):
            await asyncio.sleep(0.05)
    released = await core.release.of_encounter(organization_id, session_id)
    (billing,) = [each for each in released if each.kind is ReleasedKind.BILLING]
    told = ok(await clinician.get(f"/sessions/{session_id}/clinical-codes", coding_system="ICD-10-CM"))
    assert told["status"] == "READY" and told["id"] == billing.source_id


async def test_a_visit_without_conditions_has_nothing_to_bill(clinician: Clinician) -> None:
    session_id = await with_note(clinician, "The patient feels well.")
    told = await coded(clinician, session_id)
    assert (told["status"], told["entities"]) == ("READY", [])
    released = await clinician.core.release.of_encounter(clinician.organization.id, session_id)
    assert ReleasedKind.BILLING not in {each.kind for each in released}


async def test_with_sign_off_billing_is_told_when_the_note_is_signed(writing_town: Town) -> None:  # noqa: F811
    clinician = await writing_town.clinician(await writing_town.practice(release=ReleasePolicy.SIGN_OFF))
    session_id = await with_note(clinician)
    await coded(clinician, session_id)
    core, organization_id = clinician.core, clinician.organization.id
    assert await core.release.of_encounter(organization_id, session_id) == []
    await core.release.sign(OPERATOR, organization_id, session_id, clinician.user.id)
    kinds = {each.kind for each in await core.release.of_encounter(organization_id, session_id)}
    assert ReleasedKind.BILLING in kinds


@pytest.mark.parametrize("system", ["SNOMED", "SNOMED-CT", "OPCS-410", "ACHI-13", "CPT-2025"])
async def test_a_licensed_system_that_is_missing_says_how_to_install_it(clinician: Clinician, system: str) -> None:
    told = await coded(clinician, await with_note(clinician), system)
    assert (told["status"], told["coding_system"], told["entities"]) == ("FAILED", system, [])
    assert "osler codes import" in told["failure"]


async def test_a_session_without_note_and_transcript_says_what_is_missing(clinician: Clinician) -> None:
    told = await coded(clinician, await clinician.session())
    assert (told["status"], told["entities"], told["clinical_entities"]) == ("FAILED", [], [])
    assert "note" in told["failure"] and "audio" in told["failure"]


async def test_a_wrong_question_is_refused_by_name(clinician: Clinician) -> None:
    session_id = await with_note(clinician)
    for query in ({}, {"coding_system": "ICD-11"}, {"coding_system": ""}):
        refused(await clinician.get(f"/sessions/{session_id}/clinical-codes", **query), 422, field="coding_system")
    where = f"/sessions/{NOBODYS_SESSION}/clinical-codes"
    refused(await clinician.get(where, coding_system="ICD-10-CM"), 404, "SessionNotFoundError")


async def test_no_one_else_is_told_and_whoever_is_leaves_a_trace(
    clinician: Clinician,
    writing_town: Town,  # noqa: F811
) -> None:
    session_id = await with_note(clinician)
    stranger = await writing_town.clinician()
    asked = await stranger.get(f"/sessions/{session_id}/clinical-codes", coding_system="ICD-10-CM")
    refused(asked, 404, "SessionNotFoundError")
    await coded(clinician, session_id)
    assert {trace["encounter"] for trace in await clinician.traces("codes.read")} == {session_id}


@pytest.mark.parametrize("system", ["ICD-10", "ICD-9", "ICD-9-CM"])
async def test_other_systems_that_come_with_osler_code_the_same_words(clinician: Clinician, system: str) -> None:
    told = await coded(clinician, await with_note(clinician, "## Assessment\n\nHypertension.\n"), system)
    assert told["status"] == "READY" and told["coding_system"] == system
    assert [entity["entity"] for entity in told["entities"]] == ["Hypertension"]
    assert told["entities"][0]["primary_code"]["code"] in ("I10", "401.9")
