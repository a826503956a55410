"""The speaker encoder's arithmetic agrees with independent ways to compute it; no weights needed."""

import math
from pathlib import Path

import numpy as np
import pytest
from faster_whisper.feature_extractor import FeatureExtractor
from numpy.typing import NDArray

from osler.engines.ge2e import Ge2eSpeakerEncoder, lstm, mel_bands, mel_spectrogram


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def one_lstm_step_after_the_other(
    inputs: NDArray[np.float32], w_ih: NDArray[np.float32], w_hh: NDArray[np.float32], bias: NDArray[np.float32]
) -> list[list[float]]:
    """Return the outputs of an LSTM for one sequence, written out number by number as torch documents it."""
    size = w_hh.shape[1]
    hidden, cell, outputs = [0.0] * size, [0.0] * size, []
    for x in inputs:
        gates = [
            float(bias[r])
            + sum(float(w_ih[r, i]) * float(v) for i, v in enumerate(x))
            + sum(float(w_hh[r, i]) * hidden[i] for i in range(size))
            for r in range(4 * size)
        ]
        enter, forget = [sigmoid(g) for g in gates[:size]], [sigmoid(g) for g in gates[size : 2 * size]]
        new, leave = [math.tanh(g) for g in gates[2 * size : 3 * size]], [sigmoid(g) for g in gates[3 * size :]]
        cell = [f * c + e * n for f, c, e, n in zip(forget, cell, enter, new, strict=True)]
        hidden = [o * math.tanh(c) for o, c in zip(leave, cell, strict=True)]
        outputs.append(hidden)
    return outputs


def test_the_lstm_computes_what_an_lstm_is() -> None:
    random = np.random.default_rng(11)
    inputs = random.standard_normal((7, 3, 5)).astype(np.float32)  # frames, sequences, features
    w_ih, w_hh = (random.standard_normal((24, n)).astype(np.float32) for n in (5, 6))
    bias = random.standard_normal(24).astype(np.float32)
    got = lstm(inputs, w_ih, w_hh, bias)
    for sequence in range(3):
        want = one_lstm_step_after_the_other(inputs[:, sequence], w_ih, w_hh, bias)
        assert got[:, sequence] == pytest.approx(np.array(want), abs=1e-5)


def test_mel_bands_are_those_of_another_implementation() -> None:
    for bands in (40, 80):
        want = FeatureExtractor.get_mel_filters(16_000, 400, bands)
        assert mel_bands(16_000, 400, bands) == pytest.approx(want, abs=1e-7)


def test_the_mel_spectrogram_of_a_tone_peaks_at_its_pitch_with_its_power() -> None:
    time = np.arange(25_600) / 16_000
    tones = np.stack([np.sin(2 * np.pi * f * time) for f in (300.0, 1000.0, 3000.0)]).astype(np.float32)
    mels = mel_spectrogram(tones)
    assert mels.shape == (3, 160, 40)
    peaks = mels[:, 80].argmax(axis=1)
    centres = (mel_bands(16_000, 400, 40) * np.arange(201) * 40).sum(axis=1) / mel_bands(16_000, 400, 40).sum(axis=1)
    assert centres[peaks] == pytest.approx([300, 1000, 3000], rel=0.1)
    assert mel_spectrogram(2 * tones)[:, 80].max() == pytest.approx(4 * mels[:, 80].max(), rel=1e-4)  # power


def test_windows_that_are_too_short_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 400 samples"):
        Ge2eSpeakerEncoder(Path("unused")).embed(np.zeros((2, 300), np.float32))
