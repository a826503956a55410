"""Every successful read is a disclosure, kept in a chain that can be verified; what was refused is none."""

import pytest

from osler.audit.model import AuditEntry
from tests.contract.public.contract import AUDIO, DOCUMENT, ENCOUNTER, LIST, ROUTES, TRANSCRIPT, Route, success
from tests.contract.public.lab import ORIGIN, Clinic, Lab

pytestmark = pytest.mark.anyio

ACTIONS = {
    LIST: "encounters.disclosed",
    ENCOUNTER: "encounter.disclosed",
    DOCUMENT: "document.disclosed",
    TRANSCRIPT: "transcript.disclosed",
    AUDIO: "recording.disclosed",
}


async def disclosed(lab: Lab, clinic: Clinic) -> list[AuditEntry]:
    """Return the organization's disclosures, oldest first."""
    entries = await lab.core.audit.list(clinic.organization.id, limit=1000)
    return [entry for entry in reversed(entries) if entry.event.action.endswith(".disclosed")]


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.id)
async def test_a_read_leaves_one_entry_of_who_what_when_and_from_where(lab: Lab, clinic: Clinic, route: Route) -> None:
    visit = await clinic.heard()
    key, text = await lab.make_key(clinic)
    before = lab.core.clock.now()
    answer = await lab.get(route.url(visit.id, visit["transcript"]), text)
    success(route, answer)
    (entry,) = await disclosed(lab, clinic)
    event = entry.event
    assert event.action == ACTIONS[route]
    assert (event.actor.id, event.actor.origin) == (key.id, ORIGIN)
    assert before <= event.at <= lab.core.clock.now()
    if route is LIST:
        assert event.subject["encounters"].split() == [visit.id]
    else:
        assert event.subject["encounter"] == visit.id
    if "document_id" in route.path_names:
        assert event.subject["document"] == visit["transcript"]
    assert event.detail["route"] == route.id and event.detail["request"] == answer.headers["x-request-id"]
    found = await lab.core.public.disclosures.of_encounter(visit.id)
    assert entry.mac in {each.mac for each in found}


async def test_every_repetition_is_recorded_and_what_was_not_sent_again_too(lab: Lab, clinic: Clinic, key: str) -> None:
    visit = await clinic.heard()
    url = TRANSCRIPT.url(visit.id, visit["transcript"])
    for _ in range(3):
        answer = await lab.get(url, key)
        success(TRANSCRIPT, answer)
    assert len(await disclosed(lab, clinic)) == 3


async def test_what_is_refused_is_no_disclosure(lab: Lab, clinic: Clinic, key: str) -> None:
    visit = await clinic.heard()
    foreign = await (await lab.clinic("Other")).heard()
    for url in (
        f"{LIST.path}?limit=0",
        f"{ENCOUNTER.url(visit.id)}?x=1",
        ENCOUNTER.url(foreign.id),
        DOCUMENT.url(visit.id, foreign["transcript"]),
        AUDIO.url(foreign.id, foreign["transcript"]),
    ):
        assert (await lab.get(url, key)).status_code >= 400
    assert (await lab.get(ENCOUNTER.url(visit.id), None)).status_code == 401
    assert await disclosed(lab, clinic) == []


async def test_the_chain_is_whole_after_all_of_it_and_names_no_patient(lab: Lab, clinic: Clinic, key: str) -> None:
    visit = await clinic.heard(patient={"name": "Zebulon Quillfeather"})
    for route in ROUTES:
        success(route, await lab.get(route.url(visit.id, visit["transcript"]), key))
    verified = await lab.core.audit.verify(clinic.organization.id)
    assert verified.broken == () and verified.entries >= len(ROUTES)
    for entry in await disclosed(lab, clinic):
        assert "uillfeather" not in repr(entry) and key not in repr(entry)
