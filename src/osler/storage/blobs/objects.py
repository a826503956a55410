"""What the vault needs from a place of objects, and the part of it that every place has in common, on obstore."""

import errno
import re
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, Literal, Protocol

import obstore
from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError

from osler.kernel.errors import BlobsUnavailableError, CorruptedError, StorageError, StorageFullError

if TYPE_CHECKING:
    from obstore.store import LocalStore, S3Store

PART_SIZE: Final = 5 * 1024 * 1024
"""Bytes of one part of a long upload: the least that S3 takes. What is shorter goes up in one request."""

PARTS_AT_ONCE: Final = 2
"""Parts under way at a time; they bound the memory of an upload."""

_FULL: Final = re.compile(
    rf"os error (?:{errno.ENOSPC}|{errno.EDQUOT}|{errno.EFBIG})\b|Insufficient ?Storage|QuotaExceeded"
)
_SHORTER: Final = re.compile(r"InvalidRange|416 Range Not Satisfiable")
_REFUSED: Final = re.compile(r"40[13] (?:Unauthorized|Forbidden)")
_NO_BUCKET: Final = "<Code>NoSuchBucket</Code>"


class ObjectStore(Protocol):
    """A place of objects. Names are made by the vault: ``ab/sab01...``, of letters, digits and one slash.

    All methods raise BlobsUnavailableError; ``put`` also StorageFullError, ``get`` CorruptedError for an object that is
    missing or ends before ``start``.
    """

    seals_by_itself: bool
    """Whether the place can be trusted to seal what it keeps and is reached through a sealed connection."""

    async def put(self, name: str, chunks: AsyncIterator[bytes]) -> None:
        """Write an object. It is durable on return, and absent if ``chunks`` raises, whose error is passed on."""
        ...

    async def get(self, name: str, start: int, end: int) -> tuple[memoryview, int]:
        """Return bytes ``start:end`` (fewer at the end of the object) and the size of the whole object."""
        ...

    def get_blocking(self, name: str, start: int, end: int) -> tuple[memoryview, int]:
        """As :meth:`get`, for a worker thread."""
        ...

    async def size(self, name: str) -> int | None:
        """Return how many bytes an object has, None if there is none of that name; nothing of it is read."""
        ...

    async def delete(self, names: Sequence[str]) -> None:
        """Remove objects; those that are gone already are no error."""
        ...

    def list(self, older_than: datetime) -> AsyncIterator[str]:
        """Yield the names of objects last written before ``older_than``, in no order."""
        ...

    async def remove_unfinished(self, older_than: datetime) -> int:
        """Remove what uploads that broke off before ``older_than`` left behind; return how many."""
        ...

    async def presign(self, name: str, lifetime: timedelta, media_type: str) -> str | None:
        """Return a URL by which anybody can read the object for a while; None if the place cannot make one."""
        ...

    async def check(self) -> None:
        """Return if the place can be read and written now."""
        ...


def translated(error: BaseException, doing: Literal["read", "written"]) -> StorageError:
    """Return an error of obstore or of the operating system as one of ours. Its own text may hold addresses: unused."""
    text = str(error)
    number = error.errno if isinstance(error, OSError) else None
    if number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) or _FULL.search(text):
        return StorageFullError("No space is left for recordings and documents; free some space, then send it again.")
    if _NO_BUCKET in text:
        return BlobsUnavailableError("The bucket of the blob store does not exist; create it, or check its name.")
    if isinstance(error, FileNotFoundError) and doing == "read":
        return CorruptedError("A stored object is missing from the blob store; restore it from a backup.")
    if _SHORTER.search(text):
        return CorruptedError("A stored object is shorter than it was written; restore it from a backup.")
    if isinstance(error, PermissionDeniedError | UnauthenticatedError | PermissionError) or _REFUSED.search(text):
        return BlobsUnavailableError(f"The blob store refuses to be {doing}; check its permissions and credentials.")
    return BlobsUnavailableError(f"The blob store cannot be {doing} now; check that it is up, then try again.")


FAILURES: Final = (BaseError, OSError)
"""What obstore raises: its own errors, and FileNotFoundError and PermissionError of the standard library."""


class ObstoreObjects:
    """Reading and writing on obstore, the same in a folder and in a bucket."""

    def __init__(self, store: "LocalStore | S3Store") -> None:
        self._store = store

    async def put(self, name: str, chunks: AsyncIterator[bytes]) -> None:
        """Write an object: short ones in one request, long ones in parts, never held whole."""
        head: list[bytes] = []
        held = 0
        async for chunk in chunks:
            head.append(chunk)
            held += len(chunk)
            if held >= PART_SIZE:
                break
        given = _Given(head, chunks)
        try:
            if held < PART_SIZE:
                await obstore.put_async(self._store, name, b"".join(head), use_multipart=False)
            else:
                # If the iterator raises, obstore takes the parts back.
                await obstore.put_async(
                    self._store, name, given.all(), chunk_size=PART_SIZE, max_concurrency=PARTS_AT_ONCE
                )
        except FAILURES as error:
            if given.failure is not None:
                raise given.failure from None
            raise translated(error, "written") from None

    async def get(self, name: str, start: int, end: int) -> tuple[memoryview, int]:
        """Return bytes ``start:end`` and the size of the whole object."""
        try:
            found = await obstore.get_async(self._store, name, options={"range": (start, end)})
            return memoryview(await found.bytes_async()), found.meta["size"]
        except FAILURES as error:
            raise translated(error, "read") from None

    async def size(self, name: str) -> int | None:
        """Return how many bytes an object has, None if there is none of that name."""
        try:
            return (await obstore.head_async(self._store, name))["size"]
        except FileNotFoundError:
            return None
        except FAILURES as error:
            raise translated(error, "read") from None

    def get_blocking(self, name: str, start: int, end: int) -> tuple[memoryview, int]:
        """As :meth:`get`, for a worker thread."""
        try:
            found = obstore.get(self._store, name, options={"range": (start, end)})
            return memoryview(found.bytes()), found.meta["size"]
        except FAILURES as error:
            raise translated(error, "read") from None


class _Given:
    """What the caller gives to be written. Remembers his errors, so that they are not taken for those of the store."""

    def __init__(self, head: list[bytes], rest: AsyncIterator[bytes]) -> None:
        self.failure: Exception | None = None
        self._head = head
        self._rest = rest

    async def all(self) -> AsyncIterator[bytes]:
        """Yield the head, then the rest."""
        while self._head:
            yield self._head.pop(0)
        try:
            async for chunk in self._rest:
                yield chunk
        except Exception as error:  # not GeneratorExit: then it is obstore that gave up
            self.failure = error
            raise
