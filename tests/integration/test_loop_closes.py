"""The loop closes: from a visit's sound to what the release room shows, by HTTP alone, with real processes.

Nothing is put into the database by the test: it sends what a client sends, and reads what the release room would show.
"""

import asyncio
import io
import json
import signal
import time
import wave
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from osler_evals.scripts import Utterance
from osler_evals.synthesize import synthesize
from osler_evals.voices import SAMPLE_RATE, VOICES
from pydantic import SecretStr

from osler.bootstrap import open_core
from osler.config import Settings
from osler.kernel.jobs import JobState
from osler.release.model import ReleasedKind
from tests.contract.live import Deployment
from tests.server_lab import OslerProcess, Server

pytestmark = [pytest.mark.anyio, pytest.mark.engine]

PATIENCE = 600.0
SECONDS = 6
MISSING = 3
"""The segment that is lost at first."""

SCRIPT = (
    ("clinician", "Good morning. What brings you in today?"),
    ("patient", "I have had a headache and a fever for two weeks."),
    ("clinician", "Any chest pain or shortness of breath?"),
    ("patient", "No, no chest pain. But I am tired all the time."),
    ("clinician", "Are you still taking lisinopril, ten milligrams once a day?"),
    ("patient", "Yes, I take it every morning. And I am allergic to penicillin."),
    ("clinician", "Your blood pressure today is one hundred and forty over ninety, and your lungs are clear."),
    ("clinician", "I will order a blood test. Increase the lisinopril to twenty milligrams once a day."),
    ("clinician", "I would like to see you again in four weeks."),
    ("patient", "Thank you, doctor."),
)


def segments_of_a_visit() -> list[bytes]:
    """Have the visit read by synthetic voices, and return it cut into wav files."""
    voices = {"clinician": next(iter(VOICES.values())), "patient": list(VOICES.values())[-1]}
    reading = synthesize([Utterance(speaker, text) for speaker, text in SCRIPT], voices, seed=7)
    size = SECONDS * SAMPLE_RATE
    return [_wav(reading.samples[start : start + size]) for start in range(0, len(reading.samples), size)]


def _wav(samples: Any) -> bytes:
    held = io.BytesIO()
    with wave.open(held, "wb") as file:
        file.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return held.getvalue()


@dataclass
class Clinic:
    """A deployment whose server can be killed and started again, and a clinician's client."""

    folder: Path
    starts: int = 0
    token: str = ""
    deployment: Deployment = field(init=False)
    environment: dict[str, str] = field(default_factory=lambda: {"OSLER_SPEECH_MODEL": "tiny.en"})

    def __post_init__(self) -> None:
        self.deployment = Deployment(self.folder)

    def start(self) -> Server:
        self.starts += 1
        log = self.folder / f"server-{self.starts}.log"
        self.deployment.server = Server(self.deployment.data, "--no-worker", log=log, environment=self.environment)
        return self.deployment.server

    def worker(self) -> OslerProcess:
        log = self.folder / "worker.log"
        return OslerProcess("worker", self.deployment.data, log=log, environment=self.environment)

    def client(self) -> httpx.Client:
        return self.deployment.client(self.token)


@pytest.fixture
def clinic(tmp_path: Path) -> Iterator[Clinic]:
    yield Clinic(tmp_path)


def ok(answer: httpx.Response) -> Any:
    assert answer.status_code == 200, f"{answer.status_code}: {answer.text}"
    return answer.json()


