"""What a text or an answer is made from may change or be erased while it is made: then it says so, or is not kept."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from osler.encounters.model import Encounter, ErasureReason, ErasureScope, ParsedDocument
from osler.kernel.engine_record import EngineRecord
from osler.kernel.errors import ErasedError
from osler.kernel.jobs import JobKind
from osler.notes.form_records import FormService
from osler.notes.forms import FormAnswer, FormQuestion, read_form
from osler.notes.gathering import SourceService
from osler.notes.model import TextStatus
from osler.notes.template_library import built_in_templates
from osler.notes.writing import VisitSources
from osler.storage.database import SqlDatabase
from osler.storage.repositories.access import SqlOrganizationRepository
from osler.storage.repositories.context import SqlContextDocumentRepository
from osler.storage.repositories.encounters import SqlEncounterRepository
from osler.storage.repositories.notes import SqlDocumentRepository, SqlNoteRepository
from osler.storage.repositories.secrets import deployment_secret
from osler.storage.repositories.speech import SqlTranscriptRepository
from osler.storage.sealing.keys import KeyRing, MasterKey
from tests.pipeline_lab import CLIENT, CLOCK, Laboratory, chunks_of, laboratory, tones

pytestmark = pytest.mark.anyio

WORDS = b"Allergic to penicillin since childhood."
FORM = read_form({"questions": [{"questionId": "1", "question": "Any allergies?", "answerType": "TextArea"}]})

Meanwhile = Callable[[Laboratory, Encounter], Awaitable[None]]


class Parser:
    """Takes every file for plain text."""

    record = EngineRecord("test-parser", "1")

    def parse(self, file: BinaryIO) -> ParsedDocument:
        return ParsedDocument(file.read().decode(), "text/plain")


@pytest.fixture
async def lab(database: SqlDatabase, tmp_path: Path) -> Laboratory:
    """Jobs are queued and not run: the tests are the workers."""
    return await laboratory(database, tmp_path, parser=Parser())


async def visit(lab: Laboratory) -> Encounter:
    """Return an encounter with a transcript, a document that was read, and a note of its clinician."""
    encounter = await lab.encounter(clinician_notes=["Seen with his sister."])
    await lab.upload(encounter, tones(0))
    await lab.transcription.transcribe_recording(await lab.queued(encounter, JobKind.TRANSCRIBE_RECORDING))
    await add_document(lab, encounter)
    return encounter


async def add_document(lab: Laboratory, encounter: Encounter) -> None:
    await lab.context.add(CLIENT, encounter.organization_id, encounter.id, chunks_of(WORDS), filename="a.txt")
    await lab.context_parsing.parse((await lab.jobs_of(encounter, JobKind.PARSE_CONTEXT))[-1])


async def delete_document(lab: Laboratory, encounter: Encounter) -> None:
    (document,) = await lab.context.list(encounter.organization_id, encounter.id)
    await lab.context.delete(CLIENT, encounter.organization_id, encounter.id, [document.id])


async def add_clinician_note(lab: Laboratory, encounter: Encounter) -> None:
    await lab.encounters.change(
        CLIENT, encounter.organization_id, encounter.id, {"clinician_notes": ["Seen with his sister.", "Smokes."]}
    )


async def link_another(lab: Laboratory, encounter: Encounter) -> None:
    other = await lab.encounter()
    await lab.encounters.change(CLIENT, encounter.organization_id, encounter.id, {"linked_encounter_ids": [other.id]})


async def change_nothing_of_it(lab: Laboratory, encounter: Encounter) -> None:
    await lab.encounters.change(CLIENT, encounter.organization_id, encounter.id, {"name": "Mr Quill"})


async def withdraw_consent(lab: Laboratory, encounter: Encounter) -> None:
    """Erase what goes with the consent, as the policy does once its grace is over."""
    await lab.erasure.erase(
        CLIENT,
        encounter.organization_id,
        encounter.id,
        scope=ErasureScope.AUDIO_AND_UNSIGNED,
        reason=ErasureReason.CONSENT_WITHDRAWN,
    )


def from_thread(call: Callable[[], Awaitable[None]]) -> Callable[[], None]:
    """Return what has ``call`` awaited on the test's own loop, for an engine that works in a thread."""
    loop = asyncio.get_running_loop()

    async def run() -> None:
        await call()

    return lambda: asyncio.run_coroutine_threadsafe(run(), loop).result()


CHANGES = pytest.mark.parametrize(
    ("meanwhile", "stale"),
    [
        (add_document, True),
        (delete_document, True),
        (add_clinician_note, True),
        (link_another, True),
        (change_nothing_of_it, False),
    ],
)


