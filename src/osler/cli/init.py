"""``osler init``: makes what a deployment needs, once, and brings its database to this version."""

from typing import TYPE_CHECKING

from osler.cli.output import JsonOption, OutputOption, check_writable, emit

if TYPE_CHECKING:
    from osler.bootstrap import Initialised

KEEP_IT: str = (
    "Keep a copy of the master key apart from this machine and apart from the backups: without it nothing here can "
    "be read again, and with it everything can."
)


def init(as_json: JsonOption = False, output: OutputOption = None) -> None:
    """Make the data folder, the keys, the database and the place of recordings where they are missing."""
    check_writable(output)
    import asyncio

    from osler import logs
    from osler.bootstrap import initialise, read_settings

    settings = read_settings()
    logs.configure("warning")
    done = asyncio.run(initialise(settings))
    data = {
        "data": str(done.data),
        "database": done.database,
        "master_key": {
            "from": done.master_key_from,
            "file": str(done.master_key_file) if done.master_key_file else None,
        },
        "made": list(done.made),
    }
    emit(_text(done), data, as_json=as_json, output=output)


def _text(done: "Initialised") -> str:
    made = f"Made: {', '.join(done.made)}." if done.made else "Everything is there already; nothing was changed."
    lines = [
        made,
        f"Data folder: {done.data}",
        f"Database: {done.database}",
        f"Master key: {done.master_key_file or f'from the {done.master_key_from}'}",
    ]
    return "\n".join([*lines, "", KEEP_IT])
