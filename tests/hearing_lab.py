"""Practices whose recordings are heard: by engines of tests that hear tones as words, as soon as they are stored."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from osler.speech.service import SpeechService
from tests.pipeline_lab import WORDS, ToneDetector, ToneEncoder, ToneTranscriber
from tests.scribe_practice import Clinician, Town, ok, opened_town

BEGIN = "restful-segment-transcription"


def tone_speech() -> SpeechService:
    return SpeechService(ToneDetector(), ToneTranscriber(), ToneEncoder())


@pytest.fixture(scope="module")
async def hearing_town(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    """A deployment on SQLite that runs its jobs."""
    folder = tmp_path_factory.mktemp("town")
    core_with = {"execute": True, "speech": tone_speech}
    async with opened_town(folder, f"sqlite:///{folder / 'osler.db'}", core_with=core_with) as town:
        yield town


@pytest.fixture
async def listener(hearing_town: Town) -> Clinician:
    """A clinician whose recordings are heard."""
    return await hearing_town.clinician()


async def upload(clinician: Clinician, session_id: str, sound: bytes) -> str:
    """Upload a recording and return its id."""
    answer = await clinician.post(f"/sessions/{session_id}/upload-audio", files={"file": ("a.wav", sound)})
    recording_id: str = ok(answer)["uploaded_audio"]["id"]
    return recording_id


async def begin(clinician: Clinician, session_id: str, query: str = "") -> str:
    recording_id: str = ok(await clinician.post(f"/sessions/{session_id}/{BEGIN}{query}"))["recording_id"]
    return recording_id


async def send(
    clinician: Clinician, session_id: str, recording_id: str, index: int | str, sound: bytes, **more: Any
) -> httpx.Response:
    return await clinician.post(
        f"/sessions/{session_id}/{BEGIN}/{recording_id}:transcribe",
        data={"index": str(index)},
        files={"file": ("blob", sound, "audio/webm")},
        **more,
    )


async def finish(clinician: Clinician, session_id: str, recording_id: str) -> httpx.Response:
    return await clinician.post(f"/sessions/{session_id}/{BEGIN}/{recording_id}:finish")


async def transcript(clinician: Clinician, session_id: str, wait: float = 0) -> httpx.Response:
    return await clinician.get(f"/sessions/{session_id}/transcript", wait=wait)


def words_of(text: str) -> list[str]:
    """Return the words of tones in a served text, in lower case."""
    said = text.lower().replace("\n", " ").replace(".", "").replace(",", "").split()
    return [word for word in said if word in WORDS]


async def words(clinician: Clinician, session_id: str) -> list[str]:
    return words_of(ok(await transcript(clinician, session_id))["transcript"])
