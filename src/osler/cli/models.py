"""``osler models``: which weights there are, pulling them, verifying them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from osler.cli.output import JsonOption, OutputOption, check_writable, emit, progress_bar, table
from osler.kernel.errors import WeightsMissingError, WrongDigestError

if TYPE_CHECKING:
    from osler.weights.model import FileCheck, Pulled, WeightsEntry
    from osler.weights.service import WeightsStore

app = typer.Typer(no_args_is_help=True, help="Model weights: what there is, get it, check it.")

NameArgument = Annotated[
    str | None, typer.Argument(metavar="[NAME]", help="One model; the default ones if left out.", show_default=False)
]


@app.command("list")
def list_models(as_json: JsonOption = False, output: OutputOption = None) -> None:
    """Show every model that Osler knows: its state in the store, size, licence and publisher."""
    check_writable(output)
    from osler.bootstrap import weights_store

    store = weights_store()
    rows = [_row(store, entry) for entry in store.entries]
    lines = table(
        ("MODEL", "STATE", "SIZE", "LICENCE", "PUBLISHED AT"),
        [(row["name"], row["state"], _size(row["size"]), row["licence"], row["upstream"]) for row in rows],
    )
    text = f"{lines}\n\nStore: {store.folder}\nPull without a name brings: {', '.join(_defaults(store))}"
    emit(text, {"store": str(store.folder), "models": rows}, as_json=as_json, output=output)


@app.command("pull")
def pull_models(
    name: NameArgument = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="FOLDER",
            help="Look in this folder first, for FOLDER/NAME/ or wheels [env: OSLER_MODELS_FROM].",
            show_default=False,
            readable=False,
        ),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Every model, the large ones too.")] = False,
    as_json: JsonOption = False,
    output: OutputOption = None,
) -> None:
    """Bring models into the store; every file's SHA-256 is checked before it gets its name."""
    if name is not None and every:
        raise typer.BadParameter("give a NAME or --all, not both")
    check_writable(output)
    from osler.bootstrap import weights_store
    from osler.config import Settings

    store = weights_store()
    if folder is None:
        folder = Settings().models_from
    names = [entry.name for entry in store.entries] if every else _names(store, name)
    with progress_bar() as progress:
        pulled = [store.pull(each, folder=folder, progress=progress) for each in names]
    text = "\n".join(map(_pulled_line, pulled)) + f"\nStore: {store.folder}"
    data = [{"name": p.name, "files": list(p.files), "sources": list(p.sources)} for p in pulled]
    emit(text, {"store": str(store.folder), "models": data}, as_json=as_json, output=output)


@app.command("verify")
def verify_models(name: NameArgument = None, as_json: JsonOption = False, output: OutputOption = None) -> None:
    """Read every file of the default models, and of others in the store, and compare its SHA-256."""
    check_writable(output)
    from osler.bootstrap import weights_store
    from osler.weights.model import State

    store = weights_store()
    names = _names(store, name)
    if name is None:
        names += [e.name for e in store.entries if not e.default and store.state(e.name) is not State.MISSING]
    with progress_bar() as progress:
        checks = {each: store.verify(each, progress) for each in names}
    lines = [(f"{each}/{check.path}", _verdict(check), check.found or "") for each in names for check in checks[each]]
    data = [
        {
            "name": each,
            "verified": all(check.right for check in checks[each]),
            "files": [
                {"path": c.path, "verdict": _verdict(c), "sha256": c.found, "expected": c.expected}
                for c in checks[each]
            ],
        }
        for each in names
    ]
    text = table(("FILE", "VERDICT", "SHA-256"), lines)
    emit(text, {"store": str(store.folder), "models": data}, as_json=as_json, output=output)
    _fail_unless_right(checks)


def _fail_unless_right(checks: "dict[str, tuple[FileCheck, ...]]") -> None:
    wrong = [(name, check) for name in checks for check in checks[name] if not check.right]
    for name, check in wrong:
        if check.found is not None:
            raise WrongDigestError(
                f"{name}/{check.path} has the SHA-256 {check.found}, the lock file says {check.expected}. "
                f"Get it anew with: osler models pull {name}"
            )
    for name, check in wrong:
        raise WeightsMissingError(f"{name}/{check.path} is not in the store. Get it with: osler models pull {name}")


def _names(store: "WeightsStore", name: str | None) -> list[str]:
    return _defaults(store) if name is None else [store.entry(name).name]


def _defaults(store: "WeightsStore") -> list[str]:
    return [entry.name for entry in store.entries if entry.default]


def _row(store: "WeightsStore", entry: "WeightsEntry") -> dict[str, Any]:
    return {
        "name": entry.name,
        "title": entry.title,
        "version": entry.version,
        "state": str(store.state(entry.name)),
        "default": entry.default,
        "size": entry.size,
        "licence": entry.licence,
        "upstream": entry.upstream,
        "files": [{"path": file.path, "size": file.size, "sha256": file.sha256} for file in entry.files],
    }


def _pulled_line(pulled: "Pulled") -> str:
    if not pulled.files:
        return f"{pulled.name}: was there already"
    return f"{pulled.name}: pulled and verified, from {', '.join(pulled.sources)}"


def _verdict(check: "FileCheck") -> str:
    return "right" if check.right else "missing" if check.found is None else "WRONG"


def _size(count: int) -> str:
    return f"{count / 1_000_000:,.0f} MB"
