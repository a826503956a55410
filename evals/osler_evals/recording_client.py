"""What a client does that records a visit over HTTP: pieces of sound, a session, and looks at what was heard."""

import asyncio
import io
import os
import statistics
import time
import wave
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import httpx
import numpy as np

from osler.audio.decode import open_recording
from osler.audio.model import SAMPLE_RATE
from osler_evals.served import Served

AUDIO: Final = Path(__file__).resolve().parents[3] / "shared" / "audio"
VISIT: Final = AUDIO / "visit-hypertension.mp3"

LOOK: Final = 0.1
"""Seconds between two looks of a client that waits for words: by so much a latency may seem longer than it is."""


def pieces(visit: Path, seconds: float) -> list[bytes]:
    """Return a recording in WAV files of ``seconds`` each, without the rest."""
    samples = np.concatenate(list(open_recording(visit)))
    size = round(seconds * SAMPLE_RATE)
    return [_wav(samples[start : start + size]) for start in range(0, len(samples) - size + 1, size)]


def length_of(visit: Path) -> float:
    """Return the seconds of a recording."""
    return sum(len(chunk) for chunk in open_recording(visit)) / SAMPLE_RATE


def _wav(samples: "np.ndarray[Any, Any]") -> bytes:
    held = io.BytesIO()
    with wave.open(held, "wb") as file:
        file.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return held.getvalue()


class RecordingClient:
    """A user of a served deployment. ``answers`` are the seconds that each request took."""

    def __init__(self, where: Served) -> None:
        self.http = httpx.AsyncClient(base_url=where.url, headers=where.headers, timeout=300)
        self.answers: list[float] = []

    async def ask(self, method: str, path: str, **more: Any) -> Any:
        """Send a request and return its answer. Raises RuntimeError for any but a good one."""
        began = time.perf_counter()
        answer = await self.http.request(method, path, **more)
        self.answers.append(time.perf_counter() - began)
        if not answer.is_success:
            raise RuntimeError(f"{method} {path} was answered with {answer.status_code}: {answer.text[:200]}")
        return answer.json()

    async def session(self) -> str:
        """Make a session and return its path."""
        return f"/sessions/{(await self.ask('POST', '/sessions', json={}))['session_id']}"

    async def begin(self, session: str) -> str:
        """Begin a recording in segments and return its path."""
        begun = await self.ask("POST", f"{session}/restful-segment-transcription")
        return f"{session}/restful-segment-transcription/{begun['recording_id']}"

    async def segment(self, recording: str, index: int, sound: bytes) -> None:
        """Send a segment; on return it is durable."""
        file = {"file": ("segment.wav", sound, "audio/wav")}
        await self.ask("POST", f"{recording}:transcribe", files=file, data={"index": str(index)})

    async def finish(self, recording: str) -> None:
        """End a recording."""
        await self.ask("POST", f"{recording}:finish")

    async def upload(self, session: str, visit: Path) -> None:
        """Send a whole recording."""
        sound = await asyncio.to_thread(visit.read_bytes)
        await self.ask("POST", f"{session}/upload-audio", files={"file": (visit.name, sound, "audio/mpeg")})

    async def chunks(self, session: str) -> list[dict[str, Any]]:
        """Return the segments of a session as a client sees them."""
        found: list[dict[str, Any]] = (await self.ask("GET", f"{session}/transcript/live"))["chunks"]
        return found

    async def until_heard(self, session: str, count: int, within: float = 600.0) -> list[dict[str, Any]]:
        """Wait until so many segments of a session are settled, and return them."""
        deadline = time.perf_counter() + within
        while True:
            settled = [chunk for chunk in await self.chunks(session) if chunk["status"] != "PENDING"]
            if len(settled) >= count:
                return settled
            if time.perf_counter() > deadline:
                raise RuntimeError(f"{count - len(settled)} segments were not heard in {within:.0f} s")
            await asyncio.sleep(LOOK)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which a share (0..1) of the values lies."""
    return float(np.percentile(np.asarray(values, np.float64), 100 * share)) if len(values) else 0.0


def summary(values: Sequence[float]) -> dict[str, float]:
    """Return median, 95th percentile and longest, in seconds."""
    return {
        "count": len(values),
        "median": round(statistics.median(values), 3) if values else 0.0,
        "p95": round(percentile(values, 0.95), 3),
        "longest": round(max(values, default=0.0), 3),
    }


def load() -> float:
    """Return how many processes the machine has had to run on average over the last minute."""
    return round(os.getloadavg()[0], 1)
