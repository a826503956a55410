"""The notes room's service: a transcript in, a grounded note out."""

from typing import Any

from osler.kernel.errors import NoClinicalContentError
from osler.notes.model import Note, VoiceStyle
from osler.notes.ports import NoteWriter
from osler.notes.rendering import to_markdown
from osler.notes.templates import load_template
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


def note_to_json(note: Note) -> dict[str, Any]:
    """Return the note in plain JSON types: markdown, sections with sentences and evidence, and what made it."""
    return {
        "note": to_markdown(note),
        "sections": [section.to_json() for section in note.sections],
        "template": note.template,
        "voice_style": note.voice_style.value,
        "engine": note.engine.to_json(),
    }
