"""Context documents on their whole way: sent, sealed, read by the job in a process of its own, listed and deleted."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from osler.audit.model import OPERATOR
from osler.encounters.context import MAX_BYTES
from osler.encounters.model import (
    ContextDocument,
    ContextDocumentStatus,
    Encounter,
    ErasureReason,
    ErasureScope,
    ParsedDocument,
)
from osler.kernel.engine_record import EngineRecord
from osler.kernel.errors import (
    EngineError,
    ErasedError,
    InvalidFieldError,
    MissingExtraError,
    NotFoundError,
    UnreadableDocumentError,
)
from osler.kernel.jobs import JobKind, JobState
from osler.storage.database import SqlDatabase
from tests.document_lab import LETTER, encoded, letter_docx, letter_pdf, picture, word_97
from tests.pipeline_lab import CLIENT, Laboratory, chunks_of, laboratory

pytestmark = pytest.mark.anyio

READY, FAILED, PARSING = ContextDocumentStatus.READY, ContextDocumentStatus.FAILED, ContextDocumentStatus.PARSING
WORDS = b"Allergic to penicillin since childhood."


class Parser:
    """Reads what ``answer`` says: a text, or an error to raise."""

    record = EngineRecord("test-parser", "1")

    def __init__(self, answer: str | Exception) -> None:
        self.answer = answer
        self.calls = 0

    def parse(self, file: BinaryIO) -> ParsedDocument:
        self.calls += 1
        self.pdf = file.read().startswith(b"%PDF")
        if isinstance(self.answer, Exception):
            raise self.answer
        return ParsedDocument(self.answer, "application/pdf" if self.pdf else "text/plain")


async def at_work(database: SqlDatabase, folder: Path, parser: Parser | None = None) -> tuple[Laboratory, Encounter]:
    lab = await laboratory(database, folder, parser=parser)
    await lab.begin()
    return lab, await lab.encounter()


async def add(
    lab: Laboratory, encounter: Encounter, data: bytes = WORDS, filename: str = "a.txt", **more: Any
) -> ContextDocument:
    """Add a document and return it as it stands once its job ran."""
    added = await lab.context.add(
        CLIENT, encounter.organization_id, encounter.id, chunks_of(data), filename=filename, **more
    )
    assert added.status is PARSING
    return await lab.context.get(encounter.organization_id, encounter.id, added.id)


def refused(document: ContextDocument) -> str:
    assert document.status is FAILED and document.text is None and document.reason is not None
    code, _, sentence = document.reason.partition(": ")
    assert sentence.endswith(".")
    return code


async def test_a_document_is_ready_with_its_text_after_its_job_ran(database: SqlDatabase, tmp_path: Path) -> None:
    lab, encounter = await at_work(database, tmp_path)
    document = await add(lab, encounter, filename="Brief.TXT", unstructured=True, metadata={"source": "EHR", "n": [1]})
    assert (document.status, document.text, document.reason) == (READY, WORDS.decode(), None)
    assert (document.filename, document.media_type, document.unstructured) == ("Brief.TXT", "text/plain", True)
    assert document.metadata == {"source": "EHR", "n": [1]}
    assert list(await lab.context.list(encounter.organization_id, encounter.id)) == [document]
    assert (await lab.jobs_of(encounter, JobKind.PARSE_CONTEXT))[0].state is JobState.DONE


@pytest.mark.parametrize("make", [letter_pdf, letter_docx, lambda: word_97(LETTER.replace("\n", "\r"))])
async def test_letters_are_read_whatever_they_are_called(
    database: SqlDatabase, tmp_path: Path, make: Callable[[], bytes]
) -> None:
    lab, encounter = await at_work(database, tmp_path)
    document = await add(lab, encounter, make(), "photo.jpg", media_type_hint="image/jpeg")
    assert document.status is READY and document.text is not None
    assert document.text.split() == LETTER.split()
    assert document.media_type.startswith("application/")


async def test_markdown_is_told_from_other_text_by_what_the_sender_says(database: SqlDatabase, tmp_path: Path) -> None:
    lab, encounter = await at_work(database, tmp_path, Parser("text"))
    assert (await add(lab, encounter, filename="plan.MD")).media_type == "text/markdown"
    assert (await add(lab, encounter, media_type_hint="text/markdown; charset=utf-8")).media_type == "text/markdown"
    assert (
        await add(lab, encounter, letter_pdf(), "a.md", media_type_hint="text/markdown")
    ).media_type != "text/markdown"


@pytest.mark.parametrize(
    "data", [b"", b"GIF89a" + bytes(100), b"<!DOCTYPE html><p>hello", bytes(range(256)) * 400], ids=repr
)
async def test_what_is_no_document_is_refused_and_leaves_nothing(
    database: SqlDatabase, tmp_path: Path, data: bytes
) -> None:
    lab, encounter = await at_work(database, tmp_path, Parser("text"))
    with pytest.raises(InvalidFieldError) as error:
        await add(lab, encounter, data, "letter.pdf")
    assert error.value.field == "file" and "letter" not in str(error.value)
    assert not await lab.context.list(encounter.organization_id, encounter.id)
    assert lab.stored_blobs() == 0


async def test_a_document_over_50_megabytes_is_refused_and_leaves_nothing(
    database: SqlDatabase, tmp_path: Path
) -> None:
    lab, encounter = await at_work(database, tmp_path, Parser("text"))
    sent = 0

    async def chunks(size: int) -> AsyncIterator[bytes]:
        nonlocal sent
        for start in range(0, size, 1_000_000):
            sent += min(1_000_000, size - start)
            yield b"x" * min(1_000_000, size - start)

    with pytest.raises(InvalidFieldError) as error:
        await lab.context.add(CLIENT, encounter.organization_id, encounter.id, chunks(10 * MAX_BYTES), filename="a.txt")
    assert error.value.field == "file" and "50 MB" in str(error.value)
    assert sent <= MAX_BYTES + 2_000_000
    assert lab.stored_blobs() == 0
    document = await lab.context.add(
        CLIENT, encounter.organization_id, encounter.id, chunks(MAX_BYTES), filename="a.txt"
    )
    assert document.blob.size == MAX_BYTES == 50_000_000


async def test_a_document_that_cannot_be_read_is_failed_with_a_reason_and_its_job_is_done(
    database: SqlDatabase, tmp_path: Path
) -> None:
    lab, encounter = await at_work(database, tmp_path)
    locked = letter_pdf(owner_password="owner", user_password="user")
    assert refused(await add(lab, encounter, locked, "locked.pdf")) == "encrypted"
    assert refused(await add(lab, encounter, letter_pdf()[:600])) == "damaged"
    assert refused(await add(lab, encounter, b" \n" * 20)) == "no_text"
    jobs = await lab.jobs_of(encounter, JobKind.PARSE_CONTEXT)
    assert [job.state for job in jobs] == [JobState.DONE] * 3


async def test_a_failure_of_the_machine_is_tried_again_and_a_bad_file_is_not(
    database: SqlDatabase, tmp_path: Path
) -> None:
    parser = Parser(EngineError("no memory", retryable=True))
    lab, encounter = await at_work(database, tmp_path, parser)
    assert refused(await add(lab, encounter)) == "not_read"
    assert parser.calls == 5
    (job,) = await lab.jobs_of(encounter, JobKind.PARSE_CONTEXT)
    assert (job.state, job.error) == (JobState.FAILED, "EngineError")
    parser.answer = "read at last"
    await lab.jobs.retry(OPERATOR, job.id)
    (document,) = await lab.context.list(encounter.organization_id, encounter.id)
    assert (document.status, document.text, document.reason) == (READY, "read at last", None)
    parser.answer, parser.calls = UnreadableDocumentError("damaged", "The file is damaged."), 0
    assert refused(await add(lab, encounter)) == "damaged"
    assert parser.calls == 1


async def test_a_missing_part_is_named_and_the_job_can_be_retried_once_it_is_there(
    database: SqlDatabase, tmp_path: Path
) -> None:
    parser = Parser(MissingExtraError("install osler[documents]."))
    lab, encounter = await at_work(database, tmp_path, parser)
    await add(lab, encounter)
    for attempt in (1, 2):
        (document,) = await lab.context.list(encounter.organization_id, encounter.id)
        assert refused(document) == "not_installed" and "osler[documents]" in (document.reason or "")
        (job,) = await lab.jobs_of(encounter, JobKind.PARSE_CONTEXT)
        assert job.state is JobState.FAILED and parser.calls == attempt
        await lab.jobs.retry(OPERATOR, job.id)
    parser.answer = "it is there"
    await lab.jobs.retry(OPERATOR, job.id)
    (document,) = await lab.context.list(encounter.organization_id, encounter.id)
    assert document.text == "it is there"


async def test_reading_twice_changes_nothing(database: SqlDatabase, tmp_path: Path) -> None:
    parser = Parser("once")
    lab, encounter = await at_work(database, tmp_path, parser)
    document = await add(lab, encounter)
    (job,) = await lab.jobs_of(encounter, JobKind.PARSE_CONTEXT)
    parser.answer = "twice"
    await lab.context_parsing.parse(job)
    await lab.context_parsing.failed(job, "EngineError")
    assert await lab.context.get(encounter.organization_id, encounter.id, document.id) == document
    assert parser.calls == 1


async def test_deleting_takes_row_keys_and_bytes(database: SqlDatabase, tmp_path: Path) -> None:
    lab, encounter = await at_work(database, tmp_path)
    gone, kept = await add(lab, encounter), await add(lab, encounter, b"Stays.")
    await lab.context.delete(CLIENT, encounter.organization_id, encounter.id, [gone.id, gone.id])
    assert list(await lab.context.list(encounter.organization_id, encounter.id)) == [kept]
    assert lab.stored_blobs() == 1
    with pytest.raises(NotFoundError):
        await lab.context.delete(CLIENT, encounter.organization_id, encounter.id, [kept.id, gone.id])
    assert list(await lab.context.list(encounter.organization_id, encounter.id)) == [kept]


async def test_a_document_that_is_deleted_or_erased_while_it_is_read_stays_gone(
    database: SqlDatabase, tmp_path: Path
) -> None:
    lab = await laboratory(database, tmp_path, parser=Parser("late"))
    for how in ("deleted", "erased"):
        encounter = await lab.encounter()
        added = await lab.context.add(
            CLIENT, encounter.organization_id, encounter.id, chunks_of(WORDS), filename="a.txt"
        )
        job = await lab.queued(encounter, JobKind.PARSE_CONTEXT)
        if how == "deleted":
            await lab.context.delete(CLIENT, encounter.organization_id, encounter.id, [added.id])
        else:
            await lab.erasure.erase(
                CLIENT,
                encounter.organization_id,
                encounter.id,
                scope=ErasureScope.EVERYTHING,
                reason=ErasureReason.COMMAND,
            )
        await lab.context_parsing.parse(job)
        await lab.context_parsing.failed(job, "EngineError")
        if how == "deleted":
            assert not await lab.context.list(encounter.organization_id, encounter.id)
    with pytest.raises(ErasedError):
        await lab.context.list(encounter.organization_id, encounter.id)
    with pytest.raises(ErasedError):
        await add(lab, encounter)


async def test_nobody_reaches_a_document_through_another_tenant_or_encounter(
    database: SqlDatabase, tmp_path: Path
) -> None:
    lab, encounter = await at_work(database, tmp_path, Parser("text"))
    document, other = await add(lab, encounter), await lab.encounter()
    stranger, _ = await lab.practice()
    for organization_id, encounter_id in ((stranger.id, encounter.id), (encounter.organization_id, other.id)):
        with pytest.raises(NotFoundError):
            await lab.context.get(organization_id, encounter_id, document.id)
        with pytest.raises(NotFoundError):
            await lab.context.delete(CLIENT, organization_id, encounter_id, [document.id])
    with pytest.raises(NotFoundError):
        await lab.context.add(CLIENT, stranger.id, encounter.id, chunks_of(WORDS), filename="a.txt")
    with pytest.raises(NotFoundError):
        await lab.context.list(encounter.organization_id, encounter.id, user_id="somebody else")
    assert await lab.context.list(encounter.organization_id, encounter.id) == [document]


async def test_nothing_of_a_document_stands_in_plain_text_anywhere(sqlite_url: str, tmp_path: Path) -> None:
    database = SqlDatabase(sqlite_url)
    lab, encounter = await at_work(database, tmp_path)
    marker = b"Xylophonist-4711"
    await add(lab, encounter, b"Works as " + marker, marker.decode() + ".txt", metadata={"title": marker.decode()})
    (document,) = await lab.context.list(encounter.organization_id, encounter.id)
    assert document.text is not None and marker.decode() in document.text
    await database.dispose()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) >= 2
    assert [path.name for path in files if marker in path.read_bytes() or marker.decode() in path.name] == []


async def test_each_act_leaves_a_trace_without_content(database: SqlDatabase, tmp_path: Path) -> None:
    lab, encounter = await at_work(database, tmp_path)
    document = await add(lab, encounter)
    await add(lab, encounter, letter_pdf()[:600])
    await lab.context.delete(CLIENT, encounter.organization_id, encounter.id, [document.id])
    entries = await lab.audit.list(encounter.organization_id, encounter_id=encounter.id)
    events = [entry.event for entry in reversed(entries) if entry.event.action.startswith("context_document.")]
    assert [(event.action.partition(".")[2], event.outcome.value) for event in events] == [
        ("added", "done"),
        ("read", "done"),
        ("added", "done"),
        ("read", "failed"),
        ("deleted", "done"),
    ]
    assert events[1].detail["pages"] == "1" and events[1].detail["pages_by_ocr"] == "0"
    assert "pp-ocrv6" in events[1].detail["engine"]
    assert events[3].detail == {"failure": "damaged"}


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("C:\\letters\\Müller.pdf", "Müller.pdf"),
        ("../../etc/passwd", "passwd"),
        ("a\x00\nb\u202ec.txt", "abc.txt"),
        ("", "document"),
        ("x" * 300 + ".pdf", "x" * 251 + ".pdf"),
    ],
)
async def test_file_names_are_names_only(sqlite_url: str, tmp_path: Path, given: str, kept: str) -> None:
    lab, encounter = await at_work(SqlDatabase(sqlite_url), tmp_path, Parser("text"))
    assert (await add(lab, encounter, filename=given)).filename == kept
    await lab.database.dispose()


@pytest.mark.parametrize("metadata", [{"a": float("nan")}, {"a": object()}, {"a": "\ud800"}, {"a": "x" * 70_000}])
async def test_metadata_that_is_no_json_or_too_much_is_refused(
    sqlite_url: str, tmp_path: Path, metadata: dict[str, Any]
) -> None:
    lab, encounter = await at_work(SqlDatabase(sqlite_url), tmp_path, Parser("text"))
    with pytest.raises(InvalidFieldError) as error:
        await add(lab, encounter, metadata=metadata)
    assert error.value.field == "metadata"
    assert lab.stored_blobs() == 0
    await lab.database.dispose()


@pytest.mark.engine
async def test_a_scan_and_a_photo_go_the_same_way(sqlite_url: str, tmp_path: Path) -> None:
    lab, encounter = await at_work(SqlDatabase(sqlite_url), tmp_path)
    document = await add(lab, encounter, encoded(picture(letter_pdf(), dpi=150)), "scan.pdf")
    assert document.status is READY and document.media_type == "image/png"
    assert "ramipril 5 mg once daily" in (document.text or "")
    await lab.database.dispose()


async def test_a_deleted_document_is_in_the_ledger_so_that_no_restore_brings_it_back(
    sqlite_url: str, tmp_path: Path
) -> None:
    lab, encounter = await at_work(SqlDatabase(sqlite_url), tmp_path, Parser("text"))
    document = await add(lab, encounter)
    before = {path.name for path in (lab.folder / "erasures").rglob("*") if path.is_file()}
    await lab.context.delete(CLIENT, encounter.organization_id, encounter.id, [document.id])
    assert len({path.name for path in (lab.folder / "erasures").rglob("*") if path.is_file()} - before) == 1
    await lab.database.dispose()