@CHANGES
async def test_a_note_is_stale_if_what_it_is_written_from_changed_meanwhile(
    lab: Laboratory, meanwhile: Meanwhile, stale: bool
) -> None:
    encounter = await visit(lab)
    await lab.notes.request(CLIENT, lab.organization.id, encounter.id)
    lab.writer.during = from_thread(lambda: meanwhile(lab, encounter))
    await lab.note_writing.write(await lab.queued(encounter, JobKind.WRITE_NOTE))
    note = await lab.notes.current(lab.organization.id, encounter.id)
    assert note is not None and (note.status, note.stale) == (TextStatus.CREATED, stale)


@CHANGES
async def test_a_document_is_stale_if_what_it_is_written_from_changed_meanwhile(
    lab: Laboratory, meanwhile: Meanwhile, stale: bool
) -> None:
    encounter = await visit(lab)
    await lab.documents.request(CLIENT, lab.organization.id, encounter.id, template_id=built_in_templates()[-1].id)
    lab.writer.during = from_thread(lambda: meanwhile(lab, encounter))
    await lab.document_writing.write(await lab.queued(encounter, JobKind.WRITE_DOCUMENT))
    (document,) = await lab.documents.list(lab.organization.id, encounter.id)
    assert (document.status, document.stale) == (TextStatus.CREATED, stale)


class Filler:
    """Knows no answer. ``during`` is called while it looks for some."""

    record = EngineRecord("test-filler", "1")

    def __init__(self, during: Callable[[], None]) -> None:
        self.during = during

    def fill(
        self, sources: VisitSources, questions: Sequence[FormQuestion], visit_day: date
    ) -> Sequence[FormAnswer | None]:
        self.during()
        return [None for _ in questions]


async def forms_of(lab: Laboratory, during: Callable[[], None]) -> FormService:
    secret = await deployment_secret(lab.database, KeyRing(MasterKey(b"a key of tests only, of 32 bytes")))
    encounters = SqlEncounterRepository(lab.rows, secret)
    filler = Filler(during)
    return FormService(
        database=lab.database,
        sources=SourceService(
            database=lab.database,
            encounters=encounters,
            organizations=SqlOrganizationRepository(),
            transcripts=SqlTranscriptRepository(lab.rows),
            documents=SqlContextDocumentRepository(lab.rows, CLOCK),
            notes=SqlNoteRepository(lab.rows),
        ),
        answers=SqlDocumentRepository(lab.rows),
        encounters=encounters,
        load_filler=lambda: filler,
        audit=lab.audit,
        clock=CLOCK,
    )


async def kept_answers(lab: Laboratory, encounter: Encounter) -> int:
    async with lab.database.read() as transaction:
        found = await SqlDocumentRepository(lab.rows).answers(transaction, encounter.organization_id, encounter.id)
    return len(found)


@pytest.mark.parametrize("meanwhile", [withdraw_consent, delete_document])
async def test_no_answer_is_kept_or_given_of_what_was_erased_while_it_was_looked_for(
    lab: Laboratory, meanwhile: Meanwhile
) -> None:
    encounter = await visit(lab)
    forms = await forms_of(lab, from_thread(lambda: meanwhile(lab, encounter)))
    with pytest.raises(ErasedError):
        await forms.answer(CLIENT, encounter.organization_id, encounter.id, FORM)
    assert await kept_answers(lab, encounter) == 0


async def test_no_answer_is_kept_of_a_clinicians_note_that_went_with_the_consent_meanwhile(lab: Laboratory) -> None:
    encounter = await lab.encounter(clinician_notes=["Seen with his sister."])
    forms = await forms_of(lab, from_thread(lambda: withdraw_consent(lab, encounter)))
    with pytest.raises(ErasedError):
        await forms.answer(CLIENT, encounter.organization_id, encounter.id, FORM)
    assert await kept_answers(lab, encounter) == 0


@pytest.mark.parametrize("meanwhile", [add_document, add_clinician_note, change_nothing_of_it])
async def test_answers_are_kept_if_only_something_was_added_meanwhile(lab: Laboratory, meanwhile: Meanwhile) -> None:
    encounter = await visit(lab)
    forms = await forms_of(lab, from_thread(lambda: meanwhile(lab, encounter)))
    kept: Any = await forms.answer(CLIENT, encounter.organization_id, encounter.id, FORM)
    assert kept.transcript_id is not None and await kept_answers(lab, encounter) == 1
