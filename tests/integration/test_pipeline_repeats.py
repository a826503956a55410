"""Work done twice is done once: after a crash between engine and write, by two processes at once, or long after."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from osler.audio.model import RecordingState
from osler.encounters.model import EncounterState
from osler.kernel.jobs import Job, JobKind, JobState
from osler.notes.model import TextStatus
from osler.storage.database import SqlDatabase
from osler.storage.tables.audit import audit_entries, audit_heads
from osler.storage.tables.jobs import jobs
from osler.storage.tables.speech import transcripts
from tests.deployment_lab import contents
from tests.pipeline_lab import CLIENT, WORDS, Laboratory, laboratory, tones

pytestmark = pytest.mark.anyio


@pytest.fixture
async def lab(database: SqlDatabase, tmp_path: Path) -> Laboratory:
    """Jobs are queued and not run: the tests are the workers."""
    return await laboratory(database, tmp_path)


class CrashError(Exception):
    """The process dies here."""


def crash_after(method: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``method``, whose result is lost the first time."""
    crashed = False

    async def wrapped(*args: Any) -> Any:
        nonlocal crashed
        result = await method(*args)
        if not crashed:
            crashed = True
            raise CrashError
        return result

    return wrapped


async def a_finished_recording(lab: Laboratory) -> tuple[Any, Job]:
    encounter = await lab.encounter()
    recording_id = await lab.start(encounter)
    for index in range(3):
        await lab.segment(encounter, recording_id, index, tones(index))
    await lab.notes.request(CLIENT, lab.organization.id, encounter.id)
    await lab.finish(encounter, recording_id)
    return encounter, await lab.queued(encounter, JobKind.TRANSCRIBE_RECORDING)


async def everything(lab: Laboratory) -> dict[str, Any]:
    return await contents(lab.database)


