"""Where results go: standard output or a file, as text or JSON; progress and warnings go to standard error."""

import contextlib
import json
import os
import re
import secrets
import stat
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from osler.kernel.errors import OutputError
from osler.kernel.progress import Progress, silent

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_CONTROL_BUT_LINES: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
OutputOption = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", metavar="FILE", help="Write the output to FILE instead of the screen.", readable=False
    ),
]


def check_writable(output: Path | None) -> None:
    """Fail before long work rather than after it. Raises OutputError if ``output`` cannot be written."""
    if output is None:
        return
    try:
        if output.is_dir():
            raise OutputError("The output is a folder; name a file with -o.")
        # A file is replaced, which its folder must permit; a pipe or device is written to as it stands.
        replaced = not output.exists() or output.is_file()
        target = output.resolve().parent if replaced else output
        if replaced and not target.is_dir():
            raise OutputError(
                "The folder of the output file does not exist; make it first or name another file with -o."
            )
    except OSError as error:
        raise OutputError(f"The output file cannot be reached: {error.strerror}; name another file with -o.") from None
    if not os.access(target, os.W_OK):
        raise OutputError("The output file may not be written there; name another file with -o.")


def emit(text: str, data: Any, *, as_json: bool, output: Path | None) -> None:
    """Write ``data`` as JSON, or else ``text``, to ``output`` or standard output, whole or not at all.

    Raises OutputError if the file cannot be written.
    """
    content = json.dumps(data, indent=2, ensure_ascii=False) if as_json else text
    if not content.endswith("\n"):
        content += "\n"
    if output is None:
        _print(content)
        return
    try:
        _write_whole(output, content.encode())
    except OSError as error:
        raise OutputError(
            f"The output file could not be written: {error.strerror}. Free space or name another."
        ) from None


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """Align columns with spaces: the same on a terminal and in a pipe."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in (head, *rows))


def warn(line: str) -> None:
    """Print one line for the user on standard error, whatever characters a file put into it."""
    sys.stderr.write(f"osler: {_CONTROL.sub(' ', line)}\n")


@contextlib.contextmanager
def progress_bar() -> Iterator[Progress]:
    """Show a progress bar on a terminal's standard error; show nothing when piped."""
    if not sys.stderr.isatty():
        yield silent
        return
    from rich.console import Console
    from rich.progress import BarColumn, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    tasks: dict[str, TaskID] = {}
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with RichProgress(*columns, console=Console(stderr=True), transient=True) as bar:

        def show(what: str, done: float, total: float | None) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total)
            bar.update(tasks[what], completed=done, total=total)

        yield show


def _print(content: str) -> None:
    """Write to standard output; to a terminal without the control characters that a transcript may bring along."""
    if sys.stdout is None:
        raise OutputError("There is no standard output to write to; name a file with -o.")
    if sys.stdout.isatty():
        content = _CONTROL_BUT_LINES.sub(" ", content)
    try:
        with contextlib.suppress(AttributeError):  # a stream that stands in for standard output may know no encoding
            sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
        sys.stdout.write(content)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"Standard output cannot be written: {error.strerror}. Name a file with -o.") from None


def _write_whole(path: Path, content: bytes) -> None:
    """Put ``content`` at ``path`` so that a reader sees the old file or the new one, never a part."""
    if path.exists() and not stat.S_ISREG(path.stat().st_mode):  # a pipe or device: nothing to replace
        with path.open("wb") as stream:
            stream.write(content)
        return
    target = path.resolve()
    part = target.with_name(f".osler-{secrets.token_hex(8)}.part")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
