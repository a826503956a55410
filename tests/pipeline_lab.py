"""What tests of the pipeline run on: the rooms over a real database and vault, and engines that hear tones as words."""

import io
import wave
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from osler.access.model import Organization, ReleasePolicy, User
from osler.access.service import AccessService
from osler.audio.model import SAMPLE_RATE, Samples
from osler.audio.service import AudioService
from osler.audit.model import OPERATOR, Actor, ActorKind
from osler.audit.service import AuditService
from osler.encounters.context import ContextDocumentService
from osler.encounters.erasure import ErasureService
from osler.encounters.model import Encounter, EncounterState
from osler.encounters.ports import DocumentParser
from osler.encounters.service import EncounterService
from osler.engines.documents.parser import SubprocessDocumentParser
from osler.kernel.clock import SystemClock
from osler.kernel.engine_record import EngineRecord
from osler.kernel.jobs import Job, JobFilter, JobKind, JobState
from osler.kernel.spans import TimeSpan
from osler.notes.documents import DocumentRecordService
from osler.notes.gathering import SourceService
from osler.notes.model import Evidence, Note, Section, Sentence, VoiceStyle
from osler.notes.records import NoteRecordService
from osler.notes.service import NoteService
from osler.notes.template_library import TemplateService
from osler.notes.templates import Template, load_template
from osler.notes.writing import WritingTask, WrittenPart
from osler.pipeline.composing import Composing
from osler.pipeline.context_parsing import ContextParsing
from osler.pipeline.document_writing import DocumentWriting
from osler.pipeline.note_writing import NoteWriting
from osler.pipeline.precedence import SpeechEngines
from osler.pipeline.service import JobService
from osler.pipeline.transcription import Transcription
from osler.pipeline.workflows import workflows
from osler.release.service import ReleaseService
from osler.speech.model import HeardWord, Transcript
from osler.speech.ports import Recognition
from osler.speech.records import TranscriptService
from osler.speech.service import SpeechService
from osler.storage.blobs.local import LocalObjects
from osler.storage.blobs.vault import SealedBlobVault
from osler.storage.database import SqlDatabase
from osler.storage.erasure_ledger import StoredErasureLedger
from osler.storage.repositories.access import (
    SqlApiKeyRepository,
    SqlOrganizationRepository,
    SqlSigningKeyRepository,
    SqlUserRepository,
)
from osler.storage.repositories.audio import SqlRecordingRepository
from osler.storage.repositories.audit import SqlAuditRepository
from osler.storage.repositories.context import SqlContextDocumentRepository
from osler.storage.repositories.encounters import SqlEncounterRepository
from osler.storage.repositories.erasure import SqlEncounterEraser
from osler.storage.repositories.jobs import SqlJobRepository
from osler.storage.repositories.notes import SqlDocumentRepository, SqlNoteRepository
from osler.storage.repositories.profiles import SqlPatientProfileRepository
from osler.storage.repositories.release import SqlReleaseRepository
from osler.storage.repositories.sealed import SealedRows
from osler.storage.repositories.secrets import deployment_secret
from osler.storage.repositories.speech import SqlTranscriptRepository
from osler.storage.repositories.templates import SqlTemplateRepository
from osler.storage.sealing.deployment import DerivedChainKey
from osler.storage.sealing.keys import KeyRing, MasterKey
from osler.workflows.inline import InlineEngine

CLIENT = Actor(ActorKind.USER, "client", "127.0.0.1")
CLOCK = SystemClock()

WORDS = ("aconite", "belladonna", "calomel", "digitalis", "ergot", "foxglove", "gentian", "hellebore")
"""What the engines of tests hear: tone ``n`` is word ``n``."""

_FIRST_HERTZ, _STEP_HERTZ = 400, 200


def tones(*numbers: int, seconds: float = 1.0) -> bytes:
    """Return a WAV file with a tone of so many ``seconds`` for each number; -1 is silence."""
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    pieces = [np.sin(2 * np.pi * (_FIRST_HERTZ + _STEP_HERTZ * n) * time) * (0.5 if n >= 0 else 0.0) for n in numbers]
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
        file.writeframes((np.concatenate(pieces) * 32767).astype("<i2").tobytes())
    return out.getvalue()


async def chunks_of(data: bytes, size: int = 10_000) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


