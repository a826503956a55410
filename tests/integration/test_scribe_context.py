"""Context documents through the scribe API: streamed in, kept sealed, listed, removed."""

import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from osler.audit.model import OPERATOR
from osler.encounters.model import ErasureReason, ErasureScope
from tests.scribe_practice import NOBODYS_ID, NOBODYS_SESSION, Clinician, Town, ok, opened_town, refused

pytestmark = pytest.mark.anyio

LETTER = b"Dear colleague, thank you for seeing Mr Quillfeather, who has gout."


@pytest.fixture
async def town(anyio_backend: str, tmp_path: Path, database_url: str) -> AsyncIterator[Town]:
    async with opened_town(tmp_path, database_url) as town:
        yield town


@pytest.fixture
async def clinician(town: Town) -> Clinician:
    return await town.clinician()


async def send(clinician: Clinician, session_id: str, *files: Any, **fields: Any) -> Any:
    return await clinician.post(f"/sessions/{session_id}/context-documents", files=list(files), data=fields)


def letter(part: str = "file", name: str = "letter.txt", content: bytes = LETTER) -> Any:
    return (part, (name, content, "text/plain"))


def blobs(town: Town) -> int:
    folder = Path(town.core.settings.blobs_place)
    # The ledger of what was deleted stands in the same folder, and stays.
    return sum(1 for path in folder.rglob("*") if path.is_file() and "erasures" not in path.relative_to(folder).parts)


async def listed(clinician: Clinician, session_id: str) -> list[dict[str, Any]]:
    documents: list[dict[str, Any]] = ok(await clinician.get(f"/sessions/{session_id}/context-documents"))["data"]
    return documents


@pytest.mark.parametrize("part", ["file", "context_documents"])
async def test_a_document_is_taken_in_either_spelling(clinician: Clinician, part: str) -> None:
    session_id = await clinician.session()
    body = ok(await send(clinician, session_id, letter(part)))
    assert body["filename"] == "letter.txt" and body["status"] == "PARSING" and body["unstructured"] is False
    assert len(body["id"]) == 24 and body["uploaded_at"].endswith("Z")
    assert body["data"] == await listed(clinician, session_id) == [{k: v for k, v in body.items() if k != "data"}]
    stored = await clinician.core.context.get(clinician.organization.id, session_id, body["id"])
    assert stored.blob.size == len(LETTER) and stored.metadata == {}
    pieces = [piece async for piece in clinician.core.vault.stream(stored.blob)]
    assert b"".join(pieces) == LETTER


@pytest.mark.parametrize("first", [True, False])
async def test_what_is_said_of_a_document_may_stand_before_or_behind_it(clinician: Clinician, first: bool) -> None:
    session_id = await clinician.session()
    said = [("unstructured", (None, "true")), ("meta_data", (None, '{"source": {"name": "clinic"}}'))]
    files = [*said, letter()] if first else [letter(), *said]
    body = ok(await send(clinician, session_id, *files))
    stored = await clinician.core.context.get(clinician.organization.id, session_id, body["id"])
    assert stored.unstructured is body["unstructured"] is True
    assert stored.metadata == {"source": {"name": "clinic"}}


async def test_several_documents_come_in_one_form(clinician: Clinician) -> None:
    session_id = await clinician.session()
    files = [letter("context_documents", f"{n}.txt", LETTER * 1000) for n in range(3)]
    body = ok(await send(clinician, session_id, *files, meta_data='[{"n": 1}]'))
    assert [each["filename"] for each in body["data"]] == ["0.txt", "1.txt", "2.txt"]
    assert {each["id"] for each in await listed(clinician, session_id)} == {each["id"] for each in body["data"]}


async def test_of_several_documents_all_are_taken_or_none(clinician: Clinician, town: Town) -> None:
    session_id = await clinician.session()
    picture = letter("context_documents", "a.exe", b"MZ\x90\x00\x03\x00\x00\x00" * 100)
    refused(await send(clinician, session_id, letter(), picture), 422, field="file")
    refused(await send(clinician, session_id, letter(), meta_data="{"), 422, field="meta_data")
    refused(await send(clinician, session_id, letter(), unstructured="perhaps"), 422, field="unstructured")
    assert await listed(clinician, session_id) == [] and blobs(town) == 0


@pytest.mark.parametrize(
    ("files", "status", "field"),
    [
        ([], 422, "file"),
        ([("other", ("letter.txt", LETTER, "text/plain"))], 422, "file"),
        ([letter(content=b"")], 422, "file"),
        ([letter(content=b"<html><script>alert(1)</script></html>")], 422, "file"),
        ([letter(content=b"A" * 50_000_001)], 413, "file"),
    ],
)
async def test_what_is_no_document_is_refused(
    clinician: Clinician, town: Town, files: list[Any], status: int, field: str
) -> None:
    session_id = await clinician.session()
    said = [] if files else [("unstructured", (None, "true"))]
    refused(await send(clinician, session_id, *files, *said), status, field=field)
    assert await listed(clinician, session_id) == [] and blobs(town) == 0


