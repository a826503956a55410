"""The live transcript over a WebSocket, on a real socket: durable before acknowledged, told when it is heard."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from websockets.exceptions import ConnectionClosed

from osler.access.model import ConsentPolicy, KeyKind
from osler.api.app import create_app
from osler.api.scribe import live_stream
from osler.audio.model import RecordingState
from osler.audio.streaming import AudioStream, TooFastError
from osler.audit.model import OPERATOR
from osler.bootstrap import Core, initialise, open_core
from osler.config import Settings
from osler.speech.service import SpeechService
from tests.loop_clock import pass_by
from tests.pipeline_lab import WORDS, ToneDetector, ToneEncoder, ToneTranscriber, tones
from tests.stream_lab import PATIENCE, PCM, SECOND, StreamClient, noise, opus, samples_of

pytestmark = pytest.mark.anyio


@dataclass
class Served:
    """A deployment behind a real socket, and a clinician in it."""

    core: Core
    root: str
    organization_id: str
    user_id: str
    key_id: str
    token: str

    async def session(self, **fields: Any) -> str:
        return (await self.core.encounters.create(OPERATOR, self.organization_id, self.user_id, **fields)).id

    async def connect(self, session_id: str, **more: Any) -> StreamClient:
        return await StreamClient.connect(self.root, session_id, **more)

    async def stored(self, session_id: str) -> bytes:
        """Return all samples of the session's only recording, in order."""
        (recording,) = await self.core.audio.recordings(self.organization_id, session_id)
        _, segments = await self.core.audio.segments(self.organization_id, session_id, recording.id)
        assert [segment.index for segment in segments] == list(range(len(segments)))
        sound = b""
        for segment in segments:
            assert segment.blob is not None
            sound += samples_of(b"".join([piece async for piece in self.core.vault.stream(segment.blob)]))
        return sound


@asynccontextmanager
async def serving(data: Path, database_url: str, **settings: Any) -> AsyncIterator[Served]:
    chosen = Settings(data=data, database=database_url, **settings)  # type: ignore[arg-type]
    await initialise(chosen)
    speech = SpeechService(ToneDetector(), ToneTranscriber(), ToneEncoder())
    async with open_core(chosen, engine="inline", execute=True, speech=lambda: speech) as core:
        organization = await core.access.create_organization(OPERATOR, "Practice")
        key, _ = await core.access.create_key(OPERATOR, organization.id, KeyKind.TENANT)
        user = await core.access.create_user(OPERATOR, organization.id, "quill@example.org", "ehr-1")
        token = await core.tokens.issue(key, user)
        config = uvicorn.Config(
            create_app(core), port=0, log_config=None, lifespan="off", ws="websockets-sansio",
            ws_max_size=live_stream.MOST_AUDIO, ws_per_message_deflate=False, ws_ping_interval=None,
            timeout_graceful_shutdown=5,
        )  # fmt: skip
        server = uvicorn.Server(config)
        task = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        try:
            yield Served(core, f"http://127.0.0.1:{port}", organization.id, user.id, key.id, token.text)
        finally:
            server.should_exit = True
            await task


@pytest.fixture
async def served(tmp_path: Path, sqlite_url: str) -> AsyncIterator[Served]:
    async with serving(tmp_path / "data", sqlite_url) as found:
        yield found


async def test_words_come_while_the_sound_is_sent_and_the_final_transcript_after_finish(served: Served) -> None:
    session = await served.session()
    client = await served.connect(session)
    ready = await client.start(served.token)
    assert ready["session_id"] == session and ready["offset"] == 0 and ready["format"] == PCM
    sound = tones(*([0] * 4 + [-1] + [1] * 5 + [2] * 3))[44:]
    await client.send(sound)
    # Cut in the pause, before which it is too early to cut, and then at the end.
    first = await client.until("ack")
    assert 5.0 * SECOND <= first["offset"] <= 10 * SECOND
    heard = await client.until("partial", segment=0)
    assert heard["status"] == "COMPLETE" and heard["start"] == 0.0
    assert heard["turns"][0]["text"].lower().startswith("aconite")
    await client.say(type="finish")
    finished = await client.until("finished")
    assert finished["offset"] == len(sound) and finished["missing_indexes"] == []
    final = await client.until("final")
    assert final["status"] == "COMPLETE" and final["failure"] is None
    words = " ".join(turn["text"] for turn in final["turns"]).lower()
    assert [words.count(word) for word in ("aconite", "belladonna", "calomel")] == [4, 5, 3]
    assert await client.closed() == (1000, "")
    assert await served.stored(session) == sound
    second = [told for told in client.of("ack") if told["segment"] == 1]
    assert second and second[0]["offset"] <= len(sound)


