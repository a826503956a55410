"""Forms at the door: both shapes of the body, the same tree answered, evidence that quotes, and kept answers."""

from typing import Any

import pytest

from osler.audit.model import OPERATOR
from osler.encounters.model import ErasureReason, ErasureScope
from osler.storage.repositories.notes import SqlDocumentRepository
from osler.storage.repositories.sealed import SealedRows
from tests.scribe_practice import NOBODYS_SESSION, Clinician, Town, ok, refused
from tests.writing_lab import VISIT, a_visit, hear
from tests.writing_lab import writing_clinician as writing_clinician
from tests.writing_lab import writing_town as writing_town

pytestmark = pytest.mark.anyio

FORM: dict[str, Any] = {
    "title": "Intake",
    "questions": [
        {
            "questionId": "cough",
            "question": "Does the patient have a cough?",
            "answerType": "SingleResponse",
            "answerOptions": [{"value": "Yes", "code": 1}, {"value": "No", "code": 2}],
            "questions": [
                {"questionId": "about", "question": "Describe the cough", "answerType": "TextArea"},
            ],
        },
        {
            "questionId": "denied",
            "question": "Symptoms",
            "answerType": "MultipleResponse",
            "answerOptions": [{"value": "Chest pain"}, {"value": "Fever"}, {"value": "Cough"}],
        },
        {
            "questionId": "next",
            "question": "Date of the follow-up",
            "answerType": "DateResponse",
            "dateFormat": "DD/MM/YYYY",
        },
        {
            "questionId": "smoker",
            "question": "Does the patient smoke?",
            "answerType": "SingleResponse",
            "answerOptions": [{"value": "Yes"}, {"value": "No"}],
        },
    ],
}


def path(session_id: str) -> str:
    return f"/sessions/{session_id}/client-customised-template/response"


def by_id(answer: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {each["questionId"]: each for each in answer["questionAnswers"]}


async def test_a_form_is_answered_from_the_visit_in_both_shapes(writing_clinician: Clinician) -> None:
    session_id = await a_visit(writing_clinician)
    raw = ok(await writing_clinician.post(path(session_id), FORM))
    wrapped = ok(await writing_clinician.post(path(session_id), {"template": FORM, "content_type": "MARKDOWN"}))
    answers = by_id(raw)
    assert answers["cough"]["answer"] == "Yes"
    assert answers["denied"]["answer"] == ["Fever", "Cough"]
    assert answers["smoker"]["answer"] is None and answers["smoker"]["evidence"] == []
    assert "cough" in answers["about"]["answer"].lower()
    assert len(answers["next"]["answer"].split("/")) == 3
    assert raw["title"] == "Intake" and raw["questions"][0]["answer"] == "Yes"
    assert raw["questions"][0]["answerOptions"] == FORM["questions"][0]["answerOptions"]
    assert raw["questions"][0]["questions"][0]["answer"] == answers["about"]["answer"]
    assert {name: value for name, value in wrapped.items() if name != "template"} == raw
    assert wrapped["template"] == {name: value for name, value in raw.items() if name != "questionAnswers"}


async def test_every_answer_quotes_the_words_that_it_rests_on(writing_clinician: Clinician) -> None:
    session_id = await a_visit(writing_clinician)
    answers = by_id(ok(await writing_clinician.post(path(session_id), FORM)))
    for answer in answers.values():
        assert bool(answer["evidence"]) is (answer["answer"] is not None)
        for quote in answer["evidence"]:
            turn = VISIT.turns[quote["turn"]]
            assert quote["kind"] == "transcript" and turn.text[quote["start"] : quote["end"]] == quote["quote"]
            assert turn.start is not None and turn.end is not None
            assert turn.start <= quote["audio_start"] <= quote["audio_end"] <= turn.end


async def test_a_clinicians_note_answers_what_the_visit_does_not_say(writing_clinician: Clinician) -> None:
    session_id = await writing_clinician.session(clinician_notes=["Patient smokes a pack a day."])
    await writing_clinician.patch(f"/sessions/{session_id}", {"clinician_notes": ["She smokes ten cigarettes a day."]})
    answer = by_id(ok(await writing_clinician.post(path(session_id), FORM)))["smoker"]
    assert answer["answer"] == "Yes"
    (quote,) = answer["evidence"]
    assert quote["kind"] == "clinician_note" and quote["source_id"] == "0" and quote["audio_start"] is None
    assert "She smokes ten cigarettes a day."[quote["start"] : quote["end"]] == quote["quote"]


async def test_texts_are_html_where_that_is_asked_for(writing_clinician: Clinician) -> None:
    session_id = await a_visit(writing_clinician)
    answers = by_id(ok(await writing_clinician.post(path(session_id), {"template": FORM, "content_type": "HTML"})))
    assert answers["about"]["answer"].startswith("<p>") and answers["cough"]["answer"] == "Yes"


async def test_answers_are_kept_with_their_transcript_and_leave_a_trace(writing_clinician: Clinician) -> None:
    session_id = await writing_clinician.session()
    transcript_id = await hear(writing_clinician, session_id)
    answer = ok(await writing_clinician.post(path(session_id), FORM))
    core, organization_id = writing_clinician.core, writing_clinician.organization.id
    rows = SqlDocumentRepository(SealedRows(core.keyring, core.clock))
    async with core.database.read() as transaction:
        (kept,) = await rows.answers(transaction, organization_id, session_id)
    assert kept.transcript_id == transcript_id and kept.answers["questionAnswers"] == answer["questionAnswers"]
    assert await writing_clinician.traces("form.answered") == [{"encounter": session_id, "form": kept.id}]
    assert await writing_clinician.traces("form.read") == [{"encounter": session_id, "form": kept.id}]
    await core.erasure.erase(
        OPERATOR, organization_id, session_id, scope=ErasureScope.EVERYTHING, reason=ErasureReason.COMMAND
    )
    async with core.database.read() as transaction:
        assert await rows.answers(transaction, organization_id, session_id) == []
    refused(await writing_clinician.post(path(session_id), FORM), 410)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"answerType": "Slider"}, "template.questions.0.answerType"),
        ({"answerOptions": []}, "template.questions.0.answerOptions"),
        ({"questionId": "smoker"}, "template.questions.3.questionId"),
        ({"question": "x" * 900_000}, "template.questions.0.question"),
        ({"answerType": "DateResponse", "dateFormat": "whenever"}, "template.questions.0.dateFormat"),
    ],
)
async def test_a_wrong_form_is_refused_by_the_place_of_the_fault(
    writing_clinician: Clinician, change: dict[str, Any], field: str
) -> None:
    session_id = await writing_clinician.session()
    template = {**FORM, "questions": [{**FORM["questions"][0], **change}, *FORM["questions"][1:]]}
    refused(await writing_clinician.post(path(session_id), {"template": template}), 422, "ValidationError", field)
    assert await writing_clinician.traces("form.answered") == []