async def test_another_content_type_or_a_broken_form_is_refused(clinician: Clinician) -> None:
    path = f"/sessions/{await clinician.session()}/context-documents"
    refused(await clinician.post(path, {"file": "text"}), 415)
    refused(await clinician.post(path, content=LETTER, headers={"Content-Type": "text/plain"}), 415)
    form = {"Content-Type": "multipart/form-data; boundary=b"}
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\n'
    refused(await clinician.post(path, content=head + LETTER, headers=form), 400)
    refused(await clinician.post(path, content=b"no form at all", headers=form), 400)
    refused(await clinician.post(path, content=head + LETTER + b"\r\n--b--\r\n", headers={"Content-Type": "x/y"}), 415)


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\Quill\\letter.txt", "letter.txt"),
        ("<script>alert(1)</script>.txt", "script>.txt"),
        ("'; DROP TABLE context_documents; --.txt", "'; DROP TABLE context_documents; --.txt"),
        ("überweisung für Åsa.txt", "überweisung für Åsa.txt"),
        ("a" * 400 + ".txt", "a" * 251 + ".txt"),
    ],
)
async def test_a_file_name_is_shown_without_its_folders(clinician: Clinician, sent: str, told: str) -> None:
    session_id = await clinician.session()
    assert ok(await send(clinician, session_id, letter(name=sent)))["filename"] == told


async def test_nothing_of_a_document_lies_open_on_the_disk(
    clinician: Clinician, town: Town, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_arguments: Any, **_more: Any) -> Any:
        raise AssertionError("an upload is not spooled to a temporary file")

    monkeypatch.setattr("tempfile.SpooledTemporaryFile", refuse)
    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    session_id = await clinician.session()
    ok(await send(clinician, session_id, letter(name="Quillfeather.txt", content=LETTER * 40_000)))
    for path in (path for path in tmp_path.rglob("*") if path.is_file()):
        assert b"Quillfeather" not in path.read_bytes(), path.name


async def test_pictures_are_taken_as_pictures(clinician: Clinician) -> None:
    session_id = await clinician.session()
    picture = io.BytesIO()
    Image.new("L", (20, 20)).save(picture, "PNG")
    body = ok(await send(clinician, session_id, letter(name="scan.txt", content=picture.getvalue())))
    stored = await clinician.core.context.get(clinician.organization.id, session_id, body["id"])
    assert stored.media_type == "image/png"


async def test_documents_are_removed_for_good_all_or_none(clinician: Clinician, town: Town) -> None:
    session_id = await clinician.session()
    path = f"/sessions/{session_id}/context-documents"
    ids = [ok(await send(clinician, session_id, letter()))["id"] for _ in range(4)]
    for wrong in ([ids[0], NOBODYS_ID], ["x"], [""], ["%00"]):
        answer = await clinician.call("DELETE", path, params={"ids": wrong})
        refused(answer, 404, "ContextDocumentNotFoundError")
    refused(await clinician.call("DELETE", path), 422, field="ids")
    assert len(await listed(clinician, session_id)) == blobs(town) == 4
    answer = await clinician.call("DELETE", path, params={"ids": ids[:2]})
    assert answer.status_code == 204 and answer.content == b""
    assert (await clinician.call("DELETE", path, params={"ids": ids[2]})).status_code == 204
    assert [each["id"] for each in await listed(clinician, session_id)] == ids[3:] and blobs(town) == 1
    assert len(await clinician.traces("context_document.deleted")) == 3


async def test_what_is_not_there_or_not_his_is_the_same_to_a_clinician(town: Town) -> None:
    practice = await town.practice()
    clinician, colleague = await town.clinician(practice), await town.clinician(practice, "colleague")
    stranger = await town.clinician()
    session_id = await clinician.session()
    document = ok(await send(clinician, session_id, letter()))
    for other in (colleague, stranger):
        mine = await other.session()
        for where in (session_id, NOBODYS_SESSION, "x"):
            path = f"/sessions/{where}/context-documents"
            for answer in (
                await send(other, where, letter()),
                await other.get(path),
                await other.call("DELETE", path, params={"ids": document["id"]}),
            ):
                assert refused(answer, 404) == {"msg": "Session not found", "type": "SessionNotFoundError"}
        answer = await other.call("DELETE", f"/sessions/{mine}/context-documents", params={"ids": document["id"]})
        refused(answer, 404, "ContextDocumentNotFoundError")
    assert len(await listed(clinician, session_id)) == blobs(town) == 1


async def test_an_erased_session_takes_no_documents(clinician: Clinician, town: Town) -> None:
    session_id = await clinician.session()
    await clinician.core.erasure.erase(
        OPERATOR, clinician.organization.id, session_id, scope=ErasureScope.EVERYTHING, reason=ErasureReason.COMMAND
    )
    before = blobs(town)
    refused(await send(clinician, session_id, letter()), 410, "SessionErasedError")
    assert blobs(town) == before


async def test_every_reading_and_every_change_is_on_record(clinician: Clinician) -> None:
    session_id = await clinician.session()
    document = ok(await send(clinician, session_id, letter()))["id"]
    await listed(clinician, session_id)
    trace = {"encounter": session_id, "context_document": document}
    assert await clinician.traces("context_document.added") == [trace]
    assert await clinician.traces("context_document.listed") == [{"encounter": session_id}]