class ToneDetector:
    """Takes everything that is not silence for one stretch of speech."""

    record = EngineRecord("tone-detector", "1")

    def regions(self, samples: Samples, *, between: Callable[[], None] = lambda: None) -> list[TimeSpan]:
        loud = np.flatnonzero(np.abs(samples) > 0.01)
        return [TimeSpan(loud[0] / SAMPLE_RATE, (loud[-1] + 1) / SAMPLE_RATE)] if len(loud) else []


class ToneTranscriber:
    """Hears a word for every second of a tone. ``during`` is called in each transcription."""

    record = EngineRecord("tone-transcriber", "1")

    def __init__(self) -> None:
        self.calls = 0
        self.during: Callable[[], None] = lambda: None

    def transcribe(
        self,
        samples: Samples,
        regions: Sequence[TimeSpan],
        *,
        language: str | None,
        vocabulary: str,
        done: Callable[[float], None] = lambda seconds: None,
    ) -> Recognition:
        self.calls += 1
        self.during()
        heard = []
        for second in range(len(samples) // SAMPLE_RATE):
            piece = samples[second * SAMPLE_RATE : (second + 1) * SAMPLE_RATE]
            if np.abs(piece).max() > 0.01:
                hertz = int(np.argmax(np.abs(np.fft.rfft(piece))))
                word = WORDS[(hertz - _FIRST_HERTZ) // _STEP_HERTZ]
                heard.append(HeardWord(word, second + 0.1, second + 0.9, 0.9))
            done(second + 1.0)
        return Recognition(tuple(heard), language or "en")


class ToneEncoder:
    """One voice for all."""

    record = EngineRecord("tone-encoder", "1")

    def embed(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.tile(np.array([[1.0, 0.0]], np.float32), (len(windows), 1))


class PlainWriter:
    """Writes a note of one sentence that quotes the first turn. ``during`` is called in each writing."""

    record = EngineRecord("plain-writer", "1")
    languages = ("en",)

    def __init__(self) -> None:
        self.calls = 0
        self.during: Callable[[], None] = lambda: None

    def write(self, transcript: Transcript, template: Template, voice_style: VoiceStyle) -> Note:
        self.calls += 1
        self.during()
        turn = transcript.turns[0]
        said = " ".join(turn.text for turn in transcript.turns)
        sentence = Sentence(f"Spoke of {said}", (Evidence.cite(transcript, 0, 0, len(turn.text)),))
        return Note((Section("Subjective", (sentence,)),), template.name, voice_style, self.record)

    def warm(self) -> None:
        """Nothing is to be loaded."""

    def compose(self, task: WritingTask) -> Iterator[WrittenPart]:
        """Give back the sentence of ``write`` as the one part of the text."""
        note = self.write(task.sources.transcript, load_template("full"), task.voice_style)
        return iter((WrittenPart(f"# Subjective\n{note.sentences[0].text}\n", note.sections[0]),))


@dataclass
class Laboratory:
    """The rooms, wired as a process does it, on the engine that runs jobs in line."""

    database: SqlDatabase
    vault: SealedBlobVault
    rows: SealedRows
    access: AccessService
    audit: AuditService
    encounters: EncounterService
    context: ContextDocumentService
    context_parsing: ContextParsing
    erasure: ErasureService
    audio: AudioService
    transcripts: TranscriptService
    notes: NoteRecordService
    release: ReleaseService
    transcription: Transcription
    note_writing: NoteWriting
    documents: DocumentRecordService
    document_writing: DocumentWriting
    templates: TemplateService
    engines: SpeechEngines
    transcriber: ToneTranscriber
    writer: PlainWriter
    engine: InlineEngine
    jobs: JobService
    job_rows: SqlJobRepository
    folder: Path
    organization: Organization = field(init=False)
    user: User = field(init=False)

    async def begin(self, *, execute: bool = True) -> None:
        """Run jobs from now on, or (``execute`` False) only queue them."""
        await self.engine.start(
            workflows(
                transcription=self.transcription,
                note_writing=self.note_writing,
                document_writing=self.document_writing,
                context_parsing=self.context_parsing,
            ),
            execute=execute,
        )

    async def settle_in(self, release: ReleasePolicy = ReleasePolicy.AUTOMATIC) -> None:
        """Make the organization and the clinician of this laboratory."""
        self.organization, self.user = await self.practice(release)

    async def practice(self, release: ReleasePolicy = ReleasePolicy.AUTOMATIC) -> tuple[Organization, User]:
        organization = await self.access.create_organization(OPERATOR, "Practice")
        organization = await self.access.update_organization(OPERATOR, organization.id, release=release)
        user = await self.access.create_user(OPERATOR, organization.id, "quill@example.org", "ehr-1")
        return organization, user

    async def encounter(self, **fields: Any) -> Encounter:
        return await self.encounters.create(CLIENT, self.organization.id, self.user.id, **fields)

    async def upload(self, encounter: Encounter, data: bytes) -> str:
        recording, _ = await self.audio.upload(
            CLIENT, encounter.organization_id, encounter.id, chunks_of(data), media_type="audio/wav"
        )
        return recording.id

    async def start(self, encounter: Encounter) -> str:
        return (await self.audio.start_recording(CLIENT, encounter.organization_id, encounter.id)).id

    async def segment(self, encounter: Encounter, recording_id: str, index: int, data: bytes) -> bool:
        _, created = await self.audio.add_segment(
            CLIENT, encounter.organization_id, encounter.id, recording_id, index, chunks_of(data)
        )
        return created

    async def finish(self, encounter: Encounter, recording_id: str) -> tuple[int, ...]:
        _, missing = await self.audio.finish(CLIENT, encounter.organization_id, encounter.id, recording_id)
        return missing

    async def words(self, encounter: Encounter) -> list[str]:
        """Return the words of the transcript in use, as they were heard."""
        version = await self.transcripts.current(encounter.organization_id, encounter.id)
        assert version is not None
        return [word.heard.lower() for turn in version.transcript.turns for word in turn.words]

    async def state(self, encounter: Encounter) -> EncounterState:
        return (await self.encounters.get(encounter.organization_id, encounter.id)).state

    async def jobs_of(self, encounter: Encounter, kind: JobKind | None = None) -> list[Job]:
        """Return the encounter's jobs, oldest first."""
        wanted = JobFilter(encounter_id=encounter.id, kinds=frozenset({kind}) if kind else None)
        return list(reversed(await self.jobs.list(wanted)))

    async def queued(self, encounter: Encounter, kind: JobKind) -> Job:
        """Return the encounter's only queued job of that kind, as a worker gets it."""
        (job,) = [job for job in await self.jobs_of(encounter, kind) if job.state is JobState.QUEUED]
        return job

    def stored_blobs(self) -> int:
        return sum(1 for path in (self.folder / "blobs").rglob("*") if path.is_file())


class _NoKeys:
    """Nobody presents a key here."""

    async def digest(self, key: str) -> bytes:
        raise AssertionError("no key is made in these tests")


async def no_pause(_seconds: float) -> None:
    """Wait for nothing."""


async def laboratory(
    database: SqlDatabase,
    folder: Path,
    *,
    encoder: Any = None,
    load: Callable[[], SpeechService] | None = None,
    notes_by: NoteService | None = None,
    parser: DocumentParser | None = None,
) -> Laboratory:
    """Wire the rooms on ``database`` and on blobs below ``folder``, with an organization; jobs are queued, not run."""
    ring = KeyRing(MasterKey(b"a key of tests only, of 32 bytes"))
    secret = await deployment_secret(database, ring)
    rows = SealedRows(ring, CLOCK)
    objects = LocalObjects(folder / "blobs")
    vault = SealedBlobVault(objects, ring, secret)
    job_rows, recordings, transcripts = SqlJobRepository(), SqlRecordingRepository(rows), SqlTranscriptRepository(rows)
    notes, documents = SqlNoteRepository(rows), SqlDocumentRepository(rows)
    organizations, users = SqlOrganizationRepository(), SqlUserRepository(rows, secret)
    encounter_rows = SqlEncounterRepository(rows, secret)
    engine = InlineEngine(database, job_rows, CLOCK, pause=no_pause)
    audit = AuditService(database=database, repository=SqlAuditRepository(), chain_key=DerivedChainKey(secret))
    access = AccessService(
        database=database,
        clock=CLOCK,
        organizations=organizations,
        users=users,
        keys=SqlApiKeyRepository(),
        signing_keys=SqlSigningKeyRepository(rows),
        digest=_NoKeys(),
        audit=audit,
    )
    encounters = EncounterService(
        database=database,
        clock=CLOCK,
        encounters=encounter_rows,
        profiles=SqlPatientProfileRepository(rows, secret),
        organizations=organizations,
        users=users,
        audit=audit,
    )
    hearing = TranscriptService(database=database, transcripts=transcripts, recordings=recordings)
    templates = TemplateService(
        database=database, templates=SqlTemplateRepository(), organizations=organizations, audit=audit, clock=CLOCK
    )
    note_records = NoteRecordService(
        database=database,
        notes=notes,
        encounters=encounter_rows,
        recordings=recordings,
        transcripts=transcripts,
        hearing=hearing,
        templates=templates,
        queue=engine,
        audit=audit,
        clock=CLOCK,
    )
    document_records = DocumentRecordService(
        database=database,
        documents=documents,
        encounters=encounter_rows,
        recordings=recordings,
        transcripts=transcripts,
        hearing=hearing,
        templates=templates,
        queue=engine,
        audit=audit,
        clock=CLOCK,
    )
    release = ReleaseService(
        database=database,
        releases=SqlReleaseRepository(rows),
        organizations=organizations,
        encounters=encounter_rows,
        transcripts=transcripts,
        hearing=hearing,
        notes=notes,
        documents=documents,
        audit=audit,
        clock=CLOCK,
    )
    erasure = ErasureService(
        database=database,
        clock=CLOCK,
        encounters=encounter_rows,
        eraser=SqlEncounterEraser(database, rows, CLOCK),
        organizations=organizations,
        ledger=StoredErasureLedger(LocalObjects(folder / "erasures"), secret),
        vault=vault,
        inventory=vault,
        audit=audit,
    )
    context = ContextDocumentService(
        database=database,
        documents=SqlContextDocumentRepository(rows, CLOCK),
        encounters=encounters,
        erasure=erasure,
        vault=vault,
        queue=engine,
        audit=audit,
        clock=CLOCK,
    )
    parser = parser or SubprocessDocumentParser()
    transcriber, writer = ToneTranscriber(), PlainWriter()
    composing = Composing(
        database=database,
        sources=SourceService(
            database=database,
            encounters=encounter_rows,
            organizations=organizations,
            transcripts=transcripts,
            documents=SqlContextDocumentRepository(rows, CLOCK),
            notes=notes,
        ),
        templates=templates,
        notes=notes,
        load_writer=lambda: notes_by or NoteService(writer),
    )
    speech = load or (lambda: SpeechService(ToneDetector(), transcriber, encoder or ToneEncoder()))
    engines = SpeechEngines(speech)
    lab = Laboratory(
        database=database,
        vault=vault,
        rows=rows,
        access=access,
        audit=audit,
        encounters=encounters,
        context=context,
        context_parsing=ContextParsing(
            database=database, documents=context, notes=note_records, vault=vault, load_parser=lambda: parser
        ),
        erasure=erasure,
        audio=AudioService(
            database=database,
            recordings=recordings,
            encounters=encounter_rows,
            gate=encounters,
            vault=vault,
            queue=engine,
            audit=audit,
            clock=CLOCK,
        ),
        transcripts=hearing,
        notes=note_records,
        release=release,
        transcription=Transcription(
            database=database,
            encounters=encounter_rows,
            recordings=recordings,
            transcripts=hearing,
            notes=note_records,
            release=release,
            vault=vault,
            speech=engines,
            audit=audit,
            clock=CLOCK,
        ),
        note_writing=NoteWriting(
            database=database,
            encounters=encounter_rows,
            transcripts=transcripts,
            notes=notes,
            note_records=note_records,
            release=release,
            composing=composing,
            audit=audit,
            clock=CLOCK,
        ),
        documents=document_records,
        document_writing=DocumentWriting(
            database=database,
            encounters=encounter_rows,
            transcripts=transcripts,
            documents=documents,
            document_records=document_records,
            release=release,
            composing=composing,
            audit=audit,
            clock=CLOCK,
        ),
        templates=templates,
        engines=engines,
        transcriber=transcriber,
        writer=writer,
        engine=engine,
        jobs=JobService(database=database, jobs=job_rows, engine=engine, audit=audit, clock=CLOCK),
        job_rows=job_rows,
        folder=folder,
    )
    await lab.begin(execute=False)
    await lab.settle_in()
    return lab


def again(job: Job) -> Job:
    """Return the job as an operator's retry gives it."""
    return replace(job, attempt=job.attempt + 1)
