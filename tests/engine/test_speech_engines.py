"""The speech engines and the service over them: real models on sounds made here and on synthetic visits."""

import contextlib
import json
import os
import sys
import wave
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from osler.audio.decode import open_recording
from osler.bootstrap import speech_service, weights_store
from osler.engines.background import LOWER
from osler.engines.ge2e import Ge2eSpeakerEncoder
from osler.engines.silero import SileroSpeechDetector
from osler.engines.whisper import QUICK_SILENCE, WhisperTranscriber
from osler.kernel.engine_record import EngineRecord
from osler.kernel.errors import EngineError, NoSpeechError
from osler.kernel.spans import TimeSpan
from osler.speech.model import Transcript
from osler.speech.ports import SAMPLE_RATE, Samples
from osler.speech.service import SpeechService
from osler.speech.vocabulary import decoder_bias

pytestmark = pytest.mark.engine

SAMPLE = Path(__file__).parents[2] / "examples" / "sample-visit" / "visit.ogg"
SYNTHETIC = Path(__file__).parents[3] / "shared" / "audio" / "synthetic"
TEN_MINUTES = 600


def samples_of(path: Path, seconds: float | None = None) -> Samples:
    whole = np.concatenate(list(open_recording(path)))
    return whole if seconds is None else whole[: round(seconds * SAMPLE_RATE)]


def write_wav(path: Path, samples: Samples) -> Path:
    with wave.open(str(path), "wb") as out:
        out.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
        out.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return path


def synthetic_visits() -> list[Path]:
    if not SYNTHETIC.is_dir():
        if os.environ.get("CI"):
            pytest.fail("the synthetic visits (../shared/audio/synthetic) are missing")
        pytest.skip("needs the synthetic visits of ../shared/audio/synthetic, which are not part of the repository")
    return sorted(SYNTHETIC.glob("*.ogg"))


def noise(seconds: float, slope: float) -> NDArray[np.float64]:
    """Noise whose power falls with frequency to the ``slope``: 0 white, 1 pink."""
    count = int(seconds * SAMPLE_RATE)
    spectrum = np.fft.rfft(np.random.default_rng(3).standard_normal(count))
    spectrum /= np.maximum(np.arange(len(spectrum)), 1) ** (slope / 2)
    found = np.fft.irfft(spectrum, count)
    return np.asarray(found / np.abs(found).max() * 0.7)


def hum(seconds: float) -> NDArray[np.float64]:
    time = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return np.asarray(sum(0.2 / k * np.sin(2 * np.pi * 50 * k * time) for k in (1, 2, 3, 5)))


