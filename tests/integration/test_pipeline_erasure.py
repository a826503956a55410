"""Notes that wait for a transcript when the recordings that it was to come from are erased."""

from pathlib import Path

import pytest

from osler.encounters.model import Encounter, EncounterState, ErasureReason, ErasureScope
from osler.kernel.jobs import JobKind, JobState
from osler.notes.model import NoteVersion, TextStatus
from osler.storage.database import SqlDatabase
from tests.pipeline_lab import CLIENT, Laboratory, laboratory, tones

pytestmark = pytest.mark.anyio

SCOPES = [ErasureScope.AUDIO, ErasureScope.AUDIO_AND_UNSIGNED]


@pytest.fixture
async def lab(database: SqlDatabase, tmp_path: Path) -> Laboratory:
    """A laboratory in which jobs are queued; ``lab.begin()`` lets a worker come."""
    return await laboratory(database, tmp_path)


async def erase(lab: Laboratory, encounter: Encounter, scope: ErasureScope = ErasureScope.AUDIO) -> None:
    await lab.erasure.erase(CLIENT, lab.organization.id, encounter.id, scope=scope, reason=ErasureReason.COMMAND)


async def ask(lab: Laboratory, encounter: Encounter) -> NoteVersion:
    note = await lab.notes.request(CLIENT, lab.organization.id, encounter.id)
    assert note.status is TextStatus.GENERATING
    assert await lab.jobs_of(encounter, JobKind.WRITE_NOTE) == [], "it waits for a transcript"
    return note


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("finished", [True, False])
async def test_a_note_fails_plainly_when_the_recording_that_it_waits_for_is_erased(
    lab: Laboratory, scope: ErasureScope, finished: bool
) -> None:
    encounter = await lab.encounter()
    recording_id = await lab.start(encounter)
    await lab.segment(encounter, recording_id, 0, tones(0, 1))
    if finished:
        await lab.finish(encounter, recording_id)
    note = await ask(lab, encounter)
    await erase(lab, encounter, scope)
    failed = await lab.notes.get(lab.organization.id, note.id)
    assert (failed.status, failed.failure) == (TextStatus.FAILED, "erased")
    assert await lab.state(encounter) is EncounterState.OPEN
    await lab.begin()
    assert await lab.notes.get(lab.organization.id, note.id) == failed
    assert {job.state for job in await lab.jobs_of(encounter)} == {JobState.FAILED}


async def test_a_note_is_written_from_the_transcript_that_is_left(lab: Laboratory) -> None:
    encounter = await lab.encounter()
    await lab.upload(encounter, tones(0, 1))
    await lab.begin()
    recording_id = await lab.start(encounter)
    await lab.segment(encounter, recording_id, 0, tones(2))
    note = await ask(lab, encounter)
    await erase(lab, encounter)
    assert (await lab.queued(encounter, JobKind.WRITE_NOTE)).id == note.id
    await lab.begin()  # as an engine does that finds work in none of its queues
    written = await lab.notes.get(lab.organization.id, note.id)
    assert written.status is TextStatus.CREATED
    assert await lab.state(encounter) is EncounterState.COMPLETED


async def test_a_note_that_is_being_written_without_a_recording_is_left_alone(lab: Laboratory) -> None:
    encounter = await lab.encounter(generate_output_without_recording=True)
    note = await lab.notes.request(CLIENT, lab.organization.id, encounter.id)
    await lab.queued(encounter, JobKind.WRITE_NOTE)
    await erase(lab, encounter)
    assert await lab.notes.get(lab.organization.id, note.id) == note


async def test_an_encounter_with_its_note_is_completed_when_what_it_still_waited_for_is_erased(lab: Laboratory) -> None:
    await lab.begin()
    encounter = await lab.encounter()
    await lab.upload(encounter, tones(0, 1))
    await lab.notes.request(CLIENT, lab.organization.id, encounter.id)
    assert await lab.state(encounter) is EncounterState.COMPLETED
    await lab.start(encounter)
    assert await lab.state(encounter) is EncounterState.OPEN
    await erase(lab, encounter)
    assert await lab.state(encounter) is EncounterState.COMPLETED


async def test_an_encounter_whose_unsigned_note_is_erased_is_open_again(lab: Laboratory) -> None:
    await lab.begin()
    encounter = await lab.encounter()
    await lab.upload(encounter, tones(0, 1))
    await lab.notes.request(CLIENT, lab.organization.id, encounter.id)
    assert await lab.state(encounter) is EncounterState.COMPLETED
    await erase(lab, encounter, ErasureScope.AUDIO_AND_UNSIGNED)
    assert await lab.state(encounter) is EncounterState.OPEN
