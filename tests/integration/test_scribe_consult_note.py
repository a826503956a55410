"""The consult note at the scribe API: asked for in every form, read as a stream, kept version by version."""

import json
from typing import Any

import httpx
import pytest

from osler.access.model import Visibility
from osler.speech.model import Transcript
from tests.scribe_practice import Clinician, Town, ok, refused
from tests.writing_lab import (
    LETTER,
    SOAP,
    VISIT,
    a_visit,
    hear,
    writing_clinician,  # noqa: F401  (a fixture)
    writing_town,  # noqa: F401  (a fixture)
)

pytestmark = pytest.mark.anyio


@pytest.fixture
def clinician(writing_clinician: Clinician) -> Clinician:  # noqa: F811
    return writing_clinician


ASKED: dict[str, Any] = {
    "generation_method": "TEMPLATE",
    "template_id": SOAP,
    "addition": "",
    "voice_style": "GOLDILOCKS",
    "brain": "LEFT",
    "content_type": "MARKDOWN",
}


async def ask(clinician: Clinician, session_id: str, *, accept: str = "*/*", **asked: Any) -> httpx.Response:
    return await clinician.post(f"/sessions/{session_id}/consult-note", {**ASKED, **asked}, headers={"Accept": accept})


def objects(answer: httpx.Response) -> list[dict[str, Any]]:
    """Return the objects of a stream of lines."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    return [json.loads(line) for line in answer.text.splitlines()]


def text_of(answer: httpx.Response) -> str:
    return "".join(each["data"] for each in objects(answer))


async def test_the_stream_says_what_the_session_then_shows(clinician: Clinician) -> None:
    session_id = await a_visit(clinician)
    answer = await ask(clinician, session_id)
    pieces = objects(answer)
    assert len(pieces) > 1 and all(each.keys() == {"data"} and each["data"] for each in pieces)
    note = (await clinician.told(session_id))["consult_note"]
    assert note["status"] == "CREATED" and note["result"] == text_of(answer)
    assert "lisinopril" in note["result"] and note["result"].startswith("# Subjective")
    assert note["heading"] == "SOAP note" and note["template_id"] == SOAP
    assert (note["brain"], note["voice_style"], note["generation_method"]) == ("LEFT", "GOLDILOCKS", "TEMPLATE")
    assert (note["version"], note["stale"], note["signed_at"], note["content_type"]) == (1, False, None, "MARKDOWN")
    (trace,) = await clinician.traces("note.read")
    assert trace["encounter"] == session_id


async def test_a_body_of_nothing_asks_for_the_first_template(clinician: Clinician) -> None:
    session_id = await a_visit(clinician)
    text = text_of(await clinician.post(f"/sessions/{session_id}/consult-note", {}))
    assert text.startswith("# Subjective") and "lisinopril" in text
    nulls = dict.fromkeys(ASKED)
    assert text_of(await clinician.post(f"/sessions/{session_id}/consult-note", nulls)) == text


async def test_events_are_sent_to_who_asks_for_them(clinician: Clinician) -> None:
    session_id = await a_visit(clinician)
    answer = await ask(clinician, session_id, accept="text/event-stream")
    assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/event-stream")
    events = answer.text.split("\n\n")
    assert events.pop() == "" and all(event.startswith("data: ") for event in events)
    said = "".join(json.loads(event.removeprefix("data: "))["data"] for event in events)
    assert said == (await clinician.told(session_id))["consult_note"]["result"]


async def test_a_note_asked_for_again_leaves_the_former_version_as_it_was(clinician: Clinician) -> None:
    session_id = await a_visit(clinician)
    first = text_of(await ask(clinician, session_id, voice_style="SUPER_DETAILED"))
    second = text_of(await ask(clinician, session_id, voice_style="BRIEF", brain="RIGHT"))
    assert len(second) < len(first)
    versions = await clinician.core.notes.versions(clinician.organization.id, session_id)
    assert [each.content.text for each in versions if each.content is not None] == [first, second]
    note = (await clinician.told(session_id))["consult_note"]
    assert (note["version"], note["voice_style"], note["brain"]) == (2, "BRIEF", "RIGHT")


async def test_html_is_the_same_in_the_stream_and_the_session_and_holds_no_script(clinician: Clinician) -> None:
    session_id = await a_visit(clinician)
    said = text_of(await ask(clinician, session_id, content_type="HTML"))
    note = (await clinician.told(session_id))["consult_note"]
    assert said == note["result"] and note["content_type"] == "HTML"
    assert said.startswith("<h1>") and "<li>" in said and "\n# " not in said
    same = ok(await clinician.patch(f"/sessions/{session_id}", {"consult_note": {"result": said}}))
    assert same["session"]["consult_note"]["version"] == 1, "what is sent back as it was read is no new version"
    edited = said + "<p>Well.</p><script>steal()</script><img src=x onerror=steal()>"
    note = ok(await clinician.patch(f"/sessions/{session_id}", {"consult_note": {"result": edited}}))["session"][
        "consult_note"
    ]
    assert note["version"] == 2 and note["result"].endswith("<p>Well.</p>") and note["content_type"] == "HTML"


async def test_a_template_of_the_clients_own_is_sealed_with_the_note_and_written_by(clinician: Clinician) -> None:
    session_id = await a_visit(clinician)
    template = "# My headings\n[medications]\n"
    own: dict[str, Any] = {
        "generation_method": "THIRD_PARTY_TEMPLATE",
        "template_id": None,
        "third_party_template": template,
    }
    said = text_of(await ask(clinician, session_id, **own))
    assert said.startswith("# My headings") and "lisinopril" in said and "cough" not in said
    note = (await clinician.told(session_id))["consult_note"]
    assert (note["generation_method"], note["template_id"]) == ("THIRD_PARTY_TEMPLATE", None)
    version = await clinician.core.notes.current(clinician.organization.id, session_id)
    assert version is not None and version.texts.template == template
    assert "headings" not in json.dumps(dict(version.options)).lower()


async def test_a_template_of_headings_alone_is_filled_by_what_the_headings_name(clinician: Clinician) -> None:
    session_id = await a_visit(clinician)
    own: dict[str, Any] = {"template_id": None, "third_party_template": "Medications:\n\nAllergies:"}
    said = text_of(await ask(clinician, session_id, **own))
    assert said.index("Medications") < said.index("lisinopril") < said.index("Allergies") < said.index("enicillin")
    nothing: dict[str, Any] = {"template_id": None, "third_party_template": "As you like it."}
    assert refused(await ask(clinician, session_id, **nothing), 422)["field"] == "third_party_template"


async def test_words_on_how_to_list_things_do_not_hide_what_is_asked_for(clinician: Clinician) -> None:
    session_id = await a_visit(clinician)
    own = "Medications: [medications, with dose]\n\nPlan:\n- [each plan item]\n"
    said = text_of(await ask(clinician, session_id, template_id=None, third_party_template=own))
    medications, plan = said.split("Plan:\n")
    assert medications.startswith("Medications: ") and "lisinopril 10 mg" in medications
    assert plan.startswith("- ") and "\n- " in plan and "X-ray" in plan


async def test_a_note_that_no_word_of_the_visit_fits_says_what_to_do(clinician: Clinician) -> None:
    session_id = await a_visit(clinician)
    answer = await ask(clinician, session_id, template_id=None, third_party_template="Visual acuity: [visual acuity]")
    detail = refused(answer, 409)
    assert detail["type"] == "NoClinicalContentError" and "template" in detail["msg"]


async def test_an_addition_is_a_source_of_its_own(clinician: Clinician) -> None:
    session_id = await a_visit(clinician)
    said = text_of(await ask(clinician, session_id, addition="The patient also takes metformin 500 mg twice daily."))
    assert "metformin" in said
    evidence = ok(await clinician.get(f"/sessions/{session_id}/consult-note/evidence"))
    (sentence,) = [each for each in evidence["sentences"] if "metformin" in each["text"]]
    assert {each["kind"] for each in sentence["evidence"]} == {"ADDITION"}


async def test_both_template_fields_are_refused_by_name(clinician: Clinician) -> None:
    session_id = await a_visit(clinician)
    detail = refused(await ask(clinician, session_id, third_party_template="# Mine\n[plan]"), 422)
    assert "template_id" in detail["msg"] and "third_party_template" in detail["msg"]
    own: dict[str, Any] = {"generation_method": "THIRD_PARTY_TEMPLATE", "template_id": None}
    assert refused(await ask(clinician, session_id, **own), 422)["field"] == "third_party_template"
    assert await clinician.core.notes.versions(clinician.organization.id, session_id) == []


async def test_a_template_that_is_not_there_is_said_so(clinician: Clinician) -> None:
    session_id = await a_visit(clinician)
    for template_id in ("no such template", "f" * 24):
        assert refused(await ask(clinician, session_id, template_id=template_id), 404) == {
            "msg": "Template not found",
            "type": "TemplateNotFoundError",
        }


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("voice_style", "LOUD"),
        ("brain", "MIDDLE"),
        ("content_type", "PDF"),
        ("generation_method", "MAGIC"),
        ("addition", 7),
        ("template_id", ["a"]),
        ("addition", "x" * 100_001),
    ],
)
async def test_what_cannot_be_used_is_refused_by_name(clinician: Clinician, field: str, value: Any) -> None:
    session_id = await clinician.session()
    assert refused(await ask(clinician, session_id, **{field: value}), 422)["field"] == field


async def test_a_note_before_any_recording_is_refused_unless_the_session_is_to_be_without(
    clinician: Clinician,
) -> None:
    session_id = await clinician.session()
    detail = refused(await ask(clinician, session_id), 409)
    assert detail["type"] == "TranscriptNotFoundError" and "without a recording" in detail["msg"]
    sent = {
        "generate_output_without_recording": True,
        "clinician_notes": ["The patient takes metformin 500 mg twice daily for type 2 diabetes."],
    }
    ok(await clinician.patch(f"/sessions/{session_id}", sent))
    assert "metformin" in text_of(await ask(clinician, session_id))


async def test_a_note_of_nothing_clinical_fails_with_what_to_do(clinician: Clinician) -> None:
    session_id = await clinician.session(generate_output_without_recording=True)
    ok(await clinician.patch(f"/sessions/{session_id}", {"generate_output_without_recording": True}))
    detail = refused(await ask(clinician, session_id), 409)
    assert detail["type"] == "NoClinicalContentError" and "write it by hand" in detail["msg"]
    assert (await clinician.told(session_id))["consult_note"]["status"] == "FAILED"


async def test_a_language_that_nothing_here_writes_is_refused_with_what_is_needed(clinician: Clinician) -> None:
    session_id = await a_visit(clinician)
    ok(await clinician.patch(f"/sessions/{session_id}", {"output_language_code": "fr-FR"}))
    detail = refused(await ask(clinician, session_id), 422)
    assert detail["field"] == "output_language_code" and "language model" in detail["msg"]
    ok(await clinician.patch(f"/sessions/{session_id}", {"output_language_code": "en-GB"}))
    assert "lisinopril" in text_of(await ask(clinician, session_id))


async def test_my_voice_says_when_there_are_no_notes_of_ones_own_and_learns_from_those_that_are_signed(
    clinician: Clinician,
) -> None:
    session_id = await a_visit(clinician)
    plain = text_of(await ask(clinician, session_id))
    answer = await ask(clinician, session_id, voice_style="MY_VOICE")
    assert objects(answer)[-1] == {"data": "", "voice_notes": 0} and text_of(answer) == plain
    note = (await clinician.told(session_id))["consult_note"]
    assert (note["voice_style"], note["voice_notes"]) == ("MY_VOICE", 0)
    ok(await clinician.post(f"/sessions/{session_id}/consult-note/sign-off"))
    other = await a_visit(clinician)
    assert objects(await ask(clinician, other, voice_style="MY_VOICE"))[-1] == {"data": "", "voice_notes": 1}


async def test_a_repeat_under_its_key_gets_the_same_bytes_and_writes_nothing(clinician: Clinician) -> None:
    session_id = await a_visit(clinician)
    path = f"/sessions/{session_id}/consult-note"
    first = await clinician.post(path, ASKED, headers={"Idempotency-Key": "once"})
    again = await clinician.post(path, ASKED, headers={"Idempotency-Key": "once"})
    assert first.content == again.content and len(objects(first)) > 1
    assert again.headers["Idempotent-Replayed"] == "true"
    assert len(await clinician.core.notes.versions(clinician.organization.id, session_id)) == 1
    other = await clinician.post(path, {**ASKED, "brain": "RIGHT"}, headers={"Idempotency-Key": "once"})
    assert refused(other, 409)["type"] == "IdempotencyKeyReusedError"


async def test_notes_of_strangers_are_sessions_that_are_not_there(clinician: Clinician, writing_town: Town) -> None:  # noqa: F811
    session_id = await a_visit(clinician)
    await ask(clinician, session_id)
    stranger = await writing_town.clinician()
    for answer in (
        await ask(stranger, session_id),
        await stranger.get(f"/sessions/{session_id}/consult-note/evidence"),
        await stranger.post(f"/sessions/{session_id}/consult-note/sign-off"),
        await stranger.get(f"/sessions/{session_id}/documents"),
        await stranger.post(f"/sessions/{session_id}/documents", {"template_id": LETTER}),
    ):
        assert refused(answer, 404)["type"] == "SessionNotFoundError"


async def test_a_linked_visit_feeds_the_note_and_is_named_as_its_source(clinician: Clinician) -> None:
    former = await clinician.session()
    ok(
        await clinician.patch(
            f"/sessions/{former}", {"consult_note": {"result": "The patient takes metformin 500 mg."}}
        )
    )
    session_id = await a_visit(clinician)
    ok(await clinician.patch(f"/sessions/{session_id}", {"linked_sessions_for_context": [former]}))
    sources = await clinician.core.sources.gather(clinician.organization.id, session_id)
    assert [(each.kind.name, each.id) for each in sources.others] == [("LINKED_NOTE", former)]
    assert sources.transcript == VISIT and sources.facts["organization_name"] == clinician.organization.name


async def test_a_colleagues_visit_is_no_source_unless_the_practice_shows_all(writing_town: Town) -> None:  # noqa: F811
    practice = await writing_town.practice(visibility=Visibility.TENANT)
    owner, colleague = await writing_town.clinician(practice), await writing_town.clinician(practice, "colleague")
    theirs = await a_visit(colleague)
    mine = await owner.session()
    ok(await owner.patch(f"/sessions/{mine}", {"linked_sessions_for_context": [theirs]}))
    gather = owner.core.sources.gather
    (source,) = (await gather(practice.organization.id, mine)).others
    assert source.paragraphs == tuple(turn.text for turn in VISIT.turns)
    await owner.core.access.update_organization(
        owner.user_as_actor, practice.organization.id, visibility=Visibility.OWNER
    )
    assert (await gather(practice.organization.id, mine)).others == ()


async def test_a_note_whose_transcript_changed_is_stale_and_signed_only_when_that_is_confirmed(
    clinician: Clinician,
) -> None:
    session_id = await a_visit(clinician)
    await ask(clinician, session_id)
    await hear(clinician, session_id, Transcript(turns=VISIT.turns[:8], language="en"))
    assert (await clinician.told(session_id))["consult_note"]["stale"] is True
    path = f"/sessions/{session_id}/consult-note/sign-off"
    assert "confirm" in refused(await clinician.post(path), 409)["msg"]
    assert ok(await clinician.post(path, {"confirmed": True}))["version"] == 1


async def test_a_signed_version_stays_and_an_edit_after_it_is_a_new_one_that_is_not_signed(
    clinician: Clinician,
) -> None:
    session_id = await a_visit(clinician)
    path = f"/sessions/{session_id}/consult-note/sign-off"
    assert refused(await clinician.post(path), 409)["type"] == "ConflictError"
    said = text_of(await ask(clinician, session_id))
    assert "newer" in refused(await clinician.post(path, {"version": 7}), 409)["msg"]
    signed = ok(await clinician.post(path, {"version": 1}))
    assert signed["session_id"] == session_id and signed["signed_by"] == clinician.user.id
    assert "signed already" in refused(await clinician.post(path), 409)["msg"]
    ok(await clinician.patch(f"/sessions/{session_id}", {"consult_note": {"result": said + "\nSeen again."}}))
    await hear(clinician, session_id)
    first, second = await clinician.core.notes.versions(clinician.organization.id, session_id)
    assert first.content is not None and first.content.text == said
    assert first.signed_at is not None and not first.stale
    assert second.author_id == clinician.user.id and second.signed_at is None
    assert ok(await clinician.post(path, {"confirmed": True}))["version"] == 2
    assert len(await clinician.traces("encounter.signed")) == 2


@pytest.mark.parametrize("names", [{"patient": "Mr Carter"}, {"patient": "Anna Bloom", "clinician": "Dr Smith"}])
async def test_speakers_called_by_their_names_are_still_the_patient_and_the_clinician(
    clinician: Clinician, names: dict[str, str]
) -> None:
    session_id = await a_visit(clinician)
    before = text_of(await ask(clinician, session_id))
    heard = ok(await clinician.patch(f"/sessions/{session_id}/transcript", {"speakers": names}))
    assert set(names.values()) <= {turn["speaker"] for turn in heard["turns"]}
    assert text_of(await ask(clinician, session_id)) == before
    evidence = ok(await clinician.get(f"/sessions/{session_id}/consult-note/evidence"))
    for quoted in (each for sentence in evidence["sentences"] for each in sentence["evidence"]):
        assert heard["turns"][quoted["turn"]]["text"][quoted["start"] : quoted["end"]] == quoted["quote"]


async def test_a_note_becomes_stale_when_what_stands_beside_the_transcript_changes(clinician: Clinician) -> None:
    session_id = await a_visit(clinician)
    await ask(clinician, session_id)
    ok(await clinician.patch(f"/sessions/{session_id}", {"clinician_notes": [], "duration": 7}))
    assert (await clinician.told(session_id))["consult_note"]["stale"] is False, "nothing changed"
    ok(await clinician.patch(f"/sessions/{session_id}", {"clinician_notes": ["Takes metformin 500 mg."]}))
    assert (await clinician.told(session_id))["consult_note"]["stale"] is True
    assert "metformin" in text_of(await ask(clinician, session_id))
    assert (await clinician.told(session_id))["consult_note"]["stale"] is False
    file = {"file": ("letter.txt", b"The patient takes warfarin 5 mg daily.", "text/plain")}
    ok(await clinician.post(f"/sessions/{session_id}/context-documents", files=file))
    assert (await clinician.told(session_id))["consult_note"]["stale"] is True
    said = text_of(await ask(clinician, session_id))
    evidence = ok(await clinician.get(f"/sessions/{session_id}/consult-note/evidence"))
    kinds = {each["kind"] for sentence in evidence["sentences"] for each in sentence["evidence"]}
    assert "warfarin" in said and kinds >= {"TRANSCRIPT", "CLINICIAN_NOTE", "CONTEXT_DOCUMENT"}
