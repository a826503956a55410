"""From audio to a released note, over the real database and vault and the engine that runs jobs in line."""

import asyncio
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from osler.audio.model import RecordingState, SegmentStatus
from osler.audit.model import OPERATOR
from osler.encounters.model import EncounterState, ErasureReason, ErasureScope
from osler.kernel.errors import ConflictError, EngineError, NoSpeechError, StorageFullError, UnknownNameError
from osler.kernel.jobs import JobFilter, JobKind, JobState
from osler.notes.model import TextStatus
from osler.release.model import ReleasedKind
from osler.storage.database import SqlDatabase
from tests.pipeline_lab import CLIENT, WORDS, Laboratory, ToneEncoder, laboratory, tones

pytestmark = pytest.mark.anyio


@pytest.fixture
async def lab(database: SqlDatabase, tmp_path: Path) -> Laboratory:
    lab = await laboratory(database, tmp_path)
    await lab.begin()
    return lab


def said(*numbers: int) -> list[str]:
    return [WORDS[n] for n in numbers]


async def test_an_upload_becomes_a_transcript_and_the_note_that_waited_for_it(
    database: SqlDatabase, tmp_path: Path
) -> None:
    lab = await laboratory(database, tmp_path)
    encounter = await lab.encounter()
    recording_id = await lab.upload(encounter, tones(0, 1, 2))
    note = await lab.notes.request(CLIENT, lab.organization.id, encounter.id)
    assert note.status is TextStatus.GENERATING
    assert await lab.state(encounter) is EncounterState.OPEN
    await lab.begin()  # a worker comes
    assert await lab.words(encounter) == said(0, 1, 2)
    transcript = await lab.transcripts.current(lab.organization.id, encounter.id)
    written = await lab.notes.current(lab.organization.id, encounter.id)
    assert transcript is not None and written is not None and written.content is not None
    assert (written.id, written.status, written.transcript_id) == (note.id, TextStatus.CREATED, transcript.id)
    assert written.engine == lab.writer.record and not written.stale
    (evidence,) = written.content.sections[0].sentences[0].evidence
    assert transcript.transcript.turns[evidence.turn].text[evidence.start : evidence.end] == evidence.quote
    recording, (segment,), _ = await lab.transcripts.live(lab.organization.id, encounter.id, recording_id)
    assert (recording.state, recording.failure, segment.status) == (RecordingState.COMPLETE, None, SegmentStatus.READY)
    assert await lab.state(encounter) is EncounterState.COMPLETED
    shown = await lab.release.of_encounter(lab.organization.id, encounter.id)
    assert {(d.kind, d.slot, d.source_id) for d in shown} == {
        (ReleasedKind.TRANSCRIPT, "transcript", transcript.id),
        (ReleasedKind.DOCUMENT, "note", note.id),
    }
    assert {job.state for job in await lab.jobs_of(encounter)} == {JobState.DONE}


async def test_segments_in_any_order_are_heard_as_they_come_and_then_as_one_in_their_order(lab: Laboratory) -> None:
    encounter = await lab.encounter()
    recording_id = await lab.start(encounter)
    for index in (2, 0, 3, 1):
        await lab.segment(encounter, recording_id, index, tones(index, index + 4))
    recording, segments, heard = await lab.transcripts.live(lab.organization.id, encounter.id, recording_id)
    assert recording.state is RecordingState.OPEN
    assert [s.status for s in segments] == [SegmentStatus.READY] * 4
    assert [s.seconds for s in segments] == pytest.approx([2.0] * 4)
    assert [[w.heard.lower() for t in h.transcript.turns for w in t.words] for h in heard] == [
        said(index, index + 4) for index in range(4)
    ]
    assert await lab.transcripts.current(lab.organization.id, encounter.id) is None
    assert await lab.finish(encounter, recording_id) == ()
    assert await lab.words(encounter) == said(0, 4, 1, 5, 2, 6, 3, 7)
    version = await lab.transcripts.current(lab.organization.id, encounter.id)
    assert version is not None and version.transcript.duration == pytest.approx(8.0)


async def test_a_word_across_the_border_of_two_segments_is_heard_once(lab: Laboratory) -> None:
    encounter = await lab.encounter()
    recording_id = await lab.start(encounter)
    await lab.segment(encounter, recording_id, 0, tones(0, seconds=1.5))
    await lab.segment(encounter, recording_id, 1, tones(0, 1, seconds=0.5))
    await lab.finish(encounter, recording_id)
    version = await lab.transcripts.current(lab.organization.id, encounter.id)
    assert version is not None and version.transcript.duration == pytest.approx(2.5)
    assert await lab.words(encounter) == said(0, 0)


