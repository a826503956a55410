"""Recordings in segments through the scribe API: any order, twice, late, with gaps, as files or slices of a stream."""

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest

from osler.audit.model import OPERATOR
from osler.encounters.model import ErasureReason, ErasureScope
from osler.kernel.errors import BlobsUnavailableError
from tests.hearing_lab import BEGIN, begin, finish, send, tone_speech, transcript, words, words_of
from tests.hearing_lab import hearing_town as hearing_town
from tests.hearing_lab import listener as listener
from tests.pipeline_lab import WORDS, tones
from tests.scribe_practice import NOBODYS_ID, Clinician, Town, ok, opened_town, refused
from tests.webm_lab import cut, cut_anywhere, cut_at_clusters, recorded

pytestmark = pytest.mark.anyio

DONE = {"is_success": True}


async def live(clinician: Clinician, session_id: str) -> dict[str, Any]:
    return ok(await clinician.get(f"/sessions/{session_id}/transcript/live"))


async def test_segments_in_any_order_and_twice_become_one_transcript(listener: Clinician) -> None:
    session_id = await listener.session()
    recording_id = await begin(listener, session_id)
    assert len(recording_id) == 24
    for index in (3, 0, 3, 2, 1, 0):
        assert ok(await send(listener, session_id, recording_id, index, tones(index))) == DONE
        assert (await live(listener, session_id))["response"]["live"][0]["id"] == recording_id
    assert ok(await finish(listener, session_id, recording_id)) == {**DONE, "missing_indexes": []}
    assert await words(listener, session_id) == list(WORDS[:4])
    assert ok(await finish(listener, session_id, recording_id)) == {**DONE, "missing_indexes": []}
    _, segments = await listener.core.audio.segments(listener.organization.id, session_id, recording_id)
    assert len(segments) == 4
    assert len(await listener.traces("segment.received")) == 4 and len(await listener.traces("recording.finished")) == 1


async def test_other_bytes_at_an_index_are_refused_and_change_nothing(listener: Clinician) -> None:
    session_id = await listener.session()
    recording_id = await begin(listener, session_id)
    ok(await send(listener, session_id, recording_id, 0, tones(0)))
    refused(await send(listener, session_id, recording_id, 0, tones(1)), 409, "ConflictError")
    ok(await finish(listener, session_id, recording_id))
    refused(await send(listener, session_id, recording_id, 0, tones(1)), 409, "ConflictError")
    assert ok(await send(listener, session_id, recording_id, 0, tones(0))) == DONE
    assert await words(listener, session_id) == [WORDS[0]]


async def test_gaps_are_named_and_what_fills_one_later_makes_the_transcript_anew(listener: Clinician) -> None:
    session_id = await listener.session()
    recording_id = await begin(listener, session_id)
    for index in (0, 2, 5):
        ok(await send(listener, session_id, recording_id, index, tones(index)))
    for _ in range(2):
        assert ok(await finish(listener, session_id, recording_id))["missing_indexes"] == [1, 3, 4]
    first = ok(await transcript(listener, session_id))
    assert words_of(first["transcript"]) == [WORDS[0], WORDS[2], WORDS[5]]
    assert any("segments 1, 3, 4" in line for line in first["warnings"])
    assert first["turns"][-1]["end"] > 4.0, "three seconds of sound, and silence in place of each gap"
    ok(await send(listener, session_id, recording_id, 3, tones(3)))
    assert await words(listener, session_id) == [WORDS[n] for n in (0, 2, 3, 5)]
    refused(await send(listener, session_id, recording_id, 6, tones(6)), 409, "ConflictError")
    ok(await send(listener, session_id, recording_id, 1, tones(1)))
    ok(await send(listener, session_id, recording_id, 4, tones(4)))
    second = ok(await transcript(listener, session_id))
    assert words_of(second["transcript"]) == list(WORDS[:6]) and second["version"] == first["version"] + 3
    assert ok(await finish(listener, session_id, recording_id))["missing_indexes"] == []


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 0, 2, 1), (3, 2, 1, 0)])
async def test_slices_of_a_browsers_recorder_are_heard_as_they_come_and_whole(
    listener: Clinician, order: tuple[int, ...]
) -> None:
    session_id = await listener.session()
    recording_id = await begin(listener, session_id)
    clusters = cut_at_clusters(recorded(*range(4), seconds=3.0))  # one a second
    slices = [b"".join(clusters[3 * n : 3 * n + 3 if n < 3 else None]) for n in range(4)]
    for place, index in enumerate(order):
        assert ok(await send(listener, session_id, recording_id, index, slices[index])) == DONE
        told = (await live(listener, session_id))["response"]["live"][0]["chunks"]
        assert [chunk["status"] for chunk in told] == ["COMPLETE"] * (place + 1)
        for chunk, number in zip(told, sorted(order[: place + 1]), strict=True):
            # By itself, before its header and its neighbours: its own word, and no other.
            assert set(words_of(chunk["transcript"])) == {WORDS[number]} and chunk["duration"] > 2.9
    ok(await finish(listener, session_id, recording_id))
    assert await words(listener, session_id) == [word for word in WORDS[:4] for _ in range(3)]


