"""The core of a deployment, opened: adapters, and the services that stand on them."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from osler.bootstrap.adapters import Adapters, adapters
from osler.bootstrap.answering import answering
from osler.bootstrap.engines import (
    coder,
    document_parser,
    finding_extractor,
    missing_weights,
    note_service,
    speech_service,
    terminologies,
)
from osler.bootstrap.places import digest_key_source, read_settings
from osler.bootstrap.publishing import Publishing, publishing
from osler.bootstrap.repositories import repositories
from osler.bootstrap.work import EngineKind, with_concurrency

if TYPE_CHECKING:
    from osler.access.idempotency import IdempotencyService
    from osler.access.service import AccessService
    from osler.access.tokens import BearerTokens
    from osler.audio.playback import PlaybackService
    from osler.audio.service import AudioService
    from osler.audio.streaming import AudioStreams
    from osler.audit.service import AuditService
    from osler.coding.service import CodingService
    from osler.config import Settings
    from osler.encounters.context import ContextDocumentService
    from osler.encounters.erasure import ErasureService
    from osler.encounters.ports import DocumentParser
    from osler.encounters.profiles import PatientProfileService
    from osler.encounters.service import EncounterService
    from osler.kernel.clock import Clock
    from osler.notes.ask_service import AskService
    from osler.notes.checklist import ChecklistService
    from osler.notes.documents import DocumentRecordService
    from osler.notes.form_records import FormService
    from osler.notes.gathering import SourceService
    from osler.notes.overview import OverviewService
    from osler.notes.records import NoteRecordService
    from osler.notes.service import NoteService
    from osler.notes.template_library import TemplateService
    from osler.pipeline.composing import Composing
    from osler.pipeline.encounter_editing import EncounterEditing
    from osler.pipeline.housekeeping import Housekeeping
    from osler.pipeline.ports import Workflow, WorkflowEngine
    from osler.pipeline.precedence import SpeechEngines
    from osler.pipeline.service import JobService
    from osler.pipeline.transcript_editing import TranscriptEditing
    from osler.release.service import ReleaseService
    from osler.speech.live import LiveTexts
    from osler.speech.records import TranscriptService
    from osler.speech.service import SpeechService
    from osler.storage.blobs.objects import ObjectStore
    from osler.storage.blobs.vault import SealedBlobVault
    from osler.storage.database import SqlDatabase
    from osler.storage.erasure_ledger import StoredErasureLedger
    from osler.storage.sealing.deployment import DeploymentSecret
    from osler.storage.sealing.keys import KeyRing


@dataclass(frozen=True, slots=True)
class Core:
    """An open deployment: its services for doors, and the adapters that operators' commands and health checks need."""

    settings: "Settings"
    executes: bool
    """Whether this process runs jobs."""
    clock: "Clock"
    database: "SqlDatabase"
    keyring: "KeyRing"
    secret: "DeploymentSecret"
    objects: "ObjectStore"
    vault: "SealedBlobVault"
    ledger: "StoredErasureLedger"
    engine: "WorkflowEngine"
    access: "AccessService"
    tokens: "BearerTokens"
    idempotency: "IdempotencyService"
    audit: "AuditService"
    encounters: "EncounterService"
    profiles: "PatientProfileService"
    context: "ContextDocumentService"
    erasure: "ErasureService"
    audio: "AudioService"
    streams: "AudioStreams"
    playback: "PlaybackService"
    transcripts: "TranscriptService"
    live_texts: "LiveTexts"
    notes: "NoteRecordService"
    documents: "DocumentRecordService"
    sources: "SourceService"
    forms: "FormService"
    asking: "AskService"
    composing: "Composing"
    templates: "TemplateService"
    editing: "EncounterEditing"
    transcript_editing: "TranscriptEditing"
    overviews: "OverviewService"
    coding: "CodingService"
    release: "ReleaseService"
    jobs: "JobService"
    housekeeping: "Housekeeping"
    speech_engines: "SpeechEngines"
    public: Publishing

    @property
    def max_upload_bytes(self) -> int:
        """The largest body of a request."""
        return self.settings.max_upload_mb * 1_000_000

    @property
    def pause_seconds(self) -> float:
        """How long a client may pause inside of a request's body."""
        return self.settings.pause_seconds

    @property
    def checklists(self) -> "ChecklistService":
        """The checklists of encounters."""
        return self.public.checklists

    def missing_weights(self) -> Sequence[str]:
        """Return the names of the models that jobs need and the store does not have whole."""
        return missing_weights(self.settings)