async def test_a_late_segment_makes_the_transcript_anew_and_the_note_stale(lab: Laboratory) -> None:
    encounter = await lab.encounter()
    recording_id = await lab.start(encounter)
    for index in (0, 2):
        await lab.segment(encounter, recording_id, index, tones(index))
    assert await lab.finish(encounter, recording_id) == (1,)
    note = await lab.notes.request(CLIENT, lab.organization.id, encounter.id)
    first = await lab.transcripts.current(lab.organization.id, encounter.id)
    assert first is not None and any("segments 1." in line for line in first.transcript.warnings)
    assert await lab.state(encounter) is EncounterState.COMPLETED
    await lab.segment(encounter, recording_id, 1, tones(1))
    assert await lab.words(encounter) == said(0, 1, 2)
    second = await lab.transcripts.current(lab.organization.id, encounter.id)
    assert second is not None and (second.version, second.transcript.warnings) == (2, ())
    former = await lab.notes.get(lab.organization.id, note.id)
    assert (former.status, former.transcript_id, former.stale) == (TextStatus.CREATED, first.id, True)
    shown = {d.slot: d for d in await lab.release.of_encounter(lab.organization.id, encounter.id)}
    assert shown["transcript"].source_id == second.id and len(shown) == 2


async def test_a_segment_that_comes_while_the_whole_is_transcribed_is_in_the_only_transcript(
    lab: Laboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    encounter = await lab.encounter()
    recording_id = await lab.start(encounter)
    for index in (0, 2):
        await lab.segment(encounter, recording_id, index, tones(index))
    batch = lab.engines.batch

    async def meanwhile(*args: object) -> object:
        monkeypatch.undo()
        heard = await batch(*args)  # type: ignore[arg-type]
        await lab.segment(encounter, recording_id, 1, tones(1))
        return heard

    monkeypatch.setattr(lab.engines, "batch", meanwhile)
    await lab.finish(encounter, recording_id)
    assert await lab.words(encounter) == said(0, 1, 2)
    version = await lab.transcripts.current(lab.organization.id, encounter.id)
    assert version is not None and version.version == 1


async def test_silence_completes_the_recording_and_fails_the_note_plainly(
    database: SqlDatabase, tmp_path: Path
) -> None:
    lab = await laboratory(database, tmp_path)
    encounter = await lab.encounter()
    await lab.upload(encounter, tones(-1, -1))
    note = await lab.notes.request(CLIENT, lab.organization.id, encounter.id)
    await lab.begin()
    (recording,) = await lab.audio.recordings(lab.organization.id, encounter.id)
    assert (recording.state, recording.failure) == (RecordingState.COMPLETE, "NoSpeechError")
    note = await lab.notes.get(lab.organization.id, note.id)
    assert (note.status, note.failure) == (TextStatus.FAILED, "NoSpeechError")
    assert await lab.transcripts.current(lab.organization.id, encounter.id) is None
    assert await lab.release.of_encounter(lab.organization.id, encounter.id) == []
    assert {job.state for job in await lab.jobs_of(encounter)} == {JobState.DONE}
    with pytest.raises(NoSpeechError):
        await lab.notes.request(CLIENT, lab.organization.id, encounter.id)


async def test_a_recording_finished_without_a_segment_says_that_it_is_empty(lab: Laboratory) -> None:
    encounter = await lab.encounter()
    recording_id = await lab.start(encounter)
    assert await lab.finish(encounter, recording_id) == ()
    (recording,) = await lab.audio.recordings(lab.organization.id, encounter.id)
    assert (recording.state, recording.failure) == (RecordingState.COMPLETE, "EmptyAudioError")


async def test_a_silent_segment_of_a_live_recording_is_no_failure(lab: Laboratory) -> None:
    encounter = await lab.encounter()
    recording_id = await lab.start(encounter)
    await lab.segment(encounter, recording_id, 0, tones(-1))
    _, (segment,), (heard,) = await lab.transcripts.live(lab.organization.id, encounter.id, recording_id)
    assert segment.status is SegmentStatus.READY and heard.transcript.turns == ()


class FailingEncoder(ToneEncoder):
    def embed(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        raise RuntimeError("the session of the encoder is gone")


async def test_when_telling_voices_apart_fails_the_transcript_is_kept(database: SqlDatabase, tmp_path: Path) -> None:
    lab = await laboratory(database, tmp_path, encoder=FailingEncoder())
    await lab.begin()
    encounter = await lab.encounter()
    await lab.upload(encounter, tones(0, 1, 2))
    assert await lab.words(encounter) == said(0, 1, 2)
    version = await lab.transcripts.current(lab.organization.id, encounter.id)
    assert version is not None and any("by language alone" in line for line in version.transcript.warnings)


async def no_trail(*_: object) -> None:
    raise StorageFullError("the disk is full")


async def test_a_failed_transcription_is_shown_and_retried_with_the_note_that_waited(
    lab: Laboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise EngineError("the model cannot be loaded")

    encounter = await lab.encounter()
    recording_id = await lab.start(encounter)
    note = await lab.notes.request(CLIENT, lab.organization.id, encounter.id)
    lab.transcriber.during = fail
    await lab.segment(encounter, recording_id, 0, tones(0))
    await lab.finish(encounter, recording_id)
    recording, (segment,), _ = await lab.transcripts.live(lab.organization.id, encounter.id, recording_id)
    assert (recording.state, recording.failure) == (RecordingState.FAILED, "EngineError")
    assert (segment.status, segment.failure) == (SegmentStatus.FAILED, "EngineError")
    failed = await lab.notes.get(lab.organization.id, note.id)
    assert (failed.status, failed.failure) == (TextStatus.FAILED, "EngineError")
    with pytest.raises(ConflictError):
        await lab.notes.request(CLIENT, lab.organization.id, encounter.id)
    jobs = await lab.jobs.list(JobFilter(states=frozenset({JobState.FAILED})))
    assert {(job.kind, job.error) for job in jobs} == {
        (JobKind.TRANSCRIBE_SEGMENT, "EngineError"),
        (JobKind.TRANSCRIBE_RECORDING, "EngineError"),
    }
    lab.transcriber.during = lambda: None
    with monkeypatch.context() as broken:
        broken.setattr(lab.audit, "append", no_trail)
        with pytest.raises(StorageFullError):
            await lab.jobs.retry(OPERATOR, jobs[0].id)
    assert await lab.jobs.list(JobFilter(states=frozenset({JobState.FAILED}))) == jobs, "no retry without its trace"
    assert {job.id for job in await lab.jobs.retry_failed(OPERATOR)} == {job.id for job in jobs}
    assert await lab.words(encounter) == said(0)
    written = await lab.notes.get(lab.organization.id, note.id)
    assert (written.status, written.failure) == (TextStatus.CREATED, None)
    assert await lab.state(encounter) is EncounterState.COMPLETED
    assert {job.state for job in await lab.jobs_of(encounter)} == {JobState.DONE}
    actions = [entry.event.action for entry in await lab.audit.list(lab.organization.id, encounter_id=encounter.id)]
    assert actions.count("job.retried") == 2


async def test_a_note_that_cannot_be_written_is_shown_and_retried(lab: Laboratory) -> None:
    def fail() -> None:
        raise EngineError("no")

    encounter = await lab.encounter()
    await lab.upload(encounter, tones(0))
    lab.writer.during = fail
    note = await lab.notes.request(CLIENT, lab.organization.id, encounter.id)
    failed = await lab.notes.get(lab.organization.id, note.id)
    assert (failed.status, failed.failure, failed.content) == (TextStatus.FAILED, "EngineError", None)
    assert await lab.state(encounter) is EncounterState.OPEN
    lab.writer.during = lambda: None
    await lab.jobs.retry(OPERATOR, note.id)
    assert (await lab.notes.get(lab.organization.id, note.id)).status is TextStatus.CREATED
    assert await lab.state(encounter) is EncounterState.COMPLETED
    with pytest.raises(ConflictError):
        await lab.jobs.retry(OPERATOR, note.id)


async def test_a_note_asked_for_again_is_a_new_version_and_the_former_stays(lab: Laboratory) -> None:
    encounter = await lab.encounter()
    await lab.upload(encounter, tones(0))
    first = await lab.notes.request(CLIENT, lab.organization.id, encounter.id)
    second = await lab.notes.request(CLIENT, lab.organization.id, encounter.id, options={"brain": "LEFT"})
    versions = await lab.notes.versions(lab.organization.id, encounter.id)
    assert [(n.id, n.version, n.status) for n in versions] == [
        (first.id, 1, TextStatus.CREATED),
        (second.id, 2, TextStatus.CREATED),
    ]
    assert versions[1].options == {"brain": "LEFT"} and versions[0].content == versions[1].content
    shown = {d.slot: d.source_id for d in await lab.release.of_encounter(lab.organization.id, encounter.id)}
    assert shown["note"] == second.id


async def test_a_note_needs_a_recording_and_a_template_that_exists(lab: Laboratory) -> None:
    encounter = await lab.encounter()
    with pytest.raises(ConflictError):
        await lab.notes.request(CLIENT, lab.organization.id, encounter.id)
    await lab.start(encounter)
    with pytest.raises(UnknownNameError):
        await lab.notes.request(CLIENT, lab.organization.id, encounter.id, template="no such")
    assert (await lab.notes.request(CLIENT, lab.organization.id, encounter.id)).status is TextStatus.GENERATING


async def test_a_live_recording_that_nobody_finished_holds_up_nothing_once_its_copy_is_uploaded(
    lab: Laboratory,
) -> None:
    encounter = await lab.encounter()
    recording_id = await lab.start(encounter)
    await lab.segment(encounter, recording_id, 0, tones(0))
    await lab.upload(encounter, tones(0, 1))
    note = await lab.notes.request(CLIENT, lab.organization.id, encounter.id)
    assert (await lab.notes.get(lab.organization.id, note.id)).status is TextStatus.CREATED
    assert await lab.state(encounter) is EncounterState.COMPLETED


async def test_new_audio_reopens_a_completed_encounter(database: SqlDatabase, tmp_path: Path) -> None:
    lab = await laboratory(database, tmp_path)
    await lab.begin()
    encounter = await lab.encounter()
    await lab.upload(encounter, tones(0))
    await lab.notes.request(CLIENT, lab.organization.id, encounter.id)
    assert await lab.state(encounter) is EncounterState.COMPLETED
    await lab.begin(execute=False)
    await lab.upload(encounter, tones(1))
    assert await lab.state(encounter) is EncounterState.OPEN
    await lab.begin()
    assert await lab.state(encounter) is EncounterState.COMPLETED


@pytest.mark.parametrize("scope", [ErasureScope.AUDIO, ErasureScope.AUDIO_AND_UNSIGNED, ErasureScope.EVERYTHING])
async def test_what_is_erased_while_engines_work_on_it_does_not_come_back(
    scope: ErasureScope, database: SqlDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = await laboratory(database, tmp_path)
    await lab.begin()
    encounter = await lab.encounter()
    batch = lab.engines.batch

    async def erase() -> None:
        await lab.erasure.erase(OPERATOR, lab.organization.id, encounter.id, scope=scope, reason=ErasureReason.COMMAND)

    async def meanwhile(*args: object) -> object:
        heard = await batch(*args)  # type: ignore[arg-type]
        await erase()
        return heard

    monkeypatch.setattr(lab.engines, "batch", meanwhile)
    await lab.upload(encounter, tones(0, 1))
    assert lab.transcriber.calls == 1
    assert await lab.transcripts.current(lab.organization.id, encounter.id) is None
    assert await lab.release.of_encounter(lab.organization.id, encounter.id) == []
    (recording,) = await lab.audio.recordings(lab.organization.id, encounter.id)
    assert recording.state is RecordingState.ERASED


async def test_a_note_whose_transcript_is_erased_while_it_is_written_is_not_stored(
    lab: Laboratory,
) -> None:
    encounter = await lab.encounter()
    await lab.upload(encounter, tones(0, 1))
    loop = asyncio.get_running_loop()

    def meanwhile() -> None:
        asyncio.run_coroutine_threadsafe(
            lab.erasure.erase(
                OPERATOR,
                lab.organization.id,
                encounter.id,
                scope=ErasureScope.AUDIO_AND_UNSIGNED,
                reason=ErasureReason.COMMAND,
            ),
            loop,
        ).result()

    lab.writer.during = meanwhile
    note = await lab.notes.request(CLIENT, lab.organization.id, encounter.id)
    assert lab.writer.calls == 1
    standing = await lab.notes.get(lab.organization.id, note.id)
    assert (standing.status, standing.content, standing.failure) == (TextStatus.FAILED, None, "erased")
    assert await lab.release.of_encounter(lab.organization.id, encounter.id) == []
