"""Engines and their weights, wired; each is imported when it is asked for."""

from functools import cache
from typing import TYPE_CHECKING

from osler.bootstrap.places import read_settings

if TYPE_CHECKING:
    from osler.coding.coder import Coder
    from osler.coding.importing import TerminologyLibrary
    from osler.config import Settings
    from osler.encounters.ports import DocumentParser
    from osler.notes.checklist import ChecklistReader
    from osler.notes.ports import Assistant, FindingExtractor, FormFiller
    from osler.notes.service import NoteService
    from osler.speech.service import SpeechService
    from osler.weights.service import WeightsStore


def weights_store(settings: "Settings | None" = None) -> "WeightsStore":
    """Return the store of model weights at the configured place."""
    from osler.weights.service import WeightsStore

    settings = settings or read_settings()
    return WeightsStore(settings.models_path, settings.models_lock)


def speech_service(
    model: str = "base", settings: "Settings | None" = None, *, live_first: bool = False
) -> "SpeechService":
    """Return speech-to-transcript on Whisper ``model`` (``base``, ``tiny.en``, ``small``, ...) and the GE2E encoder.

    With ``live_first`` whole recordings are heard in the background, so that live segments lose little to them.

    Raises UnknownNameError for a model that the lock file does not name, WeightsMissingError if it is not pulled.
    """
    from osler.engines.ge2e import Ge2eSpeakerEncoder
    from osler.engines.silero import SileroSpeechDetector
    from osler.engines.whisper import WhisperTranscriber
    from osler.speech.service import SpeechService

    store = weights_store(settings)
    name = f"whisper-{model}"
    transcriber = WhisperTranscriber(
        store.locate(name),
        label=f"faster-whisper/{model}",
        digest=_digest(store, name, "model.bin"),
        background=live_first,
    )
    return SpeechService(
        detector=SileroSpeechDetector(),
        transcriber=transcriber,
        quick=transcriber.quick(),
        encoder=Ge2eSpeakerEncoder(
            store.locate("ge2e") / "pretrained.pt", digest=_digest(store, "ge2e", "pretrained.pt")
        ),
    )


def terminologies(settings: "Settings | None" = None) -> "TerminologyLibrary":
    """Return the terminologies that come with Osler and those imported into the data folder."""
    from osler.engines.terminology.store import TerminologyStore

    settings = settings or read_settings()
    return TerminologyStore(settings.data_path / "terminologies")


def coder() -> "Coder":
    """Return the grounded coder; its names are read when it first codes."""
    from osler.engines.coder.coder import GroundedCoder

    return GroundedCoder()


@cache
def finding_extractor() -> "FindingExtractor":
    """Return what finds the findings of a transcript."""
    from osler.engines.grounded.findings import GroundedFindingExtractor

    return GroundedFindingExtractor()


def _digest(store: "WeightsStore", name: str, path: str) -> str:
    """Return the SHA-256 that the lock file gives a file, to be stored with what it made; empty if it names none."""
    return next((file.sha256 for file in store.entry(name).files if file.path == path), "")


@cache
def note_service() -> "NoteService":
    """Return the note service on the grounded writer, which needs no weights and no network."""
    from osler.engines.grounded.writer import GroundedNoteWriter
    from osler.notes.service import NoteService

    return NoteService(GroundedNoteWriter())


@cache
def form_filler() -> "FormFiller":
    """Return what answers forms, which needs no weights and no network."""
    from osler.engines.grounded.forms.filler import GroundedFormFiller

    return GroundedFormFiller()


@cache
def checklist_reader() -> "ChecklistReader":
    """Return what reads what a visit covered, which needs no weights and no network."""
    from osler.engines.grounded.checklist.reader import GroundedChecklistReader

    return GroundedChecklistReader()


@cache
def assistant() -> "Assistant":
    """Return what answers questions about a visit, which needs no weights and no network."""
    from osler.engines.grounded.asking.assistant import GroundedAssistant

    return GroundedAssistant()


def document_parser(settings: "Settings | None" = None) -> "DocumentParser":
    """Return the parser of context documents, with the settings' limits; it carries its own models."""
    from osler.engines.documents.limits import Limits
    from osler.engines.documents.parser import SubprocessDocumentParser

    settings = settings or read_settings()
    return SubprocessDocumentParser(Limits(pages=settings.document_pages, seconds=settings.document_seconds))


def missing_weights(settings: "Settings") -> tuple[str, ...]:
    """Return the names of the models that a server's jobs need and that the store does not have whole; reads no bytes.

    Raises UnknownNameError for a speech model that the lock file does not name.
    """
    from osler.weights.model import State

    store = weights_store(settings)
    needed = (f"whisper-{settings.speech_model}", "ge2e")
    return tuple(name for name in needed if store.state(name) not in (State.PRESENT, State.UNVERIFIED))
