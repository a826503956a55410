"""A server that ends in mid-stream, in order or not, loses nothing that it acknowledged and stores nothing twice."""

import asyncio
import contextlib
import random
import signal
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed

from osler.access.model import KeyKind
from osler.audit.model import OPERATOR
from osler.bootstrap import initialise, open_core
from osler.config import Settings
from tests.server_lab import Server
from tests.stream_lab import SECOND, StreamClient, noise, samples_of

pytestmark = pytest.mark.anyio

ENDS = (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL)


async def test_what_was_acknowledged_survives_the_ends_of_servers_and_the_rest_is_sent_again(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path / "data")
    await initialise(settings)
    async with open_core(settings, engine="closed") as core:
        organization = await core.access.create_organization(OPERATOR, "Practice")
        key, _ = await core.access.create_key(OPERATOR, organization.id, KeyKind.TENANT)
        user = await core.access.create_user(OPERATOR, organization.id, "quill@example.org", "ehr-1")
        session = (await core.encounters.create(OPERATOR, organization.id, user.id)).id
        token = (await core.tokens.issue(key, user)).text
    sound, acknowledged, recording = noise(90), 0, None
    chance = random.Random(5)
    for life in range(len(ENDS) + 1):
        server = Server(settings.data_path, "--no-worker", log=tmp_path / f"server-{life}.log")
        with server:
            client = await StreamClient.connect(server.url, session)
            more: dict[str, str] = {} if recording is None else {"recording_id": recording}
            ready = await client.start(token, **more)
            recording = ready["recording_id"]
            assert ready["offset"] >= acknowledged
            end = ready["offset"] + 22 * SECOND if life < len(ENDS) else len(sound)
            sending = asyncio.create_task(client.send(sound[ready["offset"] : end]))
            if life < len(ENDS):
                await client.until("ack")
                # Who still writes to a server that has ended does not read why it did.
                await sending
                await asyncio.sleep(chance.uniform(0, 0.1))  # while the next segment is on its way
                server.signal(ENDS[life])
                code, _ = await client.closed()
                assert code == (1012 if ENDS[life] is signal.SIGTERM else 1006)
                assert server.wait() == (0 if ENDS[life] is signal.SIGTERM else -signal.SIGKILL)
            else:
                await sending
                await client.say(type="finish")
                assert (await client.until("finished"))["offset"] == len(sound)
                await client.socket.close()
            sending.cancel()
            with contextlib.suppress(ConnectionClosed, asyncio.CancelledError):
                await sending
            acknowledged = max((told["offset"] for told in client.of("ack")), default=acknowledged)
            assert not any(line["level"] in ("error", "critical") for line in server.lines())
    async with open_core(settings, engine="closed") as core:
        (kept,) = await core.audio.recordings(organization.id, session)
        _, segments = await core.audio.segments(organization.id, session, kept.id)
        stored = b""
        for segment in segments:
            assert segment.blob is not None
            stored += samples_of(b"".join([piece async for piece in core.vault.stream(segment.blob)]))
    assert stored == sound
    assert all((segment.seconds or 0) <= 10.0 for segment in segments) and len(stored) == 90 * SECOND
