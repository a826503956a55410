"""Notes of a clinician's own, and what becomes stale with its sources: on both databases."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from osler.encounters.model import Encounter
from osler.notes.model import NoteVersion, RequestTexts, TextStatus
from osler.storage.database import SqlDatabase
from osler.storage.repositories.notes import SqlNoteRepository
from tests.pipeline_lab import CLIENT, Laboratory, laboratory, tones

pytestmark = pytest.mark.anyio


@pytest.fixture
async def lab(database: SqlDatabase, tmp_path: Path) -> AsyncIterator[Laboratory]:
    lab = await laboratory(database, tmp_path)
    await lab.begin()
    yield lab


async def edited(lab: Laboratory, encounter: Encounter, text: str, author_id: str) -> NoteVersion:
    async with lab.database.write() as transaction:
        note = await lab.notes.edit(transaction, CLIENT, encounter, text, author_id=author_id)
    assert note is not None
    return note


async def own(lab: Laboratory, limit: int = 20) -> list[str]:
    rows = SqlNoteRepository(lab.rows)
    async with lab.database.read() as transaction:
        found = await rows.of_author(transaction, lab.organization.id, lab.user.id, limit)
    return [note.id for note in found]


async def test_own_notes_are_the_newest_edited_or_signed_of_each_visit(lab: Laboratory) -> None:
    visits = [await lab.encounter() for _ in range(4)]
    await edited(lab, visits[0], "First words.", lab.user.id)
    newer = await edited(lab, visits[0], "Second words.", lab.user.id)
    await edited(lab, visits[1], "A colleague's words.", "somebody-else")
    await lab.upload(visits[2], tones(0))
    signed = await lab.notes.request(CLIENT, lab.organization.id, visits[2].id)
    await lab.release.sign(CLIENT, lab.organization.id, visits[2].id, lab.user.id)
    await lab.upload(visits[3], tones(0))
    await lab.notes.request(CLIENT, lab.organization.id, visits[3].id)
    other, stranger = await lab.practice()
    assert set(await own(lab)) == {newer.id, signed.id}
    assert await own(lab, 1) == [signed.id], "the newest first"
    rows = SqlNoteRepository(lab.rows)
    async with lab.database.read() as transaction:
        assert await rows.of_author(transaction, other.id, lab.user.id, 20) == []
        assert await rows.of_author(transaction, lab.organization.id, stranger.id, 20) == []


async def test_changed_sources_make_stale_what_the_writer_wrote_and_nobody_signed(lab: Laboratory) -> None:
    encounter = await lab.encounter()
    await lab.upload(encounter, tones(0))
    signed = await lab.notes.request(CLIENT, lab.organization.id, encounter.id)
    await lab.release.sign(CLIENT, lab.organization.id, encounter.id, lab.user.id)
    plain = await lab.notes.request(CLIENT, lab.organization.id, encounter.id)
    document = await lab.documents.request(
        CLIENT, lab.organization.id, encounter.id, template_id="17cf925978450961a853cd40"
    )
    by_hand = await edited(lab, encounter, "My own words.", lab.user.id)
    async with lab.database.write() as transaction:
        await lab.notes.sources_changed(transaction, lab.organization.id, encounter.id)
    stale = {note.id: note.stale for note in await lab.notes.versions(lab.organization.id, encounter.id)}
    assert stale == {signed.id: False, plain.id: True, by_hand.id: False}
    assert (await lab.documents.get(lab.organization.id, encounter.id, document.id)).stale


async def test_a_context_document_that_is_deleted_makes_stale_what_could_rest_on_it(lab: Laboratory) -> None:
    async def text() -> AsyncIterator[bytes]:
        yield b"Allergic to penicillin."

    encounter = await lab.encounter()
    await lab.upload(encounter, tones(0))
    document = await lab.context.add(CLIENT, lab.organization.id, encounter.id, text(), filename="letter.txt")
    note = await lab.notes.request(CLIENT, lab.organization.id, encounter.id)
    assert not (await lab.notes.get(lab.organization.id, note.id)).stale
    await lab.context.delete(CLIENT, lab.organization.id, encounter.id, [document.id])
    assert (await lab.notes.get(lab.organization.id, note.id)).stale


async def test_texts_of_a_request_and_pieces_are_kept_with_the_note_and_the_pieces_go_in_the_end(
    lab: Laboratory,
) -> None:
    encounter = await lab.encounter()
    await lab.begin(execute=False)
    await lab.upload(encounter, tones(0))
    texts = RequestTexts(template="# Mine\n[plan]", addition="Also a cane.")
    asked = await lab.notes.request(CLIENT, lab.organization.id, encounter.id, texts=texts)
    rows = SqlNoteRepository(lab.rows)
    async with lab.database.write() as transaction:
        await lab.notes.keep_pieces(transaction, asked, ("# Mine\n", "Done.\n"))
        standing = await rows.get(transaction, lab.organization.id, asked.id)
    assert standing == replace(asked, pieces=("# Mine\n", "Done.\n")) and standing.content is None
    await lab.begin()
    written = await lab.notes.get(lab.organization.id, asked.id)
    assert written.status is TextStatus.CREATED and written.content is not None
    assert written.texts == texts and written.pieces == () and written.template == "third party"