def chords(seconds: float) -> NDArray[np.float64]:
    """Slow chords of plucked tones."""
    time = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    sound = np.zeros(len(time))
    for bar, root in enumerate((220.0, 174.6, 261.6, 196.0)):
        gate = ((time // 2).astype(int) % 4 == bar) * np.exp(-1.5 * (time % 2))
        for ratio in (1, 1.26, 1.5, 2):
            sound += gate * sum(np.sin(2 * np.pi * root * ratio * k * time) / k**1.5 for k in (1, 2, 3, 4))
    return np.asarray(0.08 * sound)


def mumbling(seconds: float) -> NDArray[np.float64]:
    """A voice behind closed lips: pulses of a drifting pitch near 110 Hz, muffled above 350 Hz, in syllables."""
    random = np.random.default_rng(5)
    time = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    pitch = 110 * 2 ** np.interp(time, np.arange(0, seconds + 1, 0.5), random.normal(0, 0.15, int(seconds * 2) + 2))
    phase = 2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE
    voice = sum(np.sin(k * phase) / k * np.exp(-((k * 110 / 350) ** 2)) for k in range(1, 12))
    beats = np.arange(0, seconds + 0.12, 0.12)
    return np.asarray(0.2 * voice * np.interp(time, beats, random.random(len(beats))))


@pytest.mark.parametrize(
    "sound",
    [
        np.zeros(TEN_MINUTES * SAMPLE_RATE),
        noise(TEN_MINUTES, 0.0),
        noise(TEN_MINUTES, 1.0),
        hum(TEN_MINUTES),
        chords(TEN_MINUTES),
        mumbling(TEN_MINUTES),
    ],
    ids=["silence", "white noise", "pink noise", "hum", "music", "mumbling"],
)
def test_in_ten_minutes_without_speech_no_speech_is_found(sound: NDArray[np.float64]) -> None:
    assert SileroSpeechDetector().regions(sound.astype(np.float32)) == []


def test_speech_is_found_where_it_is() -> None:
    visit = samples_of(SAMPLE, 20)
    regions = SileroSpeechDetector().regions(np.concatenate([np.zeros(160_000, np.float32), visit]))
    assert regions and min(r.start for r in regions) >= 9.9
    assert 8 < sum(r.duration for r in regions) < 20
    assert all(a.end < b.start for a, b in pairwise(regions))


def test_a_region_of_noise_that_passed_for_speech_yields_no_words() -> None:
    transcriber = WhisperTranscriber(weights_store().locate("whisper-base"), label="faster-whisper/base")
    for sound in (noise(30, 0.0), noise(30, 1.0), chords(30), mumbling(30), np.zeros(30 * SAMPLE_RATE)):
        heard = transcriber.transcribe(
            sound.astype(np.float32), [TimeSpan(0, 30)], language="en", vocabulary="lisinopril, metformin, albuterol"
        )
        assert heard.words == ()


def counted(monkeypatch: pytest.MonkeyPatch) -> tuple[list[int], list[int]]:
    """Return lists that grow with each window that is encoded, by its frames, and each call of faster-whisper."""
    from faster_whisper import WhisperModel

    encode, transcribe = WhisperModel.encode, WhisperModel.transcribe
    frames: list[int] = []
    calls: list[int] = []

    def encoding(model: Any, features: NDArray[np.float32]) -> Any:
        frames.append(features.shape[-1])
        return encode(model, features)

    def transcribing(model: Any, samples: Samples, **options: Any) -> Any:
        calls.append(len(samples))
        return transcribe(model, samples, **options)

    monkeypatch.setattr(WhisperModel, "encode", encoding)
    monkeypatch.setattr(WhisperModel, "transcribe", transcribing)
    return frames, calls


def test_where_the_decoder_stops_early_no_window_is_decoded_of_which_nothing_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    visit = SYNTHETIC.parent / "visit-hypertension.mp3"
    if not visit.is_file():
        pytest.skip("needs ../shared/audio/visit-hypertension.mp3, which is not part of the repository")
    frames, calls = counted(monkeypatch)
    folder = weights_store().locate("whisper-base")
    hasty = WhisperTranscriber(folder, label="faster-whisper/base", beam_size=1)
    piece = samples_of(visit)[90 * SAMPLE_RATE : 100 * SAMPLE_RATE]
    regions = SileroSpeechDetector().regions(piece)
    heard = hasty.transcribe(piece, regions, language="en", vocabulary=decoder_bias())
    assert len(heard.words) > 20 and len(calls) > 1
    assert len(frames) <= len(calls)


@pytest.mark.skipif(sys.platform != "linux", reason="threads have their own priority on Linux only")
def test_recordings_are_heard_in_threads_of_low_priority_and_live_segments_are_not() -> None:
    """The promise that a live segment loses little to a recording rests on which threads compute which."""

    def computing(transcriber: WhisperTranscriber) -> set[int]:
        """Return the priorities of the threads that the first transcription started and kept the busiest."""
        piece = samples_of(SAMPLE, 10)
        before = spent()
        assert transcriber.transcribe(piece, [TimeSpan(0.0, 10.0)], language="en", vocabulary="").words
        started = {thread: ticks for thread, ticks in spent().items() if thread not in before}
        busy = {thread for thread, ticks in started.items() if ticks > max(started.values()) / 2}
        return {os.getpriority(os.PRIO_PROCESS, thread) for thread in busy}

    def spent() -> dict[int, int]:
        """Return the clock ticks that each thread has computed."""
        found = {}
        for stat in Path("/proc/self/task").glob("*/stat"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it ended while we looked
                found[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[11])
        return found

    usual = os.getpriority(os.PRIO_PROCESS, 0)
    folder = weights_store().locate("whisper-tiny.en")
    careful = WhisperTranscriber(folder, label="faster-whisper/tiny.en", background=True)
    assert computing(careful) == {min(19, usual + LOWER)}
    assert computing(careful.quick()) == {usual}


def test_the_quick_transcriber_encodes_little_more_than_the_sound_and_hears_nearly_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    frames, _ = counted(monkeypatch)
    folder = weights_store().locate("whisper-base")
    careful = WhisperTranscriber(folder, label="faster-whisper/base", beam_size=1)
    heard: list[set[str]] = []
    for transcriber in (careful, careful.quick()):
        piece = samples_of(SAMPLE, 10)
        words = transcriber.transcribe(piece, [TimeSpan(0.0, 10.0)], language="en", vocabulary="").words
        assert words[-1].end <= 10.0
        heard.append({word.text.lower().strip(".,?") for word in words})
    assert careful.quick().record.options["seconds_of_silence"] == QUICK_SILENCE
    assert "seconds_of_silence" not in careful.record.options
    assert frames[0] == 3000 and all(length <= 100 * (10 + QUICK_SILENCE) for length in frames[1:])
    assert len(heard[0] & heard[1]) >= 0.8 * len(heard[0] | heard[1])


def test_the_same_voice_is_nearer_to_itself_than_to_another() -> None:
    encoder = Ge2eSpeakerEncoder(weights_store().locate("ge2e") / "pretrained.pt")
    for path in synthetic_visits():
        samples = samples_of(path)
        turns = json.loads(path.with_suffix(".json").read_text())["turns"]
        voices: dict[str, list[Samples]] = {}
        for turn in turns:
            if turn["end"] - turn["start"] > 3:
                start = round((turn["start"] + 0.6) * SAMPLE_RATE)
                voices.setdefault(turn["speaker"], []).append(samples[start : start + 25_600])
        first, second = (encoder.embed(np.stack(windows)) for windows in voices.values())
        assert np.linalg.norm(first, axis=1) == pytest.approx(np.ones(len(first)), abs=1e-5)
        same = [float(a @ b) for group in (first, second) for a, b in combinations(group, 2)]
        different = (first @ second.T).ravel()
        assert np.percentile(same, 2) > np.percentile(different, 98)


def test_silence_has_no_voice() -> None:
    encoder = Ge2eSpeakerEncoder(weights_store().locate("ge2e") / "pretrained.pt")
    assert not encoder.embed(np.zeros((2, 25_600), np.float32)).any()


@pytest.fixture(scope="module")
def visit() -> Transcript:
    return speech_service().transcribe(SAMPLE)


def test_the_transcript_says_what_made_it_and_lies_inside_the_recording(visit: Transcript) -> None:
    assert visit.engine is not None and visit.diarizer is not None and visit.duration is not None
    assert visit.engine.label == "faster-whisper/base" and visit.engine.options["beam_size"] == 5
    assert visit.diarizer.label == "ge2e/resemblyzer"
    assert not visit.incomplete and visit.warnings == ()
    times = [t for turn in visit.turns for t in (turn.start or 0.0, turn.end or 0.0)]
    assert times == sorted(times) and times[-1] <= visit.duration
    for turn in visit.turns:
        assert turn.words and turn.start is not None and turn.end is not None
        assert turn.start <= turn.words[0].start and turn.words[-1].end <= turn.end


def test_the_same_recording_gives_the_same_transcript(tmp_path: Path, visit: Transcript) -> None:
    again = speech_service().transcribe(write_wav(tmp_path / "copy.wav", samples_of(SAMPLE, 30))).to_json()
    assert again == speech_service().transcribe(tmp_path / "copy.wav").to_json()
    words = [w["text"] for turn in again["turns"] for w in turn["words"]]
    assert len(words) > 30


class BrokenEncoder:
    """A speaker encoder that fails."""

    record = EngineRecord("broken", "0")

    def embed(self, windows: Samples) -> Samples:
        raise EngineError("The encoder failed.")


def test_words_survive_when_voices_cannot_be_told_apart(tmp_path: Path) -> None:
    transcriber = WhisperTranscriber(weights_store().locate("whisper-base"), label="faster-whisper/base")
    service = SpeechService(SileroSpeechDetector(), transcriber, BrokenEncoder())
    transcript = service.transcribe(write_wav(tmp_path / "part.wav", samples_of(SAMPLE, 25)))
    assert sum(len(turn.words) for turn in transcript.turns) > 25
    (warning,) = transcript.warnings
    assert "language alone" in warning


def test_no_speech_is_an_error_that_says_so(tmp_path: Path) -> None:
    with pytest.raises(NoSpeechError, match="No speech"):
        speech_service().transcribe(write_wav(tmp_path / "noise.wav", noise(20, 1.0).astype(np.float32)))
