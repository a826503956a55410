"""The record as outsiders read it: what a visit is shown as, in which order look-ups are refused, and what never is."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text, update

from osler.bootstrap import Core
from osler.encounters.model import ErasureScope, Purpose
from osler.pipeline.encounter_editing import EditedNote
from osler.release.model import ReleasedKind
from osler.release.reading import (
    LookupReason,
    LookupRefusedError,
    PublicEncounterType,
    PublicPatient,
    PublicStatus,
    WorkflowVariant,
)
from osler.storage.database import connection_of
from osler.storage.repositories import public
from osler.storage.tables.encounters import encounters
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


async def test_a_visit_is_shown_as_the_contract_projects_it(practice: Practice) -> None:
    local = datetime(2026, 5, 25, 14, 0, tzinfo=UTC)
    visit = await practice.visit(
        said=(0, 1),
        note=True,
        patient={"name": "Nora van Quill", "birth_date": "1970-02-03"},
        transcribe_mode="Phone_Call",
        created_time_local=local,
    )
    shown = await practice.shown(visit)
    assert (shown.id, shown.organization_id, shown.created_at) == (visit.id, practice.organization.id, visit.created_at)
    assert (shown.date_of_service, shown.status) == (local, PublicStatus.COMPLETED)
    assert shown.encounter_type is PublicEncounterType.PHONE_CALL
    assert shown.patient is not None and shown.patient.id not in ("", visit.id)
    assert shown.patient == PublicPatient(shown.patient.id, "Nora", "van Quill", date(1970, 2, 3))
    transcript, note = (
        await practice.document(visit, ReleasedKind.TRANSCRIPT),
        await practice.document(visit, ReleasedKind.DOCUMENT),
    )
    assert (transcript.title, transcript.status) == ("Ambient transcript", "completed")
    assert transcript.workflow_variant is WorkflowVariant.PHONE_CALL and transcript.audio_duration == pytest.approx(2.0)
    assert note.title and (note.status, note.workflow_variant, note.audio_duration) == (None, None, None)
    details = [
        await practice.reading.document(practice.organization.id, visit.id, document.id)
        for document in shown.documents
        if document.kind in (ReleasedKind.TRANSCRIPT, ReleasedKind.DOCUMENT)
    ]
    assert [(each.id, each.kind, each.title, each.audio_duration) for each in details] == [
        (each.id, each.kind, each.title, each.audio_duration)
        for each in shown.documents
        if each.kind in (ReleasedKind.TRANSCRIPT, ReleasedKind.DOCUMENT)
    ]
    assert all(each.created_at <= each.updated_at <= shown.updated_at for each in details)
    texts = {each.kind: each.text for each in details}
    assert texts[ReleasedKind.TRANSCRIPT] is None and "# Subjective" in (texts[ReleasedKind.DOCUMENT] or "")
    heard = await practice.reading.transcript(practice.organization.id, visit.id, transcript.id)
    assert (heard.provider, heard.encounter_id, heard.document_id) == ("tone-transcriber", visit.id, transcript.id)
    assert " ".join(turn.text for turn in heard.turns).lower().split() == ["aconite", "belladonna"]
    assert all(0 <= turn.start <= turn.end <= 2.1 for turn in heard.turns) and heard.audio_duration == pytest.approx(2)
    assert [shown] == list(
        (await practice.reading.page(practice.organization.id, limit=1, offset=0, newest_first=True)).items
    )


async def test_the_linked_profile_goes_before_the_visits_own_patient(practice: Practice) -> None:
    profile = await practice.core.profiles.create(
        CLIENT, practice.organization.id, practice.user.id, first_name="Ada", last_name="Null", birth_date="1980-01-02"
    )
    linked = await practice.visit(patient={"name": "Other Name"}, patient_profile_id=profile.id)
    own, nobody = await practice.visit(patient={"name": "Other Name"}), await practice.visit()
    assert (await practice.shown(linked)).patient == PublicPatient(profile.id, "Ada", "Null", date(1980, 1, 2))
    patient = (await practice.shown(own)).patient
    assert patient is not None and (patient.first_name, patient.last_name) == ("Other", "Name")
    assert (await practice.shown(own)).patient == patient, "the id is the same each time"
    assert (await practice.shown(nobody)).patient is None
    await practice.core.profiles.delete_many(CLIENT, practice.organization.id, [profile.id])
    left = (await practice.shown(linked)).patient
    assert left is not None and left.id != profile.id


async def test_the_day_of_service_is_the_first_recordings_where_the_session_has_none(practice: Practice) -> None:
    began = datetime(2026, 5, 1, 8, 0, tzinfo=UTC)
    visit, unknown = await practice.visit(), await practice.visit(said=(0,))
    assert (await practice.shown(visit)).date_of_service is None
    await practice.upload(visit, 0, started_at=began)
    await practice.upload(visit, 1, started_at=began - timedelta(days=1))
    assert (await practice.shown(visit)).date_of_service == began
    assert (await practice.shown(unknown)).date_of_service is None


async def test_look_ups_are_refused_in_the_contracts_order(practice: Practice) -> None:
    reading, own = practice.reading, practice.organization.id
    visit = await practice.visit(said=(0, 1), note=True)
    documents = {document.kind: document.id for document in (await practice.shown(visit)).documents}
    stranger = await practice.practice()
    theirs, erased, training = (
        await stranger.visit(),
        await stranger.visit(),
        await practice.visit(purpose=Purpose.TRAINING),
    )
    await practice.erase(erased, ErasureScope.EVERYTHING)
    missing = {
        "encounter_not_found": ("1" * 18, erased.id, "", "\0", "ü" * 5000, "../" + visit.id),
        "cross_organization_denied": (theirs.id,),
        "demo_training_denied": (training.id,),
    }
    for reason, encounter_ids in missing.items():
        for encounter_id in encounter_ids:
            assert await refused(reading.encounter(own, encounter_id)) == reason
            for route in (reading.document, reading.transcript, reading.audio):
                assert await refused(route(own, encounter_id, documents[ReleasedKind.TRANSCRIPT])) == reason
    checklist = documents[ReleasedKind.CHECKLIST]
    for route in (reading.document, reading.transcript, reading.audio):
        assert await refused(route(own, visit.id, checklist)) == "unsupported_document_type"
    another = await practice.visit(said=(2,))
    of_another = await practice.document(another, ReleasedKind.TRANSCRIPT)
    for route in (reading.document, reading.transcript, reading.audio):
        for document_id in ("", "\0", of_another.id, visit.id):
            assert await refused(route(own, visit.id, document_id)) == "document_not_found"
    for route in (reading.transcript, reading.audio):
        assert await refused(route(own, visit.id, documents[ReleasedKind.DOCUMENT])) == "unsupported_document_type"
    # Of another organization's visit nothing is told apart, whatever document is asked for.
    assert await refused(reading.document(stranger.organization.id, visit.id, "none")) == "cross_organization_denied"
    with pytest.raises(LookupRefusedError) as caught:
        await reading.encounter(own, theirs.id)
    assert theirs.id not in str(caught.value) and caught.value.reason is LookupReason.CROSS_ORGANIZATION_DENIED


async def test_what_a_visit_is_follows_from_what_is_shown_of_it(practice: Practice) -> None:
    visit = await practice.visit(said=(0, 1), note=True)
    note = await practice.core.notes.current(practice.organization.id, visit.id)
    assert note is not None
    await practice.coded(visit, note.id)
    for slot, without in (
        ("transcript", PublicEncounterType.CLINICAL_DOCUMENTATION),
        ("note", PublicEncounterType.BILLING),
        ("billing", PublicEncounterType.CHECKLIST),
        ("checklist", None),
    ):
        async with practice.core.database.write() as transaction:
            withdrawn = released_documents.delete().where(released_documents.c.slot == slot)
            await connection_of(transaction).execute(withdrawn)
        assert (await practice.shown(visit)).encounter_type is without


async def test_pages_are_in_order_whole_and_counted(practice: Practice) -> None:
    visits = [await practice.visit() for _ in range(5)]
    await practice.visit(purpose=Purpose.DEMO)
    await practice.visit(purpose=Purpose.TRAINING)
    gone = await practice.visit()
    await practice.erase(gone, ErasureScope.EVERYTHING)
    await (await practice.practice()).visit()
    async with practice.core.database.write() as transaction:  # two of the same moment: then the id says
        at = {"created_at": visits[1].created_at}
        same = update(encounters).where(encounters.c.id == visits[2].id).values(**at)
        await connection_of(transaction).execute(same)
    ids = [visits[0].id, *sorted((visits[1].id, visits[2].id)), visits[3].id, visits[4].id]
    assert await practice.page(newest_first=False) == ids
    assert await practice.page() == ids[::-1]
    assert [await practice.page(limit=2, offset=offset) for offset in (0, 2, 4, 6)] == [
        ids[::-1][:2],
        ids[::-1][2:4],
        ids[::-1][4:],
        [],
    ]
    since, until = visits[1].created_at, visits[4].created_at
    assert await practice.page(start_at=since, end_at=until, newest_first=False) == ids[1:4]
    elsewhere = since.astimezone(datetime.now().astimezone().tzinfo)
    assert await practice.page(start_at=elsewhere, newest_first=False) == ids[1:]
    assert await practice.page(start_at=until, end_at=until) == []
    far = datetime.max.replace(tzinfo=UTC)
    for more, total in (({}, 5), ({"start_at": since}, 4), ({"end_at": since}, 1), ({"start_at": far}, 0)):
        for offset in (0, 3, 10_000):
            page = await practice.reading.page(
                practice.organization.id, limit=1, offset=offset, newest_first=True, **more
            )
            assert page.total == total, (more, offset)


async def test_a_note_that_was_edited_as_html_reads_as_markdown(practice: Practice) -> None:
    visit = await practice.visit(said=(0,))
    await practice.core.notes.request(CLIENT, practice.organization.id, visit.id, options={"content_type": "HTML"})
    html = "<h2>Plan</h2><p>Rest &amp; water</p><script>alert(1)</script><ul><li>Come again</li></ul>"
    await practice.core.editing.change(
        CLIENT, practice.organization.id, visit.id, {}, user_id=practice.user.id, note=EditedNote(html)
    )
    note = await practice.document(visit, ReleasedKind.DOCUMENT)
    read = await practice.reading.document(practice.organization.id, visit.id, note.id)
    assert read.text == "## Plan\n\nRest & water\n\n- Come again"


async def test_a_damaged_visit_does_not_hide_the_others(practice: Practice) -> None:
    whole = [await practice.visit(patient={"name": "Ada Null"}) for _ in range(2)]
    damaged = await practice.visit(patient={"name": "Ada Null"})
    async with practice.core.database.write() as transaction:
        broken = update(encounters).where(encounters.c.id == damaged.id).values(sealed=b"\x01" + bytes(60))
        await connection_of(transaction).execute(broken)
    page = await practice.reading.page(practice.organization.id, limit=9, offset=0, newest_first=False)
    assert [encounter.id for encounter in page.items] == [visit.id for visit in whole] and page.total == 3


async def test_a_page_and_its_count_are_cut_out_of_the_index_alone(practice: Practice) -> None:
    for _ in range(3):
        await practice.visit(patient={"name": "Ada Null"})
    wanted = {"organization": practice.organization.id, "start_at": datetime(2000, 1, 1, tzinfo=UTC)}
    wanted |= {"end_at": datetime(2100, 1, 1, tzinfo=UTC), "limit": 50, "offset": 10_000}
    async with practice.core.database.read() as transaction:
        connection = connection_of(transaction)
        dialect = connection.dialect.name
        if dialect == "postgresql":  # a table of three rows is read as it stands otherwise
            await connection.execute(text("SET LOCAL enable_seqscan = off"))
            await connection.execute(text("SET LOCAL enable_bitmapscan = off"))
        for statement in (public._NEWEST_FIRST[dialect], public._OLDEST_FIRST[dialect], public._COUNT):
            compiled = statement.compile(dialect=connection.dialect)
            explain = "EXPLAIN QUERY PLAN " if dialect == "sqlite" else "EXPLAIN "
            processed = compiled.construct_params({name: wanted[name] for name in compiled.params if name in wanted})
            rows = await connection.exec_driver_sql(
                explain + str(compiled),
                tuple(
                    (processed[name].replace(tzinfo=None).isoformat(" ") if dialect == "sqlite" else processed[name])
                    if isinstance(processed[name], datetime)
                    else processed[name]
                    for name in compiled.positiontup or ()
                ),
            )
            plan = "\n".join(" ".join(map(str, row)) for row in rows)
            assert plan.count("ix_encounters_public") == 1, plan
            assert "SCAN encounters" not in plan and "Seq Scan on encounters" not in plan, plan


async def test_a_client_that_goes_away_in_the_middle_of_a_page_harms_no_other(practice: Practice) -> None:
    for _ in range(4):
        await practice.visit(patient={"name": "Ada Null"})
    whole = await practice.page(limit=2)
    for moment in range(40):
        reading = asyncio.ensure_future(practice.page(limit=2))
        for _ in range(moment):
            await asyncio.sleep(0)
        await asyncio.sleep(moment / 10_000)
        reading.cancel()
        with suppress(asyncio.CancelledError):
            assert await reading == whole
    pages = await asyncio.gather(*(practice.page(limit=2) for _ in range(20)))
    assert all(page == whole for page in pages)
