"""The notes room's service: what a visit offers in, a grounded note or document out."""

from collections.abc import Iterator
from typing import Any

from osler.kernel.engine_record import EngineRecord
from osler.kernel.errors import NoClinicalContentError, UnsupportedLanguageError
from osler.notes.model import Note, VoiceStyle
from osler.notes.ports import NoteWriter
from osler.notes.rendering import to_markdown
from osler.notes.templates import load_template
from osler.notes.writing import WritingTask, WrittenPart
from osler.speech.model import Transcript


class NoteService:
    """Writes notes with the writer that it is given."""

    def __init__(self, writer: NoteWriter) -> None:
        self._writer = writer

    def write(
        self, transcript: Transcript, *, template: str = "full", voice_style: VoiceStyle = VoiceStyle.GOLDILOCKS
    ) -> Note:
        """Write the note of a visit. Raises UnknownNameError, NoClinicalContentError."""
        chosen = load_template(template)
        if not any(turn.text.strip() for turn in transcript.turns):
            raise NoClinicalContentError("The transcript is empty, so there is no note to write.")
        return self._writer.write(transcript, chosen, voice_style)

    @property
    def record(self) -> EngineRecord:
        """What writes."""
        return self._writer.record

    def warm(self) -> None:
        """Load what the first text would have to wait for; a second or two of CPU, once."""
        self._writer.warm()

    def check_language(self, code: str) -> None:
        """Raise UnsupportedLanguageError unless the writer writes this language (``en``, ``en-GB``, ``en_US`` ...)."""
        if code.strip().replace("_", "-").partition("-")[0].lower() not in self._writer.languages:
            names = ", ".join(self._writer.languages)
            raise UnsupportedLanguageError(
                "Writing in this output language needs a language model that is configured for it, and none is; "
                f"without one Osler writes in: {names}."
            )

    def compose(self, task: WritingTask) -> Iterator[WrittenPart]:
        """Return the parts of a text, each when it is finished. The call itself raises NoClinicalContentError."""
        return self._writer.compose(task)


def note_to_json(note: Note) -> dict[str, Any]:
    """Return the note in plain JSON types: markdown, sections with sentences and evidence, and what made it."""
    return {
        "note": to_markdown(note),
        "sections": [section.to_json() for section in note.sections],
        "template": note.template,
        "voice_style": note.voice_style.value,
        "engine": note.engine.to_json(),
    }
