"""Voices are told apart and counted, blocks joined, words placed in speech and given to voices - on made-up voices."""

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from osler.kernel.engine_record import EngineRecord
from osler.kernel.spans import TimeSpan
from osler.speech.blocks import Block, blocks
from osler.speech.clustering import block_clusters, join_blocks, kmeans, unit
from osler.speech.diarization import SCORING, find_speakers, hear_voices, window_spans, word_affinity
from osler.speech.model import HeardWord
from osler.speech.ports import SAMPLE_RATE, Samples
from osler.speech.word_times import fit_words

DIMENSIONS = 64


def voices_apart(count: int, cosine: float, seed: int = 0) -> NDArray[np.float64]:
    """Return ``count`` unit vectors with the given cosine between any two."""
    basis, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((DIMENSIONS, count + 1)))
    shared, own = np.sqrt(cosine), np.sqrt(1 - cosine)
    return np.asarray((shared * basis[:, :1] + own * basis[:, 1:]).T)


def windows_of(voice: NDArray[np.float64], count: int, seed: int) -> NDArray[np.float64]:
    """Return windows of one voice: their cosine with it is about 0.9, as that of real windows of 1.6 s."""
    noise = np.random.default_rng(seed).standard_normal((count, DIMENSIONS)) * 0.48 / np.sqrt(DIMENSIONS)
    return unit(voice + noise)


@pytest.mark.parametrize("cosine", [0.5, 0.65, 0.75])
@pytest.mark.parametrize("sizes", [(9,), (60,), (11, 6), (16, 11), (60, 40), (90, 12), (50, 30, 20), (40, 30, 20, 10)])
def test_people_are_counted_and_told_apart(sizes: tuple[int, ...], cosine: float) -> None:
    voices = voices_apart(len(sizes), cosine)
    windows = np.concatenate([windows_of(v, n, seed) for seed, (v, n) in enumerate(zip(voices, sizes, strict=True))])
    order = np.random.default_rng(5).permutation(len(windows))
    found = block_clusters(windows[order])
    assert sorted(c.weight for c in found) == sorted(sizes)
    for cluster in found:
        assert max(voices @ cluster.centroid) > 0.95


def test_the_number_of_people_can_be_given() -> None:
    windows = np.concatenate([windows_of(v, 30, seed) for seed, v in enumerate(voices_apart(3, 0.6))])
    assert len(block_clusters(windows, exactly=2)) == 2
    assert len(block_clusters(windows, exactly=4)) == 4


def test_the_same_windows_give_the_same_voices() -> None:
    windows = np.concatenate([windows_of(v, 40, seed) for seed, v in enumerate(voices_apart(3, 0.6))])
    first, second = block_clusters(windows), block_clusters(windows.copy())
    assert all(np.array_equal(a.centroid, b.centroid) for a, b in zip(first, second, strict=True))


def test_few_windows_make_no_crowd() -> None:
    voices = voices_apart(2, 0.5)
    assert block_clusters(np.zeros((0, DIMENSIONS))) == []
    assert len(block_clusters(voices[:1])) == 1
    assert len(block_clusters(np.concatenate([windows_of(voices[0], 20, 0), voices[1:]]))) == 1


def test_voices_of_many_blocks_become_the_people_of_the_recording() -> None:
    voices = voices_apart(3, 0.6)
    present = [(0, 1), (0, 1), (1,), (0, 1, 2), (0, 2)]
    found = [
        block_clusters(np.concatenate([windows_of(voices[v], 40, 10 * number + v) for v in who]))
        for number, who in enumerate(present)
    ]
    people = join_blocks(found)
    assert people.shape == (3, DIMENSIONS)
    assert (voices @ people.T > 0.95).sum() == 3
    assert len(join_blocks(found, exactly=2)) == 2
    assert len(join_blocks([c for c in found for _ in range(4)])) == 3


def test_kmeans_finds_obvious_groups() -> None:
    points = np.array([[0.0, 0], [0, 1], [10, 0], [10, 1], [0, 10]])
    labels = kmeans(points, 3)
    assert labels[0] == labels[1] != labels[2] == labels[3] != labels[4] != labels[0]


