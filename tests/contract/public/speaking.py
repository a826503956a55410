"""A visit that engines of tests hear: each stretch of a tone is a sentence, so that real uploads give real texts."""

from collections.abc import Callable, Sequence

import numpy as np

from osler.audio.model import SAMPLE_RATE, Samples
from osler.kernel.engine_record import EngineRecord
from osler.kernel.spans import TimeSpan
from osler.speech.model import HeardWord
from osler.speech.ports import Recognition
from osler.speech.service import SpeechService
from tests.pipeline_lab import ToneDetector, ToneEncoder, tones

SENTENCES = (
    "Good morning. May I record this visit?",
    "Yes, that is fine with me.",
    "What brings you in today?",
    "I have had a cough for two weeks.",
    "I take lisinopril for my high blood pressure.",
    "I am allergic to penicillin.",
    "I think this is bronchitis.",
    "Come back in two weeks.",
)
"""What tone ``n`` says."""

PROVIDER = "tone-speaker"
SECONDS = 2
_FIRST_HERTZ, _STEP_HERTZ = 400, 200


def spoken(*numbers: int) -> bytes:
    """Return a WAV file in which these sentences are said, two seconds each; all of them unless told."""
    return tones(*(numbers or range(len(SENTENCES))), seconds=float(SECONDS))


def speech() -> SpeechService:
    return SpeechService(ToneDetector(), SentenceTranscriber(), ToneEncoder())


class SentenceTranscriber:
    """Hears a sentence in every two seconds of a tone."""

    record = EngineRecord(PROVIDER, "1")

    def transcribe(
        self,
        samples: Samples,
        regions: Sequence[TimeSpan],
        *,
        language: str | None,
        vocabulary: str,
        done: Callable[[float], None] = lambda seconds: None,
    ) -> Recognition:
        heard: list[HeardWord] = []
        size = SECONDS * SAMPLE_RATE
        for number in range(len(samples) // size):
            piece = samples[number * size : (number + 1) * size]
            if np.abs(piece).max() > 0.01:
                hertz = np.argmax(np.abs(np.fft.rfft(piece))) / SECONDS
                words = SENTENCES[round((hertz - _FIRST_HERTZ) / _STEP_HERTZ)].split()
                step = (SECONDS - 0.2) / len(words)
                begin = number * SECONDS + 0.1
                heard += [
                    HeardWord(word, begin + step * i, begin + step * (i + 0.9), 0.9) for i, word in enumerate(words)
                ]
            done(float((number + 1) * SECONDS))
        return Recognition(tuple(heard), language or "en")
