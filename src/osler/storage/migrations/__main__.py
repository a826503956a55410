"""Writes the next revision: ``python -m osler.storage.migrations "webhook subscriptions"``. For developers."""

import argparse
import asyncio
import re
import tempfile
from pathlib import Path

from osler.storage.database import SqlDatabase
from osler.storage.migrations import new_revision


async def write(message: str) -> None:
    """Write a file with what the tables of the code have and the revisions so far do not."""
    with tempfile.TemporaryDirectory() as folder:
        database = SqlDatabase(f"sqlite:///{Path(folder) / 'osler.db'}")
        try:
            await new_revision(database, message, re.sub(r"\W+", "_", message.lower()).strip("_"))
        finally:
            await database.dispose()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write the next revision; read it before you commit it.")
    parser.add_argument("message", help="what it brings, in a few words")
    asyncio.run(write(parser.parse_args().message))
