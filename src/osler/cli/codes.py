"""``osler codes``: find codes by words, show what a code is, list and import coding systems."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from osler.cli.output import JsonOption, OutputOption, check_writable, emit, table
from osler.kernel.errors import NotFoundError

if TYPE_CHECKING:
    from osler.coding.terminology import Code, Installed, Terminology

app = typer.Typer(no_args_is_help=True, help="Clinical codes: search, show, and the systems they are of.")

SystemOption = Annotated[
    str, typer.Option("--system", "-s", metavar="NAME", help="Coding system, as in: osler codes systems.")
]
_NOTES = (
    ("Inclusion terms", "inclusion_terms"),
    ("Includes", "includes"),
    ("Excludes1", "excludes1"),
    ("Excludes2", "excludes2"),
    ("Use additional code", "use_additional"),
    ("Code first", "code_first"),
    ("Code also", "code_also"),
    ("Notes", "notes"),
)


@app.command("search")
def search_codes(
    text: Annotated[list[str], typer.Argument(metavar="TEXT...", help="Words, as a clinician or a patient says them.")],
    system: SystemOption = "ICD-10-CM",
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=100, help="Codes at most.")] = 10,
    categories: Annotated[
        bool, typer.Option("--categories", help="Show categories too that are no billable code.")
    ] = False,
    as_json: JsonOption = False,
    output: OutputOption = None,
) -> None:
    """Find the codes that fit some words best."""
    check_writable(output)
    terminology = _terminology(system)
    matches = terminology.search(" ".join(text), limit, billable=not categories)
    rows = [(match, _found(terminology, match.code)) for match in matches]
    lines = table(
        ("CODE", "SCORE", "DESCRIPTION", "MATCHED"),
        [(m.code, f"{m.score:.2f}", code.description, m.matched_text) for m, code in rows],
    )
    data = [
        {
            "code": m.code,
            "description": code.description,
            "score": m.score,
            "matched_text": m.matched_text,
            "valid": code.valid,
        }
        for m, code in rows
    ]
    shown = lines if rows else "No code has any of these words."
    emit(shown, {**_of(terminology), "matches": data}, as_json=as_json, output=output)


@app.command("show")
def show_code(
    code: Annotated[str, typer.Argument(metavar="CODE", help="With or without its dots.")],
    system: SystemOption = "ICD-10-CM",
    as_json: JsonOption = False,
    output: OutputOption = None,
) -> None:
    """Show a code: description, validity, hierarchy, notes, seventh characters and other names."""
    check_writable(output)
    terminology = _terminology(system)
    found = terminology.find(code)
    if found is None:
        raise NotFoundError(
            f"{terminology.system} has no such code. Find one by its words with: osler codes search TEXT"
        )
    data = {**_of(terminology), **_data(found, terminology)}
    emit(_described(found, terminology), data, as_json=as_json, output=output)


@app.command("systems")
def list_systems(as_json: JsonOption = False, output: OutputOption = None) -> None:
    """Show the coding systems, which releases of them are installed, and their licences."""
    check_writable(output)
    from osler.bootstrap import terminologies
    from osler.coding.terminology import LICENSED, SYSTEMS

    installed = terminologies().installed()
    rows: list[tuple[str, ...]] = []
    for system in SYSTEMS:
        releases = [each for each in installed if each.system == system]
        rows += [
            (system, "in use" if place == 0 else "installed", r.version, str(r.effective_date or ""), f"{r.codes:,}",
             r.licence)
            for place, r in enumerate(releases)
        ]  # fmt: skip
        if not releases:
            how = f"licensed; osler codes import --system {system} FILE" if system in LICENSED else "not installed"
            rows.append((system, "missing", "", "", "", how))
    lines = table(("SYSTEM", "STATE", "VERSION", "EFFECTIVE", "CODES", "LICENCE"), rows)
    data = [
        {
            "system": system,
            "licensed": system in LICENSED,
            "releases": [_release(each) for each in installed if each.system == system],
        }
        for system in SYSTEMS
    ]
    emit(lines, {"systems": data}, as_json=as_json, output=output)


@app.command("import")
def import_codes(
    release: Annotated[Path, typer.Argument(metavar="FILE", help="The release as its holder gives it out.")],
    system: Annotated[
        str, typer.Option("--system", "-s", metavar="NAME", help="SNOMED-CT, OPCS-410, ACHI-13, CPT-2025.")
    ],
    as_json: JsonOption = False,
    output: OutputOption = None,
) -> None:
    """Import a release of a licensed system: whole, or not at all. Other releases of it stay beside it."""
    check_writable(output)
    from osler.bootstrap import terminologies

    library = terminologies()
    done = library.install(system, release)
    used = library.get(done.system)
    text = f"{done.system} {done.version}: {done.codes:,} codes imported. Licence: {done.licence}."
    if used.version != done.version:
        text += f"\nIn use is still {used.version}, which is newer or in force already."
    emit(text, {**_release(done), "in_use": used.version}, as_json=as_json, output=output)


def _terminology(system: str) -> "Terminology":
    from osler.bootstrap import terminologies

    return terminologies().get(system)


def _found(terminology: "Terminology", code: str) -> "Code":
    found = terminology.find(code)
    assert found is not None, "a match is a code of the terminology"
    return found


def _of(terminology: "Terminology") -> dict[str, Any]:
    return {"coding_system": terminology.system, "version": terminology.version}


def _release(installed: "Installed") -> dict[str, Any]:
    return {
        "system": installed.system,
        "version": installed.version,
        "effective_date": installed.effective_date.isoformat() if installed.effective_date else None,
        "codes": installed.codes,
        "licence": installed.licence,
        "source": installed.source,
    }


def _data(code: "Code", terminology: "Terminology") -> dict[str, Any]:
    return {
        "code": code.code,
        "description": code.description,
        "valid": code.valid,
        "billable": code.billable,
        "effective_date": code.effective_date.isoformat() if code.effective_date else None,
        "expiry": code.expiry.isoformat() if code.expiry else None,
        "laterality": code.laterality,
        "hierarchy": [{"code": each, "description": _found(terminology, each).description} for each in code.hierarchy],
        "children": list(terminology.children(code.code)),
        **{name: list(getattr(code, name)) for _, name in _NOTES},
        "seventh_characters": dict(code.seventh_characters),
        "maps_to": {system: list(codes) for system, codes in code.maps_to.items()},
        "synonyms": [{"text": each.text, "source": each.source} for each in terminology.synonyms(code.code)],
    }


def _described(code: "Code", terminology: "Terminology") -> str:
    state = "valid" if code.valid else "not valid today" if code.billable else "a category: no billable code"
    since = f", effective {code.effective_date}" if code.effective_date else ""
    lines = [f"{code.code}  {code.description}", f"{terminology.system} {terminology.version}: {state}{since}"]
    if code.expiry:
        lines.append(f"Expired {code.expiry}")
    if code.hierarchy:
        lines.append("\nHierarchy")
        lines += [f"  {each}  {_found(terminology, each).description}" for each in code.hierarchy]
    children = terminology.children(code.code)
    if children and not code.seventh_characters:
        lines.append("\nBelow")
        lines += [f"  {each}  {_found(terminology, each).description}" for each in children[:60]]
        if len(children) > 60:
            lines.append(f"  ... {len(children) - 60} more")
    for title, name in _NOTES:
        texts: tuple[str, ...] = getattr(code, name)
        if texts:
            lines += [f"\n{title}", *(f"  {text}" for text in texts)]
    if code.seventh_characters:
        lines += ["\nSeventh characters", *(f"  {char}  {text}" for char, text in code.seventh_characters.items())]
    for system, codes in code.maps_to.items():
        lines.append(f"\nMaps to {system}: {', '.join(codes)}")
    names = [each for each in terminology.synonyms(code.code) if each.source != "inclusion"]
    if names:
        lines += ["\nOther names", *(f"  {each.text}  ({each.source})" for each in names[:40])]
        if len(names) > 40:
            lines.append(f"  ... {len(names) - 40} more")
    return "\n".join(lines)
