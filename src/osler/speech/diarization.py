"""Who may have said each word, by sound: speaker embeddings of windows, clusters of voices, an affinity per word."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from osler.kernel.engine_record import EngineRecord
from osler.kernel.spans import TimeSpan
from osler.speech.blocks import Block
from osler.speech.clustering import MAX_SPEAKERS, block_clusters, join_blocks
from osler.speech.model import HeardWord
from osler.speech.ports import SAMPLE_RATE, Samples, SpeakerEncoder

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class WindowPlan:
    """Where windows lie inside a region of speech: ``length`` and ``hop`` in seconds, none in regions below ``least``.

    A region shorter than ``length`` gets one window as long as itself.
    """

    length: float
    hop: float
    least: float


CLUSTERING: Final = WindowPlan(length=1.6, hop=0.5, least=0.8)
"""Windows that decide which voices there are: as long as those that the encoder was trained on."""

SCORING: Final = WindowPlan(length=0.8, hop=0.2, least=0.2)
"""Windows that decide who said a word: short, because turns can be, and never across a pause."""

_LENGTH_STEP: Final = 0.1
"""Seconds; windows are cut to multiples of this, so that they can be embedded in batches of equal length."""

_SHARPNESS: Final = 6.0
"""Log-odds per unit of cosine, times the distance of the two voices compared; set by likelihood on known visits."""


_BATCH: Final = 256
"""Windows handed to the encoder at a time, which bounds memory."""


@dataclass(frozen=True, slots=True)
class Voices:
    """What is kept of a block's sound: the embeddings (shape [m, d]) of its windows for clustering and for scoring.

    ``score_spans`` (shape [m, 2]) says where the latter lie, in seconds from the start of the recording, in order.
    """

    cluster_embeddings: Floats
    score_spans: NDArray[np.float64]
    score_embeddings: Floats


def hear_voices(block: Block, encoder: SpeakerEncoder) -> Voices:
    """Embed the windows of one block."""
    cluster_spans = window_spans(block.regions, CLUSTERING)
    score_spans = window_spans(block.regions, SCORING)
    return Voices(
        _embed(block.samples, cluster_spans, encoder, fill=CLUSTERING.length),
        score_spans + block.start,
        _embed(block.samples, score_spans, encoder),
    )


def find_speakers(voices: Sequence[Voices], speakers: int | None = None) -> Floats:
    """Return the unit centroids (shape [k, d]) of the people heard; ``speakers`` None estimates k, 1 to 4.

    Blocks are clustered one by one and their centroids joined, so that the work grows with the length of the
    recording and not with its square.
    """
    found = [block_clusters(v.cluster_embeddings) for v in voices]
    centroids = join_blocks(found, at_most=MAX_SPEAKERS, exactly=speakers)
    if speakers is not None and len(centroids) < speakers:
        found = [block_clusters(v.cluster_embeddings, exactly=speakers) for v in voices]
        centroids = join_blocks(found, exactly=speakers)
    return np.asarray(centroids, np.float32)


def word_affinity(words: Sequence[HeardWord], voices: Sequence[Voices], centroids: Floats) -> Floats:
    """Return the log-probability (shape [n words, k]) of each word belonging to each voice, by sound alone.

    A softmax over the scaled cosines of the windows around the word, nearer ones weighing more. A word without a
    window gets a uniform row. Without centroids there is one voice.
    """
    k = max(len(centroids), 1)
    affinity = np.full((len(words), k), -np.log(k), np.float32)
    if k == 1:
        return affinity
    heard = [v for v in voices if len(v.score_spans)]
    if not heard:
        return affinity
    spans = np.concatenate([v.score_spans for v in heard])
    cosines = np.concatenate([v.score_embeddings for v in heard]) @ centroids.T
    apart = 1 - centroids @ centroids.T
    scale = _SHARPNESS / max(float(apart[np.triu_indices(k, 1)].min()), 0.1)
    for i, word in enumerate(words):
        first = int(np.searchsorted(spans[:, 0], word.start - SCORING.length))
        last = int(np.searchsorted(spans[:, 0], word.end))
        near = spans[first:last]
        overlap = np.minimum(near[:, 1], word.end) - np.maximum(near[:, 0], word.start)
        distance = np.abs(near.mean(axis=1) - (word.start + word.end) / 2)
        weight = np.where(overlap > 0, overlap * np.maximum(1 - distance / SCORING.length, 0.05), 0)
        if weight.sum() > 0:
            scaled = scale * (weight @ cosines[first:last]) / weight.sum()
            affinity[i] = scaled - np.logaddexp.reduce(scaled)
    return affinity


def diarizer_record(encoder: SpeakerEncoder, detector: EngineRecord, speakers: int | None) -> EngineRecord:
    """Return what is stored of how speakers were told apart."""
    record = encoder.record
    return EngineRecord(
        record.label,
        record.version,
        {
            **record.options,
            "voice_activity": detector.label,
            "clustering": "spectral",
            "cluster_window_seconds": CLUSTERING.length,
            "score_window_seconds": SCORING.length,
            "speakers_given": speakers,
        },
    )


def window_spans(regions: Sequence[TimeSpan], plan: WindowPlan) -> NDArray[np.float64]:
    """Return the windows (shape [m, 2], seconds) that a plan lays into the regions, in time order."""
    spans: list[tuple[float, float]] = []
    for region in regions:
        length = min(plan.length, np.floor(region.duration / _LENGTH_STEP + 1e-6) * _LENGTH_STEP)
        if length < plan.least - 1e-6:
            continue
        room = region.duration - length
        for start in np.linspace(region.start, region.start + room, int(np.ceil(room / plan.hop - 1e-6)) + 1):
            spans.append((float(start), float(start + length)))
    return np.array(spans, np.float64).reshape(-1, 2)


def _embed(samples: Samples, spans: NDArray[np.float64], encoder: SpeakerEncoder, fill: float = 0.0) -> Floats:
    """Embed the windows at ``spans``; windows shorter than ``fill`` seconds are repeated to that length."""
    lengths = np.round((spans[:, 1] - spans[:, 0]) / _LENGTH_STEP).astype(int)
    embeddings: dict[int, NDArray[np.float32]] = {}
    for length in sorted(set(lengths.tolist())):
        rows = np.flatnonzero(lengths == length)
        size = round(length * _LENGTH_STEP * SAMPLE_RATE)
        for first in range(0, len(rows), _BATCH):
            batch = rows[first : first + _BATCH]
            starts = np.round(spans[batch, 0] * SAMPLE_RATE).astype(int)
            windows = np.stack([_window(samples, int(start), size) for start in starts])
            if size < fill * SAMPLE_RATE:
                filled = round(fill * SAMPLE_RATE)
                windows = np.tile(windows, (1, -(-filled // size)))[:, :filled]
            embeddings.update(zip(batch.tolist(), encoder.embed(windows), strict=True))
    if not embeddings:
        return np.zeros((0, 0), np.float32)
    return np.stack([embeddings[row] for row in range(len(spans))])


def _window(samples: Samples, start: int, size: int) -> Samples:
    piece = samples[start : start + size]
    return piece if len(piece) == size else np.pad(piece, (0, size - len(piece)))
