"""The URL of a recording: signed for a while, playable without any header in parts, dead afterwards, and nameless."""

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
import pytest

from osler.kernel import clock
from tests.contract.public.contract import AUDIO, success
from tests.contract.public.lab import Clinic, Lab, Visit
from tests.contract.public.speaking import spoken

pytestmark = pytest.mark.anyio

SOUND = spoken(3, 4)


@pytest.fixture
async def visit(clinic: Clinic) -> Visit:
    return await clinic.heard(patient={"name": "Zebulon Quillfeather"})


async def signed(lab: Lab, visit: Visit, key: str) -> tuple[str, datetime]:
    told = success(AUDIO, await lab.get(AUDIO.url(visit.id, visit["transcript"]), key))
    return told["audio_url"], datetime.fromisoformat(told["expires_at"])


async def fetch(lab: Lab, url: str, method: str = "GET", **headers: str) -> httpx.Response:
    parts = urlsplit(url)
    return await lab.http.request(method, f"{parts.path}?{parts.query}", headers=headers)


async def test_it_plays_without_a_header_whole_and_in_parts(lab: Lab, visit: Visit, key: str) -> None:
    url, _ = await signed(lab, visit, key)
    answer = await fetch(lab, url)
    assert answer.status_code == 200 and answer.headers["content-type"].startswith("audio/")
    assert answer.headers["accept-ranges"] == "bytes" and "set-cookie" not in answer.headers
    assert {"private", "no-store"} & set(answer.headers["cache-control"].replace(",", " ").split())
    whole = answer.content
    assert whole == SOUND
    size = len(whole)
    for asked, start, end in (
        ("bytes=0-99", 0, 100),
        (f"bytes={size - 10}-", size - 10, size),
        ("bytes=-5", size - 5, size),
    ):
        part = await fetch(lab, url, range=asked)
        assert (part.status_code, part.content) == (206, whole[start:end])
        assert part.headers["content-range"] == f"bytes {start}-{end - 1}/{size}"
    beyond = await fetch(lab, url, range=f"bytes={size}-")
    assert beyond.status_code == 416 and beyond.headers["content-range"] == f"bytes */{size}"
    head = await fetch(lab, url, "HEAD")
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", str(size))


async def test_it_lives_a_quarter_of_an_hour_and_says_so(lab: Lab, visit: Visit, key: str) -> None:
    before = datetime.now(UTC)
    _, ends = await signed(lab, visit, key)
    after = datetime.now(UTC)
    # It is told, and signed, in whole seconds.
    assert before - timedelta(seconds=1) < ends - timedelta(minutes=15) <= after


async def test_it_is_dead_at_its_end(lab: Lab, visit: Visit, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    url, ends = await signed(lab, visit, key)
    assert (await fetch(lab, url)).status_code == 200
    for late, alive in ((timedelta(seconds=-1), True), (timedelta(0), False), (timedelta(days=9), False)):
        with monkeypatch.context() as patch:
            patch.setattr(clock.SystemClock, "now", lambda self, at=ends + late: at)
            answer = await fetch(lab, url)
            assert (answer.status_code == 200) is alive, late
            assert alive or (answer.status_code in (401, 403, 404, 410) and SOUND[:100] not in answer.content)


async def test_no_part_of_it_can_be_changed(lab: Lab, visit: Visit, clinic: Clinic, key: str) -> None:
    url, _ = await signed(lab, visit, key)
    other, _ = await signed(lab, await clinic.heard(), key)
    parts, others = urlsplit(url), urlsplit(other)
    query = parse_qsl(parts.query)
    for place, (name, value) in enumerate(query):
        changed = [*query]
        changed[place] = (name, value[:-1] + ("1" if value[-1] != "1" else "2"))
        assert (await fetch(lab, f"{parts.path}?{urlencode(changed)}")).status_code in (400, 401, 403, 404), name
        assert (await fetch(lab, f"{parts.path}?{urlencode(query[:place] + query[place + 1 :])}")).status_code >= 400
    assert parts.path != others.path
    assert (await fetch(lab, f"{others.path}?{parts.query}")).status_code in (400, 401, 403, 404)


async def test_it_names_nobody_and_holds_no_key(lab: Lab, visit: Visit, key: str) -> None:
    url, _ = await signed(lab, visit, key)
    assert url.startswith(("http://", "https://"))
    for text in ("Zebulon", "Quillfeather", key, key.removeprefix("ch_sk_")):
        assert text.lower() not in url.lower()


async def test_it_dies_with_the_recording(lab: Lab, visit: Visit, clinic: Clinic, key: str) -> None:
    url, _ = await signed(lab, visit, key)
    await clinic.erase(visit.id)
    answer = await fetch(lab, url)
    assert answer.status_code in (403, 404, 410) and SOUND[:100] not in answer.content


async def test_a_recording_that_came_in_segments_is_one_file(lab: Lab, clinic: Clinic, key: str) -> None:
    session = await clinic.begin()
    begun = await clinic.clinician.post(f"/sessions/{session}/restful-segment-transcription")
    recording = begun.json()["recording_id"]
    path = f"/sessions/{session}/restful-segment-transcription/{recording}"
    for index, sentence in enumerate((3, 4, 5)):
        files = {"file": ("part.wav", spoken(sentence), "audio/wav")}
        sent = await clinic.clinician.post(f"{path}:transcribe", data={"index": str(index)}, files=files)
        assert sent.status_code == 200, sent.text
    assert (await clinic.clinician.post(f"{path}:finish")).status_code == 200
    url, _ = await signed(lab, await clinic.released(session), key)
    answer = await fetch(lab, url)
    assert answer.status_code == 200 and answer.headers["content-type"].startswith("audio/")
    assert len(answer.content) > 1000
    part = await fetch(lab, url, range="bytes=100-199")
    assert (part.status_code, part.content) == (206, answer.content[100:200])