@asynccontextmanager
async def open_core(
    settings: "Settings | None" = None,
    *,
    execute: bool = False,
    apply_ledger: bool = False,
    engine: EngineKind = "dbos",
    speech: "Callable[[], SpeechService] | None" = None,
    notes: "Callable[[], NoteService] | None" = None,
    documents: "Callable[[], DocumentParser] | None" = None,
) -> AsyncIterator[Core]:
    """Open the deployment that the settings name; with ``execute`` also run its jobs in this process.

    ``apply_ledger`` first erases again what a restored database brought back: for processes that serve or execute.
    ``speech``, ``notes`` and ``documents`` make other engines than the settings name; they are called when the first
    job needs them.
    Nothing is written before the version of the database and the master key are known to be right.

    Raises OlderDatabaseError where ``osler init`` is to be run, NewerDatabaseError, MasterKeyError, BackupError (a
    restore was cut off), DatabaseUnavailableError, BlobsUnavailableError, ExecutorTakenError.
    """
    from osler.kernel.clock import SystemClock
    from osler.storage.database import SqlDatabase

    settings = settings or read_settings()
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        database = SqlDatabase(settings.database_url)
        stack.push_async_callback(database.dispose)
        parts = await adapters(settings, database, clock, engine)
        parts = replace(parts, executes=execute)
        core, workflows, speech_engines = _services(
            parts,
            speech or (lambda: speech_service(settings.speech_model, settings, live_first=True)),
            notes or note_service,
            documents or (lambda: document_parser(settings)),
        )
        if apply_ledger:
            await core.erasure.apply_ledger()
        core.audit.start()
        stack.push_async_callback(core.audit.stop)
        stack.push_async_callback(core.access.stop)
        # After the engine, which gives work its time to end and cancels the rest: broken off before, it would fail.
        stack.callback(speech_engines.close)
        await core.engine.start(workflows, execute=execute)
        stack.push_async_callback(core.engine.stop)
        yield core


