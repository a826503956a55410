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

from osler.kernel.errors import StorageError
from osler.storage.blobs.objects import ObstoreObjects, translated

SYNC_EVERY: Final = 32 * 1024 * 1024
"""Bytes of a long upload after which the disk is set to work on them."""

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
        ahead = _SyncAhead(self._folder / f"{name}#1")
        try:
            await super().put(name, ahead.watch(chunks))
        finally:
            failure = await ahead.finish()
        try:
            if failure is not None:
                raise translated(failure, "written")
            await self._in_thread(self._sync, name)
        except StorageError:
            with contextlib.suppress(StorageError):
                await self.delete([name])
            raise

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


class _SyncAhead:
    """Syncs a file now and then while it is written, so that the disk works meanwhile.

    Without it the disk would get all of a long upload at the end, and whoever else syncs then would wait for it too. It
    only hastens what ``put`` does in the end, but an error that it met must not be lost: the system tells it once.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._running: asyncio.Future[None] | None = None
        self._failure: OSError | None = None

    async def watch(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Yield ``chunks``."""
        written = 0
        async for chunk in chunks:
            yield chunk
            written += len(chunk)
            if written >= SYNC_EVERY and (self._running is None or self._running.done()):
                written = 0
                self._running = asyncio.get_running_loop().run_in_executor(None, self._sync)

    async def finish(self) -> OSError | None:
        """Wait for the last sync; return what went wrong in any."""
        if self._running is not None:
            await self._running
        return self._failure

    def _sync(self) -> None:
        try:
            with contextlib.suppress(FileNotFoundError):  # obstore calls it otherwise, or has renamed it already
                _fsync(self._path)
        except OSError as error:
            self._failure = self._failure or error


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