@pytest.mark.parametrize("seed", range(3))
async def test_slices_cut_at_any_byte_lose_and_double_no_word(listener: Clinician, seed: int) -> None:
    session_id = await listener.session()
    recording_id = await begin(listener, session_id)
    slices = cut_anywhere(recorded(*range(8)), 6, seed, first=3000)
    order = list(range(6))
    random.Random(seed).shuffle(order)
    for index in order:
        ok(await send(listener, session_id, recording_id, index, slices[index]))
    ok(await finish(listener, session_id, recording_id))
    told = ok(await transcript(listener, session_id))
    assert words_of(told["transcript"]) == list(WORDS) and told["warnings"] == []


async def test_what_is_no_sound_is_refused_and_the_recording_goes_on(listener: Clinician) -> None:
    session_id = await listener.session()
    recording_id = await begin(listener, session_id)
    slices = cut(recorded(0, 1, 2), [5000, 9000])
    ok(await send(listener, session_id, recording_id, 0, slices[0]))
    for wrong in (b"The patient says that it hurts. " * 400, random.Random(1).randbytes(20_000), slices[2]):
        assert refused(await send(listener, session_id, recording_id, 1, wrong), 400) == "only audio file is allowed"
    refused(await send(listener, session_id, recording_id, 1, b""), 400)
    ok(await send(listener, session_id, recording_id, 1, slices[1]))
    ok(await send(listener, session_id, recording_id, 2, slices[2]))
    ok(await finish(listener, session_id, recording_id))
    assert await words(listener, session_id) == list(WORDS[:3])


@pytest.mark.parametrize("index", ["-1", "100000", "one", "1.5", "", "9" * 30])
async def test_a_wrong_index_is_named(listener: Clinician, index: str) -> None:
    session_id = await listener.session()
    recording_id = await begin(listener, session_id)
    refused(await send(listener, session_id, recording_id, index, tones(0)), 422, "ValidationError", "index")
    path = f"/sessions/{session_id}/{BEGIN}/{recording_id}:transcribe"
    behind = [("file", ("a", tones(0), "audio/wav")), ("index", (None, index))]
    refused(await listener.post(path, files=behind), 422, "ValidationError", "index")
    assert (await live(listener, session_id))["chunks"] == []


async def test_the_index_may_stand_behind_the_file_and_neither_may_lack(listener: Clinician) -> None:
    session_id = await listener.session()
    path = f"/sessions/{session_id}/{BEGIN}/{await begin(listener, session_id)}:transcribe"
    sound = ("file", ("a", tones(0), "audio/wav"))
    assert ok(await listener.post(path, files=[sound, ("index", (None, "0"))])) == DONE
    refused(await listener.post(path, files=[sound, ("index", (None, "0")), ("file", ("b", tones(1)))]), 422)
    refused(await listener.post(path, files=[sound]), 422, field="index")
    refused(await listener.post(path, files=[("index", (None, "1"))]), 422, field="file")
    refused(await listener.post(path, {"index": 1}), 415)


