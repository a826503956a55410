"""Evidence for everyone: each sentence with its exact place and what it rests on, also after an edit by hand."""

from typing import Any

import pytest

from osler.notes.model import ContentType, Evidence, NoteVersion, Section, Sentence, TextStatus, Verdict, WrittenText
from osler.notes.placing import Placed, placed
from tests.pipeline_lab import CLOCK
from tests.scribe_practice import Clinician, ok, refused
from tests.writing_lab import (
    VISIT,
    a_visit,
    writing_clinician,  # noqa: F401  (a fixture)
    writing_town,  # noqa: F401  (a fixture)
)

pytestmark = pytest.mark.anyio


@pytest.fixture
def clinician(writing_clinician: Clinician) -> Clinician:  # noqa: F811
    return writing_clinician


async def written(clinician: Clinician, **asked: Any) -> str:
    """Return a session with a note."""
    session_id = await a_visit(clinician)
    answer = await clinician.post(f"/sessions/{session_id}/consult-note", asked)
    assert answer.status_code == 200, answer.text
    return session_id


async def evidence(clinician: Clinician, session_id: str, **query: Any) -> dict[str, Any]:
    return ok(await clinician.get(f"/sessions/{session_id}/consult-note/evidence", **query))


@pytest.mark.parametrize("brain", ["LEFT", "RIGHT"])
async def test_every_sentence_stands_where_it_is_said_to_and_quotes_what_was_said(
    clinician: Clinician, brain: str
) -> None:
    session_id = await written(clinician, brain=brain, voice_style="SUPER_DETAILED")
    told = await evidence(clinician, session_id)
    note = (await clinician.told(session_id))["consult_note"]["result"]
    assert told["note"] == note and told["content_type"] == "MARKDOWN" and told["version"] == 1
    stored = await clinician.core.notes.current(clinician.organization.id, session_id)
    assert stored is not None and stored.content is not None
    assert len(told["sentences"]) == sum(len(section.sentences) for section in stored.content.sections) > 5
    at = 0
    for sentence in told["sentences"]:
        assert note[sentence["start"] : sentence["end"]] == sentence["text"]
        assert sentence["start"] >= at, "no two overlap, and they come in order"
        at = sentence["end"]
        assert sentence["written_by"] == "WRITER" and sentence["verdict"] in ("SUPPORTED", "INFERRED")
        assert sentence["section"] and sentence["evidence"]
        for each in sentence["evidence"]:
            assert each["kind"] == "TRANSCRIPT" and each["source_id"] == ""
            turn = VISIT.turns[each["turn"]]
            assert turn.text[each["start"] : each["end"]] == each["quote"]
            assert turn.start is not None and turn.end is not None
            assert turn.start <= each["audio_start"] <= each["audio_end"] <= turn.end
    assert [trace["by"] for trace in await clinician.traces("note.read") if "by" in trace] == ["evidence"]


async def test_an_edited_note_keeps_the_evidence_of_what_still_stands_and_names_its_author(
    clinician: Clinician,
) -> None:
    session_id = await written(clinician)
    first = await evidence(clinician, session_id)
    changed = next(each for each in first["sentences"] if "lisinopril" in each["text"])
    note = first["note"]
    edited = (
        f"{note[: changed['start']]}Takes *nothing* at all.{note[changed['end'] :]}\n## Added\nSeen again. All well.\n"
    )
    ok(await clinician.patch(f"/sessions/{session_id}", {"consult_note": {"result": edited}}))
    told = await evidence(clinician, session_id)
    assert told["version"] == 2 and told["author_id"] == clinician.user.id and told["note"] == edited
    for each in told["sentences"]:
        assert edited[each["start"] : each["end"]] == each["text"]
    kept = [(each["text"], each["evidence"]) for each in told["sentences"] if each["written_by"] == "WRITER"]
    assert kept == [(each["text"], each["evidence"]) for each in first["sentences"] if each != changed]
    theirs = [(each["section"], each["text"]) for each in told["sentences"] if each["written_by"] == "AUTHOR"]
    assert [text for _, text in theirs] == ["Medications: Takes *nothing* at all.", "Seen again.", "All well."]
    assert theirs[1][0] == "Added"
    assert all(
        each["verdict"] is None and not each["evidence"] for each in told["sentences"] if each["written_by"] == "AUTHOR"
    )
    assert await evidence(clinician, session_id, version=1) == first


async def test_what_there_is_not_is_said_so(clinician: Clinician) -> None:
    session_id = await a_visit(clinician)
    path = f"/sessions/{session_id}/consult-note/evidence"
    assert refused(await clinician.get(path), 404)["type"] == "ConsultNoteNotFoundError"
    await clinician.post(f"/sessions/{session_id}/consult-note", {})
    for version in (2, 99):
        assert refused(await clinician.get(path, version=version), 404)["type"] == "ConsultNoteNotFoundError"
    for wrong in ("0", "x", str(2**40)):
        assert refused(await clinician.get(path, version=wrong), 422)["field"] == "version"


QUOTE = (Evidence(0, 0, 3, "yes"),)


def note(text: str, *said: str, form: ContentType = ContentType.MARKDOWN, version: int = 1) -> NoteVersion:
    sections = (Section("Plan", tuple(Sentence(each, QUOTE) for each in said)),) if said else ()
    content = WrittenText(text, form, "", sections, (len(text),) if said else ())
    return NoteVersion("n", "o", "e", version, CLOCK.now(), TextStatus.CREATED, "t", "BRIEF", content)


def shown(found: tuple[Placed, ...]) -> list[tuple[str, bool]]:
    return [(each.text, each.by_author) for each in found]


def test_escaped_words_are_found_as_they_stand() -> None:
    text = "# Plan\n\n- Pressure &lt; 130\\*.\n- 1\\. dose\\_a &amp; b.\n"
    found = placed(note(text, "Pressure < 130*.", "1. dose_a & b."))
    assert shown(found) == [("Pressure &lt; 130\\*.", False), ("1\\. dose\\_a &amp; b.", False)]
    assert [text[each.start : each.end] for each in found] == [each.text for each in found]


def test_a_sentence_that_stands_twice_is_found_twice() -> None:
    found = placed(note("No fever. No fever.\n", "No fever.", "No fever."))
    assert [(each.start, each.end) for each in found] == [(0, 9), (10, 19)]


def test_words_inside_of_another_sentence_are_not_the_sentence_that_was_written() -> None:
    former = note("# Plan\n\nFever.\n", "Fever.")
    edited = note("# Plan\n\nThere is no Fever. He feels well.\n", version=2)
    assert shown(placed(edited, [former])) == [("There is no Fever.", True), ("He feels well.", True)]


def test_of_html_only_what_is_read_is_a_sentence() -> None:
    former = note("# Plan\n\nRest & drink. Come back.\n", "Rest & drink.", "Come back.")
    html = "<h2>My <b>plan</b></h2><ul><li>Rest &amp; drink.</li><li>Sleep well.</li></ul>"
    found = placed(note(html, form=ContentType.HTML, version=2), [former])
    assert shown(found) == [("Rest &amp; drink.", False), ("Sleep well.", True)]
    assert found[0].verdict is Verdict.SUPPORTED and found[0].evidence == QUOTE
    assert found[1].section == "My plan"


def test_a_note_that_a_person_wrote_alone_is_all_his() -> None:
    text = "Seen today.\n\n---\n\n1. Dr. Quill agrees. Well.\n| a | b |\n"
    found = placed(note(text))
    assert [each.text for each in found][:3] == ["Seen today.", "Dr. Quill agrees.", "Well."]
    assert all(each.by_author for each in found)
