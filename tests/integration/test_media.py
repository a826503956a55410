"""Recordings by signed URL, through the HTTP door on a real deployment."""

import asyncio
import io
import logging
import os
import signal
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from osler.api.app import create_app
from osler.audio.model import Segment
from osler.audit.model import OPERATOR, ActorKind
from osler.bootstrap import Core, initialise, open_core
from osler.config import Settings
from osler.encounters.model import ErasureReason, ErasureScope
from osler.kernel.clock import SystemClock
from osler.kernel.errors import CorruptedError
from tests.server_lab import PATIENCE, Server
from tests.servers.swift import SwiftServer

pytestmark = pytest.mark.anyio

SECONDS = 5
CLINICIAN = "dr.quux@clinic.example"


def sound(seconds: int) -> bytes:
    """Return a wav file of noise: 32,000 bytes a second and a header."""
    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(os.urandom(32_000 * seconds))
    return stream.getvalue()


@dataclass(frozen=True)
class Visit:
    """A recording in a deployment, and how to reach it."""

    core: Core
    client: httpx.AsyncClient
    organization: str
    encounter: str
    segment: Segment
    content: bytes

    async def url(self, *, expires: timedelta = timedelta(minutes=5), media_type: str = "audio/wav") -> str:
        assert self.segment.blob is not None
        return await self.core.vault.signed_url(
            self.segment.blob, media_type=media_type, expires_at=datetime.now(UTC) + expires
        )

    async def reads(self) -> list[dict[str, str]]:
        """Return what the audit trail holds of accesses to recordings, oldest first."""
        entries = await self.core.audit.list(self.organization, action="recording.read")
        events = sorted(entries, key=lambda entry: entry.sequence)
        assert all(e.event.actor.kind is ActorKind.KEY and e.event.actor.id == "signed_url" for e in events)
        return [{**e.event.subject, **e.event.detail, "from": e.event.actor.origin} for e in events]


@asynccontextmanager
async def recorded(settings: Settings, content: bytes) -> AsyncIterator[Visit]:
    """Make a deployment with one recording."""
    await initialise(settings)
    async with open_core(settings, engine="inline") as core:
        organization = await core.access.create_organization(OPERATOR, "Practice")
        user = await core.access.create_user(OPERATOR, organization.id, CLINICIAN, "ehr-1")
        encounter = await core.encounters.create(OPERATOR, organization.id, user.id)

        async def chunks() -> AsyncIterator[bytes]:
            for start in range(0, len(content), 1 << 20):
                yield content[start : start + (1 << 20)]

        _, segment = await core.audio.upload(OPERATOR, organization.id, encounter.id, chunks(), media_type="audio/wav")
        transport = httpx.ASGITransport(create_app(core), client=("192.0.2.7", 4711))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8765") as client:
            yield Visit(core, client, organization.id, encounter.id, segment, content)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data=tmp_path / "data")


@pytest.fixture
async def visit(anyio_backend: str, settings: Settings) -> AsyncIterator[Visit]:
    async with recorded(settings, sound(SECONDS)) as visit:
        yield visit


async def test_a_signed_url_serves_the_recording_and_nothing_keeps_it(visit: Visit) -> None:
    answer = await visit.client.get(await visit.url())
    assert answer.status_code == 200 and answer.content == visit.content
    assert answer.headers["content-type"] == "audio/wav"
    assert answer.headers["content-length"] == str(len(visit.content))
    assert answer.headers["cache-control"] == "private, no-store"
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "set-cookie" not in answer.headers


async def test_a_part_is_served_from_any_byte_to_any_byte(visit: Visit) -> None:
    url, size = await visit.url(), len(visit.content)
    chunk = 64 * 1024
    for header, start, end in [
        ("bytes=0-0", 0, 1),
        ("bytes=0-", 0, size),
        (f"bytes={chunk - 1}-{chunk}", chunk - 1, chunk + 1),
        (f"bytes={chunk}-{2 * chunk - 1}", chunk, 2 * chunk),
        (f"bytes=100-{size + 1000}", 100, size),
        ("bytes=-44", size - 44, size),
        (f"bytes=-{size + 5}", 0, size),
        (f"bytes={size - 1}-", size - 1, size),
    ]:
        answer = await visit.client.get(url, headers={"Range": header})
        assert answer.status_code == 206, header
        assert answer.content == visit.content[start:end], header
        assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/{size}"
        assert answer.headers["content-length"] == str(end - start)


