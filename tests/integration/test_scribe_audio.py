"""Whole recordings through the scribe API: streamed in, proven to be sound by decoding, kept sealed, heard."""

import asyncio
import io
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import av
import httpx
import numpy as np
import pytest
from av.stream import Disposition

from osler.access.model import ConsentPolicy
from osler.audit.model import OPERATOR
from osler.encounters.model import ErasureReason, ErasureScope
from osler.kernel.errors import BlobsUnavailableError, StorageFullError
from tests.pipeline_lab import tones
from tests.scribe_practice import NOBODYS_SESSION, Clinician, Town, ok, opened_town, refused
from tests.scribe_practice import clinician as clinician
from tests.scribe_practice import shared_town as shared_town

pytestmark = pytest.mark.anyio

SOUND = tones(0, 1, 2)


@pytest.fixture
def town(shared_town: Town) -> Town:
    return shared_town


@pytest.fixture
def nothing_kept(town: Town) -> Iterator[None]:
    """Make sure that the test leaves no blob behind."""
    before = blobs(town)
    yield
    assert blobs(town) == before


async def send(
    clinician: Clinician,
    session_id: str,
    sound: bytes = SOUND,
    *,
    name: str = "visit.wav",
    kind: str = "audio/wav",
    query: str = "",
    fields: dict[str, str] | None = None,
) -> httpx.Response:
    path = f"/sessions/{session_id}/upload-audio{query}"
    return await clinician.post(path, files={"file": (name, sound, kind)}, data=fields or {})


def blobs(town: Town) -> int:
    folder = Path(town.core.settings.blobs_place)
    return sum(1 for path in folder.rglob("*") if path.is_file() and "erasures" not in path.relative_to(folder).parts)


async def kept(clinician: Clinician, session_id: str) -> Any:
    """Return the only recording of a session and its only segment."""
    (recording,) = await clinician.core.audio.recordings(clinician.organization.id, session_id)
    _, (segment,) = await clinician.core.audio.segments(clinician.organization.id, session_id, recording.id)
    return recording, segment


def video() -> bytes:
    """Return an MP4 with a picture and a tone."""
    out = io.BytesIO()
    with av.open(out, "w", format="mp4") as container:
        picture, sound = container.add_stream("mpeg4", rate=5), container.add_stream("aac", rate=16_000)
        picture.width = picture.height = 32
        picture.pix_fmt = "yuv420p"
        for _ in range(5):
            container.mux(picture.encode(av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")))
        tone = np.sin(np.arange(16_000, dtype=np.float32) / 9)[None]
        frame = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
        frame.sample_rate = 16_000
        container.mux(sound.encode(frame))
        container.mux(picture.encode(None))
        container.mux(sound.encode(None))
    return out.getvalue()


async def test_a_recording_is_kept_byte_for_byte_and_shown_on_the_session(clinician: Clinician) -> None:
    session_id = await clinician.session()
    answer = ok(await send(clinician, session_id))
    assert set(answer) == {"uploaded_audio"}
    told = answer["uploaded_audio"]
    assert set(told) == {"id", "index", "status", "created_at", "access_url", "expiry"}
    assert (told["index"], told["status"], told["access_url"], told["expiry"]) == (0, "INITIALIZED", None, 0)
    recording, segment = await kept(clinician, session_id)
    assert recording.id == told["id"] and recording.media_type == "audio/wav" and recording.started_at is None
    assert b"".join([piece async for piece in clinician.core.vault.stream(segment.blob)]) == SOUND
    (shown,) = (await clinician.told(session_id))["audio"]
    assert {key: shown[key] for key in told} == told and shown["duration"] == 3.0
    assert ok(await send(clinician, session_id))["uploaded_audio"]["index"] == 1


@pytest.mark.parametrize("name", ["visit.txt", "../../etc/passwd", "", "visit.mp4"])
async def test_what_it_is_its_content_says_and_not_its_name_or_type(clinician: Clinician, name: str) -> None:
    session_id = await clinician.session()
    ok(await send(clinician, session_id, name=name or "x", kind="application/pdf"))
    assert (await kept(clinician, session_id))[0].media_type == "audio/wav"


@pytest.mark.parametrize("behind", [True, False])
async def test_times_may_stand_before_or_behind_the_file(clinician: Clinician, behind: bool) -> None:
    session_id = await clinician.session()
    said = [("start_time", (None, "2026-03-01T09:00:00+01:00"))]
    file = [("file", ("visit.wav", SOUND, "audio/wav"))]
    path = f"/sessions/{session_id}/upload-audio"
    ok(await clinician.post(path, files=[*file, *said] if behind else [*said, *file]))
    recording, _ = await kept(clinician, session_id)
    assert recording.started_at.isoformat() == "2026-03-01T08:00:00+00:00"
    assert recording.ended_at.isoformat() == "2026-03-01T08:00:03+00:00"


async def test_an_end_that_was_said_is_kept(clinician: Clinician) -> None:
    session_id = await clinician.session()
    times = {"start_time": "2026-03-01T09:00:00", "end_time": "2026-03-01 09:00:07.5"}
    ok(await send(clinician, session_id, fields=times))
    recording, _ = await kept(clinician, session_id)
    assert (recording.ended_at - recording.started_at).total_seconds() == 7.5


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"start_time": "yesterday"}, "start_time"),
        ({"end_time": "2026-13-01T00:00:00Z"}, "end_time"),
        ({"start_time": "2026-03-01T09:00:00Z", "end_time": "2026-03-01T08:00:00Z"}, "end_time"),
        ({"start_time": "9999-12-31T23:59:59Z"}, "start_time"),
        ({"expiry": "-1"}, "expiry"),
        ({"expiry": "604801"}, "expiry"),
        ({"expiry": "1e3"}, "expiry"),
    ],
)
@pytest.mark.usefixtures("nothing_kept")
async def test_a_wrong_time_or_expiry_is_named_and_nothing_is_kept(
    clinician: Clinician, fields: dict[str, str], field: str
) -> None:
    session_id = await clinician.session()
    refused(await send(clinician, session_id, fields=fields), 422, "ValidationError", field)
    assert (await clinician.told(session_id))["audio"] == []


