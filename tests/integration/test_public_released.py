"""What outsiders may read of a visit, and when: its sign-off, corrections, erasure, and the names that people chose."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

from osler.access.model import ReleasePolicy
from osler.bootstrap import Core
from osler.encounters.model import ErasureScope
from osler.notes.template_model import TemplateCategory
from osler.pipeline.encounter_editing import EditedNote
from osler.release.model import ReleasedKind
from osler.release.reading import (
    PublicEncounterType,
    PublicStatus,
)
from osler.speech.correction import Correction, TurnCorrection
from osler.storage.database import SqlDatabase, connection_of
from osler.storage.tables.release import released_documents
from tests.pipeline_lab import CLIENT
from tests.reading_lab import Practice, opened, refused, settled

pytestmark = pytest.mark.anyio


@pytest.fixture
async def core(tmp_path: Path, database_url: str) -> AsyncIterator[Core]:
    async with opened(tmp_path, database_url) as core:
        yield core


@pytest.fixture
async def practice(core: Core) -> Practice:
    return await settled(core)


async def test_before_the_sign_off_a_visit_is_there_and_nothing_of_it(practice: Practice) -> None:
    signing = await practice.practice(ReleasePolicy.SIGN_OFF)
    visit = await signing.visit(said=(0, 1), note=True)
    before = await signing.shown(visit)
    assert (before.documents, before.encounter_type, before.status) == ((), None, PublicStatus.COMPLETED)
    assert [
        encounter.documents
        for encounter in (
            await signing.reading.page(signing.organization.id, limit=9, offset=0, newest_first=True)
        ).items
    ] == [()]
    await signing.core.release.sign(CLIENT, signing.organization.id, visit.id, signing.user.id)
    after = await signing.shown(visit)
    assert (after.encounter_type, after.status) == (PublicEncounterType.AMBIENT, PublicStatus.SIGNED)
    note = await signing.document(visit, ReleasedKind.DOCUMENT)
    read = await signing.reading.document(signing.organization.id, visit.id, note.id)
    # A newer version is nobody's business before it is signed too.
    await signing.core.editing.change(
        CLIENT, signing.organization.id, visit.id, {}, user_id=signing.user.id, note=EditedNote("Not yet signed")
    )
    assert await signing.reading.document(signing.organization.id, visit.id, note.id) == read
    await signing.core.release.sign(CLIENT, signing.organization.id, visit.id, signing.user.id)
    signed = await signing.reading.document(signing.organization.id, visit.id, note.id)
    assert (signed.id, signed.text) == (note.id, "Not yet signed") and signed.updated_at > read.updated_at


async def test_a_visit_that_was_coded_or_gone_through_says_so_and_no_more(practice: Practice) -> None:
    signing = await practice.practice(ReleasePolicy.SIGN_OFF)
    for of, before in ((practice, True), (signing, False)):
        visit = await of.visit(said=(0, 1), note=True)
        note = await of.core.notes.current(of.organization.id, visit.id)
        assert note is not None
        await of.coded(visit, note.id)
        assert (ReleasedKind.BILLING in {each.kind for each in (await of.shown(visit)).documents}) is before
        await of.core.release.sign(CLIENT, of.organization.id, visit.id, of.user.id)
        billing, checklist = (
            await of.document(visit, ReleasedKind.BILLING),
            await of.document(visit, ReleasedKind.CHECKLIST),
        )
        assert (billing.title, checklist.title) == ("Billing summary", "Encounter checklist")
        assert all(
            (each.status, each.workflow_variant, each.audio_duration) == (None, None, None)
            for each in (billing, checklist)
        )
    # Codes that were slower than the clinician are shown with the note that they rest on.
    visit = await signing.visit(said=(0, 1), note=True)
    note = await signing.core.notes.current(signing.organization.id, visit.id)
    assert note is not None
    await signing.core.release.sign(CLIENT, signing.organization.id, visit.id, signing.user.id)
    await signing.coded(visit, "of another note")
    assert ReleasedKind.BILLING not in {each.kind for each in (await signing.shown(visit)).documents}
    await signing.coded(visit, note.id)
    assert ReleasedKind.BILLING in {each.kind for each in (await signing.shown(visit)).documents}


async def test_a_correction_is_shown_in_place_of_what_it_corrects(practice: Practice) -> None:
    visit = await practice.visit(said=(0, 1))
    before = await practice.document(visit, ReleasedKind.TRANSCRIPT)
    first = await practice.reading.document(practice.organization.id, visit.id, before.id)
    await practice.core.transcript_editing.correct(
        CLIENT,
        practice.organization.id,
        visit.id,
        Correction(turns=[TurnCorrection(0, "Arnica montana")]),
        user_id=practice.user.id,
    )
    heard = await practice.reading.transcript(practice.organization.id, visit.id, before.id)
    again = await practice.reading.document(practice.organization.id, visit.id, before.id)
    assert heard.turns[0].text == "Arnica montana" and heard.provider == "tone-transcriber"
    assert (again.id, again.created_at) == (first.id, first.created_at)
    assert again.updated_at > first.updated_at and again.source_id != first.source_id


async def test_the_correction_of_a_transcript_that_waits_for_the_sign_off_waits_too(practice: Practice) -> None:
    signing = await practice.practice(ReleasePolicy.SIGN_OFF)
    visit = await signing.visit(said=(0, 1), note=True)
    await signing.core.release.sign(CLIENT, signing.organization.id, visit.id, signing.user.id)
    shown = await signing.document(visit, ReleasedKind.TRANSCRIPT)
    signed = await signing.reading.transcript(signing.organization.id, visit.id, shown.id)
    await signing.upload(visit, 2, 3)
    corrected = await signing.core.transcript_editing.correct(
        CLIENT,
        signing.organization.id,
        visit.id,
        Correction(turns=[TurnCorrection(0, "Arnica montana")]),
        user_id=signing.user.id,
    )
    assert corrected.transcript.turns[0].text == "Arnica montana"
    assert await signing.reading.transcript(signing.organization.id, visit.id, shown.id) == signed
    await signing.core.notes.request(CLIENT, signing.organization.id, visit.id)
    await signing.core.release.sign(CLIENT, signing.organization.id, visit.id, signing.user.id)
    heard = await signing.reading.transcript(signing.organization.id, visit.id, shown.id)
    assert heard.source_id == corrected.id and heard.turns[0].text == "Arnica montana"


async def test_an_erased_visit_is_gone_at_once_and_its_audio_before_it(practice: Practice) -> None:
    own, reading = practice.organization.id, practice.reading
    visit = await practice.visit(said=(0, 1), note=True)
    transcript = await practice.document(visit, ReleasedKind.TRANSCRIPT)
    heard = await reading.audio(own, visit.id, transcript.id)
    assert visit.id not in heard.url and heard.expires_at > datetime.now(UTC) + timedelta(minutes=14)
    await practice.erase(visit, ErasureScope.AUDIO)
    assert await refused(reading.audio(own, visit.id, transcript.id)) == "audio_not_found"
    left = await reading.document(own, visit.id, transcript.id)
    assert left.title == "Ambient transcript" and left.audio_duration == pytest.approx(2.0)
    assert (await reading.transcript(own, visit.id, transcript.id)).turns
    await practice.erase(visit, ErasureScope.AUDIO_AND_UNSIGNED)
    assert (await practice.shown(visit)).documents == ()
    assert await refused(reading.document(own, visit.id, transcript.id)) == "document_not_found"
    await practice.erase(visit, ErasureScope.EVERYTHING)
    assert await refused(practice.shown(visit)) == "encounter_not_found" and await practice.page() == []
    async with practice.core.database.read() as transaction:
        rows = await connection_of(transaction).execute(released_documents.select())
        assert rows.all() == []


async def test_a_name_that_someone_chose_is_shown_and_sealed(practice: Practice) -> None:
    name = "Letter about Zyxwvut"
    stored, _ = await practice.core.templates.add(
        CLIENT, practice.organization.id, name, TemplateCategory.DOCUMENT, "# Letter\n[What was said]\n", "Dr Q"
    )
    visit = await practice.visit(said=(0,))
    await practice.core.documents.request(CLIENT, practice.organization.id, visit.id, template_id=stored.id)
    letter = await practice.document(visit, ReleasedKind.DOCUMENT)
    assert letter.title == name
    assert (await practice.reading.document(practice.organization.id, visit.id, letter.id)).title == name
    async with practice.core.database.read() as transaction:
        rows = (await connection_of(transaction).execute(released_documents.select())).mappings().all()
    assert rows and not any("Zyxwvut" in str(value) for row in rows for value in row.values())
    async with practice.core.database.write() as transaction:  # as it stood before titles were kept
        await connection_of(transaction).execute(released_documents.update().values(sealed=None))
    assert (await practice.document(visit, ReleasedKind.DOCUMENT)).title == "Document"


async def test_what_is_signed_keeps_its_name_when_the_unsigned_is_erased(practice: Practice) -> None:
    visit = await practice.visit(
        said=(0, 1), note=True, clinician_notes=["of no concern"], patient={"name": "Ada Null"}
    )
    await practice.core.release.sign(CLIENT, practice.organization.id, visit.id, practice.user.id)
    await practice.core.editing.change(
        CLIENT,
        practice.organization.id,
        visit.id,
        {},
        user_id=practice.user.id,
        note=EditedNote("Not signed", heading="Of no concern"),
    )
    newer = await practice.document(visit, ReleasedKind.DOCUMENT)
    await practice.erase(visit, ErasureScope.AUDIO_AND_UNSIGNED)
    shown = await practice.shown(visit)
    assert [(each.id, each.kind) for each in shown.documents] == [(newer.id, ReleasedKind.DOCUMENT)]
    assert (newer.title, shown.documents[0].title) == ("Of no concern", "Consult note")
    assert shown.patient is not None and shown.patient.last_name == "Null"
    text = (await practice.reading.document(practice.organization.id, visit.id, newer.id)).text
    assert text is not None and "Not signed" not in text and "Spoke of" in text


async def test_a_name_outlives_the_key_that_it_was_sealed_under(practice: Practice) -> None:
    visit = await practice.visit(said=(0, 1), note=True)
    await practice.core.release.sign(CLIENT, practice.organization.id, visit.id, practice.user.id)
    title = (await practice.document(visit, ReleasedKind.DOCUMENT)).title
    async with practice.core.database.read() as transaction:
        rows = (await connection_of(transaction).execute(released_documents.select())).all()
    before = {row.slot: row.sealed for row in rows}
    await practice.erase(visit, ErasureScope.AUDIO_AND_UNSIGNED)
    async with practice.core.database.read() as transaction:
        [row] = (await connection_of(transaction).execute(released_documents.select())).all()
    assert row.sealed and before["note"] and row.sealed != before["note"]
    assert (await practice.document(visit, ReleasedKind.DOCUMENT)).title == title != "Consult note"


async def test_what_was_released_before_outsiders_could_read_it_is_shown_to_them(
    tmp_path: Path, database_url: str
) -> None:
    async with opened(tmp_path, database_url) as core:
        practice = await settled(core)
        visit = await practice.visit(said=(0, 1), note=True)
        before = await practice.shown(visit)
        texts = [each for each in before.documents if each.kind is ReleasedKind.DOCUMENT]
        assert [each.title for each in texts] == ["SOAP note"]
    former = SqlDatabase(database_url)
    async with former.write() as transaction:
        await transaction.connection.run_sync(without_public_reading)
    await former.dispose()
    async with opened(tmp_path, database_url) as core:
        again = Practice(core, practice.organization, practice.user)
        # All but the title, which was not kept then.
        shown = [each._replace(title="Consult note") if each in texts else each for each in before.documents]
        assert await again.shown(visit) == before._replace(documents=tuple(shown))
        read = await again.reading.document(again.organization.id, visit.id, texts[0].id)
        assert read.text and read.updated_at >= read.created_at
        await again.erase(visit, ErasureScope.EVERYTHING)
        assert await refused(again.shown(visit)) == "encounter_not_found"


def without_public_reading(connection: Connection) -> None:
    """Take the database back to the revision before the public API's."""
    config = Config()
    config.set_main_option("script_location", "osler.storage:migrations")
    config.attributes["connection"] = connection
    command.downgrade(config, "0008_subjects_of_answers")
