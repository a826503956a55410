"""The GE2E speaker encoder of Resemblyzer in numpy: a voice becomes a unit vector. No torch at run time."""

from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from osler.engines.torch_checkpoint import read_state_dict
from osler.kernel.engine_record import EngineRecord
from osler.kernel.errors import EngineError
from osler.speech.ports import SAMPLE_RATE

Array = NDArray[np.float32]

# resemblyzer/hparams.py and audio.py of Resemblyzer 0.1.4 (Apache-2.0): 40 mel bands of 25 ms frames every 10 ms,
# librosa's mel spectrogram of power (not its logarithm), volume brought to -30 dBFS, 3 LSTM layers of 256.
_MELS: Final = 40
_FRAME: Final = 400
_HOP: Final = 160
_TARGET_DBFS: Final = -30.0
_LAYERS: Final = 3
_HIDDEN: Final = 256

_BATCH: Final = 64
"""Windows run through the network at a time; bounds memory to about 60 MB for windows of 1.6 s."""


class Ge2eSpeakerEncoder:
    """Speaker encoder trained with the generalized end-to-end loss (Wan et al. 2018, arXiv:1710.10467).

    ``weights`` is the file ``pretrained.pt`` of Resemblyzer 0.1.4; ``digest`` its SHA-256 as the weights store
    knows it. The encoder was trained on windows of 1.6 s; others work, shorter ones less well.
    """

    def __init__(self, weights: Path, *, digest: str = "") -> None:
        self._path = weights
        self._digest = digest

    @property
    def record(self) -> EngineRecord:
        """Label, version of the weights and their digest."""
        return EngineRecord("ge2e/resemblyzer", "0.1.4", {"weights_sha256": self._digest[:16]})

    def embed(self, windows: Array) -> Array:
        """Embed ``windows`` (shape [m, n samples at 16 kHz], n ≥ 400) to unit vectors (shape [m, 256]).

        All entries are ≥ 0 (the network ends in a ReLU), so cosines lie in 0..1. Silence yields a zero vector.
        Raises EngineError when the weights are not those of this network, WeightsError when they cannot be read.
        """
        if windows.ndim != 2 or windows.shape[1] < _FRAME:
            raise ValueError(f"windows of at least {_FRAME} samples are wanted, not shape {windows.shape}")
        batches = [self._embed(windows[i : i + _BATCH]) for i in range(0, len(windows), _BATCH)]
        return np.concatenate(batches) if batches else np.zeros((0, _HIDDEN), np.float32)

    def _embed(self, windows: Array) -> Array:
        state = self._state
        layer_input = mel_spectrogram(_normalise(windows)).transpose(1, 0, 2)  # [frames, m, mels]
        for layer in range(_LAYERS):
            layer_input = lstm(
                layer_input,
                state[f"lstm.weight_ih_l{layer}"],
                state[f"lstm.weight_hh_l{layer}"],
                state[f"lstm.bias_ih_l{layer}"] + state[f"lstm.bias_hh_l{layer}"],
            )
        raw = np.maximum(layer_input[-1] @ state["linear.weight"].T + state["linear.bias"], 0)
        voiced = np.abs(windows).max(axis=1, keepdims=True) > 0
        norms = np.linalg.norm(raw, axis=1, keepdims=True)
        return np.asarray(np.where(voiced & (norms > 0), raw / np.maximum(norms, 1e-9), 0), np.float32)

    @cached_property
    def _state(self) -> dict[str, Array]:
        state = read_state_dict(self._path)
        wanted = {"linear.weight": (_HIDDEN, _HIDDEN), "linear.bias": (_HIDDEN,)}
        for layer in range(_LAYERS):
            wanted |= {
                f"lstm.weight_ih_l{layer}": (4 * _HIDDEN, _HIDDEN if layer else _MELS),
                f"lstm.weight_hh_l{layer}": (4 * _HIDDEN, _HIDDEN),
                f"lstm.bias_ih_l{layer}": (4 * _HIDDEN,),
                f"lstm.bias_hh_l{layer}": (4 * _HIDDEN,),
            }
        if any(name not in state or state[name].shape != shape for name, shape in wanted.items()):
            raise EngineError("These are not the weights of the GE2E speaker encoder; run: osler models verify")
        return {name: state[name] for name in wanted}


