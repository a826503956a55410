"""The record as outsiders read it: what a visit is shown as, in which order look-ups are refused, and what never is."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import text, update

from osler.access.model import Organization, ReleasePolicy, User
from osler.audio.service import RecordingTimes
from osler.audit.model import OPERATOR
from osler.bootstrap import Core, initialise, open_core
from osler.coding.model import CodeSet, CodingStatus
from osler.config import Settings
from osler.encounters.model import Encounter, ErasureReason, ErasureScope, Purpose
from osler.kernel.ids import derived_id
from osler.notes.service import NoteService
from osler.notes.template_model import TemplateCategory
from osler.pipeline.encounter_editing import EditedNote
from osler.release.model import ReleasedKind
from osler.release.reading import (
    LookupReason,
    LookupRefusedError,
    PublicDocumentSummary,
    PublicEncounter,
    PublicEncounterType,
    PublicPatient,
    PublicReadingService,
    PublicStatus,
    WorkflowVariant,
)
from osler.speech.correction import Correction, TurnCorrection
from osler.speech.service import SpeechService
from osler.storage.database import connection_of
from osler.storage.repositories import public
from osler.storage.repositories.coding import SqlCodeSetRepository
from osler.storage.repositories.sealed import SealedRows
from osler.storage.tables.encounters import encounters
from osler.storage.tables.release import released_documents
from tests.pipeline_lab import CLIENT, PlainWriter, ToneDetector, ToneEncoder, ToneTranscriber, chunks_of, tones

pytestmark = pytest.mark.anyio


@dataclass
class Practice:
    """A deployment that hears tones as words, with an organization and its clinician."""

    core: Core
    organization: Organization
    user: User

    @property
    def reading(self) -> PublicReadingService:
        return self.core.public.reading

    async def visit(self, *, said: tuple[int, ...] = (), note: bool = False, **fields: Any) -> Encounter:
        encounter = await self.core.encounters.create(CLIENT, self.organization.id, self.user.id, **fields)
        if said:
            await self.upload(encounter, *said)
        if note:
            await self.core.notes.request(CLIENT, self.organization.id, encounter.id)
        return encounter

    async def upload(self, encounter: Encounter, *said: int, started_at: datetime | None = None) -> None:
        await self.core.audio.upload(
            CLIENT,
            encounter.organization_id,
            encounter.id,
            chunks_of(tones(*said)),
            media_type="audio/wav",
            times=lambda: RecordingTimes(started_at),
        )

    async def shown(self, encounter: Encounter) -> PublicEncounter:
        return await self.reading.encounter(self.organization.id, encounter.id)

    async def document(self, encounter: Encounter, kind: ReleasedKind) -> PublicDocumentSummary:
        [document] = [document for document in (await self.shown(encounter)).documents if document.kind is kind]
        return document

    async def page(self, *, limit: int = 50, offset: int = 0, newest_first: bool = True, **more: Any) -> list[str]:
        page = await self.reading.page(
            self.organization.id, limit=limit, offset=offset, newest_first=newest_first, **more
        )
        return [encounter.id for encounter in page.items]

    async def coded(self, encounter: Encounter, note_id: str) -> None:
        """Have the visit coded, as the pipeline stores it."""
        codes = CodeSet(
            id=derived_id("codes of a test", encounter.id),
            organization_id=encounter.organization_id,
            encounter_id=encounter.id,
            coding_system="ICD10CM",
            created_at=datetime.now(UTC),
            status=CodingStatus.READY,
            note_id=note_id,
            entities=({"code": "R07.9"},),
        )
        rows = SqlCodeSetRepository(SealedRows(self.core.keyring, self.core.clock))
        async with self.core.database.write() as transaction:
            await self.core.encounters.content_allowed(transaction, encounter.organization_id, encounter.id)
            await rows.save(transaction, codes)
            await self.core.release.release_billing(transaction, codes)

    async def erase(self, encounter: Encounter, scope: ErasureScope) -> None:
        await self.core.erasure.erase(
            OPERATOR, encounter.organization_id, encounter.id, scope=scope, reason=ErasureReason.COMMAND
        )

    async def practice(self, release: ReleasePolicy = ReleasePolicy.AUTOMATIC) -> "Practice":
        """Return another organization of the same deployment."""
        access = self.core.access
        organization = await access.create_organization(OPERATOR, "Practice", f"practice-{secrets.token_hex(4)}")
        organization = await access.update_organization(OPERATOR, organization.id, release=release)
        user = await access.create_user(OPERATOR, organization.id, f"{secrets.token_hex(4)}@clinic.example", "ehr-1")
        return Practice(self.core, organization, user)


@asynccontextmanager
async def opened(folder: Path, database_url: str) -> AsyncIterator[Core]:
    settings = Settings(data=folder / "data", database=SecretStr(database_url), coding_system="none")
    await initialise(settings)
    async with open_core(
        settings,
        execute=True,
        engine="inline",
        speech=lambda: SpeechService(ToneDetector(), ToneTranscriber(), ToneEncoder()),
        notes=lambda: NoteService(PlainWriter()),
    ) as core:
        yield core


@pytest.fixture
async def core(tmp_path: Path, database_url: str) -> AsyncIterator[Core]:
    async with opened(tmp_path, database_url) as core:
        yield core


@pytest.fixture
async def practice(core: Core) -> Practice:
    first = Practice(core, None, None)  # type: ignore[arg-type]
    return await first.practice()


async def refused(reading: Awaitable[object]) -> str:
    with pytest.raises(LookupRefusedError) as caught:
        await reading
    return caught.value.reason.value


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