def until(done: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + PATIENCE
    while not (found := done()):
        assert time.monotonic() < deadline, f"{what} did not come about in time"
        time.sleep(0.2)
    return found


async def test_from_shuffled_segments_across_a_crash_to_what_outsiders_are_shown(clinic: Clinic) -> None:
    segments = segments_of_a_visit()
    assert len(segments) > MISSING + 1
    order = [index for index in (4, 0, 2, 5, 1, *range(6, len(segments))) if index != MISSING]
    with clinic.start():
        tenant = clinic.deployment.tenant("Clinic")
        clinic.deployment.osler("org", "set", tenant.id, "--release", "sign-off")
        clinic.token = clinic.deployment.token(tenant)
        with clinic.client() as client:
            session_id = ok(client.post("/sessions", json={}))["session_id"]
            base = f"/sessions/{session_id}/restful-segment-transcription"
            recording = ok(client.post(base))["recording_id"]
            for index in order[:3]:
                _send(client, base, recording, index, segments)
        clinic.deployment.server.signal(signal.SIGKILL)
        clinic.deployment.server.wait()
    with clinic.worker(), clinic.start(), clinic.client() as client:
        for index in (*order[2:], order[0], order[-1]):  # one of before the crash again, and some twice
            _send(client, base, recording, index, segments)
        finished = ok(client.post(f"{base}/{recording}:finish"))
        assert finished == {"is_success": True, "missing_indexes": [MISSING]}
        gapped = until(lambda: _transcript(client, session_id), "a transcript")
        _send(client, base, recording, MISSING, segments)

        def anew() -> str | None:
            now = _transcript(client, session_id)
            return now if now != gapped else None

        whole = until(anew, "the transcript of the whole recording")
        assert len(whole) > len(gapped) and "lisinopril" in whole.lower()

        pieces = _stream(client, session_id)
        note = "".join(pieces)

        assert "lisinopril" in note.lower() and len(pieces) > 1
        session = ok(client.get(f"/sessions/{session_id}"))["session"]
        assert (session["consult_note"]["status"], session["consult_note"]["result"]) == ("CREATED", note)

        told = ok(client.get(f"/sessions/{session_id}/consult-note/evidence"))
        lines = [line.partition(": ")[2] for line in whole.splitlines()]
        cited = [(sentence, each) for sentence in told["sentences"] for each in sentence["evidence"]]
        assert len(told["sentences"]) >= 5 and all(sentence["evidence"] for sentence in told["sentences"])
        for sentence, each in cited:
            assert note[sentence["start"] : sentence["end"]] == sentence["text"]
            assert each["quote"] and lines[each["turn"]][each["start"] : each["end"]] == each["quote"]
            assert each["audio_end"] >= each["audio_start"] >= 0

        async with _opened(clinic) as core:
            assert await core.release.of_encounter(tenant.id, session_id) == [], "nothing is shown before it is signed"
        signed = ok(client.post(f"/sessions/{session_id}/consult-note/sign-off", json={"version": told["version"]}))

        async with _opened(clinic) as core:
            shown = {each.slot: each for each in await core.release.of_encounter(tenant.id, session_id)}
            assert {slot: each.kind for slot, each in shown.items() if slot in ("transcript", "note")} == {
                "transcript": ReleasedKind.TRANSCRIPT,
                "note": ReleasedKind.DOCUMENT,
            }
            assert shown["note"].source_id == signed["note_id"] == told["note_id"]
            stored = await core.notes.get(tenant.id, shown["note"].source_id)
            assert stored.content is not None and stored.content.text == note
            assert stored.signed_by == signed["signed_by"]
            transcript = await core.transcripts.get(tenant.id, shown["transcript"].source_id)
            assert [turn.text for turn in transcript.transcript.turns] == lines
            recordings = await core.audio.recordings(tenant.id, session_id)
            assert len(recordings) == 1 and recordings[0].duration == pytest.approx(
                sum(_seconds(each) for each in segments), abs=0.5
            )
            async with asyncio.timeout(PATIENCE):  # codes are still being made of what was signed
                while {state for _, state in await core.jobs.counts()} & {JobState.QUEUED, JobState.RUNNING}:
                    await asyncio.sleep(0.2)
            assert {state for _, state in await core.jobs.counts()} == {JobState.DONE}
            assert (await core.audit.verify(tenant.id)).broken == ()


def _opened(clinic: Clinic) -> Any:
    """Read beside the server as an operator does: a second process's view of the same deployment."""
    database = SecretStr(f"sqlite:///{clinic.deployment.data / 'osler.db'}")
    return open_core(Settings(data=clinic.deployment.data, database=database), engine="closed")


def _send(client: httpx.Client, base: str, recording: str, index: int, segments: list[bytes]) -> None:
    answer = client.post(
        f"{base}/{recording}:transcribe",
        data={"index": str(index)},
        files={"file": ("segment.wav", segments[index], "audio/wav")},
    )
    assert ok(answer) == {"is_success": True}


def _transcript(client: httpx.Client, session_id: str) -> str | None:
    """Return the transcript; None if it is not there after the two minutes for which the server waits."""
    answer = client.get(f"/sessions/{session_id}/transcript", timeout=PATIENCE)
    if answer.status_code == 503:
        return None
    text: str = ok(answer)["transcript"]
    return text


def _stream(client: httpx.Client, session_id: str) -> list[str]:
    """Have a note written and read along; return its pieces."""
    asked = {"generation_method": "TEMPLATE", "addition": "", "voice_style": "DETAILED", "brain": "LEFT"}
    with client.stream("POST", f"/sessions/{session_id}/consult-note", json=asked, timeout=PATIENCE) as answer:
        assert answer.status_code == 200, answer.read()
        return [json.loads(line)["data"] for line in answer.iter_lines()]


def _seconds(segment: bytes) -> float:
    with wave.open(io.BytesIO(segment)) as file:
        return float(file.getnframes() / file.getframerate())
