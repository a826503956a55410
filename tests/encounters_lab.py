"""Encounters on a real database and a real folder of blobs, with something of every room below them."""

import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from osler.access.idempotency import Answer, Attempt, IdempotencyService, RequestKey
from osler.access.model import Organization, User
from osler.audio.model import AudioRecording, RecordingKind, Segment
from osler.audit.model import Actor, ActorKind
from osler.audit.service import AuditService
from osler.coding.model import CodeSet, CodingStatus
from osler.encounters.erasure import ErasureService
from osler.encounters.model import ContextDocument, ContextDocumentStatus, Encounter
from osler.encounters.profiles import PatientProfileService
from osler.encounters.service import EncounterService
from osler.kernel.blobs import StoredBlob
from osler.kernel.clock import Clock
from osler.kernel.engine_record import EngineRecord
from osler.kernel.ids import new_id
from osler.kernel.jobs import Job, JobKind
from osler.notes.checklist import ChecklistItem, ChecklistName, EncounterChecklist
from osler.notes.model import Document, Evidence, FormAnswers, NoteVersion, TextStatus, WrittenText
from osler.release.model import ReleasedDocument, ReleasedKind
from osler.speech.model import SegmentTranscript, Transcript, TranscriptVersion, Turn
from osler.storage.blobs.local import LocalObjects
from osler.storage.blobs.vault import SealedBlobVault
from osler.storage.database import SqlDatabase
from osler.storage.erasure_ledger import StoredErasureLedger
from osler.storage.repositories.access import SqlOrganizationRepository, SqlUserRepository
from osler.storage.repositories.audio import SqlRecordingRepository
from osler.storage.repositories.audit import SqlAuditRepository
from osler.storage.repositories.checklists import SqlChecklistRepository
from osler.storage.repositories.coding import SqlCodeSetRepository
from osler.storage.repositories.context import SqlContextDocumentRepository
from osler.storage.repositories.encounters import SqlEncounterRepository
from osler.storage.repositories.erasure import SqlEncounterEraser
from osler.storage.repositories.idempotency import SqlIdempotencyRepository
from osler.storage.repositories.jobs import SqlJobRepository
from osler.storage.repositories.notes import SqlDocumentRepository, SqlNoteRepository
from osler.storage.repositories.profiles import SqlPatientProfileRepository
from osler.storage.repositories.release import SqlReleaseRepository
from osler.storage.repositories.sealed import SealedRows
from osler.storage.repositories.secrets import deployment_secret
from osler.storage.repositories.speech import SqlTranscriptRepository
from osler.storage.sealing.deployment import DerivedChainKey
from osler.storage.sealing.keys import KeyRing, MasterKey
from osler.storage.tables.sealing import object_keys

DOCTOR = Actor(ActorKind.USER, "a user", "203.0.113.7")
MARKER = "Ekbom's syndrome of Ms Quillfeather"
NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)


class HandClock:
    """A clock that goes on by a millisecond a look, and further when it is told to."""

    def __init__(self, now: datetime = NOON) -> None:
        self.time = now

    def now(self) -> datetime:
        self.time += timedelta(milliseconds=1)
        return self.time

    def pass_by(self, duration: timedelta) -> None:
        self.time += duration


@dataclass
class FullEncounter:
    """An encounter with something of every room; ``signed`` and ``unsigned`` name what was and was not signed."""

    encounter: Encounter
    recording: AudioRecording
    segment: Segment
    transcript: TranscriptVersion
    signed_note: NoteVersion
    unsigned_note: NoteVersion
    signed_document: Document
    unsigned_document: Document
    context: ContextDocument
    blobs: tuple[StoredBlob, ...]