def lstm(inputs: Array, weight_ih: Array, weight_hh: Array, bias: Array) -> Array:
    """Run one LSTM layer from a zero state over ``inputs`` ([frames, m, in]); return every output ([frames, m, h]).

    Weights stand as in torch: rows of the input, forget, cell and output gates one below the other ([4h, in], [4h, h]).
    """
    frames, count, _ = inputs.shape
    hidden = weight_hh.shape[1]
    # sigmoid(x) = (tanh(x / 2) + 1) / 2: halving those rows beforehand leaves one tanh for all four gates.
    halved = np.full((4 * hidden, 1), 0.5, np.float32)
    halved[2 * hidden : 3 * hidden] = 1
    recurrent = np.ascontiguousarray((weight_hh * halved).T)
    driven = inputs.reshape(frames * count, -1) @ (weight_ih * halved).T + bias * halved[:, 0]
    driven = driven.reshape(frames, count, 4 * hidden)
    output = np.zeros((count, hidden), np.float32)
    cell = np.zeros((count, hidden), np.float32)
    outputs = np.empty((frames, count, hidden), np.float32)
    gates = np.empty((count, 4 * hidden), np.float32)
    for t in range(frames):
        np.matmul(output, recurrent, out=gates)
        gates += driven[t]
        np.tanh(gates, out=gates)
        enter, forget, new, leave = np.split(gates, 4, axis=1)
        cell = 0.5 * ((forget + 1) * cell + (enter + 1) * new)
        output = np.multiply(0.5 * (leave + 1), np.tanh(cell), out=outputs[t])
    return outputs


def mel_spectrogram(windows: Array) -> Array:
    """Return the mel power spectrogram of ``windows`` ([m, n] → [m, n // 160, 40]), as librosa computes it.

    Periodic Hann window of 400 samples, hop 160, frames centred with zeros beyond the edges, power, Slaney mel bands.
    """
    count, length = windows.shape
    padded = np.pad(windows, ((0, 0), (_FRAME // 2, _FRAME // 2)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, _FRAME, axis=1)[:, ::_HOP][:, : length // _HOP]
    hann = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(_FRAME) / _FRAME)).astype(np.float32)
    mels = np.empty((count, length // _HOP, _MELS), np.float32)
    for i in range(count):
        spectrum = np.fft.rfft(frames[i] * hann)
        mels[i] = np.square(np.abs(spectrum)).astype(np.float32) @ _MEL_BANDS.T
    return mels


def mel_bands(rate: int, frame: int, bands: int) -> Array:
    """Return triangular mel bands of equal area ([bands, frame // 2 + 1]) between 0 Hz and half the ``rate``.

    Slaney's mel scale (Auditory Toolbox, 1998): linear to 1 kHz with 3 mels per 200 Hz, above that logarithmic with
    27 mels per factor 6.4.
    """
    knee, linear, step = 1000.0, 200.0 / 3, np.log(6.4) / 27
    top = knee / linear + np.log(rate / 2 / knee) / step
    mel = np.linspace(0, top, bands + 2)
    edges = np.where(mel < knee / linear, mel * linear, knee * np.exp(step * (mel - knee / linear)))
    bins = np.arange(frame // 2 + 1) * rate / frame
    rising = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    area = 2 / (edges[2:] - edges[:-2])
    return np.asarray(np.maximum(0, np.minimum(rising, falling)) * area[:, None], np.float32)


_MEL_BANDS: Final = mel_bands(SAMPLE_RATE, _FRAME, _MELS)


def _normalise(windows: Array) -> Array:
    """Bring each window to -30 dBFS (root mean square)."""
    rms = np.sqrt(np.square(windows).mean(axis=1, keepdims=True))
    return np.asarray(windows * (10 ** (_TARGET_DBFS / 20) / np.maximum(rms, 1e-6)), np.float32)
