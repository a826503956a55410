"""A whole recording by one URL: of as many segments as it may be, one file that a player reads in any part."""

import asyncio
import io
import random
import secrets
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import av
import httpx
import numpy as np
import pytest
import uvicorn
from pydantic import SecretStr

from osler.api.app import create_app
from osler.audio.assembly import AssembledSound
from osler.audio.decode import read_recording
from osler.audio.joined import JoinedRecordings, PlayableFile, to_pcm
from osler.audio.model import RecordingState, Samples, Segment
from osler.audio.urls import RecordingUrls
from osler.audit.model import OPERATOR
from osler.bootstrap import Core, initialise, open_core
from osler.config import Settings
from osler.encounters.model import ErasureReason, ErasureScope
from osler.kernel.clock import SystemClock
from osler.kernel.errors import BlobsUnavailableError, EmptyAudioError, ErasedError, NotFoundError
from osler.speech.service import SpeechService
from osler.storage.blobs.s3 import S3Objects, S3Settings
from osler.storage.blobs.vault import SealedBlobVault
from osler.storage.repositories.audio import SqlRecordingRepository
from osler.storage.repositories.sealed import SealedRows
from tests.pipeline_lab import ToneDetector, ToneEncoder, ToneTranscriber, chunks_of, tones
from tests.servers.swift import SwiftServer
from tests.webm_lab import cut, cut_anywhere, recorded

pytestmark = pytest.mark.anyio

LIFETIME = timedelta(minutes=15)


def encoded(container_format: str, codec: str, rate: int, *numbers: int) -> bytes:
    """Return tones as a file of another kind."""
    samples = np.concatenate(list(read_recording(io.BytesIO(tones(*numbers)))))
    out = io.BytesIO()
    with av.open(out, "w", format=container_format) as container:
        stream: Any = container.add_stream(codec, rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples[np.newaxis], format="fltp", layout="mono")
        frame.sample_rate = 16_000
        resampler = av.AudioResampler(format=stream.format, rate=rate, layout="mono", frame_size=stream.frame_size)
        for piece in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))
    return out.getvalue()


WEBM = recorded(0, 1, 2, 3, 4, 5)
OGG = recorded(0, 1, 2, 3, tag="ogg")
SLICES = cut_anywhere(WEBM, 7, 5)