class EncountersLab:
    """Services and repositories, wired as a deployment wires them."""

    def __init__(self, database: SqlDatabase, folder: Path, clock: Clock, ring: KeyRing) -> None:
        self.database = database
        self.folder = folder
        self.clock = clock
        self.ring = ring

    @classmethod
    async def open(
        cls, database: SqlDatabase, folder: Path, clock: Clock | None = None, master: bytes | None = None
    ) -> "EncountersLab":
        lab = cls(database, folder, clock or HandClock(), KeyRing(MasterKey(master or os.urandom(32))))
        await lab.wire()
        return lab

    async def wire(self) -> None:
        secret = self.secret = await deployment_secret(self.database, self.ring)
        rows = SealedRows(self.ring, self.clock)
        self.audit = AuditService(
            database=self.database, repository=SqlAuditRepository(), chain_key=DerivedChainKey(secret)
        )
        self.organizations = SqlOrganizationRepository()
        self.users = SqlUserRepository(rows, secret)
        self.encounter_rows = SqlEncounterRepository(rows, secret)
        self.profile_rows = SqlPatientProfileRepository(rows, secret)
        self.context_rows = SqlContextDocumentRepository(rows, self.clock)
        self.recording_rows = SqlRecordingRepository(rows)
        self.transcript_rows = SqlTranscriptRepository(rows)
        self.note_rows = SqlNoteRepository(rows)
        self.document_rows = SqlDocumentRepository(rows)
        self.code_rows = SqlCodeSetRepository(rows)
        self.checklist_rows = SqlChecklistRepository(rows)
        self.release_rows = SqlReleaseRepository(rows)
        self.job_rows = SqlJobRepository()
        self.requests = IdempotencyService(
            database=self.database, repository=SqlIdempotencyRepository(rows, secret), clock=self.clock
        )
        self.eraser = SqlEncounterEraser(self.database, rows, self.clock)
        self.vault = SealedBlobVault(LocalObjects(self.folder / "blobs"), self.ring, secret, clock=self.clock)
        self.ledger = StoredErasureLedger(LocalObjects(self.folder / "erasures"), secret)
        self.encounters = EncounterService(
            database=self.database,
            clock=self.clock,
            encounters=self.encounter_rows,
            profiles=self.profile_rows,
            organizations=self.organizations,
            users=self.users,
            audit=self.audit,
        )
        self.erasure = ErasureService(
            database=self.database,
            clock=self.clock,
            encounters=self.encounter_rows,
            eraser=self.eraser,
            organizations=self.organizations,
            ledger=self.ledger,
            vault=self.vault,
            inventory=self.vault,
            audit=self.audit,
        )
        self.profiles = PatientProfileService(
            database=self.database,
            clock=self.clock,
            profiles=self.profile_rows,
            encounters=self.encounter_rows,
            organizations=self.organizations,
            users=self.users,
            erasure=self.erasure,
            audit=self.audit,
        )

    async def organization(self, **settings: Any) -> Organization:
        organization = Organization(new_id(), "Practice", self.clock.now(), **settings)
        async with self.database.write() as transaction:
            await self.organizations.add(transaction, organization)
        return organization

    async def set_policies(self, organization: Organization, **settings: Any) -> Organization:
        changed = replace(organization, **settings)
        async with self.database.write() as transaction:
            await self.organizations.save(transaction, changed)
        return changed

    async def user(self, organization: Organization) -> User:
        user = User(new_id(), organization.id, f"{new_id()}@example.org", new_id(), self.clock.now())
        async with self.database.write() as transaction:
            await self.users.add(transaction, user)
        return user

    async def store(self, organization_id: str, data: bytes) -> StoredBlob:
        async def chunks() -> AsyncIterator[bytes]:
            yield data

        return await self.vault.store(organization_id, chunks())

    async def actions(self, organization_id: str, encounter_id: str) -> list[str]:
        """Return what the audit trail says of an encounter, oldest first."""
        entries = await self.audit.list(organization_id, encounter_id=encounter_id)
        return [entry.event.action for entry in reversed(entries)]

    async def live_keys(self) -> int:
        async with self.database.read() as transaction:
            query = select(func.count()).select_from(object_keys).where(object_keys.c.wrapped.is_not(None))
            return int((await transaction.connection.execute(query)).scalar_one())

    async def add_audio(self, encounter: Encounter, *, index: int = 0) -> tuple[AudioRecording, Segment]:
        """Store a recording of one segment."""
        blob = await self.store(encounter.organization_id, MARKER.encode() * 100)
        owned: dict[str, Any] = {"organization_id": encounter.organization_id, "encounter_id": encounter.id}
        now = self.clock.now()
        recording = AudioRecording(id=new_id(), kind=RecordingKind.LIVE, index=index, created_at=now, **owned)
        segment = Segment(id=new_id(), recording_id=recording.id, index=0, received_at=now, blob=blob, **owned)
        async with self.database.write() as transaction:
            await self.recording_rows.add(transaction, recording)
            await self.recording_rows.add_segment(transaction, segment)
        return recording, segment

    async def full(self, organization: Organization, owner: User, **fields: Any) -> FullEncounter:
        """Make an encounter with something of every room. Everything in it that is to be sealed holds MARKER."""
        encounter = await self.encounters.create(
            DOCTOR,
            organization.id,
            owner.id,
            name=MARKER,
            patient={"name": MARKER, "birth_date": date(1950, 1, 2), "demographic_details": MARKER},
            clinician_notes=[MARKER],
            ehr_patient_id=MARKER,
            ehr_appointment_id=MARKER,
            **fields,
        )
        recording, segment = await self.add_audio(encounter)
        owned: dict[str, Any] = {"organization_id": organization.id, "encounter_id": encounter.id}
        now = self.clock.now()
        transcript = TranscriptVersion(
            id=new_id(),
            recording_id=recording.id,
            version=1,
            created_at=now,
            transcript=Transcript((Turn("clinician", MARKER),)),
            **owned,
        )
        heard = SegmentTranscript(
            segment_id=segment.id,
            recording_id=recording.id,
            index=0,
            created_at=now,
            transcript=transcript.transcript,
            **owned,
        )
        text: dict[str, Any] = {
            "created_at": now,
            "template": "full",
            "voice_style": "goldilocks",
            "content": WrittenText(MARKER),
        }
        signature: dict[str, Any] = {"signed_at": now, "signed_by": owner.id}
        created = TextStatus.CREATED
        signed_note = NoteVersion(id=new_id(), version=1, status=created, **owned, **text, **signature)
        unsigned_note = NoteVersion(id=new_id(), version=2, status=created, **owned, **text)
        signed_document = Document(id=new_id(), index=0, name=MARKER, status=created, **owned, **text, **signature)
        unsigned_document = Document(id=new_id(), index=1, name=MARKER, status=created, **owned, **text)
        answers = FormAnswers(id=new_id(), created_at=now, answers={"q": MARKER}, **owned)
        codes = CodeSet(
            id=new_id(),
            coding_system="ICD-10",
            created_at=now,
            status=CodingStatus.READY,
            entities=({"entity": MARKER},),
            **owned,
        )
        checklist = EncounterChecklist(
            id=new_id(),
            transcript_id=transcript.id,
            created_at=now,
            items=(ChecklistItem(ChecklistName.CONSENT, True, (Evidence(0, 0, len(MARKER), MARKER),)),),
            engine=EngineRecord("by hand", "1"),
            **owned,
        )
        context = ContextDocument(
            id=new_id(),
            filename=f"{MARKER}.pdf",
            media_type="application/pdf",
            blob=await self.store(organization.id, MARKER.encode()),
            uploaded_at=now,
            status=ContextDocumentStatus.READY,
            text=MARKER,
            metadata={"title": MARKER},
            **owned,
        )
        async with self.database.write() as transaction:
            await self.transcript_rows.add(transaction, transcript)
            await self.transcript_rows.save_segment(transaction, heard)
            for note in (signed_note, unsigned_note):
                await self.note_rows.add(transaction, note)
            for document in (signed_document, unsigned_document):
                await self.document_rows.add(transaction, document)
            await self.document_rows.add_answers(transaction, answers)
            await self.code_rows.save(transaction, codes)
            await self.checklist_rows.save(transaction, checklist)
            await self.context_rows.add(transaction, context)
            for slot, kind, source in (
                ("transcript", ReleasedKind.TRANSCRIPT, transcript.id),
                ("note", ReleasedKind.DOCUMENT, unsigned_note.id),
                (f"document:{signed_document.id}", ReleasedKind.DOCUMENT, signed_document.id),
                (f"document:{unsigned_document.id}", ReleasedKind.DOCUMENT, unsigned_document.id),
                ("billing", ReleasedKind.BILLING, codes.id),
                ("checklist", ReleasedKind.CHECKLIST, checklist.id),
            ):
                await self.release_rows.put(
                    transaction,
                    ReleasedDocument(
                        id=new_id(),
                        kind=kind,
                        slot=slot,
                        source_id=source,
                        created_at=now,
                        released_at=now,
                        updated_at=now,
                        **owned,
                    ),
                )
            for job_kind in (JobKind.TRANSCRIBE_RECORDING, JobKind.WRITE_NOTE):
                job = Job(new_id(), organization.id, job_kind, {"encounter": encounter.id}, now)
                await self.job_rows.add(transaction, job)
        attempt = await self.requests.begin(
            RequestKey(organization.id, owner.id, f"POST {encounter.id}", "a key", encounter.id)
        )
        assert isinstance(attempt, Attempt)
        await self.requests.finish(attempt, b"digest", Answer(200, {}, MARKER.encode()))
        assert segment.blob is not None
        return FullEncounter(
            encounter,
            recording,
            segment,
            transcript,
            signed_note,
            unsigned_note,
            signed_document,
            unsigned_document,
            context,
            (segment.blob, context.blob),
        )

    def blob_files(self) -> set[str]:
        return {path.name for path in (self.folder / "blobs").rglob("*") if path.is_file()}
