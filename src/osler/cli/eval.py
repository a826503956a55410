"""``osler eval``: measure speech, notes and codes on data with known answers."""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from osler.cli.note import Style, StyleOption
from osler.cli.output import JsonOption, OutputOption, check_writable, emit, progress_bar
from osler.cli.transcribe import ModelOption
from osler.kernel.errors import MissingExtraError

app = typer.Typer(help="Measure transcripts, notes and codes against references.", no_args_is_help=True)

LimitOption = Annotated[int | None, typer.Option("--limit", min=1, help="Measure only the first N.")]


@app.command("speech")
def speech(
    data: Annotated[
        Path,
        typer.Option(
            "--data", help="Folder of recordings, each with a JSON of its turns.", show_default=False, readable=False
        ),
    ],
    model: ModelOption = "base",
    limit: LimitOption = None,
    as_json: JsonOption = False,
    output: OutputOption = None,
) -> None:
    """Word errors, diarization errors and speaker roles of transcripts."""
    check_writable(output)
    _require("jiwer", "pyannote.metrics", "whisper_normalizer")
    from osler_evals.speech_eval import evaluate_speech

    from osler.bootstrap import speech_service

    with progress_bar() as progress:
        report = evaluate_speech(lambda: speech_service(model), data, model=model, limit=limit, progress=progress)
    _show(report.to_text(), report.to_json(), as_json, output)


@app.command("notes")
def notes(
    data: Annotated[
        Path,
        typer.Option("--data", help="Folder of ACI-BENCH (valid.csv, train.csv).", show_default=False, readable=False),
    ],
    split: Annotated[str, typer.Option("--split", help="Which table: valid or train.")] = "valid",
    voice_style: StyleOption = Style.GOLDILOCKS,
    limit: LimitOption = None,
    as_json: JsonOption = False,
    output: OutputOption = None,
) -> None:
    """ROUGE, evidence and unsupported tokens of notes."""
    check_writable(output)
    _require("rouge_score")
    from osler_evals.note_eval import evaluate_notes

    from osler.bootstrap import note_service
    from osler.notes.model import VoiceStyle
    from osler.pipeline.steps import write_note

    service, style = note_service(), VoiceStyle(voice_style.value)
    with progress_bar() as progress:
        report = evaluate_notes(
            lambda transcript: write_note(transcript, service, voice_style=style),
            data,
            split=split,
            voice_style=style.value,
            limit=limit,
            progress=progress,
        )
    _show(report.to_text(), report.to_json(), as_json, output)


@app.command("codes")
def codes(
    data: Annotated[
        Path,
        typer.Option("--data", help="Folder of CodiEsp, ACI-BENCH or both.", show_default=False, readable=False),
    ],
    split: Annotated[str, typer.Option("--split", help="Which part of CodiEsp: dev or train.")] = "dev",
    labels: Annotated[str, typer.Option("--labels", help="Diagnoses: dev, held-out, mts-dialog or all.")] = "dev",
    limit: LimitOption = None,
    as_json: JsonOption = False,
    output: OutputOption = None,
) -> None:
    """F1 and MAP of the codes of case reports; the share of outpatient diagnoses with the right code."""
    check_writable(output)
    from osler_evals.code_eval import evaluate_codes

    from osler.bootstrap.engines import coder, terminologies

    wanted = ("dev", "held-out", "mts-dialog") if labels == "all" else (labels,)
    with progress_bar() as progress:
        report = evaluate_codes(
            coder(),
            terminologies().get("ICD-10-CM"),
            data,
            split=split,
            labels=wanted,
            limit=limit,
            progress=progress,
        )
    _show(report.to_text(), report.to_json(), as_json, output)


def _show(text: str, data: Any, as_json: bool, output: Path | None) -> None:
    """Emit the report; where the JSON goes to a file, the table is still for reading: measuring takes long."""
    emit(text, data, as_json=as_json, output=output)
    if as_json and output is not None:
        emit(text, data, as_json=False, output=None)


def _require(*modules: str) -> None:
    """Raise MissingExtraError unless the modules that measure are installed."""
    for module in modules:
        try:
            found = find_spec(module)
        except ModuleNotFoundError:
            found = None
        if found is None:
            raise MissingExtraError("Measuring needs an extra: pip install 'osler[evals]'")
