"""What the scribe API needs of an opened core."""

from typing import Protocol

from osler.access.idempotency import IdempotencyService
from osler.access.service import AccessService
from osler.access.tokens import BearerTokens
from osler.audio.service import AudioService
from osler.audio.streaming import AudioStreams
from osler.audit.service import AuditService
from osler.coding.service import CodingService
from osler.encounters.context import ContextDocumentService
from osler.encounters.profiles import PatientProfileService
from osler.encounters.service import EncounterService
from osler.kernel.clock import Clock
from osler.notes.ask_service import AskService
from osler.notes.checklist import ChecklistService
from osler.notes.documents import DocumentRecordService
from osler.notes.form_records import FormService
from osler.notes.overview import OverviewService
from osler.notes.records import NoteRecordService
from osler.notes.template_library import TemplateService
from osler.pipeline.composing import Composing
from osler.pipeline.encounter_editing import EncounterEditing
from osler.pipeline.transcript_editing import TranscriptEditing
from osler.release.service import ReleaseService
from osler.speech.live import LiveTexts
from osler.speech.records import TranscriptService


class ScribeServices(Protocol):
    """The rooms' services behind this door."""

    @property
    def access(self) -> AccessService: ...

    @property
    def tokens(self) -> BearerTokens: ...

    @property
    def idempotency(self) -> IdempotencyService: ...

    @property
    def encounters(self) -> EncounterService: ...

    @property
    def profiles(self) -> PatientProfileService: ...

    @property
    def overviews(self) -> OverviewService: ...

    @property
    def editing(self) -> EncounterEditing: ...

    @property
    def context(self) -> ContextDocumentService: ...

    @property
    def templates(self) -> TemplateService: ...

    @property
    def transcripts(self) -> TranscriptService: ...

    @property
    def checklists(self) -> ChecklistService: ...

    @property
    def notes(self) -> NoteRecordService: ...

    @property
    def documents(self) -> DocumentRecordService: ...

    @property
    def composing(self) -> Composing: ...

    @property
    def forms(self) -> FormService: ...

    @property
    def asking(self) -> AskService: ...

    @property
    def coding(self) -> CodingService: ...

    @property
    def release(self) -> ReleaseService: ...

    @property
    def audio(self) -> AudioService: ...

    @property
    def transcript_editing(self) -> TranscriptEditing: ...

    @property
    def streams(self) -> AudioStreams: ...

    @property
    def live_texts(self) -> LiveTexts: ...

    @property
    def audit(self) -> AuditService: ...

    @property
    def clock(self) -> Clock: ...
