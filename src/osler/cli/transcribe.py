"""``osler transcribe``: a recording to a transcript with speakers."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from osler.cli import exits
from osler.cli.output import JsonOption, OutputOption, check_writable, emit, progress_bar, warn

if TYPE_CHECKING:
    from osler.speech.model import Transcript

ModelOption = Annotated[
    str, typer.Option("--model", help="Whisper model: base, tiny.en, small, ... (see: osler models list).")
]
LanguageOption = Annotated[str, typer.Option("--language", help="Language spoken, as ISO 639-1 code, or auto.")]
SpeakersOption = Annotated[
    int | None, typer.Option("--speakers", min=1, max=4, help="How many people speak; estimated if left out.")
]


def transcribe(
    audio: Annotated[
        Path,
        typer.Argument(help="The recording: wav, mp3, ogg, flac, m4a, webm, ...", show_default=False, readable=False),
    ],
    model: ModelOption = "base",
    language: LanguageOption = "en",
    speakers: SpeakersOption = None,
    as_json: JsonOption = False,
    output: OutputOption = None,
) -> None:
    """Write down who said what in a recording."""
    check_writable(output)
    transcript = transcribe_file(audio, model, language, speakers)
    from osler.speech.rendering import to_text

    emit(to_text(transcript), transcript.to_json(), as_json=as_json, output=output)
    finish(transcript)


def transcribe_file(audio: Path, model: str, language: str, speakers: int | None) -> "Transcript":
    """Run speech-to-transcript with a progress bar. Raises what the speech service raises.

    A file that is no recording is refused before any model is looked for.
    """
    from osler.audio.decode import open_recording

    for _ in open_recording(audio):
        break
    from osler.bootstrap import speech_service
    from osler.pipeline.steps import transcribe as step

    with progress_bar() as progress:
        return step(
            audio,
            speech_service(model),
            language=None if language == "auto" else language,
            speakers=speakers,
            progress=progress,
        )


def finish(transcript: "Transcript") -> None:
    """Tell the user what the transcript warns of; exit INCOMPLETE if the recording broke off."""
    for line in transcript.warnings:
        warn(line)
    if transcript.incomplete:
        raise typer.Exit(exits.INCOMPLETE)
