"""Slices of a browser's recorder, cut at any byte, sound as the recording did: no sample is lost, none comes twice."""

import io
import random
from datetime import UTC, datetime
from typing import Any, BinaryIO, Literal

import numpy as np
import pytest

from osler.audio import slices
from osler.audio.assembly import AssembledSound, SegmentSound, audio_content
from osler.audio.decode import read_recording
from osler.audio.model import SAMPLE_RATE, Samples, Segment
from osler.kernel.blobs import StoredBlob
from osler.kernel.errors import EmptyAudioError, ErasedError, NotAudioError
from tests.pipeline_lab import tones
from tests.unit.test_audio_decode import power_at
from tests.webm_lab import cut, cut_anywhere, cut_at_clusters, recorded

# The two streams that browsers record, cut by the same rules.
SECONDS = 6
TONES = tuple(range(SECONDS))
STREAM = recorded(*TONES)


class PlainVault:
    """Keeps bytes in memory; only opening them is asked of it."""

    store: Any = None
    stream: Any = None
    delete: Any = None
    signed_url: Any = None

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    def open(self, blob: StoredBlob) -> BinaryIO:
        return io.BytesIO(self.kept[blob.id])

    def segment(self, data: bytes, index: int) -> Segment:
        name = f"s{len(self.kept)}"
        self.kept[name] = data
        return Segment(name, "o", "e", "r", index, datetime.now(UTC), StoredBlob(name, len(data), "", None))

    def segments(self, pieces: list[bytes]) -> list[Segment]:
        return [self.segment(piece, index) for index, piece in enumerate(pieces)]


@pytest.fixture
def vault() -> PlainVault:
    return PlainVault()


def decoded(data: bytes) -> Samples:
    return np.concatenate(list(read_recording(io.BytesIO(data))))


def heard(segments: list[Segment], vault: PlainVault) -> Samples:
    return np.concatenate(list(AssembledSound(segments, vault)))


@pytest.mark.parametrize("pieces", [2, 7, 40])
@pytest.mark.parametrize("seed", range(6))
def test_slices_cut_anywhere_sound_as_the_whole_to_the_sample(pieces: int, seed: int, vault: PlainVault) -> None:
    segments = vault.segments(cut_anywhere(STREAM, pieces, seed))
    random.Random(seed).shuffle(segments)
    sound = AssembledSound(segments, vault)
    assert np.array_equal(np.concatenate(list(sound)), decoded(STREAM))
    assert sound.warnings == () and not sound.truncated and sound.seconds == pytest.approx(SECONDS, abs=0.03)


