"""A browser's recorder for tests: WebM with Opus as it streams it, and slices cut from it at any byte."""

import io
import random
from itertools import pairwise
from typing import Literal

import av
import numpy as np
from numpy.typing import NDArray

RATE = 48_000
CLUSTER = b"\x1f\x43\xb6\x75"


def recorded(
    *tones: int, seconds: float = 1.0, layout: Literal["mono", "stereo"] = "mono", live: bool = True, tag: str = "webm"
) -> bytes:
    """Return a recording of tones with some noise, as a recorder streams it (``live``) or as a file with an index."""
    samples = _sound(tones, seconds)
    out = io.BytesIO()
    # One second in a cluster, so that a short recording has several.
    options = {"live": "1", "cluster_time_limit": "1000"} if live and tag == "webm" else {}
    with av.open(out, "w", format=tag, options=options) as container:
        stream = container.add_stream("libopus", rate=RATE)
        stream.layout = layout
        stream.bit_rate = 32_000
        channels = 2 if layout == "stereo" else 1
        for start in range(0, len(samples), RATE // 50):
            piece = np.tile(samples[start : start + RATE // 50], (channels, 1))
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(piece.T.reshape(1, -1)), "flt", layout)
            frame.sample_rate, frame.pts = RATE, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return out.getvalue()


def cut(data: bytes, positions: list[int]) -> list[bytes]:
    """Return the pieces between positions."""
    edges = [0, *sorted(positions), len(data)]
    return [data[a:b] for a, b in pairwise(edges)]


def cut_anywhere(data: bytes, pieces: int, seed: int, first: int = 600) -> list[bytes]:
    """Cut at random bytes behind ``first``."""
    return cut(data, random.Random(seed).sample(range(first, len(data)), pieces - 1))


def cut_at_clusters(data: bytes) -> list[bytes]:
    """Cut in front of each cluster but the first."""
    found = [place for place in range(len(data)) if data.startswith(CLUSTER, place)]
    return cut(data, found[1:])


def _sound(tones: tuple[int, ...], seconds: float) -> NDArray[np.float32]:
    time = np.arange(round(seconds * RATE)) / RATE
    pieces = [np.sin(2 * np.pi * (400 + 200 * n) * time) * (0.5 if n >= 0 else 0.0) for n in tones]
    noise = np.random.default_rng(len(tones)).normal(0, 0.001, len(time) * len(tones))
    sound: NDArray[np.float32] = (np.concatenate(pieces) + noise).astype(np.float32)
    return sound