def test_windows_stay_inside_regions_and_cover_them() -> None:
    regions = [TimeSpan(1.0, 1.1), TimeSpan(2.0, 2.55), TimeSpan(4.0, 7.03)]
    spans = window_spans(regions, SCORING)
    for start, end in spans:
        assert any(r.start <= start and end <= r.end + 1e-6 for r in regions)
        assert end - start <= SCORING.length + 1e-6
    assert not ((spans > 0.9) & (spans < 1.2)).any()
    long = spans[spans[:, 0] >= 4.0]
    assert len(spans) > len(long) > 0  # the short region has windows of its own
    assert (long[0, 0], long[-1, 1]) == (4.0, pytest.approx(7.03))
    assert np.diff(long[:, 0]).max() <= SCORING.hop + 1e-6


class PitchEncoder:
    """Tells voices apart by their loudest frequency: stands for the speaker encoder where tones stand for voices."""

    record = EngineRecord("pitch", "1")

    def embed(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        spectrum = np.abs(np.fft.rfft(windows, 1600, axis=1))[:, 10:74]  # 100 to 730 Hz
        return np.asarray(unit(spectrum), np.float32)


def conversation(turns: Sequence[tuple[float, float, float]], seconds: float) -> Samples:
    """Return silence with tones: (start, end, Hz)."""
    time = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    samples = np.zeros(len(time))
    for start, end, hertz in turns:
        samples += ((time >= start) & (time < end)) * np.sin(2 * np.pi * hertz * time) * 0.3
    noise = np.random.default_rng(1).standard_normal(len(time)) * 1e-3
    return np.asarray(samples + noise, np.float32)


def test_each_word_goes_to_the_voice_that_sounds_while_it_is_said() -> None:
    turns = [(i * 3.0, i * 3.0 + 2.6, (150.0, 250.0)[i % 2]) for i in range(10)]
    block = Block(100.0, conversation(turns, 30), tuple(TimeSpan(a, b) for a, b, _ in turns))
    voices = [hear_voices(block, PitchEncoder())]
    centroids = find_speakers(voices)
    assert len(centroids) == 2
    words = [HeardWord("word", 100 + a + d, 100 + a + d + 0.3, 0.9) for a, _, _ in turns for d in (0.0, 1.1, 2.3)]
    affinity = word_affinity(words, voices, centroids)
    assert affinity.shape == (30, 2)
    assert np.exp(affinity).sum(axis=1) == pytest.approx(np.ones(30), abs=1e-4)
    chosen = affinity.argmax(axis=1).reshape(10, 3)
    assert (chosen == chosen[:, :1]).all()
    assert len(set(chosen[::2, 0])) == len(set(chosen[1::2, 0])) == 1 and chosen[0, 0] != chosen[1, 0]


def test_words_of_which_sound_says_nothing_get_a_uniform_row() -> None:
    turns = [(i * 3.0, i * 3.0 + 2.6, (150.0, 250.0)[i % 2]) for i in range(10)]
    block = Block(0.0, conversation(turns, 30), tuple(TimeSpan(a, b) for a, b, _ in turns))
    voices = [hear_voices(block, PitchEncoder())]
    affinity = word_affinity([HeardWord("late", 50, 50.3, 0.5)], voices, find_speakers(voices))
    assert np.exp(affinity) == pytest.approx(np.full((1, 2), 0.5))
    nothing = find_speakers([hear_voices(Block(0.0, np.zeros(16_000, np.float32), ()), PitchEncoder())])
    alone = word_affinity([HeardWord("one", 0.1, 0.3, 0.5)], [], nothing)
    assert alone.tolist() == [[0.0]]


def test_a_block_too_short_for_windows_does_not_disturb_the_others() -> None:
    turns = [(i * 3.0, i * 3.0 + 2.6, (150.0, 250.0)[i % 2]) for i in range(10)]
    long = Block(0.0, conversation(turns, 30), tuple(TimeSpan(a, b) for a, b, _ in turns))
    short = Block(30.0, conversation([(0.1, 0.2, 150.0)], 1), (TimeSpan(0.1, 0.2),))
    voices = [hear_voices(block, PitchEncoder()) for block in (long, short)]
    words = [HeardWord("first", 0.2, 0.6, 0.9), HeardWord("last", 30.1, 30.2, 0.9)]
    affinity = word_affinity(words, voices, find_speakers(voices))
    assert affinity.shape == (2, 2)
    assert affinity[0].max() > np.log(0.9) and affinity[1] == pytest.approx(np.log([0.5, 0.5]))


REGIONS = [TimeSpan(1.0, 2.0), TimeSpan(2.5, 4.0), TimeSpan(8.0, 9.0)]


def heard(*spans: tuple[float, float]) -> list[HeardWord]:
    return [HeardWord(str(i), start, end, 0.9) for i, (start, end) in enumerate(spans)]


def test_a_word_said_after_a_pause_does_not_begin_before_it() -> None:
    first, after, last = fit_words(heard((0.9, 1.7), (1.8, 2.8), (2.8, 3.9)), REGIONS)
    assert (first.start, first.end) == (1.0, 2.0)  # alone in its region: it reaches to both edges
    assert (after.start, after.end) == (2.5, 2.8)
    assert (last.start, last.end) == (2.8, 4.0)


def test_words_in_silence_go_to_the_nearest_speech_and_order_is_kept() -> None:
    fitted = fit_words(heard((3.5, 3.9), (4.1, 4.4), (7.3, 7.8), (8.2, 8.5), (12.0, 12.5)), REGIONS)
    assert all(any(r.start <= w.start < w.end <= r.end + 0.021 for r in REGIONS) for w in fitted)
    assert fitted[1].end <= 4.03 and fitted[2].start == 8.0
    assert [w.text for w in fitted] == list("01234")
    assert all(a.start <= b.start for a, b in pairwise(fitted))


def test_without_measured_speech_words_keep_their_times() -> None:
    words = heard((0.5, 0.9), (1.0, 1.4))
    assert fit_words(words, []) == words


class LoudnessDetector:
    """Speech is what is loud, per 10 ms: stands for the detector where tones stand for speech."""

    record = EngineRecord("loudness", "1")

    def __init__(self) -> None:
        self.longest = 0

    def regions(self, samples: Samples, *, between: Callable[[], None] = lambda: None) -> list[TimeSpan]:
        self.longest = max(self.longest, len(samples))
        loud = np.abs(samples[: len(samples) // 160 * 160]).reshape(-1, 160).max(axis=1) > 0.1
        edges = np.flatnonzero(np.diff(np.concatenate(([False], loud, [False])).astype(int)))
        return [TimeSpan(a / 100, b / 100) for a, b in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)]


def streamed(samples: Samples, size: int = 7_001) -> Iterable[Samples]:
    return (samples[i : i + size] for i in range(0, len(samples), size))


def test_blocks_are_cut_in_the_longest_late_pause_and_lose_nothing() -> None:
    turns = [(0.2, 7.0, 200.0), (7.2, 8.0, 200.0), (9.0, 13.0, 200.0), (13.1, 24.0, 200.0)]
    samples = conversation(turns, 25)
    detector = LoudnessDetector()
    found = list(blocks(streamed(samples), detector, max_seconds=10))
    assert np.array_equal(np.concatenate([b.samples for b in found]), samples)
    assert found[0].end == pytest.approx(8.5, abs=0.05)
    assert [b.start for b in found[1:]] == [b.end for b in found[:-1]]
    assert detector.longest <= 10 * SAMPLE_RATE
    for block in found:
        assert all(0 <= r.start < r.end <= len(block.samples) / SAMPLE_RATE + 1e-6 for r in block.regions)
    said = sum(r.duration for b in found for r in b.regions)
    assert said == pytest.approx(sum(b - a for a, b, _ in turns), abs=0.2)


def test_a_recording_of_one_block_is_not_cut() -> None:
    samples = conversation([(1.0, 9.0, 200.0)], 10)
    (only,) = blocks(streamed(samples), LoudnessDetector(), max_seconds=10)
    assert np.array_equal(only.samples, samples) and only.start == 0
