"""Rows belong to one organization, and what they say stands sealed, bound to its row, until its key is destroyed."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select, text

from osler.audio.model import RecordingState, SegmentStatus
from osler.coding.model import CodeSet, CodingStatus
from osler.encounters.model import Encounter
from osler.kernel.errors import ConflictError, CorruptedError, ErasedError, NotFoundError
from osler.kernel.ids import new_id
from osler.notes.model import (
    FormAnswers,
)
from osler.release.model import ReleasedDocument, ReleasedKind
from osler.storage.database import SqlDatabase, SqlTransaction, connection_of
from osler.storage.repositories.audio import SqlRecordingRepository
from osler.storage.repositories.coding import SqlCodeSetRepository
from osler.storage.repositories.notes import SqlDocumentRepository, SqlNoteRepository
from osler.storage.repositories.release import SqlReleaseRepository
from osler.storage.repositories.sealed import destroy_keys
from osler.storage.repositories.speech import SqlTranscriptRepository
from osler.storage.tables import coding, notes, speech
from osler.storage.tables.sealing import object_keys
from tests.pipeline_lab import CLOCK, Laboratory, laboratory
from tests.records_lab import (
    SAID,
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


async def test_what_belongs_to_one_organization_is_not_found_by_another(lab: Laboratory, visit: Encounter) -> None:
    audio, transcripts = SqlRecordingRepository(lab.rows), SqlTranscriptRepository(lab.rows)
    notes, documents = SqlNoteRepository(lab.rows), SqlDocumentRepository(lab.rows)
    codes, releases = SqlCodeSetRepository(lab.rows), SqlReleaseRepository(lab.rows)
    recording = await add_recording(lab, visit)
    segment, version, note, letter = (
        await a_segment(lab, recording),
        a_version(recording),
        a_note(visit),
        a_document(visit),
    )
    now = CLOCK.now()
    owned = (visit.organization_id, visit.id)
    shown = ReleasedDocument(new_id(), *owned, ReleasedKind.DOCUMENT, "note", note.id, now, now, now)
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