async def test_recordings_that_are_not_there_are_the_same_to_everybody(hearing_town: Town) -> None:
    mine, stranger = await hearing_town.clinician(), await hearing_town.clinician()
    session_id, other = await mine.session(), await mine.session()
    recording_id = await begin(mine, session_id)
    for where, which in ((session_id, NOBODYS_ID), (session_id, "x"), (other, recording_id)):
        for answer in (await send(mine, where, which, 0, tones(0)), await finish(mine, where, which)):
            assert refused(answer, 404) == {"msg": "Recording not found", "type": "RecordingNotFoundError"}
    for answer in (
        await send(stranger, session_id, recording_id, 0, tones(0)),
        await finish(stranger, session_id, recording_id),
        await stranger.post(f"/sessions/{session_id}/{BEGIN}"),
    ):
        assert refused(answer, 404) == {"msg": "Session not found", "type": "SessionNotFoundError"}


async def test_a_store_that_fails_is_told_and_the_segment_can_be_sent_again(
    listener: Clinician, monkeypatch: pytest.MonkeyPatch
) -> None:
    session_id = await listener.session()
    recording_id = await begin(listener, session_id)

    async def fail(*_: object, **__: object) -> None:
        raise BlobsUnavailableError("The blob store is away.")

    monkeypatch.setattr(listener.core.objects, "put", fail)
    answer = await send(listener, session_id, recording_id, 0, tones(0))
    assert answer.status_code == 500 and answer.json() == {"detail": "error: failed to upload audio"}
    monkeypatch.undo()
    assert ok(await send(listener, session_id, recording_id, 0, tones(0))) == DONE


async def test_the_same_segment_sent_many_times_at_once_is_one(listener: Clinician) -> None:
    session_id = await listener.session()
    recording_id = await begin(listener, session_id)
    answers = await asyncio.gather(*(send(listener, session_id, recording_id, 0, tones(0)) for _ in range(5)))
    assert [ok(answer) for answer in answers] == [DONE] * 5
    assert len((await live(listener, session_id))["chunks"]) == 1


async def test_an_erased_session_takes_no_segments(listener: Clinician) -> None:
    session_id = await listener.session()
    recording_id = await begin(listener, session_id)
    ok(await send(listener, session_id, recording_id, 0, tones(0)))
    await listener.core.erasure.erase(
        OPERATOR, listener.organization.id, session_id, scope=ErasureScope.EVERYTHING, reason=ErasureReason.COMMAND
    )
    for answer in (
        await send(listener, session_id, recording_id, 1, tones(0)),
        await finish(listener, session_id, recording_id),
        await listener.post(f"/sessions/{session_id}/{BEGIN}"),
        await transcript(listener, session_id),
        await listener.get(f"/sessions/{session_id}/transcript/live"),
    ):
        refused(answer, 410, "SessionErasedError")


async def test_a_recording_goes_on_after_a_restart(anyio_backend: str, tmp_path: Path) -> None:
    slices = cut_anywhere(recorded(*range(6)), 5, 4, first=3000)
    url = f"sqlite:///{tmp_path / 'osler.db'}"
    core_with = {"execute": True, "speech": tone_speech}
    async with opened_town(tmp_path, url, core_with=core_with) as town:
        clinician = await town.clinician()
        practice, token = clinician.organization, clinician.token
        session_id = await clinician.session()
        recording_id = await begin(clinician, session_id)
        for index in (4, 1):
            ok(await send(clinician, session_id, recording_id, index, slices[index]))
    async with opened_town(tmp_path, url, core_with=core_with) as town:
        again = Clinician(town.core, town.http, practice, clinician.user, token)
        for index in (1, 0, 2, 3):
            assert ok(await send(again, session_id, recording_id, index, slices[index])) == DONE
        assert ok(await finish(again, session_id, recording_id))["missing_indexes"] == []
        assert await words(again, session_id) == list(WORDS[:6])
