"""Questions at the door: streamed answers in the visit's own words, in both forms of a stream."""

import json
import re
from typing import Any

import httpx
import pytest

from osler.speech.model import Transcript, Turn
from tests.scribe_practice import NOBODYS_SESSION, Clinician, Town, ok, refused
from tests.writing_lab import VISIT, a_visit
from tests.writing_lab import writing_clinician as writing_clinician
from tests.writing_lab import writing_town as writing_town

pytestmark = pytest.mark.anyio

NOTE = (
    "## Plan\n\n- Increase lisinopril to 20 mg daily for hypertension.\n- The weather was nice and we talked of it.\n"
)


def path(session_id: str) -> str:
    return f"/sessions/{session_id}/ask-ai"


def text_of(answer: httpx.Response) -> str:
    """Return the text of a stream of lines, each line of which must be the contract's object."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    pieces = [json.loads(line) for line in answer.text.splitlines()]
    assert pieces and all(set(piece) == {"data"} for piece in pieces)
    return "".join(piece["data"] for piece in pieces)


async def ask(clinician: Clinician, session_id: str, command: str, content: str = "", **more: Any) -> httpx.Response:
    body = {"ai_command_text": command, "content": content, "content_type": "MARKDOWN", **more}
    return await clinician.post(path(session_id), body)


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("What dose of lisinopril did we settle on?", r"20 mg.*10 mg"),
        ("List what she denied.", r"Chest pain"),
        ("Did he mention chest pain?", r"denied"),
        ("When is the follow-up?", r"two weeks"),
        ("What is the patient allergic to?", r"(?i)penicillin"),
        ("Is the patient allergic to anything?", r"^Yes:.*(?i:penicillin)"),
        ("What are the medications?", r"Lisinopril\*\* 20 mg"),
        ("What is the blood pressure?", r"138/82"),
    ],
)
async def test_an_answer_is_in_the_words_of_the_visit(
    writing_clinician: Clinician, command: str, expected: str
) -> None:
    text = text_of(await ask(writing_clinician, await a_visit(writing_clinician), command))
    assert re.search(expected, text, re.DOTALL), text
    quotes = re.findall(r"“([^”]*)” \((\w+), line (\d+)\)", text)
    assert quotes
    for words, speaker, line in quotes:
        turn = VISIT.turns[int(line) - 1]
        assert turn.speaker == speaker and words.removesuffix(" …") in turn.text


@pytest.mark.parametrize("asked", ["Is the patient allergic to anything?", "Does he have any allergies?"])
async def test_a_bare_reply_answers_a_yes_or_no_question_by_what_it_names(
    writing_clinician: Clinician, asked: str
) -> None:
    said = (
        Turn("clinician", "That could well be, and are you allergic to anything?"),
        Turn("patient", "Penicillin. It gives me a rash."),
    )
    session_id = await a_visit(writing_clinician, Transcript(turns=said, language="en"))
    text = text_of(await ask(writing_clinician, session_id, asked))
    assert "Penicillin (reaction: rash)" in text and "does not say" not in text


async def test_no_allergy_of_the_visit_is_left_out_because_a_document_names_another(
    writing_clinician: Clinician,
) -> None:
    said = (
        Turn("clinician", "And are you allergic to anything?"),
        Turn("patient", "Penicillin, it gives me a rash."),
    )
    session_id = await a_visit(writing_clinician, Transcript(turns=said, language="en"))
    ok(await writing_clinician.patch(f"/sessions/{session_id}", {"clinician_notes": ["Confirmed allergy to latex."]}))
    text = text_of(await ask(writing_clinician, session_id, "any allergies?"))
    assert "Penicillin (reaction: rash)" in text and "Latex" in text


@pytest.mark.parametrize(
    "command", ["Does she smoke?", "What is the maximum dose of lisinopril?", "Who is her sister?"]
)
async def test_what_the_visit_does_not_say_is_said_to_be_so(writing_clinician: Clinician, command: str) -> None:
    text = text_of(await ask(writing_clinician, await a_visit(writing_clinician), command))
    assert text.startswith("The visit does not say")


@pytest.mark.parametrize("command", ["Translate it to Spanish", "Write a poem", "Write a letter to her employer"])
async def test_what_needs_a_language_model_is_said_to_do_so(writing_clinician: Clinician, command: str) -> None:
    text = text_of(await ask(writing_clinician, await a_visit(writing_clinician), command, NOTE))
    assert text.startswith("That needs a language model")


async def test_a_stream_of_events_is_sent_where_that_is_asked_for(writing_clinician: Clinician) -> None:
    session_id = await a_visit(writing_clinician)
    body = {"ai_command_text": "List what she denied.", "content": "", "content_type": "MARKDOWN"}
    lines = text_of(await writing_clinician.post(path(session_id), body))
    answer = await writing_clinician.post(path(session_id), body, headers={"Accept": "text/event-stream"})
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = [event for event in answer.text.split("\n\n") if event]
    assert len(events) > 1 and all(event.startswith("data: ") for event in events)
    assert "".join(json.loads(event.removeprefix("data: "))["data"] for event in events) == lines


async def test_the_text_in_hand_is_edited_without_another_word(writing_clinician: Clinician) -> None:
    session_id = await writing_clinician.session()  # nothing else is needed for it
    shorter = text_of(await ask(writing_clinician, session_id, "make it shorter", NOTE))
    assert shorter == "## Plan\n\n- Increase lisinopril to 20 mg daily for hypertension.\n"
    plain = text_of(await ask(writing_clinician, session_id, "put this in plain words", NOTE))
    assert plain == NOTE.replace("hypertension", "high blood pressure")


async def test_html_comes_sanitised_and_goes_sanitised(writing_clinician: Clinician) -> None:
    session_id = await writing_clinician.session()
    sent = "<h2>Plan</h2><script>steal()</script><p onclick='x()'>Take <b>lisinopril</b> 10 mg &lt;daily&gt;.</p>"
    text = text_of(await ask(writing_clinician, session_id, "bullet points please", sent, content_type="HTML"))
    assert "<h2>Plan</h2>" in text and "<li>Take lisinopril 10 mg &lt;daily&gt;.</li>" in text
    assert "steal" not in text and "onclick" not in text


async def test_an_edited_note_and_context_are_searched_too(writing_clinician: Clinician) -> None:
    session_id = await a_visit(writing_clinician)
    edited = {"consult_note": {"result": "Her occupation is carpenter. She lives alone."}}
    ok(await writing_clinician.patch(f"/sessions/{session_id}", edited))
    text = text_of(await ask(writing_clinician, session_id, "What is her occupation?"))
    assert "carpenter" in text and "the consult note" in text


async def test_asking_leaves_a_trace_without_its_words(writing_clinician: Clinician) -> None:
    session_id = await a_visit(writing_clinician)
    text_of(await ask(writing_clinician, session_id, "Does she smoke?"))
    assert await writing_clinician.traces("encounter.asked") == [{"encounter": session_id}]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"ai_command_text": "  "}, "ai_command_text"),
        ({"ai_command_text": "x" * 5_000}, "ai_command_text"),
        ({"ai_command_text": None}, "ai_command_text"),
        ({"content": "x" * 900_000}, "content"),
        ({"content_type": "PDF"}, "content_type"),
    ],
)
async def test_a_wrong_field_is_named(writing_clinician: Clinician, change: dict[str, Any], field: str) -> None:
    session_id = await a_visit(writing_clinician)
    body = {"ai_command_text": "Does she smoke?", "content": "", "content_type": "MARKDOWN", **change}
    refused(await writing_clinician.post(path(session_id), body), 422, "ValidationError", field)


async def test_a_session_with_nothing_and_a_stranger_are_refused(
    writing_clinician: Clinician, writing_town: Town
) -> None:
    empty = await writing_clinician.session()
    refused(await ask(writing_clinician, empty, "Does she smoke?"), 409, "TranscriptNotFoundError")
    session_id = await a_visit(writing_clinician)
    stranger = await writing_town.clinician()
    refused(await ask(stranger, session_id, "Does she smoke?"), 404, "SessionNotFoundError")
    refused(await ask(writing_clinician, NOBODYS_SESSION, "Does she smoke?"), 404, "SessionNotFoundError")
