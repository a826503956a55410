"""``osler master-key``: which key wraps all others, and putting a new one in its place."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from osler.cli.output import JsonOption, OutputOption, check_writable, emit, progress_bar, warn

if TYPE_CHECKING:
    from osler.bootstrap.safekeeping import Rotation

app = typer.Typer(no_args_is_help=True, help="The key that wraps all others: its id, and its rotation.")


@app.command("show-id")
def show_id(as_json: JsonOption = False, output: OutputOption = None) -> None:
    """Show the id of the master key, never the key, and how many keys it and former ones wrap."""
    check_writable(output)
    import asyncio

    from osler import logs
    from osler.bootstrap import safekeeping

    logs.configure("warning")
    keys = asyncio.run(safekeeping.master_keys())
    lines = [f"{keys.current}: in use; keys that it wraps: {keys.wrapped.get(keys.current, 0):,}"]
    for key_id in sorted({*keys.wrapped, *keys.former_files} - {keys.current}):
        where = f"kept in {keys.former_files[key_id]}" if key_id in keys.former_files else "not here"
        lines.append(f"{key_id}: former, {where}; keys that it wraps: {keys.wrapped.get(key_id, 0):,}")
    data = {
        "master_key_id": keys.current,
        "wrapped": dict(keys.wrapped),
        "former": [{"master_key_id": key_id, "file": str(path)} for key_id, path in sorted(keys.former_files.items())],
    }
    emit("\n".join(lines), data, as_json=as_json, output=output)


@app.command("rotate")
def rotate(
    new_key_file: Annotated[
        Path | None,
        typer.Option(
            "--new-key-file",
            metavar="KEYFILE",
            help="The new key (0600); made if left out, where the master key is a file.",
            show_default=False,
            readable=False,
        ),
    ] = None,
    as_json: JsonOption = False,
    output: OutputOption = None,
) -> None:
    """Put a new master key into use and wrap every key by it; data is not touched. Finishes one that was cut off."""
    check_writable(output)
    import asyncio

    from osler import logs
    from osler.bootstrap import safekeeping

    logs.configure("warning")
    with progress_bar() as progress:
        done = asyncio.run(safekeeping.rotate_master_key(new_key_file, progress))
    data = {
        "master_key_id": done.current,
        "former": list(done.former),
        "former_files": [str(path) for path in done.former_files],
        "rewrapped": done.rewrapped,
        "resumed": done.resumed,
        "traces_left": done.traces_left,
    }
    emit(_text(done), data, as_json=as_json, output=output)
    if done.traces_left:
        warn("the database's files may still hold keys wrapped by the former key, as servers keep them in use.")


def _text(done: "Rotation") -> str:
    lines = [f"Keys wrapped anew by the master key {done.current}: {done.rewrapped:,}."]
    if done.resumed:
        lines.append("This finished a rotation that had been cut off.")
    if done.former_files:
        lines += [
            f"Kept, for uploads that are under way and for older backups: {', '.join(map(str, done.former_files))}",
            "Destroy a former key when osler master-key show-id says that it wraps 0 keys, no upload from before this "
            "runs any more, and no backup from before this is needed.",
        ]
    else:
        lines.append("Now set the master key to the new one, then start the servers; they cannot open anything before.")
    lines.append("Keep a copy of the new key apart from this machine and apart from the backups.")
    return "\n".join(lines)