# What was sent, by index, and the type of what is to be heard of it.
RECORDINGS: dict[str, tuple[dict[int, bytes], str]] = {
    "wav": ({i: tones(i, i + 1, seconds=1.3) for i in range(4)}, "audio/wav"),
    "wav with gaps": ({0: tones(0), 1: tones(1), 4: tones(4), 6: tones(6, 7)}, "audio/wav"),
    "files of several kinds": (
        {
            0: encoded("mp3", "libmp3lame", 44_100, 0, 1),
            1: tones(2),
            2: encoded("ogg", "libopus", 48_000, 3),
            3: encoded("flac", "flac", 22_050, 4),
        },
        "audio/wav",
    ),
    "slices of webm": (dict(enumerate(SLICES)), "audio/webm"),
    "slices of ogg": (dict(enumerate(cut(OGG, [len(OGG) // 3, len(OGG) // 2]))), "audio/ogg"),
    "slices with a gap": ({i: piece for i, piece in enumerate(SLICES) if i != 3}, "audio/wav"),
    "slices with two gaps": ({i: piece for i, piece in enumerate(SLICES) if i not in (2, 5)}, "audio/wav"),
    "slices without their header": ({i: piece for i, piece in enumerate(SLICES) if i > 1}, "audio/wav"),
    "one slice without its header": ({1: cut(WEBM, [len(WEBM) // 3, len(WEBM) - 9])[1]}, "audio/wav"),
    "one file": ({0: encoded("mp3", "libmp3lame", 44_100, 0, 1, 2)}, "audio/mpeg"),
    "one file of slices": ({0: WEBM}, "audio/webm"),
}


@dataclass
class Clinic:
    """A deployment that serves recordings over HTTP."""

    core: Core
    client: httpx.AsyncClient
    root: str
    settings: Settings
    organization_id: str
    user_id: str
    urls: RecordingUrls

    async def encounter(self) -> str:
        return (await self.core.encounters.create(OPERATOR, self.organization_id, self.user_id)).id

    async def recorded(self, pieces: dict[int, bytes], *, finish: bool = True) -> tuple[str, str]:
        """Send a live recording, its segments in any order; return the encounter and it."""
        encounter_id = await self.encounter()
        recording = await self.core.audio.start_recording(OPERATOR, self.organization_id, encounter_id)
        for index in random.Random(3).sample(sorted(pieces), len(pieces)):
            await self.core.audio.add_segment(
                OPERATOR, self.organization_id, encounter_id, recording.id, index, chunks_of(pieces[index])
            )
        if finish:
            await self.core.audio.finish(OPERATOR, self.organization_id, encounter_id, recording.id)
            (recording,) = await self.core.audio.recordings(self.organization_id, encounter_id)
            assert recording.state is RecordingState.COMPLETE and recording.failure is None
        return encounter_id, recording.id

    async def url(self, encounter_id: str, recording_id: str) -> str:
        url, _ = await self.urls.url(self.organization_id, encounter_id, recording_id)
        return url.replace("http://127.0.0.1:8765", self.root)

    async def segments(self, encounter_id: str, recording_id: str) -> Sequence[Segment]:
        return (await self.core.audio.segments(self.organization_id, encounter_id, recording_id))[1]

    async def heard(self, encounter_id: str, recording_id: str) -> Samples:
        """Return what the transcription heard."""
        segments = await self.segments(encounter_id, recording_id)
        return await asyncio.to_thread(lambda: np.concatenate(list(AssembledSound(segments, self.core.vault))))

    async def reads(self, encounter_id: str) -> list[tuple[dict[str, str], dict[str, str]]]:
        """Return what the audit trail holds of accesses to an encounter's recordings, oldest first."""
        entries = await self.core.audit.list(self.organization_id, action="recording.read")
        events = [entry.event for entry in sorted(entries, key=lambda entry: entry.sequence)]
        return [(dict(e.subject), dict(e.detail)) for e in events if e.subject["encounter"] == encounter_id]


def urls_on(core: Core, vault: SealedBlobVault, lifetime: timedelta = LIFETIME) -> RecordingUrls:
    recordings = SqlRecordingRepository(SealedRows(core.keyring, core.clock))
    return RecordingUrls(
        database=core.database, recordings=recordings, vault=vault, clock=core.clock, lifetime=lifetime
    )


@asynccontextmanager
async def open_clinic(settings: Settings) -> AsyncIterator[Clinic]:
    await initialise(settings)
    speech = SpeechService(ToneDetector(), ToneTranscriber(), ToneEncoder())
    async with open_core(settings, engine="inline", execute=True, speech=lambda: speech) as core:
        organization = await core.access.create_organization(OPERATOR, "Practice")
        user = await core.access.create_user(OPERATOR, organization.id, "quill@example.org", "ehr-1")
        server = uvicorn.Server(uvicorn.Config(create_app(core), port=0, log_config=None, lifespan="off"))
        task = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        root = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        try:
            async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
                yield Clinic(core, client, root, settings, organization.id, user.id, urls_on(core, core.vault))
        finally:
            server.should_exit = True
            await task


@pytest.fixture(scope="module")
async def clinic(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Clinic]:
    """One deployment for all of these tests; each has recordings of its own."""
    async with open_clinic(Settings(data=tmp_path_factory.mktemp("clinic") / "data")) as clinic:
        yield clinic


@pytest.mark.parametrize("kind", RECORDINGS)
async def test_a_recording_is_one_file_that_sounds_as_what_was_transcribed_to_the_sample(
    clinic: Clinic, kind: str
) -> None:
    pieces, media_type = RECORDINGS[kind]
    encounter_id, recording_id = await clinic.recorded(pieces)
    answer = await clinic.client.get(await clinic.url(encounter_id, recording_id))
    assert answer.status_code == 200 and answer.headers["content-type"] == media_type
    assert answer.headers["content-length"] == str(len(answer.content))
    heard = await clinic.heard(encounter_id, recording_id)
    played = np.concatenate(list(read_recording(io.BytesIO(answer.content))))
    if media_type == "audio/wav":
        assert answer.content[44:] == to_pcm(heard)
        assert np.abs(played - heard).max() <= 2**-16 + 1e-9
    else:
        assert answer.content == b"".join(pieces.values())
        assert np.array_equal(played, heard)


async def test_samples_of_sixteen_bits_come_back_as_they_were_sent(clinic: Clinic) -> None:
    pieces, _ = RECORDINGS["wav"]
    answer = await clinic.client.get(await clinic.url(*await clinic.recorded(pieces)))
    assert answer.content[44:] == b"".join(piece[44:] for piece in pieces.values())
    extremes = np.array([-32768, 32767, -1, 0, 1], "<i2")
    assert to_pcm(extremes.astype(np.float32) / 32768) == extremes.tobytes()


@pytest.mark.parametrize("kind", ["wav with gaps", "files of several kinds", "slices of webm", "slices with a gap"])
async def test_any_part_is_that_part_of_the_whole(clinic: Clinic, kind: str) -> None:
    url = await clinic.url(*await clinic.recorded(RECORDINGS[kind][0]))
    whole = (await clinic.client.get(url)).content
    size, pick = len(whole), random.Random(11)
    spans = [tuple(sorted(pick.sample(range(size + 1), 2))) for _ in range(15)]
    spans += [(0, 1), (0, size), (43, 45), (44, 47), (45, 46), (size - 1, size), (0, 44)]
    for start, end in spans:
        answer = await clinic.client.get(url, headers={"Range": f"bytes={start}-{end - 1}"})
        assert answer.status_code == 206
        assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/{size}"
        assert answer.headers["content-length"] == str(end - start)
        assert answer.content == whole[start:end], (start, end)
    last = await clinic.client.get(url, headers={"Range": "bytes=-1001"})
    assert last.status_code == 206 and last.content == whole[-1001:]
    onward = await clinic.client.get(url, headers={"Range": f"bytes={size - 77}-"})
    assert onward.status_code == 206 and onward.content == whole[-77:]
    for header in (f"bytes={size}-", "bytes=-0"):
        none = await clinic.client.get(url, headers={"Range": header})
        assert none.status_code == 416 and none.headers["content-range"] == f"bytes */{size}"


async def test_whatever_is_asked_for_first_the_parts_lie_where_the_whole_has_them(clinic: Clinic) -> None:
    encounter_id, recording_id = await clinic.recorded(RECORDINGS["slices with two gaps"][0])
    whole = to_pcm(await clinic.heard(encounter_id, recording_id))
    size = len(whole) + 44
    (recording,) = await clinic.core.audio.recordings(clinic.organization_id, encounter_id)
    segments = await clinic.segments(encounter_id, recording_id)

    async def part(file: PlayableFile, start: int, end: int) -> bytes:
        return b"".join([piece async for piece in file.stream(start, end)])

    for spans in (
        [(size - 101, size), (size // 2, size // 2 + 31), (1000, size)],
        [(size // 3, size // 2), (0, size)],
        [(43, 60), (size - 1, size)],
    ):
        # As a process does that knows nothing yet of the recording.
        file = await JoinedRecordings(clinic.core.vault).open(recording, segments, "audio/wav")
        assert file.size == size
        got = await asyncio.gather(*(part(file, *span) for span in spans))
        for (start, end), content in zip(spans, got, strict=True):
            assert len(content) == end - start
            assert content[max(44 - start, 0) :] == whole[max(start - 44, 0) : end - 44], (start, end)


@pytest.mark.parametrize("kind", ["wav", "slices of webm", "one file"])
async def test_a_player_may_ask_first_and_go_on_with_what_it_began(clinic: Clinic, kind: str) -> None:
    pieces, media_type = RECORDINGS[kind]
    url = await clinic.url(*await clinic.recorded(pieces))
    head = await clinic.client.head(url)
    whole = await clinic.client.get(url)
    assert head.status_code == 200 and head.content == b""
    for answer in (head, whole):
        assert answer.headers["content-length"] == str(len(whole.content))
        assert answer.headers["content-type"] == media_type
        assert answer.headers["accept-ranges"] == "bytes"
        assert answer.headers["cache-control"] == "private, no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "set-cookie" not in answer.headers
    tag = head.headers["etag"]
    same = await clinic.client.get(url, headers={"Range": "bytes=0-9", "If-Range": tag})
    other = await clinic.client.get(url, headers={"Range": "bytes=0-9", "If-Range": '"another"'})
    assert (same.status_code, other.status_code) == (206, 200)


async def test_a_segment_that_comes_late_makes_another_file_of_it(clinic: Clinic) -> None:
    pieces, _ = RECORDINGS["wav"]
    encounter_id, recording_id = await clinic.recorded({i: piece for i, piece in pieces.items() if i != 2})
    url = await clinic.url(encounter_id, recording_id)
    before = await clinic.client.get(url)
    await clinic.core.audio.add_segment(
        OPERATOR, clinic.organization_id, encounter_id, recording_id, 2, chunks_of(pieces[2])
    )
    going_on = await clinic.client.get(url, headers={"Range": "bytes=100-", "If-Range": before.headers["etag"]})
    assert going_on.status_code == 200
    assert going_on.content[44:] == b"".join(piece[44:] for piece in pieces.values())


async def test_a_recording_that_still_goes_on_is_counted_by_decoding_it(clinic: Clinic) -> None:
    for kind in ("files of several kinds", "slices with a gap"):
        encounter_id, recording_id = await clinic.recorded(RECORDINGS[kind][0], finish=False)
        answer = await clinic.client.get(await clinic.url(encounter_id, recording_id))
        assert answer.content[44:] == to_pcm(await clinic.heard(encounter_id, recording_id))


@pytest.mark.parametrize("kind", ["wav", "slices of webm", "one file"])
async def test_the_url_stops_working_in_the_second_that_was_named(
    clinic: Clinic, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    encounter_id, recording_id = await clinic.recorded(RECORDINGS[kind][0])
    now = datetime(2026, 3, 1, 12, 0, 0, 700_000, tzinfo=UTC)
    monkeypatch.setattr(SystemClock, "now", lambda _: now)
    url, expires_at = await clinic.urls.url(clinic.organization_id, encounter_id, recording_id)
    assert expires_at == datetime(2026, 3, 1, 12, 15, tzinfo=UTC)
    assert dict(parse_qsl(urlsplit(url).query))["expires"] == str(int(expires_at.timestamp()))
    url = url.replace("http://127.0.0.1:8765", clinic.root)
    now = expires_at - timedelta(microseconds=1)
    assert (await clinic.client.get(url)).status_code == 200
    now = expires_at
    answer = await clinic.client.get(url)
    assert answer.status_code == 403 and answer.json()["error"]["code"] == "media_url_expired"


async def test_a_signature_opens_nothing_but_what_was_signed(clinic: Clinic) -> None:
    one = await clinic.recorded(RECORDINGS["wav"][0])
    other = await clinic.recorded(RECORDINGS["slices of webm"][0])
    url = httpx.URL(await clinic.url(*one))
    path = f"/media/recordings/{one[1]}"
    assert url.path == path and one[0] not in str(url) and clinic.organization_id not in str(url)
    (segment, *_) = await clinic.segments(*one)
    assert segment.blob is not None
    expires_at = datetime.fromtimestamp(int(url.params["expires"]), UTC)
    of_object = httpx.URL(
        await clinic.core.vault.signed_url(segment.blob, media_type="audio/wav", expires_at=expires_at)
    ).copy_with(port=url.port)
    of_other = httpx.URL(await clinic.url(*other))
    assert (await clinic.client.get(of_object)).status_code == 200
    altered = [
        url.copy_set_param("expires", str(int(url.params["expires"]) + 1)),
        url.copy_set_param("type", "audio/webm"),
        url.copy_set_param("signature", url.params["signature"].swapcase()),
        url.copy_remove_param("signature"),
        url.copy_remove_param("expires"),
        url.copy_with(path=of_other.path),
        of_other.copy_with(path=path),
        url.copy_with(path=f"/media/{segment.blob.id}"),
        url.copy_with(path=f"/media/{one[1]}"),
        of_object.copy_with(path=path),
        of_object.copy_with(path=f"/media/recordings/{segment.blob.id}"),
    ]
    for index, wrong in enumerate(altered):
        answer = await clinic.client.get(wrong)
        assert answer.status_code == 403, f"alteration {index}"
        assert answer.json()["error"]["code"] == "media_url_invalid"
    assert len(await clinic.reads(one[0])) == 1


async def test_each_access_leaves_a_trace(clinic: Clinic) -> None:
    encounter_id, recording_id = await clinic.recorded(RECORDINGS["wav"][0])
    url = await clinic.url(encounter_id, recording_id)
    size = len((await clinic.client.get(url)).content)
    await clinic.client.get(url, headers={"Range": "bytes=10-19"})
    await clinic.client.head(url)
    await clinic.client.get(url, headers={"Range": f"bytes={size}-"})
    subject = {"encounter": encounter_id, "recording": recording_id}
    assert await clinic.reads(encounter_id) == [
        (subject, {"bytes": f"0-{size}", "method": "GET"}),
        (subject, {"bytes": "10-20", "method": "GET"}),
        (subject, {"bytes": f"0-{size}", "method": "HEAD"}),
    ]
    assert (await clinic.core.audit.verify(clinic.organization_id)).broken == ()


@pytest.mark.parametrize("kind", ["wav", "slices of webm", "one file"])
@pytest.mark.parametrize("scope", [ErasureScope.AUDIO, ErasureScope.EVERYTHING])
async def test_what_was_erased_is_gone_at_once(clinic: Clinic, kind: str, scope: ErasureScope) -> None:
    encounter_id, recording_id = await clinic.recorded(RECORDINGS[kind][0])
    url = await clinic.url(encounter_id, recording_id)
    assert (await clinic.client.get(url)).status_code == 200
    await clinic.core.erasure.erase(
        OPERATOR, clinic.organization_id, encounter_id, scope=scope, reason=ErasureReason.COMMAND
    )
    for answer in (
        await clinic.client.get(url),
        await clinic.client.get(url, headers={"Range": "bytes=0-9"}),
        await clinic.client.head(url),
    ):
        assert answer.status_code == 410
    with pytest.raises(ErasedError):
        await clinic.url(encounter_id, recording_id)


async def test_no_url_is_made_for_nothing(clinic: Clinic) -> None:
    encounter_id, recording_id = await clinic.recorded(RECORDINGS["wav"][0])
    stranger = await clinic.core.access.create_organization(OPERATOR, "Another")
    for organization_id, encounter, recording in (
        (stranger.id, encounter_id, recording_id),
        (clinic.organization_id, await clinic.encounter(), recording_id),
        (clinic.organization_id, encounter_id, secrets.token_hex(16)),
    ):
        with pytest.raises(NotFoundError):
            await clinic.urls.url(organization_id, encounter, recording)
    with pytest.raises(EmptyAudioError):
        await clinic.url(*await clinic.recorded({}, finish=False))


@pytest.mark.parametrize("damage", ["gone", "shorter", "the store is away"])
@pytest.mark.parametrize("kind", ["wav", "slices of webm", "one file"])
async def test_no_url_is_made_for_audio_that_is_missing_in_the_store(clinic: Clinic, kind: str, damage: str) -> None:
    pieces, _ = RECORDINGS[kind]
    encounter_id, recording_id = await clinic.recorded(pieces)
    blob = (await clinic.segments(encounter_id, recording_id))[-1].blob
    assert blob is not None
    place = Path(clinic.settings.blobs_place)
    (file,) = place.glob(f"*/{blob.id}")
    elsewhere = place.with_name("elsewhere")
    if damage == "gone":
        file.unlink()
    elif damage == "shorter":
        file.write_bytes(file.read_bytes()[:-1])
    else:
        shutil.move(place, elsewhere)
    try:
        with pytest.raises(BlobsUnavailableError):
            await clinic.url(encounter_id, recording_id)
    finally:
        if elsewhere.exists():
            shutil.move(elsewhere, place)


async def test_whoever_goes_away_in_the_middle_leaves_the_others_their_turn(clinic: Clinic) -> None:
    long = {i: tones(*[i] * 25) for i in range(3)}
    url = await clinic.url(*await clinic.recorded(long))

    async def leave() -> None:
        async with clinic.client.stream("GET", url) as answer:
            async for _ in answer.aiter_raw(1000):
                return

    await asyncio.gather(*(leave() for _ in range(8)))
    async with asyncio.timeout(60):
        whole = await clinic.client.get(url)
    assert len(whole.content) == int(whole.headers["content-length"]) == 44 + 2 * 16_000 * 75


def s3_settings(swift: SwiftServer, bucket: str, folder: Path) -> Settings:
    swift.make_bucket(bucket)
    return Settings(
        data=folder / "data",
        blobs=f"s3://{bucket}/osler",
        s3_endpoint=swift.endpoint,
        s3_region=swift.region,
        s3_access_key_id=SecretStr(swift.access_key_id),
        s3_secret_access_key=SecretStr(swift.secret_access_key),
        sealed="bucket",
    )


@pytest.mark.services
async def test_a_bucket_that_seals_serves_one_file_itself_and_we_serve_many(
    anyio_backend: str, swift: SwiftServer, tmp_path: Path
) -> None:
    async with open_clinic(s3_settings(swift, f"audio-{secrets.token_hex(6)}", tmp_path)) as clinic:
        data = RECORDINGS["one file"][0][0]
        url = await clinic.url(*await clinic.recorded({0: data}))
        assert url.startswith(f"{swift.endpoint}/")
        whole = await clinic.client.get(url)
        assert (whole.status_code, whole.content, whole.headers["content-type"]) == (200, data, "audio/mpeg")
        assert whole.headers["cache-control"] == "private, no-store" and "set-cookie" not in whole.headers
        part = await clinic.client.get(url, headers={"Range": "bytes=100-199"})
        assert (part.status_code, part.content) == (206, data[100:200])
        assert part.headers["cache-control"] == "private, no-store"
        for wish in ("audio%2Fmpeg", "no-store"):
            assert wish in url
            altered = await clinic.client.get(url.replace(wish, "x"))
            assert altered.status_code == 403 and data[:50] not in altered.content
        for kind in ("wav", "slices of webm"):
            pieces, media_type = RECORDINGS[kind]
            encounter_id, recording_id = await clinic.recorded(pieces)
            url = await clinic.url(encounter_id, recording_id)
            assert url.startswith(clinic.root)
            whole = await clinic.client.get(url)
            assert whole.headers["content-type"] == media_type
            if media_type == "audio/wav":
                assert whole.content[44:] == b"".join(piece[44:] for piece in pieces.values())
            else:
                assert whole.content == b"".join(pieces.values())
            part = await clinic.client.get(url, headers={"Range": "bytes=1000-40000"})
            assert (part.status_code, part.content) == (206, whole.content[1000:40001])


@pytest.mark.services
async def test_a_presigned_url_of_a_recording_ends_within_the_second_that_was_named(
    anyio_backend: str, swift: SwiftServer, tmp_path: Path
) -> None:
    async with open_clinic(s3_settings(swift, f"audio-{secrets.token_hex(6)}", tmp_path)) as clinic:
        one = await clinic.recorded(RECORDINGS["one file"][0])
        assert (await clinic.client.get(await clinic.url(*one))).status_code == 200
        short = urls_on(clinic.core, clinic.core.vault, timedelta(seconds=5))
        url, expires_at = await short.url(clinic.organization_id, *one)
        query = dict(parse_qsl(urlsplit(url).query))
        signed_at = datetime.strptime(query["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        ends = signed_at + timedelta(seconds=int(query["X-Amz-Expires"]))
        assert abs(ends - expires_at) <= timedelta(seconds=1)
        await asyncio.sleep((ends - datetime.now(UTC)).total_seconds() + 1.1)
        refused = await clinic.client.get(url)
        assert refused.status_code == 403 and "expired" in refused.text


@pytest.mark.services
async def test_no_url_is_made_while_the_bucket_is_away_or_lacks_the_object(
    anyio_backend: str, swift: SwiftServer, tmp_path: Path
) -> None:
    settings = s3_settings(swift, f"audio-{secrets.token_hex(6)}", tmp_path)
    async with open_clinic(settings) as clinic:
        one = await clinic.recorded(RECORDINGS["one file"][0])
        await clinic.url(*one)
        (segment,) = await clinic.segments(*one)
        assert segment.blob is not None
        await clinic.core.vault.delete([segment.blob.id])
        with pytest.raises(BlobsUnavailableError):
            await clinic.url(*one)
        away = S3Settings("clinic", endpoint="http://127.0.0.1:9", retry_timeout=0.2)
        vault = SealedBlobVault(S3Objects(away), clinic.core.keyring, clinic.core.secret, sealed="bucket")
        for recording in (one, await clinic.recorded(RECORDINGS["wav"][0])):
            with pytest.raises(BlobsUnavailableError):
                await urls_on(clinic.core, vault).url(clinic.organization_id, *recording)
