"""How a stream of bytes is cut: in pauses, never inside a sample, in bounded pieces, and again in the same way."""

import io
import wave

import numpy as np
import pytest

from osler.audio.model import SAMPLE_RATE
from osler.audio.streaming import CONTAINER_BYTES, CONTAINER_SECONDS, WAIT, SegmentCutter, StreamFormat, wav_header
from tests.stream_lab import SECOND, noise


class Clock:
    """Time that a test turns."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def speech(seconds: float) -> bytes:
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return bytes((9000 * np.sin(2 * np.pi * 300 * time)).astype("<i2").tobytes())


def silence(seconds: float) -> bytes:
    return bytes(round(seconds * SAMPLE_RATE) * 2)


def cut(sound: bytes, size: int) -> list[bytes]:
    """Send a sound in messages of ``size`` bytes and return the segments."""
    cutter = SegmentCutter(StreamFormat.PCM, Clock())
    segments = []
    for start in range(0, len(sound), size):
        cutter.add(sound[start : start + size])
        if taken := cutter.take():
            segments.append(taken)
    while taken := cutter.take(all_of_it=True):
        segments.append(taken)
    return segments


def test_samples_are_cut_in_the_first_pause_after_five_seconds() -> None:
    sound = speech(3) + silence(0.5) + speech(3) + silence(0.6) + speech(3)
    first, second = cut(sound, 4000)
    assert 6.5 * SECOND < len(first) < 7.1 * SECOND
    assert first + second == sound


@pytest.mark.parametrize("size", [1, 3001, 64_000, 10**6])
def test_speech_without_a_pause_is_cut_at_ten_seconds_at_the_latest_and_nothing_is_lost(size: int) -> None:
    sound = noise(2.5 if size == 1 else 34)
    segments = cut(sound, size)
    assert b"".join(segments) == sound
    assert all(len(segment) <= 10 * SECOND and len(segment) % 2 == 0 for segment in segments)
    assert all(len(segment) >= 5 * SECOND for segment in segments[:-1])


def test_an_odd_byte_waits_for_its_other_half() -> None:
    clock = Clock()
    cutter = SegmentCutter(StreamFormat.PCM, clock)
    cutter.add(noise(1) + b"x")
    clock.now = WAIT
    assert cutter.take() == noise(1) and len(cutter) == 1


def test_who_pauses_has_what_came_stored_after_a_while() -> None:
    clock = Clock()
    cutter = SegmentCutter(StreamFormat.PCM, clock)
    assert cutter.due is None
    cutter.add(noise(2))
    assert cutter.due == WAIT and cutter.take() == b""
    clock.now = WAIT
    assert cutter.take() == noise(2) and cutter.due is None


def test_a_stream_in_a_container_is_cut_between_messages_by_age_or_size() -> None:
    clock = Clock()
    cutter = SegmentCutter(StreamFormat.WEBM, clock)
    cutter.add(b"a" * 100)
    clock.now = CONTAINER_SECONDS - 0.1
    assert cutter.take() == b""
    cutter.add(b"b" * 50)
    clock.now = CONTAINER_SECONDS
    assert cutter.take() == b"a" * 100 + b"b" * 50
    cutter.add(b"c" * CONTAINER_BYTES)
    assert len(cutter.take()) == CONTAINER_BYTES


def test_a_segment_of_samples_is_a_wav_file_that_holds_them() -> None:
    stored = StreamFormat.PCM.segment(noise(1))
    with wave.open(io.BytesIO(stored)) as file:
        assert file.getparams()[:4] == (1, 2, SAMPLE_RATE, SAMPLE_RATE)
        assert file.readframes(SAMPLE_RATE) == noise(1)
    assert len(wav_header(0)) == 44
