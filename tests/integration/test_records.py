"""The rows of recordings, transcripts, notes, documents and codes come back whole, in one query each."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, select

from osler.audio.model import RecordingState, Segment, SegmentStatus
from osler.coding.model import CodeSet, CodingStatus
from osler.encounters.model import Encounter
from osler.kernel.errors import ConflictError
from osler.kernel.ids import new_id
from osler.notes.model import (
    FormAnswers,
    TextStatus,
)
from osler.release.model import ReleasedDocument, ReleasedKind
from osler.speech.model import SegmentTranscript
from osler.storage.database import SqlDatabase, connection_of
from osler.storage.repositories.audio import SqlRecordingRepository
from osler.storage.repositories.coding import SqlCodeSetRepository
from osler.storage.repositories.notes import SqlDocumentRepository, SqlNoteRepository
from osler.storage.repositories.release import SqlReleaseRepository
from osler.storage.repositories.speech import SqlTranscriptRepository
from osler.storage.tables.sealing import object_keys
from tests.pipeline_lab import CLOCK, Laboratory, laboratory
from tests.records_lab import (
    CONTENT,
    SAID,
    TRANSCRIPT,
    a_document,
    a_note,
    a_recording,
    a_segment,
    a_version,
    add_recording,
)

pytestmark = pytest.mark.anyio


@pytest.fixture
async def lab(database: SqlDatabase, tmp_path: Path) -> Laboratory:
    return await laboratory(database, tmp_path)


@pytest.fixture
async def visit(lab: Laboratory) -> Encounter:
    return await lab.encounter()


async def test_recordings_and_segments_come_back_as_they_were_written(lab: Laboratory, visit: Encounter) -> None:
    rows = SqlRecordingRepository(lab.rows)
    first, second = await add_recording(lab, visit), await add_recording(lab, visit, 1)
    segments = [await a_segment(lab, first, index) for index in (1, 0)]
    changed = replace(first, state=RecordingState.FAILED, failure="EngineError", duration=3.25, ended_at=CLOCK.now())
    async with lab.database.write() as transaction:
        for segment in segments:
            await rows.add_segment(transaction, segment)
        assert await rows.lock(transaction, first.organization_id, first.id) == first
        await rows.save(transaction, changed)
        await rows.set_segment_status(
            transaction, first.organization_id, segments[0].id, SegmentStatus.FAILED, failure="EngineError"
        )
        await rows.set_segment_status(
            transaction, first.organization_id, segments[1].id, SegmentStatus.READY, seconds=2.0
        )
    failed = replace(segments[0], status=SegmentStatus.FAILED, failure="EngineError")
    ready = replace(segments[1], status=SegmentStatus.READY, seconds=2.0)
    async with lab.database.read() as transaction:
        assert await rows.get(transaction, first.organization_id, first.id) == changed
        assert await rows.of_encounter(transaction, visit.organization_id, visit.id) == [changed, second]
        assert await rows.segments(transaction, first.organization_id, first.id) == [ready, failed]
        assert await rows.segment(transaction, first.organization_id, first.id, 1) == failed
        assert await rows.segment(transaction, first.organization_id, first.id, 2) is None
        assert await rows.get_segment(transaction, first.organization_id, ready.id) == ready
        assert ready.blob is not None
        assert await rows.segment_of_blob(transaction, ready.blob.id) == ready
        assert await rows.segment_of_blob(transaction, "s" + "0" * 32) is None


async def test_one_index_is_given_once(lab: Laboratory, visit: Encounter) -> None:
    recording = await add_recording(lab, visit)
    segment, rival = await a_segment(lab, recording), await a_segment(lab, recording)
    audio, transcripts = SqlRecordingRepository(lab.rows), SqlTranscriptRepository(lab.rows)
    notes, documents = SqlNoteRepository(lab.rows), SqlDocumentRepository(lab.rows)
    pairs: list[tuple[Callable[[Any, Any], Awaitable[None]], Any, Any]] = [
        (audio.add, a_recording(visit, 5), a_recording(visit, 5)),
        (audio.add_segment, segment, rival),
        (transcripts.add, a_version(recording), a_version(recording)),
        (notes.add, a_note(visit), a_note(visit)),
        (documents.add, a_document(visit), a_document(visit)),
    ]
    for add, first, second in pairs:
        async with lab.database.write() as transaction:
            await add(transaction, first)
        with pytest.raises(ConflictError):
            async with lab.database.write() as transaction:
                await add(transaction, second)


async def test_transcripts_come_back_as_they_were_written_and_the_highest_is_in_use(
    lab: Laboratory, visit: Encounter
) -> None:
    rows = SqlTranscriptRepository(lab.rows)
    one, two, three = [await add_recording(lab, visit, index) for index in range(3)]
    async with lab.database.write() as transaction:
        assert await rows.current(transaction, visit.organization_id, visit.id) is None
        assert await rows.next_version(transaction, visit.organization_id, visit.id) == 1
        versions = [a_version(one, 1), a_version(two, 2), replace(a_version(one, 3), author_id="u")]
        for version in versions:
            await rows.add(transaction, version)
        assert await rows.next_version(transaction, visit.organization_id, visit.id) == 4
    async with lab.database.read() as transaction:
        assert await rows.current(transaction, visit.organization_id, visit.id) == versions[2]
        assert await rows.of_recording(transaction, visit.organization_id, two.id) == versions[1]
        assert await rows.get(transaction, visit.organization_id, versions[0].id) == versions[0]
        assert await rows.exists(transaction, visit.organization_id, versions[0].id)
        assert not await rows.exists(transaction, visit.organization_id, "no such")
        audio = SqlRecordingRepository(lab.rows)
        assert await audio.transcribed_seconds(transaction) == 0.0
    async with lab.database.write() as transaction:
        for recording in (one, two):
            await audio.save(transaction, replace(recording, duration=2.5, state=RecordingState.COMPLETE))
        await audio.save(transaction, replace(three, duration=2.5))
        assert await audio.transcribed_seconds(transaction) == 5.0


async def test_the_text_of_a_segment_is_replaced_with_its_key(lab: Laboratory, visit: Encounter) -> None:
    rows, audio = SqlTranscriptRepository(lab.rows), SqlRecordingRepository(lab.rows)
    recording = await add_recording(lab, visit)
    segments = [await a_segment(lab, recording, index) for index in (1, 0)]

    def heard(segment: Segment, language: str) -> SegmentTranscript:
        return SegmentTranscript(
            segment_id=segment.id,
            organization_id=visit.organization_id,
            encounter_id=visit.id,
            recording_id=recording.id,
            index=segment.index,
            created_at=CLOCK.now(),
            transcript=replace(TRANSCRIPT, language=language),
        )

    async with lab.database.write() as transaction:
        for segment in segments:
            await audio.add_segment(transaction, segment)
            await rows.save_segment(transaction, heard(segment, "de"))
    last = [heard(segment, "en") for segment in reversed(segments)]
    async with lab.database.write() as transaction:
        for each in last:
            await rows.save_segment(transaction, each)
        assert await rows.segments(transaction, visit.organization_id, recording.id) == last
        destroyed = select(object_keys).where(object_keys.c.destroyed_at.is_not(None))
        assert len((await connection_of(transaction).execute(destroyed)).all()) == 2


async def test_notes_come_back_as_they_were_written_before_and_after_their_text(
    lab: Laboratory, visit: Encounter
) -> None:
    rows = SqlNoteRepository(lab.rows)
    waiting = a_note(visit, content=None, engine=None, status=TextStatus.GENERATING)
    newer = a_note(visit, 2, author_id="u")
    async with lab.database.write() as transaction:
        assert await rows.current(transaction, visit.organization_id, visit.id) is None
        await rows.add(transaction, waiting)
        await rows.add(transaction, newer)
        assert await rows.lock(transaction, visit.organization_id, waiting.id) == waiting
        written = replace(waiting, content=CONTENT, status=TextStatus.CREATED, completed_at=CLOCK.now(), stale=True)
        await rows.save(transaction, written)
    async with lab.database.read() as transaction:
        assert await rows.get(transaction, visit.organization_id, waiting.id) == written
        assert await rows.current(transaction, visit.organization_id, visit.id) == newer
        assert await rows.versions(transaction, visit.organization_id, visit.id) == [written, newer]


async def test_documents_answers_and_codes_come_back_as_they_were_written(lab: Laboratory, visit: Encounter) -> None:
    documents, codes = SqlDocumentRepository(lab.rows), SqlCodeSetRepository(lab.rows)
    owned = (visit.organization_id, visit.id)
    letter, waiting = a_document(visit), a_document(visit, 1, content=None, status=TextStatus.GENERATING)
    answers = FormAnswers(new_id(), *owned, CLOCK.now(), {"q1": {"answer": SAID}}, "t")
    former = CodeSet(new_id(), *owned, "ICD-10-CM", CLOCK.now(), CodingStatus.PROCESSING)
    coded = replace(former, id=new_id(), status=CodingStatus.READY, note_id="n", entities=({"entity": SAID},))
    async with lab.database.write() as transaction:
        for document in (waiting, letter):
            await documents.add(transaction, document)
        await documents.add_answers(transaction, answers)
        await codes.save(transaction, former)
        await codes.save(transaction, coded)
        written = replace(waiting, content=CONTENT, name="Another name", status=TextStatus.CREATED)
        await documents.save(transaction, written)
    async with lab.database.read() as transaction:
        assert await documents.list(transaction, *owned) == [letter, written]
        assert await documents.get(transaction, *owned, letter.id) == letter
        assert await documents.answers(transaction, *owned) == [answers]
        assert await codes.get(transaction, *owned, "ICD-10-CM") == coded
        assert await codes.get(transaction, *owned, "ICD-9-CM") is None


async def test_of_notes_only_unsigned_ones_on_another_transcript_become_stale(
    lab: Laboratory, visit: Encounter
) -> None:
    notes, documents = SqlNoteRepository(lab.rows), SqlDocumentRepository(lab.rows)
    async with lab.database.write() as transaction:
        standing: list[dict[str, Any]] = [
            {"transcript_id": "old"},
            {"transcript_id": "new"},
            {"transcript_id": None},
            {"transcript_id": "old", "signed_at": CLOCK.now()},
        ]
        for version, changes in enumerate(standing, 1):
            await notes.add(transaction, a_note(visit, version, **changes))
        await documents.add(transaction, a_document(visit, transcript_id="old"))
        await notes.mark_stale(transaction, visit.organization_id, visit.id, "new")
        found = await notes.versions(transaction, visit.organization_id, visit.id)
        assert [note.stale for note in found] == [True, False, False, False]
        assert [d.stale for d in await documents.list(transaction, visit.organization_id, visit.id)] == [True]


async def test_signing_takes_the_newest_written_note_and_every_written_document(
    lab: Laboratory, visit: Encounter
) -> None:
    notes, documents = SqlNoteRepository(lab.rows), SqlDocumentRepository(lab.rows)
    written = [a_note(visit, 1), a_note(visit, 2), a_note(visit, 3, status=TextStatus.FAILED, content=None)]
    letters = [a_document(visit, 0), a_document(visit, 1, status=TextStatus.FAILED, content=None)]
    now = CLOCK.now()
    async with lab.database.write() as transaction:
        for note in written:
            await notes.add(transaction, note)
        for letter in letters:
            await documents.add(transaction, letter)
        signed = await notes.sign(transaction, visit.organization_id, visit.id, "u", now)
        assert set(signed) == {written[1].id, letters[0].id}
        assert await notes.sign(transaction, visit.organization_id, visit.id, "other", now) == []
        note = await notes.get(transaction, visit.organization_id, written[1].id)
        assert (note.signed_by, note.signed_at) == ("u", now)


async def test_a_released_document_keeps_its_id_and_times_when_a_newer_source_is_shown(
    lab: Laboratory, visit: Encounter
) -> None:
    rows = SqlReleaseRepository(lab.rows)
    now = CLOCK.now()
    first = ReleasedDocument(
        new_id(), visit.organization_id, visit.id, ReleasedKind.DOCUMENT, "note", "n1", now, now, now
    )
    async with lab.database.write() as transaction:
        assert await rows.put(transaction, first) == first
        newer = replace(first, id=new_id(), source_id="n2", created_at=CLOCK.now(), released_at=CLOCK.now())
        newer = replace(newer, updated_at=CLOCK.now())
        assert await rows.put(transaction, newer) == replace(first, source_id="n2", updated_at=newer.updated_at)
        assert await rows.withdraw(transaction, visit.organization_id, visit.id) == 1
        assert await rows.of_encounters(transaction, visit.organization_id, [visit.id]) == []


async def test_the_transcript_in_use_is_read_by_one_query_on_an_index(lab: Laboratory, visit: Encounter) -> None:
    rows = SqlTranscriptRepository(lab.rows)
    recording = await add_recording(lab, visit)
    async with lab.database.write() as transaction:
        for version in range(1, 4):
            await rows.add(transaction, a_version(recording, version))
    asked: list[tuple[str, Any]] = []

    async with lab.database.read() as transaction:
        connection = connection_of(transaction)

        def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
            asked.append((statement, parameters))

        event.listen(connection.sync_connection, "before_cursor_execute", note)
        assert await rows.current(transaction, visit.organization_id, visit.id)
        event.remove(connection.sync_connection, "before_cursor_execute", note)
        ((statement, parameters),) = asked
        if connection.dialect.name == "sqlite":
            plan = (await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)).all()
            told = " ".join(row[-1] for row in plan)
            assert "SCAN" not in told and "TEMP B-TREE" not in told and "encounter_id=?" in told