@pytest.mark.parametrize("in_query", [True, False])
async def test_a_url_is_given_if_it_is_asked_for_and_serves_the_bytes_while_it_is_good(
    clinician: Clinician, in_query: bool
) -> None:
    session_id = await clinician.session()
    fields = {} if in_query else {"expiry": "60"}
    told = ok(await send(clinician, session_id, query="?expiry=60" if in_query else "", fields=fields))[
        "uploaded_audio"
    ]
    assert told["expiry"] == 60 and told["access_url"].startswith(clinician.core.settings.public_url)
    path = told["access_url"].removeprefix(clinician.core.settings.public_url)
    origin = str(clinician.http.base_url).partition("/api")[0]
    answer = await clinician.http.get(origin + path)
    assert answer.status_code == 200 and answer.content == SOUND and answer.headers["content-type"] == "audio/wav"
    assert (await clinician.http.get(origin + path.replace("type=audio", "type=video"))).status_code in (401, 403)
    (trace,) = await clinician.traces("recording.url_signed")
    assert trace["encounter"] == session_id
    refused(await clinician.post(f"/sessions/{session_id}/upload-audio?expiry=x"), 422, field="expiry")


@pytest.mark.parametrize(
    "sound",
    [b"The patient says that it hurts. " * 3000, bytes(100_000), video()],
    ids=["text", "zeros", "video"],
)
@pytest.mark.usefixtures("nothing_kept")
async def test_what_is_no_sound_is_refused_in_the_contracts_words(clinician: Clinician, sound: bytes) -> None:
    session_id = await clinician.session()
    answer = await send(clinician, session_id, sound)
    assert refused(answer, 400) == "only audio file is allowed"
    assert (await clinician.told(session_id))["audio"] == []


@pytest.mark.usefixtures("nothing_kept")
async def test_an_empty_file_or_none_is_refused(clinician: Clinician) -> None:
    session_id = await clinician.session()
    assert "empty" in refused(await send(clinician, session_id, b""), 400)["msg"]
    assert "no audio" in refused(await send(clinician, session_id, SOUND[:44]), 400)["msg"]
    path = f"/sessions/{session_id}/upload-audio"
    refused(await clinician.post(path, files={"other": ("a.wav", SOUND)}), 422, field="file")
    refused(await clinician.post(path, files=[("file", ("a.wav", SOUND)), ("file", ("b.wav", SOUND))]), 422)
    refused(await clinician.post(path, {"file": "sound"}), 415)


@pytest.mark.usefixtures("nothing_kept")
async def test_a_form_that_breaks_off_leaves_nothing(clinician: Clinician) -> None:
    session_id = await clinician.session()
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    path = f"/sessions/{session_id}/upload-audio"
    refused(await clinician.post(path, content=head + SOUND, headers=headers), 400, "UnreadableBodyError")
    assert (await clinician.told(session_id))["audio"] == []


async def test_a_store_that_fails_is_told_in_the_contracts_words(
    clinician: Clinician, monkeypatch: pytest.MonkeyPatch
) -> None:
    session_id = await clinician.session()
    for error in (BlobsUnavailableError("The blob store is away."), StorageFullError("It is full.")):

        async def fail(*_: Any, error: Exception = error, **__: Any) -> None:
            raise error

        monkeypatch.setattr(clinician.core.objects, "put", fail)
        answer = await send(clinician, session_id)
        assert answer.status_code == 500 and answer.json() == {"detail": "error: failed to upload audio"}
    monkeypatch.undo()
    ok(await send(clinician, session_id))


