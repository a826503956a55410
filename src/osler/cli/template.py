"""``osler template``: the templates of notes and documents; checked, added and removed for an organization."""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from osler.cli.output import JsonOption, OutputOption, check_writable, emit, table, warn

if TYPE_CHECKING:
    from osler.bootstrap import Core
    from osler.notes.template_language import Problem
    from osler.notes.template_model import StoredTemplate

app = typer.Typer(no_args_is_help=True, help="Templates of notes and documents: show, check, add, remove.")

FileArgument = Annotated[
    Path, typer.Argument(metavar="FILE", help="A text file in the template language (UTF-8).", readable=False)
]
OrganizationOption = Annotated[str, typer.Option("--org", metavar="ID", help="Id of the organization.")]
OptionalOrganization = Annotated[
    str | None,
    typer.Option("--org", metavar="ID", help="Also those of this organization.", show_default=False),
]
TemplateArgument = Annotated[str, typer.Argument(metavar="ID", help="Id of the template.")]


class Kind(StrEnum):
    """What a template is for, as the command line says it."""

    CONSULT = "consult"
    DOCUMENT = "document"


@app.command("list")
def list_templates(
    organization_id: OptionalOrganization = None, as_json: JsonOption = False, output: OutputOption = None
) -> None:
    """Show Osler's own templates, and those of an organization."""
    check_writable(output)
    found = _all(organization_id)
    rows = [(each.id, each.name, _kind(each).value, each.author_name, _since(each)) for each in found]
    text = table(("TEMPLATE", "NAME", "FOR", "AUTHOR", "ADDED"), rows)
    emit(text, {"templates": [_to_json(each) for each in found]}, as_json=as_json, output=output)


@app.command("show")
def show(
    template_id: TemplateArgument,
    organization_id: OptionalOrganization = None,
    as_json: JsonOption = False,
    output: OutputOption = None,
) -> None:
    """Print the text of a template as its author wrote it; one of an organization needs --org."""
    check_writable(output)
    from osler.kernel.errors import NotFoundError
    from osler.notes.template_library import built_in_templates

    found = next((each for each in built_in_templates() if each.id == template_id), None)
    if found is None and organization_id is None:
        raise NotFoundError("Osler has no such template of its own; for one of an organization give --org.")
    if found is None:
        from osler.cli.core import run

        async def work(core: "Core") -> "StoredTemplate":
            return await core.templates.get(str(organization_id), template_id, removed=True)

        found = run(work)
    data = {**_to_json(found), "structure": found.tree.to_json()}
    emit(found.text, data, as_json=as_json, output=output)


@app.command("check")
def check_file(file: FileArgument, as_json: JsonOption = False, output: OutputOption = None) -> None:
    """Say what is wrong with a template, by line and column; exits with 18 if it could not be added."""
    check_writable(output)
    from osler.kernel.errors import InvalidFieldError
    from osler.notes.template_language import read
    from osler.notes.template_library import check, without_mark

    text = _read(file)
    problems = check(text)
    wrong = [problem for problem in problems if not problem.is_warning]
    lines = [_line(problem) for problem in problems] or ["The template is in order."]
    count = len(read(without_mark(text))[0].placeholders)
    data = {"valid": not wrong, "placeholders": count, "problems": [_problem(problem) for problem in problems]}
    emit("\n".join(lines), data, as_json=as_json, output=output)
    if wrong:
        errors = "1 error" if len(wrong) == 1 else f"{len(wrong)} errors"
        raise InvalidFieldError("template", f"The template has {errors}; correct them before you add it.")


