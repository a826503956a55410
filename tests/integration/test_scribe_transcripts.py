"""Transcripts through the scribe API: waited for, live in both shapes, of several recordings, corrected by a person."""

import asyncio
import time
from typing import Any

import pytest

from osler.access.model import ReleasePolicy
from osler.audit.model import OPERATOR
from osler.encounters.model import ErasureReason, ErasureScope
from osler.release.model import ReleasedKind
from tests.hearing_lab import begin, finish, send, transcript, upload, words, words_of
from tests.hearing_lab import hearing_town as hearing_town
from tests.hearing_lab import listener as listener
from tests.pipeline_lab import CLOCK, WORDS, tones
from tests.scribe_practice import NOBODYS_SESSION, Clinician, Town, ok, refused
from tests.scribe_practice import clinician as clinician
from tests.scribe_practice import shared_town as shared_town

pytestmark = pytest.mark.anyio

SILENCE = tones(-1, -1)


async def live(clinician: Clinician, session_id: str, base: str = "", **query: str) -> dict[str, Any]:
    return ok(await clinician.get(f"{base}/sessions/{session_id}/transcript/live", **query))


async def correct(clinician: Clinician, session_id: str, **body: Any) -> Any:
    return await clinician.patch(f"/sessions/{session_id}/transcript", body)


@pytest.fixture(scope="module")
async def heard(hearing_town: Town) -> tuple[Clinician, str]:
    """Return a session with a transcript, one for all tests that leave it as it is."""
    listener = await hearing_town.clinician()
    session_id = await listener.session()
    await upload(listener, session_id, tones(0, 1))
    return listener, session_id


async def test_the_finished_text_has_one_line_a_turn_and_is_the_same_in_its_turns(listener: Clinician) -> None:
    session_id = await listener.session(language_code="en-GB")
    ok(await listener.patch(f"/sessions/{session_id}", {"language_code": "en-GB"}))
    await upload(listener, session_id, tones(0, 1, 2))
    told = ok(await transcript(listener, session_id))
    assert told["session_id"] == session_id and told["language_code"] == "en-GB"
    assert words_of(told["transcript"]) == list(WORDS[:3])
    lines = [f"{turn['speaker']}: {turn['text']}" for turn in told["turns"]]
    assert told["transcript"] == "\n".join(lines) and told["transcript"].startswith(("Clinician: ", "Patient: "))
    assert [turn["index"] for turn in told["turns"]] == list(range(len(lines)))
    assert (told["version"], told["corrected"], told["incomplete"], told["warnings"]) == (1, False, False, [])
    assert len(await listener.traces("transcript.read")) == 1


async def test_without_audio_there_is_no_transcript(clinician: Clinician) -> None:
    session_id = await clinician.session()
    refused(await transcript(clinician, session_id), 404, "TranscriptNotFoundError")
    refused(await correct(clinician, session_id, speakers={"a": "b"}), 404, "TranscriptNotFoundError")
    for where in (NOBODYS_SESSION, "x"):
        refused(await transcript(clinician, where), 404, "SessionNotFoundError")
        for base in ("", "/open-api"):
            answer = await clinician.get(f"{base}/sessions/{where}/transcript/live")
            refused(answer, 404, "SessionNotFoundError")


async def test_a_text_that_is_being_made_is_waited_for_and_then_asked_to_be_asked_for_again(
    clinician: Clinician,
) -> None:
    session_id = await clinician.session()
    await upload(clinician, session_id, tones(0))  # here no job runs
    begun = time.monotonic()
    answer = await transcript(clinician, session_id, wait=0.5)
    assert 0.5 <= time.monotonic() - begun < 60, "as long as was asked for, not the two minutes that it would wait"
    refused(answer, 503, "TranscriptNotReadyError")
    refused(await correct(clinician, session_id, speakers={"Patient": "Clinician"}), 409, "ConflictError")
    assert answer.headers["retry-after"] == "5"
    for wait in (-1, 121, "x"):
        refused(await clinician.get(f"/sessions/{session_id}/transcript", wait=wait), 422, field="wait")


