"""A visit that is really spoken and really heard, read through the public API: what was said is what is shown."""

import io
import json
import re
import wave
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest

from osler.audio.decode import open_recording
from osler.audio.model import SAMPLE_RATE
from osler.bootstrap import speech_service
from tests.contract.public.contract import AUDIO, DOCUMENT, ENCOUNTER, TRANSCRIPT, success
from tests.contract.public.lab import opened_lab
from tests.scribe_practice import ok

pytestmark = [pytest.mark.anyio, pytest.mark.engine]

SAMPLE = Path(__file__).parents[3] / "examples" / "sample-visit"
SECONDS = 20


def cut_short() -> bytes:
    """Return the beginning of the sample visit as a WAV file."""
    samples = np.concatenate(list(open_recording(SAMPLE / "visit.ogg")))[: SECONDS * SAMPLE_RATE]
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return out.getvalue()


def words(text: str) -> Counter[str]:
    return Counter(re.findall(r"[a-z]+", text.lower()))


async def test_what_was_said_is_shown_with_its_speakers_its_note_and_its_sound(tmp_path: Path) -> None:
    sound = cut_short()
    spoken = [turn for turn in json.loads((SAMPLE / "visit.json").read_text())["turns"] if turn["end"] < SECONDS]
    async with opened_lab(tmp_path, hears=lambda: speech_service("tiny.en")) as lab:
        await lab.open_all()
        clinic = await lab.clinic()
        key = await lab.key(clinic)
        session = await clinic.begin()
        files = {"file": ("visit.wav", sound, "audio/wav")}
        ok(await clinic.clinician.post(f"/sessions/{session}/upload-audio", files=files))
        await clinic.note(session)
        encounter = success(ENCOUNTER, await lab.get(ENCOUNTER.url(session), key))["encounter"]
        assert (encounter["encounter_type"], encounter["status"]) == ("ambient", "completed")
        visit = await clinic.released(session)
        told = success(TRANSCRIPT, await lab.get(TRANSCRIPT.url(session, visit["transcript"]), key))["transcript"]
        assert told["audio_duration_seconds"] == pytest.approx(SECONDS, abs=0.1)
        assert "whisper" in told["provider"].lower()
        assert {turn["speaker"] for turn in told["turns"]} == {"clinician", "patient"}
        said = words(" ".join(turn["text"] for turn in spoken))
        shown = words(" ".join(turn["text"] for turn in told["turns"]))
        assert (said & shown).total() >= 0.85 * said.total()
        note = success(DOCUMENT, await lab.get(DOCUMENT.url(session, visit["note"]), key))["document"]
        assert "headache" in note["content"]["text"].lower()
        url = urlsplit(success(AUDIO, await lab.get(AUDIO.url(session, visit["transcript"]), key))["audio_url"])
        assert (await lab.http.get(f"{url.path}?{url.query}")).content == sound