async def test_a_cover_picture_does_not_make_a_recording_a_video(clinician: Clinician) -> None:
    out = io.BytesIO()
    with av.open(out, "w", format="mp3") as container:
        sound, picture = container.add_stream("libmp3lame", rate=16_000), container.add_stream("mjpeg", rate=1)
        picture.width = picture.height = 16
        picture.pix_fmt = "yuvj420p"
        picture.disposition = Disposition.attached_pic
        container.mux(picture.encode(av.VideoFrame(16, 16, "yuvj420p")))
        container.mux(picture.encode(None))
        tone = np.sin(np.arange(16_000, dtype=np.float32) / 9)[None]
        frame = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
        frame.sample_rate = 16_000
        container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
    session_id = await clinician.session()
    ok(await send(clinician, session_id, out.getvalue()))
    assert (await kept(clinician, session_id))[0].media_type == "audio/mpeg"


@pytest.mark.usefixtures("nothing_kept")
async def test_without_consent_or_after_erasure_no_sound_is_taken(town: Town) -> None:
    clinician = await town.clinician(await town.practice(consent=ConsentPolicy.REQUIRED))
    session_id = await clinician.session()
    refused(await send(clinician, session_id), 409, "ConsentRequiredError")
    ok(await clinician.patch(f"/sessions/{session_id}", {"consent_obtained": True}))
    ok(await send(clinician, session_id))
    await clinician.core.erasure.erase(
        OPERATOR, clinician.organization.id, session_id, scope=ErasureScope.EVERYTHING, reason=ErasureReason.COMMAND
    )
    refused(await send(clinician, session_id), 410, "SessionErasedError")


@pytest.mark.usefixtures("nothing_kept")
async def test_anothers_session_is_not_there(town: Town) -> None:
    practice = await town.practice()
    mine, colleague, stranger = (
        await town.clinician(practice),
        await town.clinician(practice, "colleague"),
        await town.clinician(),
    )
    session_id = await mine.session()
    for who, where in ((colleague, session_id), (stranger, session_id), (mine, NOBODYS_SESSION), (mine, "x")):
        assert refused(await send(who, where), 404) == {"msg": "Session not found", "type": "SessionNotFoundError"}


async def test_the_same_upload_under_one_idempotency_key_is_one_recording(clinician: Clinician) -> None:
    session_id = await clinician.session()
    path, headers = f"/sessions/{session_id}/upload-audio", {"Idempotency-Key": "k1"}
    first = ok(await clinician.post(path, files={"file": ("a.wav", SOUND)}, headers=headers))
    assert ok(await clinician.post(path, files={"file": ("a.wav", SOUND)}, headers=headers)) == first
    other = await clinician.post(path, files={"file": ("a.wav", tones(3))}, headers=headers)
    refused(other, 409, "IdempotencyKeyReusedError")
    await kept(clinician, session_id)


async def test_nothing_of_a_recording_lies_open_on_the_disk(
    anyio_backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_arguments: Any, **_more: Any) -> Any:
        raise AssertionError("an upload is not spooled to a temporary file")

    for name in ("SpooledTemporaryFile", "TemporaryFile", "NamedTemporaryFile"):
        monkeypatch.setattr(f"tempfile.{name}", refuse)
    async with opened_town(tmp_path, f"sqlite:///{tmp_path / 'osler.db'}") as town:
        clinician = await town.clinician()
        ok(await send(clinician, await clinician.session(), tones(*range(8), seconds=20)))
    piece = tones(0)[1000:1064]
    assert any(path.stat().st_size > 1_000_000 for path in tmp_path.rglob("*") if path.is_file())
    for path in (path for path in tmp_path.rglob("*") if path.is_file()):
        assert piece not in path.read_bytes(), path.name


async def test_too_large_a_recording_is_refused_before_and_while_it_comes(anyio_backend: str, tmp_path: Path) -> None:
    async with opened_town(tmp_path, f"sqlite:///{tmp_path / 'osler.db'}", max_upload_mb=1) as town:
        clinician = await town.clinician()
        session_id = await clinician.session()
        large = tones(*range(8), seconds=5)
        detail = refused(await send(clinician, session_id, large), 413, "RequestTooLargeError")
        assert "larger" in detail["msg"]

        async def without_length() -> AsyncIterator[bytes]:
            yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
            for start in range(0, len(large), 50_000):
                yield large[start : start + 50_000]

        answer = await clinician.post(
            f"/sessions/{session_id}/upload-audio",
            content=without_length(),
            headers={"Content-Type": "multipart/form-data; boundary=b"},
        )
        refused(answer, 413, "RequestTooLargeError")
        assert blobs(town) == 0


async def test_a_client_that_stalls_is_given_up_in_time_and_keeps_nothing(anyio_backend: str, tmp_path: Path) -> None:
    async with opened_town(tmp_path, f"sqlite:///{tmp_path / 'osler.db'}", pause_seconds=0.3) as town:
        clinician = await town.clinician()
        session_id = await clinician.session()

        async def stalling() -> AsyncIterator[bytes]:
            yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n' + SOUND[:20_000]
            await asyncio.sleep(60)
            raise AssertionError("the server waited for ever")

        answer = await clinician.post(
            f"/sessions/{session_id}/upload-audio",
            content=stalling(),
            headers={"Content-Type": "multipart/form-data; boundary=b"},
        )
        refused(answer, 408, "RequestStalledError")
        assert answer.headers["connection"] == "close"
        assert (await clinician.told(session_id))["audio"] == []
