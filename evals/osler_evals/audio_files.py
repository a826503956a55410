"""Resampling and writing of sound with PyAV, for synthesised visits."""

from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]

BLOCK: int = 4096


def resample(samples: Samples, rate: int, to_rate: int) -> Samples:
    """Resample mono ``samples`` (shape [n]) from ``rate`` to ``to_rate`` Hz (libswresample, band-limited)."""
    if rate == to_rate or not samples.size:
        return samples
    resampler = av.AudioResampler(format="fltp", layout="mono", rate=to_rate)
    pieces: list[Samples] = []
    frame = _frame(samples[None, :], rate)
    for out in [*resampler.resample(frame), *resampler.resample(None)]:
        pieces.append(out.to_ndarray()[0])
    return np.concatenate(pieces).astype(np.float32) if pieces else samples[:0]


def write_audio(path: Path, channels: Samples, rate: int, *, codec: str, bit_rate: int | None = None) -> None:
    """Write ``channels`` (shape [channels, n], -1..1 at ``rate`` Hz); the suffix of ``path`` picks the container.

    ``codec`` is an FFmpeg encoder: ``libopus`` (ogg), ``pcm_mulaw``, ``pcm_s16le`` (wav).
    """
    layout = "mono" if len(channels) == 1 else "stereo"
    with av.open(str(path), "w") as container:
        stream = cast(av.AudioStream, container.add_stream(codec, rate=rate, layout=layout))
        if bit_rate is not None:
            stream.bit_rate = bit_rate
        context = stream.codec_context
        resampler = av.AudioResampler(
            format=context.format, layout=layout, rate=rate, frame_size=context.frame_size or BLOCK
        )
        for start in range(0, channels.shape[1], BLOCK):
            frame = _frame(channels[:, start : start + BLOCK], rate)
            frame.pts, frame.time_base = start, Fraction(1, rate)
            for piece in resampler.resample(frame):
                container.mux(stream.encode(piece))
        for piece in resampler.resample(None):
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))


def _frame(channels: Samples, rate: int) -> av.AudioFrame:
    layout = "mono" if len(channels) == 1 else "stereo"
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(channels, np.float32), format="fltp", layout=layout)
    frame.sample_rate = rate
    return frame
