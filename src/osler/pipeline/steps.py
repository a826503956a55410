"""The arrows of the pipeline as plain functions: recording to transcript, transcript to note."""

from pathlib import Path

from osler.kernel.progress import Progress, silent
from osler.notes.model import Note, VoiceStyle
from osler.notes.service import NoteService
from osler.speech.model import Transcript
from osler.speech.service import SpeechService


def transcribe(
    recording: Path,
    speech: SpeechService,
    *,
    language: str | None = "en",
    speakers: int | None = None,
    progress: Progress = silent,
) -> Transcript:
    """Turn a recording into a transcript. ``language`` None detects it; ``speakers`` None estimates their number.

    Raises UnreadableFileError, NotAudioError, EmptyAudioError, NoSpeechError, EngineError.
    """
    return speech.transcribe(recording, language=language, speakers=speakers, progress=progress)


def write_note(
    transcript: Transcript,
    notes: NoteService,
    *,
    template: str = "full",
    voice_style: VoiceStyle = VoiceStyle.GOLDILOCKS,
) -> Note:
    """Turn a transcript into a note. Raises UnknownNameError, NoClinicalContentError."""
    return notes.write(transcript, template=template, voice_style=voice_style)
