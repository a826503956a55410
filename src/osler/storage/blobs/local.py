"""Objects as files in a folder of this machine, on disk before they are acknowledged."""

import asyncio
import contextlib
import os
import re
import secrets
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from obstore.store import LocalStore

from osler.storage.blobs.objects import ObstoreObjects, translated

_UNFINISHED: Final = re.compile(r".*#\d+")
"""obstore writes to ``NAME#1`` (or a higher number) and renames at the end; a killed process leaves such a file."""


class LocalObjects(ObstoreObjects):
    """Files below ``folder``, which is made with access for its owner alone. Raises BlobsUnavailableError.

    obstore renames a file into place without ``fsync``; so ``put`` syncs the file and the folders above it before it
    returns, and what was acknowledged survives a power cut.
    """

    seals_by_itself = False

    def __init__(self, folder: Path) -> None:
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise translated(error, "written") from None
        self._folder = folder.resolve()
        super().__init__(LocalStore(self._folder))

    async def put(self, name: str, chunks: AsyncIterator[bytes]) -> None:
        """Write an object and have it on disk."""
        await self._in_thread(self._make_folder, name)
        await super().put(name, chunks)
        await self._in_thread(self._sync, name)

    async def delete(self, names: Sequence[str]) -> None:
        """Remove files; those that are gone already are no error."""

        def delete() -> None:
            for name in names:
                (self._folder / name).unlink(missing_ok=True)

        await self._in_thread(delete)

    async def list(self, older_than: datetime) -> AsyncIterator[str]:
        """Yield the names of files last written before ``older_than``."""
        for name in await self._files(older_than):
            if not _UNFINISHED.fullmatch(name):
                yield name

    async def remove_unfinished(self, older_than: datetime) -> int:
        """Remove the files of uploads that broke off; the keys that sealed them were lost with their process."""
        left = [name for name in await self._files(older_than) if _UNFINISHED.fullmatch(name)]
        await self.delete(left)
        return len(left)

    async def presign(self, name: str, lifetime: timedelta, media_type: str) -> str | None:
        """Return None: a folder has no URLs."""
        return None

    async def check(self) -> None:
        """Write and remove a small file."""

        def check() -> None:
            probe = self._folder / f"probe-{secrets.token_hex(8)}#0"
            try:
                probe.write_bytes(b"probe")
            finally:
                probe.unlink(missing_ok=True)

        await self._in_thread(check)

    async def _in_thread(self, work: Callable[..., None], *arguments: str) -> None:
        try:
            await asyncio.to_thread(work, *arguments)
        except OSError as error:
            raise translated(error, "written") from None

    def _make_folder(self, name: str) -> None:
        folder = (self._folder / name).parent
        if not folder.is_dir():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _fsync(self._folder)

    def _sync(self, name: str) -> None:
        file = self._folder / name
        file.chmod(0o600)
        _fsync(file)
        _fsync(file.parent)

    async def _files(self, older_than: datetime) -> Sequence[str]:
        def scan() -> Iterator[str]:
            for path in self._folder.glob("**/*"):
                # A file may be deleted or renamed while we look.
                with contextlib.suppress(FileNotFoundError):
                    written = datetime.fromtimestamp(path.stat().st_mtime, UTC)
                    if path.is_file() and written < older_than:
                        yield path.relative_to(self._folder).as_posix()

        try:
            return await asyncio.to_thread(lambda: [*scan()])
        except OSError as error:
            raise translated(error, "read") from None


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
