"""A client of the live transcript: it keeps what it sent until that is acknowledged, and goes on after any break."""

import asyncio
import contextlib
import io
import json
import wave
from typing import Any

import av
import numpy as np
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from osler.api.scribe.app import BASE_PATH
from osler.audio.model import SAMPLE_RATE

PCM = "pcm_s16le_16k"
SECOND = 2 * SAMPLE_RATE
"""Bytes of a second of samples."""

PATIENCE = 60.0


def noise(seconds: float, seed: int = 7) -> bytes:
    """Return samples in which no two places are alike; too soft for the detector of tones to hear."""
    rng = np.random.default_rng(seed)
    return bytes(rng.integers(-300, 300, round(seconds * SAMPLE_RATE), dtype=np.int16).astype("<i2").tobytes())


def opus(wav: bytes, container_format: str) -> bytes:
    """Return a recording as a browser's recorder writes it: Opus in ``webm`` or ``ogg``."""
    samples = np.frombuffer(samples_of(wav), "<i2")
    out = io.BytesIO()
    with av.open(out, "w", format=container_format) as container:
        stream = container.add_stream("libopus", rate=SAMPLE_RATE, layout="mono")
        for start in range(0, len(samples), 320):
            frame = av.AudioFrame.from_ndarray(samples[np.newaxis, start : start + 320], format="s16", layout="mono")
            frame.sample_rate, frame.pts = SAMPLE_RATE, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return out.getvalue()


def samples_of(segment: bytes) -> bytes:
    """Return the samples of a WAV file."""
    with wave.open(io.BytesIO(segment)) as file:
        assert file.getparams()[:3] == (1, 2, SAMPLE_RATE)
        return bytes(file.readframes(file.getnframes()))


class StreamClient:
    """One connection. ``told`` is everything that the server said."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.told: list[dict[str, Any]] = []

    @classmethod
    async def connect(cls, root: str, session_id: str, **more: Any) -> "StreamClient":
        """``more`` is for the library: ``ping_interval=None`` asks for no sign of life."""
        url = f"{root.replace('http', 'ws', 1)}{BASE_PATH}/sessions/{session_id}/transcript/stream"
        return cls(await connect(url, max_size=2**22, compression=None, **more))

    async def start(self, token: str, *, form: str = PCM, **more: Any) -> dict[str, Any]:
        """Send the first message and return the answer to it."""
        await self.say(type="start", token=token, format=form, **more)
        return await self.until("ready")

    async def say(self, **message: Any) -> None:
        await self.socket.send(json.dumps(message))

    async def send(self, data: bytes, size: int = 8000) -> None:
        for start in range(0, len(data), size):
            await self.socket.send(data[start : start + size])

    async def next(self) -> dict[str, Any]:
        async with asyncio.timeout(PATIENCE):
            message: dict[str, Any] = json.loads(await self.socket.recv())
        self.told.append(message)
        return message

    async def until(self, kind: str, **values: Any) -> dict[str, Any]:
        """Read until a message of that kind with these values comes."""
        while True:
            message = await self.next()
            if message["type"] == kind and all(message[name] == value for name, value in values.items()):
                return message

    async def closed(self) -> tuple[int, str]:
        """Read on to the end; return the code and reason with which the server closed."""
        async with asyncio.timeout(PATIENCE):
            with contextlib.suppress(ConnectionClosed):
                async for text in self.socket:
                    self.told.append(json.loads(text))
            await self.socket.wait_closed()
        return self.socket.close_code or 0, self.socket.close_reason or ""

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.told if message["type"] == kind]

    def break_off(self) -> None:
        """Lose the connection without a word."""
        self.socket.transport.abort()