async def test_bytes_that_are_not_there_are_refused_with_the_size(visit: Visit) -> None:
    size = len(visit.content)
    for header in (f"bytes={size}-", f"bytes={size + 10}-{size + 20}", "bytes=-0"):
        answer = await visit.client.get(await visit.url(), headers={"Range": header})
        assert answer.status_code == 416, header
        assert answer.headers["content-range"] == f"bytes */{size}"
    assert await visit.reads() == []


async def test_what_is_no_single_range_is_answered_with_everything(visit: Visit) -> None:
    for header in ("bytes=5-1", "bytes=0-1,4-5", "seconds=0-1", "bytes=a-b", "bytes=-"):
        answer = await visit.client.get(await visit.url(), headers={"Range": header})
        assert answer.status_code == 200 and answer.content == visit.content, header


async def test_a_range_of_another_recording_than_the_player_began_with_is_answered_with_everything(
    visit: Visit,
) -> None:
    url = await visit.url()
    tag = (await visit.client.head(url)).headers["etag"]
    part = await visit.client.get(url, headers={"Range": "bytes=0-9", "If-Range": tag})
    assert part.status_code == 206
    whole = await visit.client.get(url, headers={"Range": "bytes=0-9", "If-Range": '"another"'})
    assert whole.status_code == 200


async def test_head_tells_size_and_type_and_sends_nothing(visit: Visit) -> None:
    answer = await visit.client.head(await visit.url(media_type="audio/mpeg"))
    assert answer.status_code == 200 and answer.content == b""
    assert answer.headers["content-length"] == str(len(visit.content))
    assert answer.headers["content-type"] == "audio/mpeg"
    part = await visit.client.head(await visit.url(), headers={"Range": "bytes=1-2"})
    assert part.status_code == 206 and part.headers["content-length"] == "2"


async def test_a_url_that_was_altered_anywhere_opens_nothing(visit: Visit) -> None:
    url = httpx.URL(await visit.url())
    altered = [
        url.copy_set_param("expires", str(int(url.params["expires"]) + 1)),
        url.copy_set_param("expires", url.params["expires"] + "0"),
        url.copy_set_param("type", "text/html"),
        url.copy_set_param("signature", ""),
        url.copy_set_param("signature", "A" * 43),
        url.copy_set_param("signature", url.params["signature"] + "="),
        url.copy_set_param("signature", url.params["signature"].swapcase()),
        url.copy_remove_param("expires"),
        url.copy_remove_param("signature"),
        url.copy_with(path=url.path[:-1] + ("0" if url.path[-1] != "0" else "1")),
        url.copy_with(path="/media/é"),
    ]
    for index, wrong in enumerate(altered):
        answer = await visit.client.get(wrong)
        assert answer.status_code == 403, f"alteration {index}"
        assert answer.json()["error"]["code"] == "media_url_invalid"
    assert (await visit.client.get(url.copy_with(raw_path=b"/media/..%2f..%2fkeys?expires=1"))).status_code == 404
    assert await visit.reads() == []