@app.command("add")
def add(
    file: FileArgument,
    organization_id: OrganizationOption,
    name: Annotated[str, typer.Option("--name", help="What clinicians choose it by.")],
    category: Annotated[Kind, typer.Option("--category", help="What is written by it.")] = Kind.CONSULT,
    author: Annotated[str, typer.Option("--author", help="Who wrote it.")] = "Operator",
    replace: Annotated[
        bool, typer.Option("--replace", help="Remove the organization's template of this name.")
    ] = False,
    as_json: JsonOption = False,
    output: OutputOption = None,
) -> None:
    """Add a template to an organization; its errors are shown by line and column, and then nothing is added."""
    check_writable(output)
    from osler.audit.model import OPERATOR
    from osler.cli.core import run
    from osler.kernel.errors import InvalidFieldError
    from osler.notes.template_library import check
    from osler.notes.template_model import TemplateCategory

    text = _read(file)
    wrong = [problem for problem in check(text) if not problem.is_warning]
    if wrong:
        for problem in wrong:
            typer.echo(_line(problem), err=True)
        raise InvalidFieldError("template", "The template has errors and was not added; see the lines above.")
    chosen = TemplateCategory.DOCUMENT if category is Kind.DOCUMENT else TemplateCategory.CONSULT_NOTE

    async def work(core: "Core") -> "tuple[StoredTemplate, Sequence[Problem]]":
        return await core.templates.add(
            OPERATOR, organization_id, name, chosen, text, author, replace_same_name=replace
        )

    added, warnings = run(work)
    for problem in warnings:
        warn(_line(problem))
    data = {**_to_json(added), "problems": [_problem(problem) for problem in warnings]}
    emit(f"{added.id}  {added.name}", data, as_json=as_json, output=output)


@app.command("remove")
def remove(
    template_id: TemplateArgument,
    organization_id: OrganizationOption,
    as_json: JsonOption = False,
    output: OutputOption = None,
) -> None:
    """Take a template out of an organization's list; notes that were written by it stay as they are."""
    check_writable(output)
    from osler.audit.model import OPERATOR
    from osler.cli.core import run

    async def work(core: "Core") -> "StoredTemplate":
        return await core.templates.remove(OPERATOR, organization_id, template_id)

    removed = run(work)
    emit(f"Removed {removed.name}.", _to_json(removed), as_json=as_json, output=output)


def _all(organization_id: str | None) -> "tuple[StoredTemplate, ...]":
    if organization_id is None:
        from osler.notes.template_library import built_in_templates

        return built_in_templates()
    from osler.cli.core import run

    async def work(core: "Core") -> "tuple[StoredTemplate, ...]":
        return await core.templates.list(str(organization_id))

    return run(work)


def _read(file: Path) -> str:
    """Return the file's text. Raises UnreadableFileError, InvalidFieldError if it is not UTF-8 or too long."""
    from osler.cli.source import unreadable
    from osler.kernel.errors import InvalidFieldError, UnreadableFileError
    from osler.notes.template_language import MOST_TEXT

    if file.exists() and not (file.is_file() or file.is_dir()):
        raise UnreadableFileError("The path is not a regular file; give a text file.")
    most = 4 * MOST_TEXT  # bytes of so many characters
    try:
        with file.open("rb") as stream:
            content = stream.read(most + 1)
    except OSError as error:
        raise unreadable(error) from None
    if len(content) > most:
        raise InvalidFieldError("template", f"The template is longer than {MOST_TEXT} characters; shorten it.")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InvalidFieldError("template", f"The file is not UTF-8 text (line {line}); save it as UTF-8.") from None


def _line(problem: "Problem") -> str:
    place = f"line {problem.line}, column {problem.column}"
    return f"{place}: {'warning: ' if problem.is_warning else ''}{problem.message}"


def _problem(problem: "Problem") -> dict[str, Any]:
    severity = "warning" if problem.is_warning else "error"
    return {"line": problem.line, "column": problem.column, "severity": severity, "message": problem.message}


def _kind(template: "StoredTemplate") -> Kind:
    from osler.notes.template_model import TemplateCategory

    return Kind.DOCUMENT if template.category is TemplateCategory.DOCUMENT else Kind.CONSULT


def _since(template: "StoredTemplate") -> str:
    return template.created_at.isoformat(timespec="seconds") if template.created_at else "built in"


def _to_json(template: "StoredTemplate") -> dict[str, Any]:
    return {
        "template_id": template.id,
        "name": template.name,
        "category": template.category.value,
        "author_name": template.author_name,
        "organization_id": template.organization_id,
        "created_at": template.created_at.isoformat() if template.created_at else None,
        "removed_at": template.removed_at.isoformat() if template.removed_at else None,
        "text": template.text,
    }