@pytest.mark.parametrize("seed", range(8))
def test_slices_of_an_ogg_stream_are_heard_whole_and_by_themselves_too(seed: int, vault: PlainVault) -> None:
    data = recorded(*TONES, tag="ogg")
    shift = random.Random(seed).randrange(-300, 300)
    segments = vault.segments(cut(data, [len(data) * part // 3 + shift for part in range(1, 3)]))
    for segment in random.Random(seed).sample(segments, len(segments)):
        others = [other for other in segments if other.index > segment.index or seed % 2]
        assert audio_content(segment, vault, others).seconds
    assert np.array_equal(heard(segments, vault), decoded(data))
    assert AssembledSound(segments, vault).warnings == ()
    alone = [SegmentSound(segment, segments, vault) for segment in segments]
    for sound in alone:
        list(sound)
    assert sum(sound.seconds for sound in alone) == pytest.approx(SECONDS, abs=0.05)
    gap = AssembledSound([segments[0], segments[2]], vault)
    samples = np.concatenate(list(gap))
    whole = decoded(data)
    assert len(samples) < len(whole) and np.abs(samples[-8000:] - whole[-8000:]).max() < 0.02


@pytest.mark.parametrize("layout", ["mono", "stereo"])
@pytest.mark.parametrize("live", [True, False], ids=["as streamed", "with an index"])
def test_slices_cut_at_clusters_sound_as_the_whole(
    layout: Literal["mono", "stereo"], live: bool, vault: PlainVault
) -> None:
    data = recorded(*TONES, layout=layout, live=live)
    pieces = cut_at_clusters(data) if live else cut_anywhere(data, 5, 1)
    assert len(pieces) >= 5
    assert np.array_equal(heard(vault.segments(pieces), vault), decoded(data))


def test_a_cut_inside_of_the_header_or_of_an_elements_head_does_no_harm(vault: PlainVault) -> None:
    first = STREAM.index(b"\x1f\x43\xb6\x75")
    for position in (4, 60, first - 3, first + 2, first + 6, first + 9, first + 12, first + 14):
        segments = vault.segments(cut(STREAM, [position, 9000]))
        assert np.array_equal(heard(segments, vault), decoded(STREAM)), position


@pytest.mark.parametrize("seed", range(6))
def test_each_slice_is_believed_and_heard_by_itself_in_whatever_order_it_comes(seed: int, vault: PlainVault) -> None:
    shift = random.Random(seed).randrange(-900, 900)
    pieces = cut(STREAM, [len(STREAM) * part // 5 + shift for part in range(1, 5)])
    segments = vault.segments(pieces)
    random.Random(seed).shuffle(segments)
    there: list[Segment] = []
    for segment in segments:
        content = audio_content(segment, vault, there)
        assert content.seconds is not None
        there.append(segment)
    total = 0.0
    for segment in segments:
        sound = SegmentSound(segment, segments, vault)
        list(sound)
        assert not sound.truncated and sound.warnings == ()
        total += sound.seconds
    # A decoder takes 6.5 ms to start (RFC 7845, section 4.2); nothing else is lost between two slices.
    assert SECONDS - 0.01 * len(pieces) < total < SECONDS + 0.02


def test_the_words_of_a_slice_are_there_before_the_one_with_the_header(vault: PlainVault) -> None:
    pieces = cut_at_clusters(STREAM)
    third = vault.segment(pieces[3], 3)
    assert audio_content(third, vault, []).seconds == pytest.approx(1.0, abs=0.05)
    samples = np.concatenate(list(SegmentSound(third, [], vault)))
    assert power_at(samples[2000:14000], 400 + 200 * 3) > 0.4


def test_behind_a_gap_the_stream_is_taken_up_again_at_the_next_block(vault: PlainVault) -> None:
    pieces = cut(STREAM, [6000, 9000, 15_000])
    segments = [segment for segment in vault.segments(pieces) if segment.index != 1]
    sound = AssembledSound(segments, vault)
    samples = np.concatenate(list(sound))
    whole = decoded(STREAM)
    missing = 3000 / len(STREAM) * SECONDS
    assert sound.warnings == ("Parts of the recording never arrived: segments 1.",)
    # A second of silence stands where something is missing.
    assert len(samples) / SAMPLE_RATE == pytest.approx(SECONDS - missing + 1.0, abs=0.2)
    # What comes after is all there: the last second is the one of the whole.
    assert np.abs(samples[-SAMPLE_RATE:] - whole[-SAMPLE_RATE:]).max() < 0.02
    without_head = AssembledSound(segments[1:], vault)
    assert len(np.concatenate(list(without_head))) / SAMPLE_RATE > SECONDS * 0.4


def test_a_recorder_that_is_started_again_begins_a_stream_of_its_own(vault: PlainVault) -> None:
    other = recorded(6, 7)
    segments = vault.segments([*cut_anywhere(STREAM, 3, 1), *cut_anywhere(other, 3, 2)])
    assert np.array_equal(heard(segments, vault), np.concatenate([decoded(STREAM), decoded(other)]))


def test_files_of_their_own_and_slices_may_stand_in_one_recording(vault: PlainVault) -> None:
    segments = vault.segments([tones(0), *cut_anywhere(STREAM, 3, 1), tones(1)])
    expected = np.concatenate([decoded(tones(0)), decoded(STREAM), decoded(tones(1))])
    assert np.array_equal(heard(segments, vault), expected)
    assert audio_content(segments[0], vault, segments).seconds == 1.0


def test_what_is_no_slice_is_refused_wherever_it_would_stand(vault: PlainVault) -> None:
    pieces = cut_anywhere(STREAM, 3, 1)
    head = vault.segment(pieces[0], 0)
    wrong = [
        b"The patient says that it hurts. " * 2000,
        random.Random(1).randbytes(60_000),
        random.Random(2).randbytes(3000),
        STREAM[2000:2100] + b"and then some text that goes on and on " * 40,
    ]
    for data in wrong:
        for index, others in ((0, []), (1, [head]), (4, [head]), (4, [])):
            with pytest.raises((NotAudioError, EmptyAudioError)):
                audio_content(vault.segment(data, index), vault, others)


def test_a_slice_that_does_not_go_on_where_the_one_before_ends_is_refused(vault: PlainVault) -> None:
    first, second, third = cut(STREAM, [7000, 14_000])
    head = vault.segment(first, 0)
    assert audio_content(vault.segment(second, 1), vault, [head]).seconds
    with pytest.raises(NotAudioError):
        audio_content(vault.segment(third, 1), vault, [head])


def test_the_last_few_bytes_of_a_stream_are_taken_though_no_block_is_whole_in_them(vault: PlainVault) -> None:
    first, middle, last = cut(STREAM, [7000, len(STREAM) - 20])
    head, tail = vault.segment(first, 0), vault.segment(last, 2)
    assert audio_content(tail, vault, [head]).seconds == 0.0
    assert list(SegmentSound(tail, [head], vault)) == []
    with pytest.raises(NotAudioError):
        audio_content(tail, vault, [])
    segments = [head, vault.segment(middle, 1), tail]
    assert np.array_equal(heard(segments, vault), decoded(STREAM))


def test_the_header_alone_may_be_the_first_slice_but_is_no_recording(vault: PlainVault) -> None:
    first = STREAM.index(b"\x1f\x43\xb6\x75")
    head, rest = vault.segments(cut(STREAM, [first]))
    assert audio_content(head, vault, []).seconds == 0.0
    with pytest.raises((EmptyAudioError, NotAudioError)):
        audio_content(head, vault)
    assert np.array_equal(heard([head, rest], vault), decoded(STREAM))


def test_an_erased_slice_is_said_to_be_erased(vault: PlainVault) -> None:
    head, rest = vault.segments(cut(STREAM, [7000]))
    gone = Segment(rest.id, "o", "e", "r", 1, rest.received_at, None)
    with pytest.raises(ErasedError):
        heard([head, gone], vault)


def test_a_joined_file_reads_as_its_pieces_do() -> None:
    file = slices.joined([b"ab", (io.BytesIO(b"xxcdefg"), 2), b"", (io.BytesIO(b"hij"), 0)])
    assert file.read() == b"abcdefghij"
    for start in range(11):
        file.seek(start)
        assert file.read(3) == b"abcdefghij"[start : start + 3] and file.tell() == min(start + 3, max(10, start))
    assert file.seek(-2, io.SEEK_END) == 8 and file.read() == b"ij"
    with pytest.raises(ValueError):
        file.seek(-20, io.SEEK_CUR)
