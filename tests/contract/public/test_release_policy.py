"""When a document becomes readable: at once where the organization releases automatically, else at sign-off."""

from typing import Any

import pytest

from tests.contract.public.contract import AUDIO, DOCUMENT, ENCOUNTER, TRANSCRIPT, refused, success
from tests.contract.public.lab import SIGN_OFF, Clinic, Lab

pytestmark = pytest.mark.anyio


async def told(lab: Lab, clinic: Clinic, encounter_id: str) -> dict[str, Any]:
    answer = await lab.get(ENCOUNTER.url(encounter_id), await lab.key(clinic))
    encounter: dict[str, Any] = success(ENCOUNTER, answer)["encounter"]
    return encounter


async def test_each_document_is_there_as_soon_as_it_is_complete(lab: Lab, clinic: Clinic) -> None:
    session = await clinic.begin()
    await clinic.upload(session)
    kinds = {each["schema_type"] for each in (await told(lab, clinic, session))["documents"]}
    assert kinds == {"ambient_transcript", "encounter_checklist"}
    await clinic.note(session)
    kinds = {each["schema_type"] for each in (await told(lab, clinic, session))["documents"]}
    assert kinds == {"ambient_transcript", "encounter_checklist", "document", "billing"}


async def test_with_sign_off_nothing_is_there_before_it_and_everything_after(lab: Lab) -> None:
    clinic = await lab.clinic(release=SIGN_OFF)
    key = await lab.key(clinic)
    session = await clinic.begin()
    await clinic.upload(session)
    await clinic.note(session)
    await clinic.letter(session)
    before = await told(lab, clinic, session)
    assert (before["documents"], before["encounter_type"], before["status"]) == ([], None, "completed")
    await clinic.sign(session)
    after = await told(lab, clinic, session)
    assert (after["encounter_type"], after["status"]) == ("ambient", "signed")
    kinds = sorted(each["schema_type"] for each in after["documents"])
    assert kinds == ["ambient_transcript", "billing", "document", "document", "encounter_checklist"]
    visit = await clinic.released(session)
    for route, slot in ((DOCUMENT, "note"), (DOCUMENT, "document"), (TRANSCRIPT, "transcript"), (AUDIO, "transcript")):
        success(route, await lab.get(route.url(session, visit[slot]), key))


async def test_an_id_that_is_not_released_yet_finds_nothing(lab: Lab) -> None:
    clinic = await lab.clinic(release=SIGN_OFF)
    key = await lab.key(clinic)
    session = await clinic.begin()
    await clinic.upload(session)
    await clinic.note(session)
    await clinic.sign(session)
    visit = await clinic.released(session)
    await clinic.leave_only(visit, "billing")
    for route in (DOCUMENT, TRANSCRIPT, AUDIO):
        answer = await lab.get(route.url(session, visit["transcript"]), key)
        assert (answer.status_code, refused(answer)) == (404, "document_not_found")


async def test_what_is_written_after_sign_off_waits_for_the_next(lab: Lab) -> None:
    clinic = await lab.clinic(release=SIGN_OFF)
    key = await lab.key(clinic)
    session = await clinic.begin()
    await clinic.author(session, "# Plan\nRest.")
    await clinic.sign(session)
    note = (await clinic.released(session))["note"]
    await clinic.author(session, "# Plan\nRest, and fluids.")
    content = success(DOCUMENT, await lab.get(DOCUMENT.url(session, note), key))["document"]["content"]
    assert "fluids" not in content["text"]
    await clinic.sign(session)
    content = success(DOCUMENT, await lab.get(DOCUMENT.url(session, note), key))["document"]["content"]
    assert "fluids" in content["text"]