async def test_bodies_that_are_no_form_are_refused(writing_clinician: Clinician) -> None:
    session_id = await a_visit(writing_clinician)
    refused(await writing_clinician.post(path(session_id), {}), 422, field="questions")
    refused(await writing_clinician.post(path(session_id), []), 422)
    refused(await writing_clinician.post(path(session_id), {"template": []}), 422, field="template")
    refused(await writing_clinician.post(path(session_id), {"template": FORM, "content_type": "PDF"}), 422)
    many = [{"questionId": str(n), "question": "?", "answerType": "TextArea"} for n in range(10_000)]
    refused(await writing_clinician.post(path(session_id), {"questions": many}), 422, field="questions.500")
    deep: dict[str, Any] = {"questions": []}
    for _ in range(40):
        deep = {"questions": [deep]}
    assert (await writing_clinician.post(path(session_id), deep)).status_code == 400


async def test_a_session_with_nothing_in_it_is_refused_with_what_to_do(writing_clinician: Clinician) -> None:
    session_id = await writing_clinician.session()
    detail = refused(await writing_clinician.post(path(session_id), FORM), 409, "TranscriptNotFoundError")
    assert "send audio" in detail["msg"]


async def test_strangers_learn_nothing(writing_clinician: Clinician, writing_town: Town) -> None:
    session_id = await a_visit(writing_clinician)
    stranger = await writing_town.clinician()
    refused(await stranger.post(path(session_id), FORM), 404, "SessionNotFoundError")
    refused(await stranger.post(path(NOBODYS_SESSION), FORM), 404, "SessionNotFoundError")
    practice = await writing_town.practice()
    first, second = await writing_town.clinician(practice, "a"), await writing_town.clinician(practice, "b")
    own = await a_visit(first)
    refused(await second.post(path(own), FORM), 404, "SessionNotFoundError")
