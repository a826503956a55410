"""``osler demo``: the main job on one recording, for reading: transcript, then the note with its evidence."""

from pathlib import Path
from typing import Annotated

import typer

from osler.cli.output import JsonOption, OutputOption, check_writable, emit
from osler.cli.transcribe import LanguageOption, ModelOption, SpeakersOption, finish, transcribe_file


def demo(
    audio: Annotated[Path, typer.Argument(help="The recording to show.", show_default=False, readable=False)],
    model: ModelOption = "base",
    language: LanguageOption = "en",
    speakers: SpeakersOption = None,
    as_json: JsonOption = False,
    output: OutputOption = None,
) -> None:
    """Show the transcript of a recording and its note, each sentence with the words it came from."""
    check_writable(output)
    from osler.bootstrap import note_service
    from osler.notes.rendering import to_annotated
    from osler.notes.service import note_to_json
    from osler.pipeline.steps import write_note
    from osler.speech.rendering import to_text

    transcript = transcribe_file(audio, model, language, speakers)
    written = write_note(transcript, note_service())
    text = f"TRANSCRIPT\n\n{to_text(transcript)}\n\nNOTE\n\n{to_annotated(written, transcript)}"
    emit(text, {"transcript": transcript.to_json(), **note_to_json(written)}, as_json=as_json, output=output)
    finish(transcript)
