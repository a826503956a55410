"""The sound of a recording is that of its segments in their order, decoded from the vault as it is read."""

import io
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from osler.audio.assembly import AssembledSound, audio_content, missing_indexes, segment_ends, transcription_id
from osler.audio.model import SAMPLE_RATE, Segment
from osler.kernel.errors import CorruptedError, EmptyAudioError, ErasedError, NotAudioError
from osler.kernel.ids import new_id
from osler.storage.blobs.local import LocalObjects
from osler.storage.blobs.vault import SealedBlobVault
from osler.storage.sealing.deployment import DeploymentSecret
from osler.storage.sealing.keys import KeyRing, MasterKey
from tests.pipeline_lab import chunks_of, tones
from tests.unit.test_audio_decode import FORMATS, power_at, write_tone

pytestmark = pytest.mark.anyio


@pytest.fixture
def vault(tmp_path: Path) -> SealedBlobVault:
    ring = KeyRing(MasterKey(b"a key of tests only, of 32 bytes"))
    return SealedBlobVault(LocalObjects(tmp_path / "blobs"), ring, DeploymentSecret.create(ring)[1])


async def stored(vault: SealedBlobVault, data: bytes, index: int = 0, seconds: float | None = None) -> Segment:
    blob = await vault.store("o", chunks_of(data))
    return Segment(new_id(), "o", "e", "r", index, datetime.now(UTC), blob, seconds=seconds)


@pytest.mark.parametrize("kind", FORMATS)
async def test_every_format_is_decoded_from_the_vault(kind: str, vault: SealedBlobVault, tmp_path: Path) -> None:
    segment = await stored(vault, write_tone(tmp_path / "tone", kind, seconds=12).read_bytes())
    sound = AssembledSound([segment], vault)
    samples = np.concatenate(list(sound))
    assert sound.seconds == pytest.approx(12, abs=0.1) and not sound.truncated and sound.warnings == ()
    assert sound.lengths[segment.id] == pytest.approx(sound.seconds)
    assert power_at(samples[7 * SAMPLE_RATE : 11 * SAMPLE_RATE], 440) > 0.4
    assert audio_content(segment, vault).seconds == pytest.approx(12, abs=0.1)


async def test_segments_are_joined_by_index_without_a_gap(vault: SealedBlobVault) -> None:
    segments = [await stored(vault, tones(n), n, seconds=1.0) for n in (2, 0, 1)]
    sound = AssembledSound(segments, vault)
    assert sound.declared == pytest.approx(3.0)
    samples = np.concatenate(list(sound))
    assert len(samples) == 3 * SAMPLE_RATE and sound.seconds == 3.0
    for n in range(3):
        assert power_at(samples[n * SAMPLE_RATE : (n + 1) * SAMPLE_RATE], 400 + 200 * n) > 0.4


async def test_silence_stands_where_segments_never_came(vault: SealedBlobVault) -> None:
    segments = [await stored(vault, tones(n), n, seconds=1.0) for n in (2, 3, 7)]
    sound = AssembledSound(segments, vault)
    assert sound.declared == pytest.approx(4.0)
    samples = np.concatenate(list(sound))
    assert len(samples) == 4 * SAMPLE_RATE and sound.seconds == 4.0
    assert not samples[2 * SAMPLE_RATE : 3 * SAMPLE_RATE].any()
    assert power_at(samples[3 * SAMPLE_RATE :], 400 + 200 * 7) > 0.4
    assert segment_ends(segments) == [1.0, 2.0, 4.0]


async def test_segments_that_never_came_are_named_and_those_that_break_off_too(vault: SealedBlobVault) -> None:
    cut = tones(0, seconds=4.0)[: 2 * 2 * SAMPLE_RATE]
    segments = [await stored(vault, cut, 0), *[await stored(vault, tones(n), n) for n in (3, 12)]]
    sound = AssembledSound(segments, vault)
    assert sound.declared is None
    list(sound)
    assert sound.warnings[0] == "Parts of the recording never arrived: segments 1, 2, 4, 5, 6 and 5 more."
    assert sound.warnings[1].startswith("Segment 0: The recording breaks off after 2.0 s")
    assert not sound.truncated
    last = AssembledSound([*segments[1:], await stored(vault, cut, 13)], vault)
    list(last)
    assert last.truncated


async def test_a_recording_without_its_bytes_is_said_to_be_erased_or_empty(vault: SealedBlobVault) -> None:
    erased = Segment(new_id(), "o", "e", "r", 0, datetime.now(UTC), None)
    with pytest.raises(ErasedError):
        list(AssembledSound([erased], vault))
    with pytest.raises(ErasedError):
        audio_content(erased, vault)
    with pytest.raises(EmptyAudioError):
        list(AssembledSound([], vault))


async def test_damage_to_a_stored_segment_is_told_as_such_and_not_as_other_audio(
    vault: SealedBlobVault, tmp_path: Path
) -> None:
    """It may be repaired from a backup; bytes that are no audio cannot be."""
    segment = await stored(vault, tones(*range(8), seconds=10))
    (path,) = [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()]
    data = bytearray(path.read_bytes())
    data[len(data) * 3 // 4] ^= 1
    path.write_bytes(data)
    with pytest.raises(CorruptedError):
        list(AssembledSound([segment], vault))
    data[40] ^= 1
    path.write_bytes(data)
    with pytest.raises(CorruptedError):
        audio_content(segment, vault)


class CountingFile(io.BytesIO):
    taken = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.taken += len(data)
        return data


async def test_only_the_beginning_of_a_long_file_is_read_to_know_that_it_is_audio(
    vault: SealedBlobVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tones(0, seconds=600.0)
    segment = await stored(vault, data)
    files: list[CountingFile] = []

    def opened(blob: object) -> CountingFile:
        files.append(CountingFile(data))
        return files[-1]

    monkeypatch.setattr(vault, "open", opened)
    assert audio_content(segment, vault).seconds == pytest.approx(600)
    assert all(file.closed for file in files) and sum(file.taken for file in files) < len(data) / 10


async def test_what_is_no_audio_is_refused(vault: SealedBlobVault) -> None:
    segment = await stored(vault, b"The visit began at nine. " * 4000)
    with pytest.raises(NotAudioError):
        audio_content(segment, vault)


def test_gaps_are_those_below_the_highest_index() -> None:
    assert missing_indexes([]) == () and missing_indexes([0, 1]) == ()
    assert missing_indexes([5, 0, 2]) == (1, 3, 4)


def test_the_work_on_a_recording_is_named_after_it_and_its_segments() -> None:
    one, two = (Segment(name, "o", "e", "r", 0, datetime.now(UTC), None) for name in ("a", "b"))
    ids = {transcription_id("r", s) for s in ([], [one], [two], [one, two])} | {transcription_id("q", [one])}
    assert len(ids) == 5 and transcription_id("r", [one, two]) in ids