async def test_who_waits_gets_the_text_when_it_is_there_and_holds_nothing_meanwhile(hearing_town: Town) -> None:
    listener = await hearing_town.clinician()
    session_id = await listener.session()
    recording_id = await begin(listener, session_id)
    waiting = [asyncio.create_task(transcript(listener, session_id, wait=120)) for _ in range(40)]
    await asyncio.sleep(0.3)
    ok(await listener.get(f"/sessions/{session_id}"))
    ok(await send(listener, session_id, recording_id, 0, tones(3)))
    assert not any(task.done() for task in waiting), "none had to give way"
    ok(await finish(listener, session_id, recording_id))
    for answer in await asyncio.gather(*waiting):
        assert words_of(ok(answer)["transcript"]) == [WORDS[3]]


async def test_a_recording_without_words_or_that_failed_says_what_to_do(hearing_town: Town) -> None:
    listener = await hearing_town.clinician()
    session_id = await listener.session()
    await upload(listener, session_id, SILENCE)
    detail = refused(await transcript(listener, session_id), 409, "TranscriptFailedError")
    assert "record again" in detail["msg"]
    empty = await begin(listener, session_id)
    ok(await finish(listener, session_id, empty))
    refused(await transcript(listener, session_id), 409, "TranscriptFailedError")
    await upload(listener, session_id, tones(1))
    assert await words(listener, session_id) == [WORDS[1]]
    await upload(listener, session_id, SILENCE)
    assert await words(listener, session_id) == [WORDS[1]]


async def test_what_was_erased_is_gone(listener: Clinician) -> None:
    session_id = await listener.session()
    await upload(listener, session_id, tones(0))
    await listener.core.erasure.erase(
        OPERATOR, listener.organization.id, session_id, scope=ErasureScope.EVERYTHING, reason=ErasureReason.COMMAND
    )
    refused(await transcript(listener, session_id), 410, "SessionErasedError")
    refused(await correct(listener, session_id, speakers={"a": "b"}), 410, "SessionErasedError")


async def test_the_live_transcript_reads_the_same_in_both_shapes_and_under_both_paths(listener: Clinician) -> None:
    session_id = await listener.session()
    nothing = await live(listener, session_id)
    assert nothing["response"] == {
        "user_uploaded": [],
        "live": [],
        "backup": [],
        "transcript_in_use": None,
        "transcript": "",
    }
    assert (nothing["transcript"], nothing["active_source"], nothing["chunks"]) == ("", "LIVE", [])
    recording_id = await begin(listener, session_id)
    for index in (1, 0):
        ok(await send(listener, session_id, recording_id, index, tones(index, index)))
    told = await live(listener, session_id)
    assert await live(listener, session_id, "/open-api") == told
    (recording,) = told["response"]["live"]
    assert recording["id"] == recording_id and set(recording) == {"id", "chunks", "created_at"}
    assert [chunk["status"] for chunk in recording["chunks"]] == ["COMPLETE", "COMPLETE"]
    assert [words_of(chunk["transcript"]) for chunk in recording["chunks"]] == [[WORDS[0]] * 2, [WORDS[1]] * 2]
    assert [(c["id"], c["text"], c["duration"]) for c in told["chunks"]] == [
        (c["id"], c["transcript"], c["duration"]) for c in recording["chunks"]
    ]
    assert {(c["status"], c["source"]) for c in told["chunks"]} == {("READY", "LIVE")}
    assert told["transcript"] == told["response"]["transcript"] == "\n".join(c["text"] for c in told["chunks"])
    assert (told["active_source"], told["response"]["transcript_in_use"]) == ("LIVE", "live")
    ok(await finish(listener, session_id, recording_id))
    done = await live(listener, session_id)
    assert done["transcript"] == ok(await transcript(listener, session_id))["transcript"]
    assert words_of("\n".join(c["text"] for c in done["chunks"])) == words_of(done["transcript"])


async def test_segments_that_wait_or_failed_say_so(clinician: Clinician) -> None:
    session_id = await clinician.session()
    recording_id = await begin(clinician, session_id)
    ok(await send(clinician, session_id, recording_id, 0, tones(0)))
    told = await live(clinician, session_id)
    assert told["chunks"][0]["status"] == "PENDING" and told["chunks"][0]["text"] == ""
    assert told["response"]["live"][0]["chunks"][0]["status"] == "IN_PROGRESS"
    assert told["chunks"][0]["duration"] == 1.0


