"""``osler code``: a note to codes, each with the words that earn it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from osler.cli.output import JsonOption, OutputOption, check_writable, emit
from osler.cli.source import is_text, read_bytes
from osler.kernel.errors import InputError, UnreadableFileError

if TYPE_CHECKING:
    from osler.coding.coder import CodedEntity, RankedCode

NO_CONDITION = "No condition of the patient's own was found that can be coded.\n"


def code(
    source: Annotated[
        str, typer.Argument(metavar="TEXT_OR_NOTE_FILE", help="A note's file, or words.", show_default=False)
    ],
    system: Annotated[
        str, typer.Option("--system", help="ICD-10-CM, ICD-10, ICD-9-CM, or an imported one.")
    ] = "ICD-10-CM",
    inpatient: Annotated[
        bool, typer.Option("--inpatient", help="Code what is uncertain too, as for a hospital stay.")
    ] = False,
    as_json: JsonOption = False,
    output: OutputOption = None,
) -> None:
    """Code the conditions of a note."""
    check_writable(output)
    from osler.bootstrap.engines import coder, terminologies
    from osler.coding.coder import CodingTask, Setting

    terminology = terminologies().get(system)  # an unknown name is said before the note is read
    setting = Setting.INPATIENT if inpatient else Setting.OUTPATIENT
    entities = coder().code(CodingTask(note=_read(source), setting=setting), terminology)
    emit(to_text(entities), to_json(entities), as_json=as_json, output=output)


def to_json(entities: "list[CodedEntity]") -> dict[str, Any]:
    """Return plain JSON types."""
    return {
        "entities": [
            {
                "entity": entity.entity,
                "primary_code": _code(entity.primary),
                "similar_codes": [_code(similar) for similar in entity.similar],
                "references": [
                    {"text": reference.quote, "start": reference.start, "end": reference.end}
                    for reference in entity.references
                ],
                "hint": entity.hint,
                "conflicts": list(entity.conflicts),
            }
            for entity in entities
        ]
    }


def to_text(entities: "list[CodedEntity]") -> str:
    """Return each condition with its code, and below it what a reader should know."""
    lines = []
    for entity in entities:
        lines.append(f"{entity.primary.code:9} {entity.primary.description}")
        lines.append(f"          in the note: {entity.entity}")
        if entity.similar:
            lines.append(f"          or: {', '.join(similar.code for similar in entity.similar)}")
        if entity.hint:
            lines.append(f"          {entity.hint}")
        if entity.conflicts:
            lines.append(f"          Excludes1: not together with {', '.join(entity.conflicts)}")
    return "\n".join(lines) + "\n" if lines else NO_CONDITION


def _code(ranked: "RankedCode") -> dict[str, Any]:
    return {
        "code": ranked.code,
        "description": ranked.description,
        "score": round(ranked.score, 3),
        "valid": ranked.valid,
        "hierarchy": list(ranked.hierarchy),
    }


def _read(source: str) -> str:
    """Return the text of the file of that name; what names no file and looks like none is the text itself."""
    try:
        is_file = Path(source).exists()
    except (OSError, ValueError):  # far too long for a name, or no name at all
        is_file = False
    if not is_file:
        if source.endswith((".md", ".txt", ".html")) and " " not in source:
            raise UnreadableFileError("There is no such file; check the path, or give the words of a note in quotes.")
        return source
    path = Path(source)
    if path.is_file() and path.stat().st_size == 0:
        return ""
    if not is_text(path):
        raise InputError("The file is not a text; give a note as Markdown or plain text.")
    data = read_bytes(path)
    encoding = "utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        return data.decode("latin-1")
