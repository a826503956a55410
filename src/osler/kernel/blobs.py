"""Sealed objects in the blob store as rooms see them: stored as a stream, read as a stream or as a seekable file."""

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO, Protocol


@dataclass(frozen=True, slots=True)
class ObjectKey:
    """The key of one object, wrapped by the master key ``master`` (an id). ``wrapped`` is nonce, ciphertext and tag."""

    id: str
    wrapped: bytes
    master: str


@dataclass(frozen=True, slots=True)
class StoredBlob:
    """One object in the blob store. ``id`` is its random place there; ``size`` counts plain bytes.

    ``digest`` is a keyed digest (HMAC-SHA256, hexadecimal) of the plain bytes: equal bytes in one organization have
    equal digests, and nobody without the key can test a guess. ``key`` is None where the bucket seals instead of us.
    """

    id: str
    size: int
    digest: str
    key: ObjectKey | None


class BlobVault(Protocol):
    """Keeps objects sealed. What ``store`` returned is durable; it becomes part of the record when its row is written.

    All methods raise BlobsUnavailableError; writers also raise StorageFullError, readers CorruptedError and, for an
    object whose key was destroyed, ErasedError.
    """

    async def store(
        self, organization_id: str, chunks: AsyncIterator[bytes], *, limit: int | None = None
    ) -> StoredBlob:
        """Seal and store what ``chunks`` yields, never held whole in memory or in plain text on disk.

        Raises InvalidFieldError, having stored nothing, when more than ``limit`` bytes come.
        """
        ...

    def stream(self, blob: StoredBlob, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """Yield plain bytes ``start:end``."""
        ...

    def open(self, blob: StoredBlob) -> BinaryIO:
        """Return a seekable file of the plain bytes, for a worker thread; it reads and opens as it goes."""
        ...

    async def delete(self, ids: Iterable[str]) -> None:
        """Remove objects; those that are gone already are no error."""
        ...

    async def signed_url(self, blob: StoredBlob, *, media_type: str, expires_at: datetime) -> str:
        """Return a URL that serves the plain bytes without a header until ``expires_at``; it names no patient."""
        ...
