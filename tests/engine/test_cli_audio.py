"""The command line on real audio with the real models. Sounds are made here; the sample visit is our own."""

import json
import os
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from osler.cli import exits
from osler.speech.model import CLINICIAN, PATIENT, Transcript
from tests.integration.cli import osler

pytestmark = pytest.mark.engine

HYPERTENSION = Path(__file__).parents[3] / "shared" / "audio" / "visit-hypertension.mp3"
SAMPLE = Path(__file__).parents[2] / "examples" / "sample-visit" / "visit.ogg"
RATE = 16_000


def write_wav(path: Path, samples: NDArray[np.float64], rate: int = RATE) -> Path:
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return path


def noise(seconds: float, level: float) -> NDArray[np.float64]:
    return np.random.default_rng(7).normal(0, level, int(seconds * RATE))


def music(seconds: float) -> NDArray[np.float64]:
    """A slow arpeggio with overtones and a beat."""
    t = np.arange(int(seconds * RATE)) / RATE
    out = np.zeros_like(t)
    for i, pitch in enumerate((261.6, 329.6, 392.0, 523.3)):
        gate = ((t * 2).astype(int) % 4 == i) * np.exp(-3 * (t * 2 % 1))
        out += sum(gate * np.sin(2 * np.pi * pitch * k * t) / k for k in (1, 2, 3))
    return 0.2 * out + 0.05 * (t * 4 % 1 < 0.02) * noise(seconds, 1.0)


@pytest.fixture(scope="module")
def sample_transcript(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("sample") / "transcript.json"
    shown = osler("transcribe", SAMPLE, "--json", "-o", target)
    assert shown.code == 0, shown.err
    return target


def test_the_sample_visit_has_its_two_speakers_and_times(sample_transcript: Path) -> None:
    transcript = Transcript.from_json(json.loads(sample_transcript.read_text()))
    assert {t.speaker for t in transcript.turns} == {CLINICIAN, PATIENT}
    assert transcript.engine is not None and transcript.engine.label == "faster-whisper/base"
    assert transcript.engine.version and transcript.engine.options
    for turn in transcript.turns:
        for word in turn.words:
            assert turn.text[word.offset : word.offset + len(word.text)] == word.text


def test_a_note_from_the_sample_visit_cites_words_and_seconds(sample_transcript: Path) -> None:
    turns = json.loads(sample_transcript.read_text())["turns"]
    shown = osler("note", sample_transcript, "--json")
    assert shown.code == 0, shown.err
    sentences = [s for section in json.loads(shown.out)["sections"] for s in section["sentences"]]
    assert len(sentences) >= 8
    for sentence in sentences:
        assert sentence["evidence"], "a sentence without evidence"
        for e in sentence["evidence"]:
            turn = turns[e["turn"]]
            assert turn["text"][e["start"] : e["end"]] == e["quote"]
            assert turn["start"] - 0.01 <= e["audio_start"] <= e["audio_end"] <= turn["end"] + 0.01


@pytest.mark.skipif(
    not HYPERTENSION.exists() and "CI" not in os.environ, reason="needs ../shared, which a lone clone does not have"
)
def test_a_real_visit_comes_out_right(tmp_path: Path) -> None:
    target = tmp_path / "transcript.json"
    assert osler("transcribe", HYPERTENSION, "--json", "-o", target).code == 0
    turns = Transcript.from_json(json.loads(target.read_text())).turns
    said = {who: " ".join(t.text for t in turns if t.speaker == who) for who in (CLINICIAN, PATIENT)}
    assert "145/92" in said[CLINICIAN] and "order a lipid pan" in said[CLINICIAN]
    assert "fast" in said[CLINICIAN] and "8 to 12 hours" in said[CLINICIAN]
    assert "Do I need to fast" in said[PATIENT] and "energy" in said[PATIENT]
    assert "albuterol" not in " ".join(said.values()), "the vocabulary must not be echoed into the visit"
    note = osler("note", target).out
    assert "145/92" in note and "lipid pan" in note and "8 to 12 hours" in note


@pytest.mark.parametrize(("model", "language"), [("base", "xx"), ("tiny.en", "fr")])
def test_a_language_that_the_model_does_not_know_is_refused(model: str, language: str) -> None:
    shown = osler("transcribe", SAMPLE, "--model", model, "--language", language)
    assert shown.code == 16 and shown.is_one_clear_line(), shown.err


def test_content_counts_and_not_the_extension(tmp_path: Path) -> None:
    disguised = tmp_path / "visit.docx"
    disguised.write_bytes(SAMPLE.read_bytes())
    shown = osler("transcribe", disguised, "--model", "tiny.en")
    assert shown.code == 0 and "Clinician:" in shown.out, shown.err


def test_a_recording_that_breaks_off_is_written_up_as_far_as_it_goes(tmp_path: Path) -> None:
    import av

    with av.open(str(SAMPLE)) as container:
        frames = av.AudioResampler("flt", "mono", RATE)
        parts = [f.to_ndarray()[0] for frame in container.decode(audio=0) for f in frames.resample(frame)]
    voice = np.concatenate(parts)[: 30 * RATE].astype(np.float64)
    whole = write_wav(tmp_path / "whole.wav", voice).read_bytes()
    cut = tmp_path / "cut.wav"
    cut.write_bytes(whole[: len(whole) // 2])
    target = tmp_path / "transcript.json"
    shown = osler("transcribe", cut, "--model", "tiny.en", "--json", "-o", target)
    assert shown.code == exits.INCOMPLETE and shown.is_one_clear_line(), shown.err
    written = Transcript.from_json(json.loads(target.read_text()))
    assert written.incomplete and written.turns


BAD: dict[str, tuple[Callable[[Path], object], int]] = {
    "random bytes": (lambda p: p.write_bytes(np.random.default_rng(1).bytes(50_000)), 11),
    "an image": (lambda p: p.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(2_000)), 11),
    "no bytes": (lambda p: p.write_bytes(b""), 12),
    "a header without samples": (lambda p: write_wav(p, np.zeros(0)), 12),
    "silence": (lambda p: write_wav(p, np.zeros(30 * RATE)), 13),
    "a click": (lambda p: write_wav(p, np.eye(1, RATE // 10, 100)[0]), 13),
    "hiss": (lambda p: write_wav(p, noise(60, 0.05)), 13),
    "ten minutes of noise": (lambda p: write_wav(p, noise(600, 0.2)), 13),
    "music": (lambda p: write_wav(p, music(60)), 13),
}


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("command", ["transcribe", "note"])
def test_what_is_no_speech_invents_no_words(kind: str, command: str, tmp_path: Path) -> None:
    make, code = BAD[kind]
    recording, target = tmp_path / "recording.wav", tmp_path / "result"
    make(recording)
    shown = osler(command, recording, "-o", target)
    assert shown.code == code, (shown.code, shown.err)
    assert shown.is_one_clear_line(), shown.err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["recording.wav"], "nothing half-written"
