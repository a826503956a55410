"""The command line ``osler``: commands, and one place where errors become a line and an exit code.

Modules of commands import only what ``--help`` needs; engines are imported when a command runs.
"""

import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer

from osler import __version__
from osler.cli import (
    audit,
    backup,
    checklist,
    code,
    codes,
    demo,
    disclosures,
    encounter,
    eval,
    exits,
    init,
    jobs,
    key,
    master_key,
    models,
    note,
    org,
    public,
    serve,
    template,
    transcribe,
    user,
    worker,
)
from osler.cli.output import warn
from osler.kernel.errors import OslerError

app = typer.Typer(
    name="osler",
    help="Osler listens to a visit and writes it down: transcript, note, and the words each sentence came from.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command("transcribe")(transcribe.transcribe)
app.command("note")(note.note)
app.command("code")(code.code)
app.command("demo")(demo.demo)
app.command("init")(init.init)
app.command("serve")(serve.serve)
app.command("worker")(worker.worker)
app.command("backup")(backup.backup)
app.command("restore")(backup.restore)
app.add_typer(master_key.app, name="master-key")
app.add_typer(org.app, name="org")
app.add_typer(user.app, name="user")
app.add_typer(key.app, name="key")
encounter.app.command("checklist")(checklist.checklist)
app.add_typer(encounter.app, name="encounter")
app.add_typer(public.app, name="public")
audit.app.command("disclosures")(disclosures.disclosures)
app.add_typer(audit.app, name="audit")
app.add_typer(template.app, name="template")
app.add_typer(jobs.app, name="jobs")
app.add_typer(models.app, name="models")
app.add_typer(codes.app, name="codes")
app.add_typer(eval.app, name="eval")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"osler {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error (may hold visit text).")
    ] = False,
) -> None:
    """Options of every command; ``--debug`` is read in :func:`main`, anywhere on the line."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line and exit with the code of :mod:`osler.cli.exits`."""
    args, debug = _without_debug(list(sys.argv[1:] if argv is None else argv))
    try:
        sys.exit(_run(args))
    except OslerError as error:
        if debug:
            traceback.print_exc()
        warn(str(error))
        sys.exit(exits.code_of(error))
    except KeyboardInterrupt:
        warn("interrupted; nothing was written.")
        sys.exit(exits.INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:  # noqa: BLE001  the last door: nothing may leave as a traceback
        if debug:
            traceback.print_exc()
        warn(f"something went wrong inside Osler ({type(error).__name__}); run again with --debug to see where.")
        sys.exit(exits.INTERNAL)


def _run(args: list[str]) -> int:
    try:
        result = app(args, standalone_mode=False)
    except typer.Abort:
        raise KeyboardInterrupt from None
    except typer.Exit as done:
        return done.exit_code
    except Exception as error:
        # Usage errors of the command-line library know how to print themselves; nothing else has ``show``.
        if not hasattr(error, "show"):
            raise
        error.show()
        return exits.USAGE
    return result if isinstance(result, int) else 0


def _without_debug(args: list[str]) -> tuple[list[str], bool]:
    """Take ``--debug`` out wherever it stands before ``--``, so that it works after a command too."""
    end = args.index("--") if "--" in args else len(args)
    debug = "--debug" in args[:end]
    return [a for i, a in enumerate(args) if i >= end or a != "--debug"], debug
