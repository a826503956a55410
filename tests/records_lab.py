"""Rows to write and read back: a recording, a segment, a transcript, a note, a document, each with something said."""

from dataclasses import replace
from typing import Any

from osler.audio.model import AudioRecording, RecordingKind, Segment
from osler.encounters.model import Encounter
from osler.kernel.engine_record import EngineRecord
from osler.kernel.ids import new_id
from osler.notes.model import (
    ContentType,
    Document,
    Evidence,
    NoteVersion,
    Section,
    Sentence,
    TextStatus,
    Verdict,
    WrittenText,
)
from osler.speech.model import Mark, Speaker, Transcript, TranscriptVersion, Turn, Word
from osler.storage.repositories.audio import SqlRecordingRepository
from tests.pipeline_lab import CLOCK, Laboratory, chunks_of

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


def a_recording(visit: Encounter, index: int = 0) -> AudioRecording:
    return AudioRecording(
        id=new_id(),
        organization_id=visit.organization_id,
        encounter_id=visit.id,
        kind=RecordingKind.USER_UPLOADED,
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