async def test_an_expired_url_says_so(visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    url = await visit.url(expires=timedelta(minutes=5))
    assert (await visit.client.head(url)).status_code == 200
    then = datetime.now(UTC) + timedelta(minutes=5)
    monkeypatch.setattr(SystemClock, "now", lambda _: then)
    answer = await visit.client.get(url)
    assert answer.status_code == 403 and answer.json()["error"]["code"] == "media_url_expired"


async def test_what_was_erased_is_gone(visit: Visit) -> None:
    url = await visit.url()
    await visit.core.erasure.erase(
        OPERATOR, visit.organization, visit.encounter, scope=ErasureScope.AUDIO, reason=ErasureReason.COMMAND
    )
    for answer in (
        await visit.client.get(url),
        await visit.client.get(url, headers={"Range": "bytes=0-9"}),
        await visit.client.head(url),
    ):
        assert answer.status_code == 410
    assert (await visit.client.get(url)).json()["error"]["code"] == "erased"


async def test_each_access_leaves_a_trace_of_who_heard_what(visit: Visit) -> None:
    await visit.client.get(await visit.url())
    await visit.client.get(await visit.url(), headers={"Range": "bytes=10-19"})
    await visit.client.head(await visit.url())
    what = {
        "encounter": visit.encounter,
        "recording": visit.segment.recording_id,
        "segment": visit.segment.id,
        "from": "192.0.2.7",
    }
    size = len(visit.content)
    assert await visit.reads() == [
        {**what, "bytes": f"0-{size}", "method": "GET"},
        {**what, "bytes": "10-20", "method": "GET"},
        {**what, "bytes": f"0-{size}", "method": "HEAD"},
    ]
    assert (await visit.core.audit.verify(visit.organization)).broken == ()


async def test_a_damaged_recording_is_not_played(visit: Visit, settings: Settings) -> None:
    assert visit.segment.blob is not None
    (file,) = Path(settings.blobs_place).glob(f"*/{visit.segment.blob.id}")
    damaged = bytearray(file.read_bytes())
    damaged[1000] ^= 1
    file.write_bytes(damaged)
    answer = await visit.client.get(await visit.url())
    assert answer.status_code == 500 and answer.json()["error"]["code"] == "corrupted"
    file.unlink()
    answer = await visit.client.get(await visit.url())
    assert answer.status_code == 500 and answer.json()["error"]["code"] == "corrupted"


async def test_damage_further_on_breaks_the_answer_off_instead_of_ending_it(settings: Settings) -> None:
    async with recorded(settings, sound(300)) as visit:
        assert visit.segment.blob is not None
        (file,) = Path(settings.blobs_place).glob(f"*/{visit.segment.blob.id}")
        damaged = bytearray(file.read_bytes())
        damaged[-1] ^= 1
        file.write_bytes(damaged)
        # The server breaks the connection at an error in mid-stream.
        with pytest.raises(RuntimeError) as broken:
            await visit.client.get(await visit.url())
        assert isinstance(broken.value.__cause__, CorruptedError)
        start = await visit.client.get(await visit.url(), headers={"Range": "bytes=0-99"})
        assert start.status_code == 206 and start.content == visit.content[:100]


async def test_neither_the_url_nor_the_recording_is_in_the_log(
    visit: Visit, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    url = httpx.URL(await visit.url())
    with caplog.at_level(logging.DEBUG):
        await visit.client.get(url)
    printed = capsys.readouterr()
    # The client of this test logs URLs itself.
    logged = "".join(record.getMessage() for record in caplog.records if record.name.startswith("osler"))
    for secret in (url.params["signature"], url.path):
        assert secret not in logged + printed.out + printed.err


async def test_a_download_under_way_is_ended_before_the_server_stops(settings: Settings, tmp_path: Path) -> None:
    """Two processes on one deployment: this one made the URL, the server serves it."""
    async with recorded(settings, sound(300)) as visit:
        assert settings.data is not None
        with Server(settings.data, "--no-worker", log=tmp_path / "server.log") as server:
            url = httpx.URL(await visit.url()).copy_with(port=server.port)
            received = bytearray()
            async with httpx.AsyncClient(timeout=PATIENCE) as client, client.stream("GET", url) as answer:
                assert answer.status_code == 200
                async for piece in answer.aiter_raw(65_536):
                    if not received:
                        server.signal(signal.SIGTERM)
                        await asyncio.to_thread(server.wait_for, "stopping")
                    received += piece
            assert bytes(received) == visit.content
            assert await asyncio.to_thread(server.wait) == 0
            assert url.params["signature"] not in server.text()


@pytest.mark.services
async def test_a_recording_in_a_bucket_is_served_by_a_server_of_these_settings(
    swift: SwiftServer, tmp_path: Path
) -> None:
    """Everything by settings: init, upload, signed URL, another process that serves it, readiness."""
    swift.make_bucket("clinic")
    environment = {
        "OSLER_BLOBS": "s3://clinic/osler",
        "OSLER_S3_ENDPOINT": swift.endpoint,
        "OSLER_S3_REGION": swift.region,
        "OSLER_S3_ACCESS_KEY_ID": swift.access_key_id,
        "OSLER_S3_SECRET_ACCESS_KEY": swift.secret_access_key,
    }
    values: dict[str, Any] = {name.removeprefix("OSLER_").lower(): value for name, value in environment.items()}
    settings = Settings(data=tmp_path / "data", **values)
    async with recorded(settings, sound(SECONDS)) as visit:
        assert not (tmp_path / "data/blobs").exists()
        log = tmp_path / "server.log"
        with Server(tmp_path / "data", "--no-worker", log=log, environment=environment) as server:
            ready = await asyncio.to_thread(partial(server.readiness, blobs={"status": "ok"}))
            assert ready.json()["checks"]["blobs"] == {"status": "ok"}, ready.text
            url = httpx.URL(await visit.url()).copy_with(port=server.port)
            async with httpx.AsyncClient(trust_env=False, timeout=PATIENCE) as client:
                part = await client.get(url, headers={"Range": "bytes=70000-80000"})
            assert part.status_code == 206 and part.content == visit.content[70000:80001]
            assert server.line("ready")["blobs"] == "s3"  # type: ignore[index]
            assert swift.secret_access_key not in server.text()
