"""Audio is taken in whole or not at all: allowed, durable, proven to be audio, once; and only then acknowledged."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from osler.access.model import ConsentPolicy
from osler.audio.model import RecordingKind, RecordingState, SegmentStatus
from osler.audio.service import RecordingTimes
from osler.audit.model import OPERATOR
from osler.encounters.model import ErasureReason, ErasureScope
from osler.kernel.errors import (
    ConflictError,
    ConsentRequiredError,
    DatabaseUnavailableError,
    EmptyAudioError,
    ErasedError,
    InvalidFieldError,
    NotAudioError,
    NotFoundError,
)
from osler.kernel.jobs import JobKind
from osler.kernel.transactions import Transaction, joining
from osler.storage.database import SqlDatabase
from tests.pipeline_lab import CLIENT, Laboratory, chunks_of, laboratory, tones

pytestmark = pytest.mark.anyio


@pytest.fixture
async def lab(database: SqlDatabase, tmp_path: Path) -> Laboratory:
    return await laboratory(database, tmp_path)


async def test_an_upload_is_kept_byte_for_byte_with_its_length_and_its_work(lab: Laboratory) -> None:
    encounter = await lab.encounter()
    data = tones(0, 1, 2)
    started = datetime(2026, 3, 1, 9, tzinfo=UTC)
    recording, segment = await lab.audio.upload(
        CLIENT, lab.organization.id, encounter.id, chunks_of(data), times=lambda: RecordingTimes(started)
    )
    (standing,) = await lab.audio.recordings(lab.organization.id, encounter.id)
    assert standing == recording
    assert (recording.kind, recording.state) == (RecordingKind.USER_UPLOADED, RecordingState.FINISHED)
    assert recording.duration == pytest.approx(3.0) and recording.ended_at == started + timedelta(seconds=3)
    _, (kept,) = await lab.audio.segments(lab.organization.id, encounter.id, recording.id)
    assert kept == segment and kept.blob is not None and kept.status is SegmentStatus.PENDING
    assert b"".join([piece async for piece in lab.vault.stream(kept.blob)]) == data
    assert [job.kind for job in await lab.jobs_of(encounter)] == [JobKind.TRANSCRIBE_RECORDING]
    trail = await lab.audit.list(lab.organization.id, encounter_id=encounter.id)
    assert "recording.uploaded" in [entry.event.action for entry in trail]


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", EmptyAudioError),
        (b"The patient says that it hurts. " * 1000, NotAudioError),
        (tones(0)[:44], EmptyAudioError),
        (bytes(100_000), NotAudioError),
    ],
    ids=["nothing", "text", "a header without sound", "zeros"],
)
async def test_what_is_not_audio_is_refused_and_leaves_nothing(
    data: bytes, error: type[Exception], lab: Laboratory
) -> None:
    encounter = await lab.encounter()
    with pytest.raises(error):
        await lab.upload(encounter, data)
    recording_id = await lab.start(encounter)
    with pytest.raises(error):
        await lab.segment(encounter, recording_id, 0, data)
    assert lab.stored_blobs() == 0
    assert [r.id for r in await lab.audio.recordings(lab.organization.id, encounter.id)] == [recording_id]
    assert await lab.jobs_of(encounter) == []


async def test_a_client_that_breaks_off_leaves_nothing(lab: Laboratory) -> None:
    async def breaking_off() -> AsyncIterator[bytes]:
        yield tones(0)[:10_000]
        raise ConnectionError

    encounter = await lab.encounter()
    with pytest.raises(ConnectionError):
        await lab.audio.upload(CLIENT, lab.organization.id, encounter.id, breaking_off())
    assert lab.stored_blobs() == 0 and await lab.audio.recordings(lab.organization.id, encounter.id) == []


async def test_what_is_asked_before_the_bytes_come_counts_as_no_effect(lab: Laboratory) -> None:
    """A repeat of an upload that was cut off must be able to do the work."""
    encounter = await lab.encounter()
    effects: list[int] = []

    async def took_effect(_transaction: Transaction) -> None:
        effects.append(lab.stored_blobs())

    async def breaking_off() -> AsyncIterator[bytes]:
        yield tones(0)[:10_000]
        raise ConnectionError

    with joining(took_effect):
        with pytest.raises(ConnectionError):
            await lab.audio.upload(CLIENT, lab.organization.id, encounter.id, breaking_off())
        assert effects == []
        recording_id = await lab.start(encounter)
        assert effects == [0]
        await lab.segment(encounter, recording_id, 0, tones(0))
        assert effects == [0, 1]
        await lab.upload(encounter, tones(0))
        assert effects == [0, 1, 2]


async def test_too_large_an_upload_is_refused(lab: Laboratory) -> None:
    encounter = await lab.encounter()
    lab.audio._max_bytes = 1000
    with pytest.raises(InvalidFieldError):
        await lab.upload(encounter, tones(0))
    assert lab.stored_blobs() == 0


async def test_without_the_consent_that_is_required_no_byte_is_stored(lab: Laboratory) -> None:
    await lab.access.update_organization(OPERATOR, lab.organization.id, consent=ConsentPolicy.REQUIRED)
    encounter = await lab.encounter()

    async def untouched() -> AsyncIterator[bytes]:
        raise AssertionError("the bytes were asked for")
        yield b""

    with pytest.raises(ConsentRequiredError):
        await lab.audio.upload(CLIENT, lab.organization.id, encounter.id, untouched())
    with pytest.raises(ConsentRequiredError):
        await lab.start(encounter)
    await lab.encounters.change(CLIENT, lab.organization.id, encounter.id, {"consent_given": True})
    await lab.upload(encounter, tones(0))


async def test_consent_withdrawn_during_an_upload_keeps_it_out(lab: Laboratory) -> None:
    encounter = await lab.encounter(consent_given=True)

    async def meanwhile() -> AsyncIterator[bytes]:
        yield tones(0)
        await lab.encounters.change(CLIENT, lab.organization.id, encounter.id, {"consent_given": False})

    with pytest.raises(ConsentRequiredError):
        await lab.audio.upload(CLIENT, lab.organization.id, encounter.id, meanwhile())
    assert lab.stored_blobs() == 0 and await lab.audio.recordings(lab.organization.id, encounter.id) == []


async def test_audio_of_an_erased_encounter_is_refused(lab: Laboratory) -> None:
    encounter = await lab.encounter()
    recording_id = await lab.start(encounter)
    await lab.segment(encounter, recording_id, 0, tones(0))
    await lab.erasure.erase(
        OPERATOR,
        lab.organization.id,
        encounter.id,
        scope=ErasureScope.EVERYTHING,
        reason=ErasureReason.COMMAND,
    )
    with pytest.raises(ErasedError):
        await lab.upload(encounter, tones(0))
    with pytest.raises(ErasedError):
        await lab.segment(encounter, recording_id, 1, tones(0))
    with pytest.raises(ErasedError):
        await lab.finish(encounter, recording_id)
    assert lab.stored_blobs() == 0


async def test_another_organization_finds_neither_encounter_nor_recording(lab: Laboratory) -> None:
    encounter = await lab.encounter()
    recording_id = await lab.start(encounter)
    other, _ = await lab.practice()
    with pytest.raises(NotFoundError):
        await lab.audio.upload(CLIENT, other.id, encounter.id, chunks_of(tones(0)))
    with pytest.raises(NotFoundError):
        await lab.audio.add_segment(CLIENT, other.id, encounter.id, recording_id, 0, chunks_of(tones(0)))
    with pytest.raises(NotFoundError):
        await lab.audio.finish(CLIENT, other.id, encounter.id, recording_id)
    with pytest.raises(NotFoundError):
        await lab.audio.segments(other.id, encounter.id, recording_id)
    assert await lab.audio.recordings(other.id, encounter.id) == []


async def test_a_recording_is_not_found_under_another_encounter(lab: Laboratory) -> None:
    mine, other = await lab.encounter(), await lab.encounter()
    recording_id = await lab.start(mine)
    with pytest.raises(NotFoundError):
        await lab.segment(other, recording_id, 0, tones(0))
    with pytest.raises(NotFoundError):
        await lab.finish(other, recording_id)
    with pytest.raises(NotFoundError):
        await lab.audio.segments(lab.organization.id, other.id, recording_id)
    assert lab.stored_blobs() == 0


async def test_a_segment_sent_twice_is_stored_once_and_one_with_other_bytes_refused(lab: Laboratory) -> None:
    encounter = await lab.encounter()
    recording_id = await lab.start(encounter)
    assert await lab.segment(encounter, recording_id, 0, tones(0)) is True
    assert await lab.segment(encounter, recording_id, 0, tones(0)) is False
    with pytest.raises(ConflictError):
        await lab.segment(encounter, recording_id, 0, tones(1))
    _, segments = await lab.audio.segments(lab.organization.id, encounter.id, recording_id)
    assert [s.index for s in segments] == [0] and lab.stored_blobs() == 1
    assert len(await lab.jobs_of(encounter, JobKind.TRANSCRIBE_SEGMENT)) == 1


async def test_the_same_segment_sent_many_times_at_once_is_stored_once(lab: Laboratory) -> None:
    encounter = await lab.encounter()
    recording_id = await lab.start(encounter)
    created = await asyncio.gather(*(lab.segment(encounter, recording_id, 0, tones(0)) for _ in range(6)))
    assert sorted(created) == [False] * 5 + [True]
    assert lab.stored_blobs() == 1
    assert len(await lab.jobs_of(encounter, JobKind.TRANSCRIBE_SEGMENT)) == 1


async def test_finish_names_the_gaps_and_may_be_repeated(lab: Laboratory) -> None:
    encounter = await lab.encounter()
    recording_id = await lab.start(encounter)
    for index in (4, 0, 2):
        await lab.segment(encounter, recording_id, index, tones(index))
    assert await lab.finish(encounter, recording_id) == (1, 3)
    before = await lab.audio.segments(lab.organization.id, encounter.id, recording_id)
    assert await lab.finish(encounter, recording_id) == (1, 3)
    assert await lab.audio.segments(lab.organization.id, encounter.id, recording_id) == before
    assert before[0].duration == pytest.approx(3.0)
    assert len(await lab.jobs_of(encounter, JobKind.TRANSCRIBE_RECORDING)) == 1


async def test_after_finish_a_segment_may_fill_a_gap_or_repeat_and_nothing_else(lab: Laboratory) -> None:
    encounter = await lab.encounter()
    recording_id = await lab.start(encounter)
    for index in (0, 2):
        await lab.segment(encounter, recording_id, index, tones(index))
    await lab.finish(encounter, recording_id)
    with pytest.raises(ConflictError):
        await lab.segment(encounter, recording_id, 3, tones(3))
    with pytest.raises(ConflictError):
        await lab.segment(encounter, recording_id, 2, tones(3))
    assert await lab.segment(encounter, recording_id, 2, tones(2)) is False
    assert await lab.segment(encounter, recording_id, 1, tones(1)) is True
    assert await lab.finish(encounter, recording_id) == ()
    assert len(await lab.jobs_of(encounter, JobKind.TRANSCRIBE_RECORDING)) == 2
    assert lab.stored_blobs() == 3


async def test_an_upload_whose_commit_is_in_doubt_keeps_its_bytes(
    lab: Laboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the row came about after all, the bytes that it refers to must be there; else the sweep removes them."""
    encounter = await lab.encounter()
    write = lab.database.write

    @contextlib.asynccontextmanager
    async def lost_answer() -> AsyncIterator[object]:
        async with write() as transaction:
            yield transaction
        if lab.stored_blobs():
            raise DatabaseUnavailableError("the answer to the commit was lost")

    monkeypatch.setattr(lab.database, "write", lost_answer)
    with pytest.raises(DatabaseUnavailableError):
        await lab.upload(encounter, tones(0))
    monkeypatch.undo()
    (recording,) = await lab.audio.recordings(lab.organization.id, encounter.id)
    _, (segment,) = await lab.audio.segments(lab.organization.id, encounter.id, recording.id)
    assert segment.blob is not None
    assert b"".join([piece async for piece in lab.vault.stream(segment.blob)]) == tones(0)
