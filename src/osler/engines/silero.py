"""Voice activity detection with the Silero model that the faster-whisper package carries."""

from collections.abc import Callable
from functools import cached_property
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from osler.kernel.engine_record import EngineRecord
from osler.kernel.errors import EngineError
from osler.kernel.spans import TimeSpan
from osler.speech.ports import SAMPLE_RATE, Samples

_MODEL: Final = "assets/silero_vad_v6.onnx"
_FRAME: Final = 512
"""Samples (32 ms) that the model judges at a time."""
_CONTEXT: Final = 64
"""Samples of the frame before that the model wants in front of each frame."""
_BATCH: Final = 1024
"""Frames per call: bounds memory to a few tens of MB; the recurrent state is carried on."""


class SileroSpeechDetector:
    """Speech regions by Silero VAD v6 (MIT, https://github.com/snakers4/silero-vad).

    A region opens where the probability of speech reaches ``threshold`` and closes where it stays below
    ``threshold - 0.15`` (the hysteresis of Silero's own reference code) for ``min_silence`` seconds; regions
    shorter than ``min_speech`` seconds are dropped.
    """

    def __init__(self, *, threshold: float = 0.5, min_silence: float = 0.16, min_speech: float = 0.12) -> None:
        self._threshold = threshold
        self._min_silence = min_silence
        self._min_speech = min_speech

    @property
    def record(self) -> EngineRecord:
        """Label, version of the package that carries the model, and thresholds."""
        return EngineRecord(
            "silero-vad/6",
            version("faster-whisper"),
            {"threshold": self._threshold, "min_silence": self._min_silence, "min_speech": self._min_speech},
        )

    def regions(self, samples: Samples, *, between: Callable[[], None] = lambda: None) -> list[TimeSpan]:
        """Return the stretches of speech in ``samples`` (shape [n]) in seconds, to 32 ms. Raises EngineError.

        ``between`` is called before each half minute of them.
        """
        probabilities = self.probabilities(samples, between)
        frame = _FRAME / SAMPLE_RATE
        wanted_silence = round(self._min_silence / frame)
        found: list[tuple[int, int]] = []
        start: int | None = None
        quiet: int | None = None
        for i, probability in enumerate(probabilities):
            if probability >= self._threshold:
                start = i if start is None else start
                quiet = None
            elif start is not None and probability < self._threshold - 0.15:
                quiet = i if quiet is None else quiet
                if i - quiet + 1 >= wanted_silence:
                    found.append((start, quiet))
                    start = quiet = None
        if start is not None:
            found.append((start, len(probabilities) if quiet is None else quiet))
        length = len(samples) / SAMPLE_RATE
        return [
            TimeSpan(first * frame, min(last * frame, length))
            for first, last in found
            if (last - first) * frame >= self._min_speech
        ]

    def probabilities(self, samples: Samples, between: Callable[[], None] = lambda: None) -> NDArray[np.float32]:
        """Return the probability of speech in every 32 ms of ``samples`` (shape [n] → [ceil(n / 512)])."""
        count = -(-len(samples) // _FRAME)
        padded = np.zeros(_CONTEXT + count * _FRAME, np.float32)
        padded[_CONTEXT : _CONTEXT + len(samples)] = samples
        h = c = np.zeros((1, 1, 128), np.float32)
        heard: list[NDArray[np.float32]] = []
        for first in range(0, count, _BATCH):
            between()
            last = min(first + _BATCH, count)
            piece = padded[first * _FRAME : last * _FRAME + _CONTEXT]
            frames = np.lib.stride_tricks.sliding_window_view(piece, _FRAME + _CONTEXT)[::_FRAME]
            try:
                out, h, c = self._session.run(None, {"input": np.ascontiguousarray(frames), "h": h, "c": c})
            except Exception as error:
                raise EngineError(f"Voice activity detection failed ({type(error).__name__}).") from error
            heard.append(np.asarray(out, np.float32).reshape(-1))
        return np.concatenate(heard) if heard else np.zeros(0, np.float32)

    @cached_property
    def _session(self) -> Any:
        import onnxruntime

        spec = find_spec("faster_whisper")
        if spec is None or not spec.submodule_search_locations:
            raise EngineError("The faster-whisper package is not installed; install Osler again.")
        options = onnxruntime.SessionOptions()
        options.inter_op_num_threads = options.intra_op_num_threads = 1
        options.enable_cpu_mem_arena = False
        options.log_severity_level = 4
        path = Path(spec.submodule_search_locations[0]) / _MODEL
        try:
            return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise EngineError(
                f"The voice activity model of faster-whisper cannot be loaded ({type(error).__name__}); "
                "install Osler again."
            ) from error
