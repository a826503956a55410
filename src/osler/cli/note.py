"""``osler note``: a recording or a transcript to a note in which every sentence shows its words."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from osler.cli.output import JsonOption, OutputOption, check_writable, emit
from osler.cli.source import is_text, read_bytes
from osler.cli.transcribe import LanguageOption, ModelOption, SpeakersOption, finish, transcribe_file

if TYPE_CHECKING:
    from osler.speech.model import Transcript


class NoteFormat(StrEnum):
    """How the note is printed."""

    MARKDOWN = "markdown"
    HTML = "html"


class Style(StrEnum):
    """The voice styles of the notes room, repeated here so that ``--help`` need not load it (a test compares them)."""

    BRIEF = "BRIEF"
    GOLDILOCKS = "GOLDILOCKS"
    DETAILED = "DETAILED"
    SUPER_DETAILED = "SUPER_DETAILED"


StyleOption = Annotated[
    Style, typer.Option("--voice-style", case_sensitive=False, help="How long the note is; never which facts are true.")
]


def note(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="AUDIO_OR_TRANSCRIPT",
            help="A recording, transcript JSON, or [doctor]/[patient] lines.",
            show_default=False,
            readable=False,  # our own error is one line and does not repeat the name
        ),
    ],
    template: Annotated[str, typer.Option("--template", help="full, soap, progress or problem-based.")] = "full",
    voice_style: StyleOption = Style.GOLDILOCKS,
    note_format: Annotated[
        NoteFormat, typer.Option("--format", case_sensitive=False, help="How the text is written.")
    ] = NoteFormat.MARKDOWN,
    evidence: Annotated[
        bool, typer.Option("--evidence", help="Show beside each sentence the words it rests on.")
    ] = False,
    model: ModelOption = "base",
    language: LanguageOption = "en",
    speakers: SpeakersOption = None,
    as_json: JsonOption = False,
    output: OutputOption = None,
) -> None:
    """Write the clinical note of a visit."""
    if evidence and note_format is NoteFormat.HTML:
        raise typer.BadParameter("--evidence is for reading as text; leave out --format html or take --json.")
    check_writable(output)
    from osler.bootstrap import note_service
    from osler.notes import rendering
    from osler.notes.model import VoiceStyle
    from osler.notes.service import note_to_json
    from osler.notes.templates import load_template
    from osler.pipeline.steps import write_note

    load_template(template)  # an unknown name is said before minutes of transcription, not after
    transcript = read_source(source, model, language, speakers)
    written = write_note(transcript, note_service(), template=template, voice_style=VoiceStyle(voice_style.value))
    if evidence:
        text = rendering.to_annotated(written, transcript)
    elif note_format is NoteFormat.HTML:
        text = rendering.to_html(written)
    else:
        text = rendering.to_markdown(written)
    emit(text, note_to_json(written), as_json=as_json, output=output)
    finish(transcript)


def read_source(source: Path, model: str, language: str, speakers: int | None) -> "Transcript":
    """Read a transcript or make one from a recording, by what the file holds."""
    if is_text(source):
        from osler.speech.dialogue import read_transcript

        return read_transcript(read_bytes(source))
    return transcribe_file(source, model, language, speakers)
