"""The rows of recordings, transcripts, notes, documents and codes: whole, by organization, sealed, one query each."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, select, text

from osler.audio.model import AudioRecording, RecordingKind, RecordingState, Segment, SegmentStatus
from osler.coding.model import CodeSet, CodingStatus
from osler.encounters.model import Encounter
from osler.kernel.engine_record import EngineRecord
from osler.kernel.errors import ConflictError, CorruptedError, ErasedError, NotFoundError
from osler.kernel.ids import new_id
from osler.notes.model import (
    ContentType,
    Document,
    Evidence,
    FormAnswers,
    NoteVersion,
    Section,
    Sentence,
    TextStatus,
    Verdict,
    WrittenText,
)
from osler.release.model import ReleasedDocument, ReleasedKind
from osler.speech.model import Mark, SegmentTranscript, Speaker, Transcript, TranscriptVersion, Turn, Word
from osler.storage.database import SqlDatabase, SqlTransaction, connection_of
from osler.storage.repositories.audio import SqlRecordingRepository
from osler.storage.repositories.coding import SqlCodeSetRepository
from osler.storage.repositories.notes import SqlDocumentRepository, SqlNoteRepository
from osler.storage.repositories.release import SqlReleaseRepository
from osler.storage.repositories.sealed import destroy_keys
from osler.storage.repositories.speech import SqlTranscriptRepository
from osler.storage.tables import coding, notes, speech
from osler.storage.tables.sealing import object_keys
from tests.pipeline_lab import CLOCK, Laboratory, chunks_of, laboratory

pytestmark = pytest.mark.anyio

SAID = "Mrs Quillfeather says that her left knee hurts"

TRANSCRIPT = Transcript(
    turns=(
        Turn(
            "patient",
            SAID,
            0.25,
            3.5,
            (Word("Mrs", "missus", 0.25, 0.5, 0.875, 0),),
            (Mark(4, 16, "drug", 0.5),),
        ),
    ),
    speakers=(Speaker("patient", 0.75, 3.25),),
    language="en",
    duration=4.0,
    engine=EngineRecord("whisper", "1", {"beam": 5}),
    diarizer=EngineRecord("ge2e", "2"),
    warnings=("Something was damaged.",),
    incomplete=True,
)

CONTENT = WrittenText(
    f"## Subjective\n\n{SAID}",
    ContentType.MARKDOWN,
    "Full note",
    (Section("Subjective", (Sentence(SAID, (Evidence(0, 0, 3, "Mrs", 0.25, 0.5),), Verdict.INFERRED, True),)),),
)


@pytest.fixture
async def lab(database: SqlDatabase, tmp_path: Path) -> Laboratory:
    return await laboratory(database, tmp_path)


@pytest.fixture
async def visit(lab: Laboratory) -> Encounter:
    return await lab.encounter()


def a_recording(visit: Encounter, index: int = 0) -> AudioRecording:
    return AudioRecording(
        id=new_id(),
        organization_id=visit.organization_id,
        encounter_id=visit.id,
        kind=RecordingKind.BACKUP,
        index=index,
        created_at=CLOCK.now(),
        media_type="audio/ogg",
        started_at=CLOCK.now(),
    )


async def a_segment(lab: Laboratory, recording: AudioRecording, index: int = 0) -> Segment:
    return Segment(
        id=new_id(),
        organization_id=recording.organization_id,
        encounter_id=recording.encounter_id,
        recording_id=recording.id,
        index=index,
        received_at=CLOCK.now(),
        blob=await lab.vault.store(recording.organization_id, chunks_of(SAID.encode())),
        seconds=1.5,
    )


def a_version(recording: AudioRecording, version: int = 1) -> TranscriptVersion:
    return TranscriptVersion(
        id=new_id(),
        organization_id=recording.organization_id,
        encounter_id=recording.encounter_id,
        recording_id=recording.id,
        version=version,
        created_at=CLOCK.now(),
        transcript=TRANSCRIPT,
    )


def a_note(visit: Encounter, version: int = 1, **changes: Any) -> NoteVersion:
    note = NoteVersion(
        id=new_id(),
        organization_id=visit.organization_id,
        encounter_id=visit.id,
        version=version,
        created_at=CLOCK.now(),
        status=TextStatus.CREATED,
        template="full",
        voice_style="BRIEF",
        content=CONTENT,
        engine=EngineRecord("writer", "3"),
        options={"brain": "LEFT"},
    )
    return replace(note, **changes)


def a_document(visit: Encounter, index: int = 0, **changes: Any) -> Document:
    document = Document(
        id=new_id(),
        organization_id=visit.organization_id,
        encounter_id=visit.id,
        index=index,
        name=f"Letter about {SAID}",
        created_at=CLOCK.now(),
        status=TextStatus.CREATED,
        template="letter",
        voice_style="BRIEF",
        content=CONTENT,
    )
    return replace(document, **changes)


async def add_recording(lab: Laboratory, visit: Encounter, index: int = 0) -> AudioRecording:
    recording = a_recording(visit, index)
    async with lab.database.write() as transaction:
        await SqlRecordingRepository(lab.rows).add(transaction, recording)
    return recording


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
        await rows.set_pending_ready(transaction, first.organization_id, first.id)
    failed = replace(segments[0], status=SegmentStatus.FAILED, failure="EngineError")
    ready = replace(segments[1], status=SegmentStatus.READY)
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
    one, two = await add_recording(lab, visit), await add_recording(lab, visit, 1)
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
    rows = SqlReleaseRepository()
    now = CLOCK.now()
    first = ReleasedDocument(new_id(), visit.organization_id, visit.id, ReleasedKind.DOCUMENT, "note", "n1", now, now)
    async with lab.database.write() as transaction:
        assert await rows.put(transaction, first) == first
        newer = replace(first, id=new_id(), source_id="n2", created_at=CLOCK.now(), released_at=CLOCK.now())
        assert await rows.put(transaction, newer) == replace(first, source_id="n2")
        assert await rows.withdraw(transaction, visit.organization_id, visit.id) == 1
        assert await rows.of_encounters(transaction, visit.organization_id, [visit.id]) == []


async def test_what_belongs_to_one_organization_is_not_found_by_another(lab: Laboratory, visit: Encounter) -> None:
    audio, transcripts = SqlRecordingRepository(lab.rows), SqlTranscriptRepository(lab.rows)
    notes, documents = SqlNoteRepository(lab.rows), SqlDocumentRepository(lab.rows)
    codes, releases = SqlCodeSetRepository(lab.rows), SqlReleaseRepository()
    recording = await add_recording(lab, visit)
    segment, version, note, letter = (
        await a_segment(lab, recording),
        a_version(recording),
        a_note(visit),
        a_document(visit),
    )
    now = CLOCK.now()
    owned = (visit.organization_id, visit.id)
    shown = ReleasedDocument(new_id(), *owned, ReleasedKind.DOCUMENT, "note", note.id, now, now)
    async with lab.database.write() as transaction:
        await audio.add_segment(transaction, segment)
        await transcripts.add(transaction, version)
        await notes.add(transaction, note)
        await documents.add(transaction, letter)
        await documents.add_answers(transaction, FormAnswers(new_id(), *owned, now, {}))
        await codes.save(transaction, CodeSet(new_id(), *owned, "ICD-10-CM", now, CodingStatus.READY))
        await releases.put(transaction, shown)
    stranger = (await lab.practice())[0].id
    async with lab.database.write() as transaction:
        for refused in (
            audio.get(transaction, stranger, recording.id),
            audio.lock(transaction, stranger, recording.id),
            audio.get_segment(transaction, stranger, segment.id),
            transcripts.get(transaction, stranger, version.id),
            notes.get(transaction, stranger, note.id),
            notes.lock(transaction, stranger, note.id),
            documents.get(transaction, stranger, visit.id, letter.id),
            documents.lock(transaction, stranger, visit.id, letter.id),
            releases.get(transaction, stranger, shown.id),
        ):
            with pytest.raises(NotFoundError):
                await refused
        with pytest.raises(NotFoundError):  # nor under another encounter of the same organization
            await documents.get(transaction, visit.organization_id, "1", letter.id)
        assert await audio.of_encounter(transaction, stranger, visit.id) == []
        assert await audio.segments(transaction, stranger, recording.id) == []
        assert await audio.segment(transaction, stranger, recording.id, 0) is None
        assert await transcripts.current(transaction, stranger, visit.id) is None
        assert await transcripts.of_recording(transaction, stranger, recording.id) is None
        assert await transcripts.segments(transaction, stranger, recording.id) == []
        assert await notes.current(transaction, stranger, visit.id) is None
        assert await notes.versions(transaction, stranger, visit.id) == []
        assert await documents.list(transaction, stranger, visit.id) == []
        assert await documents.answers(transaction, stranger, visit.id) == []
        assert await codes.get(transaction, stranger, visit.id, "ICD-10-CM") is None
        assert await releases.of_encounters(transaction, stranger, [visit.id]) == []
        # Writing under a foreign organization's name changes nothing of it.
        assert await notes.sign(transaction, stranger, visit.id, "u", now) == []
        await notes.mark_stale(transaction, stranger, visit.id, "other")
        await notes.save(transaction, replace(note, organization_id=stranger, stale=True, content=None))
        await audio.save(transaction, replace(recording, organization_id=stranger, state=RecordingState.ERASED))
        await audio.set_segment_status(transaction, stranger, segment.id, SegmentStatus.FAILED)
        await audio.set_pending_ready(transaction, stranger, recording.id)
        assert await releases.withdraw(transaction, stranger, visit.id) == 0
        assert await notes.get(transaction, visit.organization_id, note.id) == note
        assert await audio.get(transaction, visit.organization_id, recording.id) == recording
        assert await audio.get_segment(transaction, visit.organization_id, segment.id) == segment
        assert await releases.get(transaction, visit.organization_id, shown.id) == shown


async def test_a_row_cannot_belong_to_the_encounter_of_another_organization(lab: Laboratory, visit: Encounter) -> None:
    stranger = (await lab.practice())[0].id
    with pytest.raises(ConflictError):
        async with lab.database.write() as transaction:
            await SqlRecordingRepository(lab.rows).add(
                transaction, replace(a_recording(visit), organization_id=stranger)
            )


async def test_what_is_said_and_written_stands_sealed_and_bound_to_its_row(lab: Laboratory, visit: Encounter) -> None:
    transcripts, rows = SqlTranscriptRepository(lab.rows), SqlNoteRepository(lab.rows)
    recording = await add_recording(lab, visit)
    versions = [a_version(recording, 1), a_version(recording, 2)]
    async with lab.database.write() as transaction:
        for version in versions:
            await transcripts.add(transaction, version)
        await rows.add(transaction, a_note(visit))
        await SqlDocumentRepository(lab.rows).add(transaction, a_document(visit))
        await SqlCodeSetRepository(lab.rows).save(
            transaction,
            CodeSet(
                new_id(),
                visit.organization_id,
                visit.id,
                "ICD-10-CM",
                CLOCK.now(),
                CodingStatus.READY,
                entities=({"entity": SAID},),
            ),
        )
        for table in (speech.transcripts, notes.notes, notes.documents, coding.code_sets):
            for row in await connection_of(transaction).execute(select(table)):
                shown = json.dumps([value.hex() if isinstance(value, bytes) else str(value) for value in row])
                assert "Quillfeather" not in shown and b"Quillfeather".hex() not in shown
        # The sealed bytes and the key of one row mean nothing in another.
        await connection_of(transaction).execute(
            text(
                "UPDATE transcripts SET sealed = (SELECT sealed FROM transcripts WHERE version = 1), "
                "key_id = (SELECT key_id FROM transcripts WHERE version = 1) WHERE version = 2"
            )
        )
        assert await transcripts.get(transaction, visit.organization_id, versions[0].id) == versions[0]
        with pytest.raises(CorruptedError):
            await transcripts.get(transaction, visit.organization_id, versions[1].id)


async def test_nothing_can_be_written_where_the_key_was_destroyed(lab: Laboratory, visit: Encounter) -> None:
    rows, documents = SqlNoteRepository(lab.rows), SqlDocumentRepository(lab.rows)
    note, letter = a_note(visit), a_document(visit)
    transcripts, recording = SqlTranscriptRepository(lab.rows), await add_recording(lab, visit)
    version = a_version(recording)

    async def destroy(transaction: SqlTransaction) -> None:
        keys = (await transaction.connection.execute(select(object_keys.c.id))).scalars()
        await destroy_keys(transaction.connection, list(keys), CLOCK.now())

    async with lab.database.write() as transaction:
        await rows.add(transaction, note)
        await documents.add(transaction, letter)
        await transcripts.add(transaction, version)
        await destroy(transaction)
        assert (await rows.get(transaction, visit.organization_id, note.id)).content is None
        bare = await documents.get(transaction, visit.organization_id, visit.id, letter.id)
        assert (bare.content, bare.name) == (None, "")
        with pytest.raises(ErasedError):
            await rows.save(transaction, note)
        with pytest.raises(ErasedError):
            await documents.save(transaction, letter)
        with pytest.raises(ErasedError):
            await transcripts.get(transaction, visit.organization_id, version.id)
        assert await transcripts.current(transaction, visit.organization_id, visit.id) is None


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
