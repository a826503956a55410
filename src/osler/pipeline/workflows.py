"""The workflows: which steps each kind of job has, and how many such jobs run at once."""

from osler.kernel.jobs import JobKind
from osler.pipeline.coding import EncounterCoding
from osler.pipeline.context_parsing import ContextParsing
from osler.pipeline.document_writing import DocumentWriting
from osler.pipeline.note_writing import NoteWriting
from osler.pipeline.ports import Step, Workflow
from osler.pipeline.transcription import Transcription


def workflows(
    *,
    transcription: Transcription,
    note_writing: NoteWriting,
    document_writing: DocumentWriting,
    context_parsing: ContextParsing,
    coding: EncounterCoding | None = None,
) -> tuple[Workflow, ...]:
    """Return a workflow for each kind of job; without ``coding`` no visit is coded.

    Each has one step, as each is one computation and one transaction: there is no state between that a crash could
    leave. ``concurrency`` follows the engines: one recording at a time, and live segments beside it.
    """
    coded = () if coding is None else (Workflow(JobKind.CODE_ENCOUNTER, (Step("code", coding.code),), coding.failed),)
    return (
        Workflow(
            JobKind.TRANSCRIBE_SEGMENT,
            (Step("transcribe segment", transcription.transcribe_segment, attempts=3),),
            transcription.segment_failed,
            # One is heard at a time: the others are claimed meanwhile, so that none waits for the next look.
            concurrency=3,
        ),
        Workflow(
            JobKind.TRANSCRIBE_RECORDING,
            (Step("transcribe recording", transcription.transcribe_recording),),
            transcription.recording_failed,
        ),
        Workflow(JobKind.PARSE_CONTEXT, (Step("parse context", context_parsing.parse),), context_parsing.failed),
        Workflow(JobKind.WRITE_NOTE, (Step("write note", note_writing.write),), note_writing.failed),
        Workflow(
            JobKind.WRITE_DOCUMENT,
            (Step("write document", document_writing.write),),
            document_writing.failed,
        ),
        *coded,
    )