async def test_nothing_is_acknowledged_before_it_is_durable(served: Served) -> None:
    session = await served.session()
    client = await served.connect(session)
    ready = await client.start(served.token)
    sound = noise(31)
    await client.send(sound)
    for _ in range(3):
        acknowledged = (await client.until("ack"))["offset"]
        assert (await served.stored(session))[:acknowledged] == sound[:acknowledged]
    (recording,) = await served.core.audio.recordings(served.organization_id, session)
    assert recording.id == ready["recording_id"] and recording.state is RecordingState.OPEN
    client.break_off()


async def test_after_a_break_the_client_goes_on_from_the_durable_offset_without_loss_or_doubling(
    served: Served,
) -> None:
    session = await served.session()
    sound, at, recording = noise(60), 0, None
    for seconds in (13.3, 7.0, 21.7, 60):
        client = await served.connect(session)
        more: dict[str, str] = {} if recording is None else {"recording_id": recording}
        ready = await client.start(served.token, **more)
        recording = ready["recording_id"]
        assert ready["offset"] >= at, "what was acknowledged is durable"
        end = min(len(sound), ready["offset"] + round(seconds * SECOND) // 2 * 2 + 1)  # breaks inside of a sample
        await client.send(sound[ready["offset"] : end], size=5001)
        if end < len(sound):
            at = (await client.until("ack"))["offset"]
            client.break_off()
        else:
            await client.say(type="finish")
            assert (await client.until("finished"))["offset"] == len(sound)
    assert await served.stored(session) == sound


@pytest.mark.parametrize("container", ["webm", "ogg"])
async def test_a_browsers_stream_is_kept_byte_for_byte_over_a_break_and_heard_as_one(
    served: Served, monkeypatch: pytest.MonkeyPatch, container: str
) -> None:
    monkeypatch.setattr("osler.audio.streaming.CONTAINER_BYTES", 25_000)
    session = await served.session()
    sound = opus(tones(*(n % 8 for n in range(14))), container)
    assert len(sound) > 60_000
    client = await served.connect(session)
    recording = (await client.start(served.token, form=f"{container}_opus"))["recording_id"]
    await client.send(sound[:40_000], size=3_333)
    assert (await client.until("partial", segment=0))["status"] == "COMPLETE"
    client.break_off()
    client = await served.connect(session)
    ready = await client.start(served.token, form=f"{container}_opus", recording_id=recording)
    assert ready["offset"] >= 25_000
    await client.send(sound[ready["offset"] :], size=3_333)
    await client.say(type="finish")
    final = await client.until("final")
    heard = " ".join(turn["text"] for turn in final["turns"]).lower().split()
    assert [word.strip(".,") for word in heard] == [WORDS[n % 8] for n in range(14)]
    _, segments = await served.core.audio.segments(served.organization_id, session, recording)
    kept = [b"".join([piece async for piece in served.core.vault.stream(each.blob)]) for each in segments if each.blob]
    assert len(kept) >= 3 and b"".join(kept) == sound


async def test_a_second_connection_takes_the_recording_over_from_one_that_hangs(served: Served) -> None:
    session = await served.session()
    sound = noise(18)
    hanging = await served.connect(session)
    recording = (await hanging.start(served.token))["recording_id"]
    await hanging.send(sound[: 7 * SECOND])
    other = await served.connect(session)
    ready = await other.start(served.token, recording_id=recording)
    assert await hanging.closed() == (4409, "Another connection goes on with this recording")
    assert ready["offset"] <= 7 * SECOND
    await other.send(sound[ready["offset"] :])
    await other.say(type="finish")
    await other.until("final")
    assert await served.stored(session) == sound


async def test_a_client_that_comes_back_is_told_again_what_was_heard(served: Served) -> None:
    session = await served.session()
    client = await served.connect(session)
    recording = (await client.start(served.token))["recording_id"]
    await client.send(tones(*([0] * 5 + [-1] + [1] * 4))[44:])
    heard = await client.until("partial", segment=0)
    client.break_off()
    again = await served.connect(session)
    await again.start(served.token, recording_id=recording)
    assert await again.until("partial", segment=0) == heard
    await again.socket.close()


async def test_what_came_before_a_break_is_kept_even_if_nobody_comes_back(served: Served) -> None:
    session = await served.session()
    client = await served.connect(session)
    await client.start(served.token)
    await client.send(noise(3))
    await client.socket.close()
    async with asyncio.timeout(PATIENCE):
        while not (await served.core.audio.recordings(served.organization_id, session)):
            await asyncio.sleep(0.05)
        while await served.stored(session) != noise(3):
            await asyncio.sleep(0.05)


FIRST_MESSAGES: list[tuple[dict[str, Any], int]] = [
    ({"type": "start", "format": PCM}, 4401),
    ({"type": "start", "format": PCM, "token": "x.y.z"}, 4401),
    ({"type": "start", "format": "mp3", "token": "TOKEN"}, 4415),
    ({"type": "start", "token": "TOKEN"}, 4415),
    ({"type": "start", "format": ["x"], "token": "TOKEN"}, 4415),
    ({"type": "hello"}, 4400),
    ({"type": "start", "format": PCM, "token": "TOKEN", "recording_id": "0" * 24}, 4404),
    ({"type": "start", "format": PCM, "token": "TOKEN", "recording_id": "../../etc"}, 4404),
]


async def test_a_first_message_that_cannot_be_used_closes_with_its_reason(served: Served) -> None:
    session = await served.session()
    for first, code in FIRST_MESSAGES:
        client = await served.connect(session)
        await client.say(**{**first, **({"token": served.token} if first.get("token") == "TOKEN" else {})})
        closed, reason = await client.closed()
        assert (closed, bool(reason), client.told) == (code, True, []), first
    assert await served.core.audio.recordings(served.organization_id, session) == []


async def test_a_message_of_text_that_is_none_of_ours_ends_the_stream_and_keeps_the_sound(served: Served) -> None:
    for message in ("Zebedee", "[]", '"finish"', '{"type": "dance"}', "{" * 200, "x" * 20_000):
        session = await served.session()
        client = await served.connect(session)
        await client.start(served.token)
        await client.send(noise(2))
        await client.socket.send(message)
        code, reason = await client.closed()
        assert code in (4400, 4413) and "Zebedee" not in reason
        assert await served.stored(session) == noise(2)


async def test_a_session_of_nobody_or_of_another_is_not_there(served: Served) -> None:
    organization = await served.core.access.create_organization(OPERATOR, "Another")
    user = await served.core.access.create_user(OPERATOR, organization.id, "other@example.org", "ehr-2")
    theirs = await served.core.encounters.create(OPERATOR, organization.id, user.id)
    colleague = await served.core.access.create_user(OPERATOR, served.organization_id, "c@example.org", "ehr-3")
    not_mine = await served.core.encounters.create(OPERATOR, served.organization_id, colleague.id)
    for session in (theirs.id, not_mine.id, "123456789012345678", "Zebedee"):
        client = await served.connect(session)
        await client.say(type="start", token=served.token, format=PCM)
        assert await client.closed() == (4404, "There is no such session or recording")


async def test_without_the_consent_that_is_required_no_sound_is_taken(served: Served) -> None:
    await served.core.access.update_organization(OPERATOR, served.organization_id, consent=ConsentPolicy.REQUIRED)
    session = await served.session()
    client = await served.connect(session)
    await client.say(type="start", token=served.token, format=PCM)
    assert (await client.closed())[0] == 4403
    assert await served.core.audio.recordings(served.organization_id, session) == []


async def test_consent_that_is_withdrawn_ends_the_stream(served: Served) -> None:
    await served.core.access.update_organization(OPERATOR, served.organization_id, consent=ConsentPolicy.REQUIRED)
    session = await served.session(consent_given=True)
    client = await served.connect(session)
    await client.start(served.token)
    await client.send(noise(11))
    await client.until("ack")
    await served.core.encounters.change(OPERATOR, served.organization_id, session, {"consent_given": False})
    with contextlib.suppress(Exception):
        await client.send(noise(11))
    assert (await client.closed())[0] == 4403


async def test_a_finished_recording_and_one_of_another_format_are_not_gone_on_with(served: Served) -> None:
    session = await served.session()
    client = await served.connect(session)
    recording = (await client.start(served.token))["recording_id"]
    await client.send(tones(0, 1, 2)[44:])
    await client.socket.close()
    for form, code in ((PCM, None), ("webm_opus", 4409)):
        other = await served.connect(session)
        await other.say(type="start", token=served.token, format=form, recording_id=recording)
        if code:
            assert (await other.closed())[0] == code
        else:
            await other.until("ready")
            await other.say(type="finish")
            await other.until("final")
    again = await served.connect(session)
    await again.say(type="start", token=served.token, format=PCM, recording_id=recording)
    assert await again.closed() == (4409, "The recording is finished; begin another one.")


async def test_who_says_nothing_is_sent_away(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    waits = 0
    message = live_stream._Connection._message

    async def counted(connection: live_stream._Connection) -> bytes | dict[str, Any]:
        nonlocal waits
        waits += 1
        return await message(connection)

    async def waiting(times: int) -> None:
        """Wait until the server waits for the message of that number."""
        async with asyncio.timeout(PATIENCE):
            while waits < times:
                await asyncio.sleep(0.01)

    monkeypatch.setattr(live_stream._Connection, "_message", counted)
    session = await served.session()
    silent = await served.connect(session, ping_interval=None)
    await waiting(1)
    pass_by(live_stream.FIRST_SECONDS)
    assert (await silent.closed())[0] == 4408
    client = await served.connect(session, ping_interval=None)
    await client.start(served.token)
    for number in range(3):
        await waiting(3 + number)
        pass_by(0.75 * live_stream.IDLE_SECONDS)
        await client.say(type="keep_alive")
    await waiting(6)
    assert client.of("ready") == client.told and client.socket.close_code is None
    pass_by(live_stream.IDLE_SECONDS)
    assert (await client.closed())[0] == 4408


async def test_a_key_that_is_revoked_ends_the_streams_that_it_opened(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_stream, "CHECK_SECONDS", 0.1)
    client = await served.connect(await served.session())
    await client.start(served.token)
    await served.core.access.revoke_key(OPERATOR, served.key_id)
    assert await client.closed() == (4401, "The API key of this token opens nothing any more")


async def test_a_stream_that_stores_more_slowly_than_it_receives_ends_and_loses_nothing_acknowledged(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("osler.audio.streaming.MOST_PENDING", 12 * SECOND)
    monkeypatch.setattr("osler.audio.streaming.STALLED", 0.2)
    gave_up = asyncio.Event()
    add, push = served.core.audio.add_segment, AudioStream.push

    async def stuck(*arguments: Any) -> Any:
        await gave_up.wait()
        return await add(*arguments)

    async def pushed(stream: AudioStream, data: bytes) -> None:
        try:
            await push(stream, data)
        except TooFastError:
            gave_up.set()
            raise

    monkeypatch.setattr(served.core.audio, "add_segment", stuck)
    monkeypatch.setattr(AudioStream, "push", pushed)
    session = await served.session()
    client = await served.connect(session)
    await client.start(served.token)
    sending = asyncio.create_task(client.send(noise(60)))
    assert (await client.closed())[0] == 4429
    sending.cancel()
    with contextlib.suppress(ConnectionClosed, asyncio.CancelledError):
        await sending
    stored = await served.stored(session)
    assert noise(60).startswith(stored) and len(stored) >= max((a["offset"] for a in client.of("ack")), default=0)


async def test_a_message_that_is_too_large_is_not_taken(served: Served) -> None:
    client = await served.connect(await served.session())
    await client.start(served.token)
    with contextlib.suppress(Exception):
        await client.socket.send(bytes(live_stream.MOST_AUDIO + 2))
    assert (await client.closed())[0] in (1009, 4413)


async def test_no_sound_at_all_finishes_without_speech(served: Served) -> None:
    client = await served.connect(await served.session())
    await client.start(served.token)
    await client.say(type="finish")
    final = await client.until("final")
    assert final["turns"] == [] and final["failure"] == "EmptyAudioError"
