"""Documents at the scribe API: written by any template, numbered once and for all, listed for both readers."""

import asyncio
from typing import Any

import httpx
import pytest

from osler.kernel.jobs import JobFilter, JobKind, JobState
from osler.notes.model import Document
from osler.notes.template_library import built_in_templates
from tests.scribe_practice import Clinician, ok, refused
from tests.writing_lab import (
    LETTER,
    SOAP,
    a_visit,
    writing_clinician,  # noqa: F401  (a fixture)
    writing_town,  # noqa: F401  (a fixture)
)

pytestmark = pytest.mark.anyio


@pytest.fixture
def clinician(writing_clinician: Clinician) -> Clinician:  # noqa: F811
    return writing_clinician


async def ask(clinician: Clinician, session_id: str, **asked: Any) -> httpx.Response:
    body = {"generation_method": "TEMPLATE", "template_id": LETTER, "voice_style": "GOLDILOCKS", "brain": "LEFT"}
    return await clinician.post(f"/sessions/{session_id}/documents", {**body, **asked})


async def test_a_document_is_returned_finished_listed_and_on_the_session(clinician: Clinician) -> None:
    session_id = await a_visit(clinician)
    document = ok(await ask(clinician, session_id, document_tab_type="letters"))
    assert set(document) == {
        "id",
        "index",
        "session_id",
        "name",
        "template_id",
        "generation_type",
        "brain",
        "voice_style",
        "content",
        "content_type",
    }
    assert (document["index"], document["session_id"], document["template_id"]) == (0, session_id, LETTER)
    assert document["name"] == "Referral letter" and "lisinopril" in document["content"]
    assert (document["generation_type"], document["content_type"]) == ("TEMPLATE", "MARKDOWN")
    listed = ok(await clinician.get(f"/sessions/{session_id}/documents"))
    assert listed == {"documents": [document], "data": [document]}
    assert (await clinician.told(session_id))["documents"] == [document]
    assert {trace["encounter"] for trace in await clinician.traces("document.read")} == {session_id}


async def test_several_at_once_have_indexes_of_their_own_which_stay(clinician: Clinician) -> None:
    session_id = await a_visit(clinician)
    templates = [template.id for template in built_in_templates()[:4]]
    answers = await asyncio.gather(*(ask(clinician, session_id, template_id=each) for each in templates))
    made = {each["index"]: each for each in map(ok, answers)}
    assert sorted(made) == [0, 1, 2, 3] and {each["template_id"] for each in made.values()} == set(templates)
    assert ok(await ask(clinician, session_id))["index"] == 4
    listed = ok(await clinician.get(f"/sessions/{session_id}/documents"))["documents"]
    assert [each["index"] for each in listed] == [0, 1, 2, 3, 4]
    assert listed[:4] == [made[index] for index in range(4)]


async def test_html_is_rendered_and_the_stored_text_stays_markdown(clinician: Clinician) -> None:
    session_id = await a_visit(clinician)
    plain = ok(await ask(clinician, session_id, template_id=SOAP))
    shown = ok(await ask(clinician, session_id, template_id=SOAP, content_type="HTML"))
    assert shown["content_type"] == "HTML" and shown["content"].startswith("<h1>Subjective</h1>")
    stored = await clinician.core.documents.list(clinician.organization.id, session_id)
    assert [_text(each) for each in stored] == [plain["content"]] * 2


def _text(document: Document) -> str:
    assert document.content is not None
    return document.content.text


async def test_what_cannot_be_written_is_said_before_anything_is_stored(clinician: Clinician) -> None:
    session_id = await a_visit(clinician)
    assert refused(await ask(clinician, session_id, template_id="none"), 404)["type"] == "TemplateNotFoundError"
    assert refused(await ask(clinician, session_id, template_id=None), 422)["field"] == "template_id"
    assert refused(await ask(clinician, session_id, brain="MIDDLE"), 422)["field"] == "brain"
    without = await clinician.session()
    assert refused(await ask(clinician, without), 409)["type"] == "TranscriptNotFoundError"
    for each in (session_id, without):
        assert ok(await clinician.get(f"/sessions/{each}/documents")) == {"documents": [], "data": []}


async def test_a_document_of_nothing_fails_with_what_to_do_and_is_not_listed(clinician: Clinician) -> None:
    session_id = await clinician.session()
    ok(await clinician.patch(f"/sessions/{session_id}", {"generate_output_without_recording": True}))
    detail = refused(await ask(clinician, session_id), 409)
    assert detail["type"] == "NoClinicalContentError"
    assert ok(await clinician.get(f"/sessions/{session_id}/documents"))["documents"] == []
    assert (await clinician.told(session_id))["documents"] is None
    (job,) = await clinician.core.jobs.list(JobFilter(encounter_id=session_id))
    assert (job.kind, job.state) == (JobKind.WRITE_DOCUMENT, JobState.FAILED)


async def test_signing_a_note_signs_and_shows_the_documents_with_it(clinician: Clinician) -> None:
    session_id = await a_visit(clinician)
    document = ok(await ask(clinician, session_id))
    await clinician.post(f"/sessions/{session_id}/consult-note", {})
    ok(await clinician.post(f"/sessions/{session_id}/consult-note/sign-off"))
    (stored,) = await clinician.core.documents.list(clinician.organization.id, session_id)
    assert stored.signed_by == clinician.user.id
    shown = await clinician.core.release.of_encounter(clinician.organization.id, session_id)
    assert f"document:{document['id']}" in {each.slot for each in shown}