def _services(
    parts: Adapters,
    load_speech: "Callable[[], SpeechService]",
    load_notes: "Callable[[], NoteService]",
    load_parser: "Callable[[], DocumentParser]",
) -> "tuple[Core, tuple[Workflow, ...], SpeechEngines]":
    """Put the services on the adapters, from left to right through the house."""
    from osler.access.idempotency import IdempotencyService
    from osler.access.recent import Watch
    from osler.access.service import AccessService
    from osler.access.tokens import BearerTokens
    from osler.audio.playback import PlaybackService
    from osler.audio.service import AudioService
    from osler.audio.streaming import AudioStreams
    from osler.audit.service import AuditService
    from osler.coding.service import CodingService
    from osler.coding.terminology import system_named
    from osler.encounters.context import ContextDocumentService
    from osler.encounters.erasure import ErasureService
    from osler.encounters.profiles import PatientProfileService
    from osler.encounters.service import EncounterService
    from osler.notes.documents import DocumentRecordService
    from osler.notes.gathering import SourceService
    from osler.notes.overview import OverviewService
    from osler.notes.records import NoteRecordService
    from osler.notes.template_library import TemplateService
    from osler.pipeline.coding import EncounterCoding
    from osler.pipeline.composing import Composing
    from osler.pipeline.context_parsing import ContextParsing
    from osler.pipeline.document_writing import DocumentWriting
    from osler.pipeline.encounter_editing import EncounterEditing
    from osler.pipeline.housekeeping import Housekeeping
    from osler.pipeline.note_writing import NoteWriting
    from osler.pipeline.precedence import SpeechEngines
    from osler.pipeline.service import JobService
    from osler.pipeline.transcript_editing import TranscriptEditing
    from osler.pipeline.transcription import Transcription
    from osler.pipeline.workflows import workflows
    from osler.release.service import ReleaseService
    from osler.speech.live import LiveTexts
    from osler.speech.records import TranscriptService
    from osler.storage.repositories.access import SqlApiKeyRepository, SqlSigningKeyRepository
    from osler.storage.repositories.access_revision import SqlAccessRevisionRepository
    from osler.storage.repositories.erasure import SqlEncounterEraser
    from osler.storage.repositories.idempotency import SqlIdempotencyRepository
    from osler.storage.repositories.jobs import SqlExecutorRepository
    from osler.storage.repositories.overviews import SqlOverviewRepository
    from osler.storage.repositories.templates import SqlTemplateRepository
    from osler.storage.sealing.deployment import DerivedChainKey
    from osler.storage.sealing.digest import HmacKeyDigest
    from osler.workflows.lease import ExecutorLease

    settings, database, clock, secret = parts.settings, parts.database, parts.clock, parts.secret
    stored = repositories(parts)

    audit = AuditService(database=database, repository=stored.audit, chain_key=DerivedChainKey(secret))
    watch = Watch(database=database, revisions=SqlAccessRevisionRepository())
    access = AccessService(
        database=database,
        clock=clock,
        organizations=stored.organizations,
        users=stored.users,
        keys=SqlApiKeyRepository(),
        signing_keys=SqlSigningKeyRepository(stored.sealed),
        digest=HmacKeyDigest(digest_key_source(settings)),
        audit=audit,
        watch=watch,
    )
    public = publishing(parts, stored, access, audit, watch)
    encounters = EncounterService(
        database=database,
        clock=clock,
        encounters=stored.encounters,
        profiles=stored.profiles,
        organizations=stored.organizations,
        users=stored.users,
        audit=audit,
    )
    erasure = ErasureService(
        database=database,
        clock=clock,
        encounters=stored.encounters,
        eraser=SqlEncounterEraser(database, stored.sealed, clock),
        organizations=stored.organizations,
        ledger=parts.ledger,
        vault=parts.vault,
        inventory=parts.vault,
        audit=audit,
    )
    profiles = PatientProfileService(
        database=database,
        clock=clock,
        profiles=stored.profiles,
        encounters=stored.encounters,
        organizations=stored.organizations,
        users=stored.users,
        erasure=erasure,
        audit=audit,
    )
    context = ContextDocumentService(
        database=database,
        documents=stored.context,
        encounters=encounters,
        erasure=erasure,
        vault=parts.vault,
        queue=parts.engine,
        audit=audit,
        clock=clock,
    )
    audio = AudioService(
        database=database,
        recordings=stored.recordings,
        encounters=stored.encounters,
        gate=encounters,
        vault=parts.vault,
        queue=parts.engine,
        audit=audit,
        clock=clock,
        max_bytes=settings.max_upload_mb * 1_000_000,
    )
    transcripts = TranscriptService(database=database, transcripts=stored.transcripts, recordings=stored.recordings)
    templates = TemplateService(
        database=database,
        templates=SqlTemplateRepository(),
        organizations=stored.organizations,
        audit=audit,
        clock=clock,
    )
    notes = NoteRecordService(
        database=database,
        notes=stored.notes,
        encounters=stored.encounters,
        recordings=stored.recordings,
        transcripts=stored.transcripts,
        hearing=transcripts,
        templates=templates,
        queue=parts.engine,
        audit=audit,
        clock=clock,
    )
    documents = DocumentRecordService(
        database=database,
        documents=stored.documents,
        encounters=stored.encounters,
        recordings=stored.recordings,
        transcripts=stored.transcripts,
        hearing=transcripts,
        templates=templates,
        queue=parts.engine,
        audit=audit,
        clock=clock,
    )
    sources = SourceService(
        database=database,
        encounters=stored.encounters,
        organizations=stored.organizations,
        transcripts=stored.transcripts,
        documents=stored.context,
        notes=stored.notes,
    )
    known_codes, visit_coder = terminologies(settings), coder()
    coding = CodingService(
        database=database,
        codes=stored.codes,
        gate=encounters,
        encounters=stored.encounters,
        notes=stored.notes,
        hearing=transcripts,
        terminologies=known_codes,
        coder=visit_coder.record,
        queue=parts.engine,
        audit=audit,
        clock=clock,
        default_system=None if settings.coding_system == "none" else system_named(settings.coding_system),
    )
    forms, asking = answering(parts, sources, stored.encounters, stored.notes, stored.documents, audit)
    release = ReleaseService(
        database=database,
        codes=stored.codes,
        checklists=stored.checklists,
        releases=stored.releases,
        organizations=stored.organizations,
        encounters=stored.encounters,
        transcripts=stored.transcripts,
        hearing=transcripts,
        notes=stored.notes,
        documents=stored.documents,
        audit=audit,
        clock=clock,
    )
    composing = Composing(
        database=database, sources=sources, templates=templates, notes=stored.notes, load_writer=load_notes
    )
    speech_engines = SpeechEngines(load_speech)
    jobs = workflows(
        transcription=Transcription(
            database=database,
            encounters=stored.encounters,
            recordings=stored.recordings,
            transcripts=transcripts,
            notes=notes,
            release=release,
            vault=parts.vault,
            speech=speech_engines,
            audit=audit,
            clock=clock,
            default_language=None if settings.language == "auto" else settings.language,
            checklists=public.checklists,
        ),
        note_writing=NoteWriting(
            database=database,
            encounters=stored.encounters,
            transcripts=stored.transcripts,
            notes=stored.notes,
            note_records=notes,
            release=release,
            composing=composing,
            audit=audit,
            clock=clock,
            coding=coding,
        ),
        document_writing=DocumentWriting(
            database=database,
            encounters=stored.encounters,
            transcripts=stored.transcripts,
            documents=stored.documents,
            document_records=documents,
            release=release,
            composing=composing,
            audit=audit,
            clock=clock,
        ),
        context_parsing=ContextParsing(
            database=database, documents=context, notes=notes, vault=parts.vault, load_parser=load_parser
        ),
        coding=EncounterCoding(
            database=database,
            coding=coding,
            release=release,
            coder=visit_coder,
            load_extractor=finding_extractor,
            terminologies=known_codes,
        ),
    )
    idempotency = IdempotencyService(
        database=database, repository=SqlIdempotencyRepository(stored.sealed, secret), clock=clock
    )
    overviews = OverviewService(
        database=database,
        overviews=SqlOverviewRepository(
            encounters=stored.encounters, recordings=stored.recordings, notes=stored.notes, documents=stored.documents
        ),
        organizations=stored.organizations,
    )
    core = Core(
        settings=settings,
        executes=parts.executes,
        clock=clock,
        database=database,
        keyring=parts.keyring,
        secret=secret,
        objects=parts.objects,
        vault=parts.vault,
        ledger=parts.ledger,
        engine=parts.engine,
        access=access,
        tokens=BearerTokens(
            access=access, clock=clock, lifetime=timedelta(minutes=settings.token_minutes), watch=watch
        ),
        idempotency=idempotency,
        audit=audit,
        encounters=encounters,
        profiles=profiles,
        context=context,
        erasure=erasure,
        audio=audio,
        streams=AudioStreams(audio=audio, most_bytes=settings.max_upload_mb * 1_000_000),
        playback=PlaybackService(
            database=database, recordings=stored.recordings, vault=parts.vault, audit=audit, clock=clock
        ),
        transcripts=transcripts,
        live_texts=LiveTexts(database=database, recordings=stored.recordings, transcripts=stored.transcripts),
        notes=notes,
        sources=sources,
        forms=forms,
        asking=asking,
        documents=documents,
        composing=composing,
        templates=templates,
        editing=EncounterEditing(
            encounters=encounters, notes=notes, release=release, overviews=overviews, coding=coding
        ),
        transcript_editing=TranscriptEditing(
            database=database,
            encounters=encounters,
            transcripts=transcripts,
            notes=notes,
            release=release,
            audit=audit,
            clock=clock,
            checklists=public.checklists,
        ),
        overviews=overviews,
        release=release,
        coding=coding,
        public=public,
        jobs=JobService(database=database, jobs=parts.jobs, engine=parts.engine, audit=audit, clock=clock),
        speech_engines=speech_engines,
        housekeeping=Housekeeping(
            erasure=erasure,
            requests=idempotency,
            lease=ExecutorLease(database, SqlExecutorRepository(clock), "housekeeping"),
            clock=clock,
        ),
    )
    return core, with_concurrency(settings, jobs), speech_engines