async def test_recordings_are_shown_by_where_they_stand(listener: Clinician) -> None:
    session_id = await listener.session()
    done = await upload(listener, session_id, tones(0))
    going = await begin(listener, session_id)
    ok(await send(listener, session_id, going, 0, tones(1)))
    both = await live(listener, session_id)
    assert [r["id"] for kind in ("user_uploaded", "live") for r in both["response"][kind]] == [done, going]
    assert words_of(both["transcript"]) == [WORDS[1]] and both["active_source"] == "LIVE"
    only = await live(listener, session_id, recording_status="in_progress")
    assert only["response"]["user_uploaded"] == [] and words_of(only["transcript"]) == [WORDS[1]]
    only = await live(listener, session_id, recording_status="complete")
    assert only["response"]["live"] == [] and words_of(only["transcript"]) == [WORDS[0]]
    assert only["active_source"] == "USER_UPLOADED"
    answer = await listener.get(f"/sessions/{session_id}/transcript/live", recording_status="other")
    refused(answer, 422, field="recording_status")
    # A recording that was never finished keeps the text of the one before it from nobody.
    assert await words(listener, session_id) == [WORDS[0]]


async def test_of_several_recordings_the_last_one_transcribed_is_used_and_a_backup_only_alone(
    listener: Clinician,
) -> None:
    session_id = await listener.session()
    backup = await begin(listener, session_id, "?source=BACKUP")
    ok(await send(listener, session_id, backup, 0, tones(7)))
    ok(await finish(listener, session_id, backup))
    assert await words(listener, session_id) == [WORDS[7]]
    assert (await live(listener, session_id))["active_source"] == "BACKUP"
    await upload(listener, session_id, tones(0))
    assert await words(listener, session_id) == [WORDS[0]]
    later = await begin(listener, session_id, "?source=BACKUP")
    ok(await send(listener, session_id, later, 0, tones(6)))
    assert words_of((await live(listener, session_id))["transcript"]) == [WORDS[0]]
    ok(await finish(listener, session_id, later))
    assert await words(listener, session_id) == [WORDS[0]]
    told = await live(listener, session_id)
    assert (len(told["response"]["backup"]), told["response"]["transcript_in_use"]) == (2, "user_uploaded")
    shown = await listener.core.release.of_encounter(listener.organization.id, session_id)
    (released,) = [each for each in shown if each.kind is ReleasedKind.TRANSCRIPT]
    version = await listener.core.transcripts.current(listener.organization.id, session_id)
    assert version is not None and released.source_id == version.id
    await upload(listener, session_id, tones(1))
    assert await words(listener, session_id) == [WORDS[1]]
    refused(await listener.post(f"/sessions/{session_id}/restful-segment-transcription?source=x"), 422, field="source")


async def test_speakers_are_swapped_and_renamed_as_a_new_version_with_its_author(listener: Clinician) -> None:
    session_id = await listener.session()
    await upload(listener, session_id, tones(0, 1))
    first = ok(await transcript(listener, session_id))
    was = first["turns"][0]["speaker"]
    swapped = ok(await correct(listener, session_id, speakers={was: "mother"}))
    assert swapped["turns"][0]["speaker"] == "Mother" and swapped["transcript"].startswith("Mother: ")
    assert (swapped["version"], swapped["corrected"]) == (2, True)
    assert ok(await transcript(listener, session_id)) == swapped
    turned = ok(await correct(listener, session_id, version=2, speakers={"MOTHER": "CLINICIAN"}))
    assert turned["turns"][0]["speaker"] == "Clinician" and turned["version"] == 3
    version = await listener.core.transcripts.current(listener.organization.id, session_id)
    assert version is not None and version.author_id == listener.user.id
    assert [speaker.label for speaker in version.transcript.speakers] == ["clinician"]
    assert len(await listener.traces("transcript.corrected")) == 2
    former = (await listener.traces("transcript.corrected"))[0]["former"]
    kept = await listener.core.transcripts.get(listener.organization.id, former)
    assert kept.author_id is None and kept.version == 1