async def test_a_recording_is_transcribed_once_however_often_its_step_runs(
    lab: Laboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    encounter, job = await a_finished_recording(lab)
    monkeypatch.setattr(lab.engines, "batch", crash_after(lab.engines.batch))
    before = await everything(lab)
    with pytest.raises(CrashError):
        await lab.transcription.transcribe_recording(job)
    assert await everything(lab) == before
    await lab.transcription.transcribe_recording(job)
    assert await lab.words(encounter) == list(WORDS[:3])
    after = await everything(lab)
    assert after != before
    await lab.transcription.transcribe_recording(job)
    await lab.transcription.recording_failed(job, "EngineError")
    assert await everything(lab) == after
    assert lab.transcriber.calls == 2


async def test_two_processes_that_transcribe_one_recording_at_once_make_one_transcript(
    lab: Laboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    encounter, job = await a_finished_recording(lab)
    all_began, batch = asyncio.Barrier(3), lab.engines.batch

    async def together(*args: Any) -> Any:
        await all_began.wait()
        return await batch(*args)

    monkeypatch.setattr(lab.engines, "batch", together)
    await asyncio.gather(*(lab.transcription.transcribe_recording(job) for _ in range(3)))
    version = await lab.transcripts.current(lab.organization.id, encounter.id)
    assert version is not None and version.version == 1 and lab.transcriber.calls == 3
    assert len(await lab.jobs_of(encounter, JobKind.WRITE_NOTE)) == 1
    rows = await everything(lab)
    assert len(rows["transcripts"]) == 1 and len(rows["released_documents"]) == 1


async def test_work_that_was_overtaken_by_a_later_segment_changes_nothing(lab: Laboratory) -> None:
    encounter = await lab.encounter()
    recording_id = await lab.start(encounter)
    for index in (0, 2):
        await lab.segment(encounter, recording_id, index, tones(index))
    await lab.finish(encounter, recording_id)
    old = await lab.queued(encounter, JobKind.TRANSCRIBE_RECORDING)
    await lab.segment(encounter, recording_id, 1, tones(1))
    _, new = await lab.jobs_of(encounter, JobKind.TRANSCRIBE_RECORDING)
    assert new.id != old.id
    before = await everything(lab)
    await lab.transcription.transcribe_recording(old)
    await lab.transcription.recording_failed(old, "EngineError")
    assert await everything(lab) == before and lab.transcriber.calls == 0
    await lab.transcription.transcribe_recording(new)
    after = await everything(lab)
    await lab.transcription.transcribe_recording(old)
    assert await everything(lab) == after
    assert await lab.words(encounter) == list(WORDS[:3])


async def test_a_segment_is_transcribed_once_however_often_its_step_runs(
    lab: Laboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    encounter = await lab.encounter()
    recording_id = await lab.start(encounter)
    await lab.segment(encounter, recording_id, 0, tones(0))
    job = await lab.queued(encounter, JobKind.TRANSCRIBE_SEGMENT)
    monkeypatch.setattr(lab.engines, "live", crash_after(lab.engines.live))
    with pytest.raises(CrashError):
        await lab.transcription.transcribe_segment(job)
    await lab.transcription.transcribe_segment(job)
    after = await everything(lab)
    await lab.transcription.transcribe_segment(job)
    await lab.transcription.segment_failed(job, "EngineError")
    assert await everything(lab) == after and len(after["segment_transcripts"]) == 1


async def test_a_segment_of_a_recording_that_is_finished_is_left_to_the_whole(lab: Laboratory) -> None:
    encounter, _ = await a_finished_recording(lab)
    before = await everything(lab)
    for job in await lab.jobs_of(encounter, JobKind.TRANSCRIBE_SEGMENT):
        await lab.transcription.transcribe_segment(job)
    assert await everything(lab) == before and lab.transcriber.calls == 0


async def test_a_note_is_written_once_however_often_its_step_runs(lab: Laboratory) -> None:
    encounter, transcribing = await a_finished_recording(lab)
    await lab.transcription.transcribe_recording(transcribing)
    job = await lab.queued(encounter, JobKind.WRITE_NOTE)

    def crash() -> None:
        raise CrashError

    lab.writer.during = crash
    before = await everything(lab)
    with pytest.raises(CrashError):
        await lab.note_writing.write(job)
    assert await everything(lab) == before
    lab.writer.during = lambda: None
    await asyncio.gather(*(lab.note_writing.write(job) for _ in range(3)))
    after = await everything(lab)
    await lab.note_writing.write(job)
    await lab.note_writing.failed(job, "EngineError")
    assert await everything(lab) == after
    (note,) = await lab.notes.versions(lab.organization.id, encounter.id)
    assert note.status is TextStatus.CREATED and len(after["released_documents"]) == 2
    assert await lab.state(encounter) is EncounterState.COMPLETED


async def test_a_failure_that_is_told_twice_is_one_and_a_late_run_of_the_failed_attempt_changes_nothing(
    lab: Laboratory,
) -> None:
    encounter, job = await a_finished_recording(lab)
    await lab.transcription.recording_failed(job, "EngineError")
    after = await everything(lab)
    await lab.transcription.recording_failed(job, "StorageError")
    await lab.transcription.transcribe_recording(job)
    assert await everything(lab) == after and lab.transcriber.calls == 0
    (recording,) = await lab.audio.recordings(lab.organization.id, encounter.id)
    assert (recording.state, recording.failure) == (RecordingState.FAILED, "EngineError")


async def test_a_note_from_a_transcript_that_was_replaced_meanwhile_is_kept_and_marked_stale(lab: Laboratory) -> None:
    encounter = await lab.encounter()
    recording_id = await lab.start(encounter)
    for index in (0, 2):
        await lab.segment(encounter, recording_id, index, tones(index))
    await lab.finish(encounter, recording_id)
    await lab.notes.request(CLIENT, lab.organization.id, encounter.id)
    await lab.transcription.transcribe_recording(await lab.queued(encounter, JobKind.TRANSCRIBE_RECORDING))
    first = await lab.transcripts.current(lab.organization.id, encounter.id)
    assert first is not None
    job = await lab.queued(encounter, JobKind.WRITE_NOTE)
    loop = asyncio.get_running_loop()

    async def replace_transcript() -> None:
        await lab.segment(encounter, recording_id, 1, tones(1))
        newest = (await lab.jobs_of(encounter, JobKind.TRANSCRIBE_RECORDING))[-1]
        await lab.transcription.transcribe_recording(newest)

    lab.writer.during = lambda: asyncio.run_coroutine_threadsafe(replace_transcript(), loop).result()
    await lab.note_writing.write(job)
    note = await lab.notes.current(lab.organization.id, encounter.id)
    assert note is not None and (note.status, note.transcript_id, note.stale) == (TextStatus.CREATED, first.id, True)


async def test_a_note_waits_for_every_recording_that_is_still_to_be_heard(lab: Laboratory) -> None:
    encounter = await lab.encounter()
    live = await lab.start(encounter)
    note = await lab.notes.request(CLIENT, lab.organization.id, encounter.id)
    for data in (tones(-1), tones(0)):
        await lab.upload(encounter, data)
    silent, spoken = await lab.jobs_of(encounter, JobKind.TRANSCRIBE_RECORDING)
    await lab.transcription.transcribe_recording(silent)
    assert (await lab.notes.get(lab.organization.id, note.id)).status is TextStatus.GENERATING
    await lab.segment(encounter, live, 0, tones(1))
    await lab.finish(encounter, live)
    await lab.transcription.transcribe_recording(spoken)
    assert await lab.jobs_of(encounter, JobKind.WRITE_NOTE) == []
    whole = (await lab.jobs_of(encounter, JobKind.TRANSCRIBE_RECORDING))[-1]
    await lab.transcription.transcribe_recording(whole)
    assert len(await lab.jobs_of(encounter, JobKind.WRITE_NOTE)) == 1


async def test_a_silent_upload_does_not_end_the_wait_for_a_recording_that_goes_on(lab: Laboratory) -> None:
    encounter = await lab.encounter()
    await lab.start(encounter)
    note = await lab.notes.request(CLIENT, lab.organization.id, encounter.id)
    await lab.upload(encounter, tones(-1))
    await lab.transcription.transcribe_recording(await lab.queued(encounter, JobKind.TRANSCRIBE_RECORDING))
    assert (await lab.notes.get(lab.organization.id, note.id)).status is TextStatus.GENERATING


async def test_a_note_is_not_stored_if_only_its_transcript_was_erased_while_it_was_written(lab: Laboratory) -> None:
    encounter, transcribing = await a_finished_recording(lab)
    await lab.transcription.transcribe_recording(transcribing)
    loop = asyncio.get_running_loop()

    async def erase_transcript() -> None:
        async with lab.database.write() as transaction:
            await transaction.connection.execute(update(transcripts).values(sealed=None))

    lab.writer.during = lambda: asyncio.run_coroutine_threadsafe(erase_transcript(), loop).result()
    await lab.note_writing.write(await lab.queued(encounter, JobKind.WRITE_NOTE))
    note = await lab.notes.current(lab.organization.id, encounter.id)
    assert lab.writer.calls == 1 and note is not None
    assert (note.status, note.failure, note.content) == (TextStatus.FAILED, "erased", None)


async def test_all_of_it_again_by_an_engine_that_begins_anew_changes_nothing(lab: Laboratory) -> None:
    """As after a restore from a backup that knows less of the jobs than of their results."""
    encounter, _ = await a_finished_recording(lab)
    await lab.begin()
    ignored = [jobs, audit_entries, audit_heads]
    done = await contents(lab.database, without=ignored)
    assert {job.state for job in await lab.jobs_of(encounter)} == {JobState.DONE}
    async with lab.database.write() as transaction:
        for job in await lab.jobs_of(encounter):
            await lab.job_rows.set_state(transaction, job.id, JobState.RUNNING, at=job.created_at)
    await lab.begin()
    assert await contents(lab.database, without=ignored) == done
