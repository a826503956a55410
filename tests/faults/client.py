"""A client of the door that keeps a ledger of what was acknowledged: the witness that Osler does not write."""

import hashlib
import io
import json
import math
import os
import random
import time
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from osler.audio.decode import open_recording

PATIENCE = 600.0
"""Seconds for which a client waits for one thing once nothing is killed any more. While something is, a job may lose
all it did again and again, the more so the slower the machine: it has to end, but not then."""


class Calm:
    """Since when nothing is killed: from the first, if nobody says otherwise."""

    def __init__(self) -> None:
        self._since = -math.inf

    def end(self) -> None:
        self._since = math.inf

    def begin(self) -> None:
        self._since = time.monotonic()

    def wore_out(self, begun: float) -> bool:
        """Say whether who has waited since ``begun`` has waited long enough."""
        return time.monotonic() - max(begun, self._since) > PATIENCE


def clips(visit: Path, *, seconds: float, number: int) -> list[bytes]:
    """Cut the beginning of a recording into wav files of ``seconds`` each."""
    samples = np.concatenate(list(open_recording(visit)))
    size = int(seconds * 16_000)
    return [_wav(samples[i * size : (i + 1) * size]) for i in range(number)]


def _wav(samples: np.ndarray[Any, Any]) -> bytes:
    held = io.BytesIO()
    with wave.open(held, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return held.getvalue()


class Ledger:
    """One line per acknowledgement, on disk before the client goes on."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, act: str, **what: Any) -> None:
        with self._path.open("a") as file:
            file.write(json.dumps({"act": act, **what}) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._path.read_text().splitlines()] if self._path.exists() else []


class Client:
    """Records visits through a server that may vanish at any moment."""

    def __init__(self, port: int, organization: str, user: str, ledger: Ledger, seed: int, calm: Calm) -> None:
        self._base = f"http://127.0.0.1:{port}/door/{organization}"
        self._user = user
        self._ledger = ledger
        self._random = random.Random(seed)
        self._calm = calm

    def visit(self, segments: list[bytes], *, sign: bool) -> str:
        """Record a visit in shuffled segments, some sent twice, ask for its note, wait for it, perhaps sign."""
        encounter = self._send("POST", f"/{self._user}/encounters")["encounter"]
        self._ledger.write("encounter", encounter=encounter)
        recording = self._send("POST", f"/encounters/{encounter}/recordings")["recording"]
        self._ledger.write("recording", encounter=encounter, recording=recording)
        order = list(enumerate(segments))
        self._random.shuffle(order)
        for index, content in [*order, order[0]]:
            path = f"/encounters/{encounter}/recordings/{recording}/segments/{index}"
            self._send("PUT", path, content=content)
            digest = hashlib.sha256(content).hexdigest()
            self._ledger.write("segment", encounter=encounter, recording=recording, index=index, sha256=digest)
        finished = self._send("POST", f"/encounters/{encounter}/recordings/{recording}/finish")
        assert finished["missing"] == []
        self._ledger.write("finish", encounter=encounter, recording=recording)
        self._send("POST", f"/encounters/{encounter}/note", unless=lambda: self.state(encounter)["note"] is not None)
        self._ledger.write("note", encounter=encounter)
        self._wait_for_note(encounter)
        if sign:
            path = f"/encounters/{encounter}/sign/{self._user}"
            self._send("POST", path, unless=lambda: self.state(encounter)["state"] == "signed")
            self._ledger.write("sign", encounter=encounter)
        return str(encounter)

    def state(self, encounter: str) -> dict[str, Any]:
        return self._send("GET", f"/encounters/{encounter}")

    def wait_for_work(self) -> None:
        """Wait until no job is queued or running: what a killed process was at is taken over some seconds later."""
        begun = time.monotonic()
        while left := self._send("GET", "/work")["left"]:
            assert not self._calm.wore_out(begun), f"{left} jobs were not finished in time"
            time.sleep(0.2)

    def _wait_for_note(self, encounter: str) -> None:
        begun = time.monotonic()
        while True:
            state = self.state(encounter)
            if state["note"] == "created" and state["state"] in ("completed", "signed"):
                return
            assert state["note"] != "failed", "the note failed"
            assert not self._calm.wore_out(begun), f"the note was not written in time: {state}"
            time.sleep(0.2)

    def _send(
        self,
        method: str,
        path: str,
        *,
        content: bytes | None = None,
        unless: Callable[[], bool] | None = None,
    ) -> dict[str, Any]:
        """Send until it is acknowledged. ``unless`` is asked before a repetition: has the lost request taken effect?"""
        begun = time.monotonic()
        while True:
            try:
                reply = httpx.request(method, self._base + path, content=content, timeout=60)
                if reply.status_code == 200:
                    answer: dict[str, Any] = reply.json()
                    return answer
                assert reply.status_code >= 500, f"{method} was refused with {reply.status_code}: {reply.text}"
            except httpx.TransportError:
                pass
            assert not self._calm.wore_out(begun), f"{method} was not acknowledged in time"
            time.sleep(0.1)
            if unless is not None and unless():
                return {}