async def test_corrected_words_are_served_with_their_times_and_what_stands_keeps_its_own(listener: Clinician) -> None:
    session_id = await listener.session()
    await upload(listener, session_id, tones(0, 1, 2, 3))
    first = ok(await transcript(listener, session_id))
    text = first["turns"][0]["text"]
    new = text.replace(WORDS[1], "levothyroxine 50 mcg")
    told = ok(await correct(listener, session_id, version=1, turns=[{"index": 0, "text": f"  {new}\n"}]))
    assert told["turns"][0]["text"] == new and told["turns"][0]["start"] == first["turns"][0]["start"]
    before = await listener.core.transcripts.get(
        listener.organization.id, (await listener.traces("transcript.corrected"))[0]["former"]
    )
    after = await listener.core.transcripts.current(listener.organization.id, session_id)
    assert after is not None
    old, now = before.transcript.turns[0].words, after.transcript.turns[0].words
    assert [(now[0].start, now[0].end), *((w.start, w.end) for w in now[-2:])] == [
        (old[0].start, old[0].end),
        *((w.start, w.end) for w in old[-2:]),
    ]
    for word in now:
        assert new[word.offset : word.offset + len(word.text)] == word.text
        assert old[0].start <= word.start <= word.end <= old[-1].end
    same = ok(await correct(listener, session_id, version=2, turns=[{"index": 0, "text": new}]))
    assert same["version"] == 2


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({}, 422, "speakers"),
        ({"speakers": {}}, 422, "speakers"),
        ({"turns": [{"index": 0, "text": "x"}]}, 422, "version"),
        ({"version": 2, "turns": [{"index": 0, "text": "x"}]}, 409, None),
        ({"version": 2, "speakers": {"Patient": "Clinician"}}, 409, None),
        ({"version": 1, "turns": [{"index": 99, "text": "x"}]}, 422, "turns.0.index"),
        ({"version": 1, "turns": [{"index": -1, "text": "x"}]}, 422, "turns.0.index"),
        ({"version": 1, "turns": [{"index": "0", "text": "x"}]}, 422, "turns.0.index"),
        ({"version": 1, "turns": [{"index": 0}, {"index": 0}]}, 422, "turns.1.index"),
        ({"version": 1, "turns": [{"index": 0, "text": ""}]}, 422, "turns"),
        ({"version": 1, "turns": [{"index": 0, "text": 7}]}, 422, "turns.0.text"),
        ({"version": 1, "turns": [{"index": 0, "speaker": "a: b"}]}, 422, "turns.0.speaker"),
        ({"version": 1, "turns": [{"index": 0, "words": "x"}]}, 422, "turns.0"),
        ({"version": "1", "speakers": {"Patient": "Clinician"}}, 422, "version"),
        ({"speakers": {"Nobody": "Patient"}}, 422, "speakers"),
        ({"speakers": {"Patient": "x" * 65, "Clinician": "x" * 65}}, 422, "speakers"),
        ({"speakers": ["Patient"]}, 422, "speakers"),
        ({"transcript": "Clinician: hello"}, 422, "transcript"),
    ],
)
async def test_a_wrong_correction_is_named_and_changes_nothing(
    heard: tuple[Clinician, str], body: dict[str, Any], status: int, field: str | None
) -> None:
    listener, session_id = heard
    answer = await correct(listener, session_id, **body)
    detail = refused(answer, status)
    assert detail.get("field") == field
    assert ok(await transcript(listener, session_id))["version"] == 1


async def test_a_note_on_a_former_transcript_is_stale_and_what_is_readable_is_replaced(hearing_town: Town) -> None:
    practice = await hearing_town.practice(release=ReleasePolicy.AUTOMATIC)
    listener = await hearing_town.clinician(practice)
    session_id = await listener.session()
    await upload(listener, session_id, tones(0, 1))
    organization = listener.organization.id
    first = await listener.core.transcripts.current(organization, session_id)
    assert first is not None
    note = await listener.core.notes.request(listener.user_as_actor, organization, session_id)
    await _pretend_written(listener, session_id, note.id, first.id)
    assert (await listener.core.notes.get(organization, note.id)).stale is False
    ok(await correct(listener, session_id, speakers={first.transcript.turns[0].speaker: "nurse"}))
    assert (await listener.core.notes.get(organization, note.id)).stale is True
    shown = await listener.core.release.of_encounter(organization, session_id)
    (released,) = [each for each in shown if each.kind is ReleasedKind.TRANSCRIPT]
    now = await listener.core.transcripts.current(organization, session_id)
    assert now is not None and released.source_id == now.id != first.id


async def _pretend_written(listener: Clinician, session_id: str, note_id: str, transcript_id: str) -> None:
    """Make sure that the note rests on that transcript; whichever writer there is, it said nothing of tones."""
    from sqlalchemy import update

    from osler.storage.database import connection_of
    from osler.storage.tables.notes import notes

    async with listener.core.database.write() as transaction:
        await connection_of(transaction).execute(
            update(notes)
            .where(notes.c.id == note_id)
            .values(transcript_id=transcript_id, stale=False, completed_at=CLOCK.now())
        )
