"""The vault: seals what is stored, opens what is read, in a local folder or a bucket."""

import asyncio
import io
import re
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime, timedelta
from hmac import HMAC
from typing import BinaryIO, Final, Literal

from osler.kernel.blobs import StoredBlob
from osler.kernel.clock import Clock, SystemClock
from osler.kernel.errors import ErasedError, InvalidFieldError
from osler.storage.blobs.objects import ObjectStore
from osler.storage.blobs.reading import WINDOW_CHUNKS, BlobFile, BlobReading, windows
from osler.storage.blobs.urls import MediaUrls
from osler.storage.sealing.deployment import DeploymentSecret
from osler.storage.sealing.keys import DataKey, KeyRing
from osler.storage.sealing.stream import CHUNK_SIZE, HEADER_SIZE, StreamSealer, chunks_of

SealedBy = Literal["osler", "bucket"]

BATCH_SIZE: Final = 4 * 1024 * 1024
"""Bytes that are gathered before a thread seals them: a change of thread costs as much as sealing some 100 KB."""

_SEALED: Final = "s"
PLAIN: Final = "p"
_ID: Final = re.compile(r"[sp][0-9a-f]{32}")


class SealedBlobVault:
    """The kernel's BlobVault on a place of objects.

    An id is a letter that says who seals, ``s`` we or ``p`` the bucket, 96 random bits, and a tag of 32 bits by which
    the deployment knows its own objects among those of others. Objects of both kinds are read whatever ``sealed`` says,
    so the setting can be changed.
    """

    def __init__(
        self,
        store: ObjectStore,
        keyring: KeyRing,
        secret: DeploymentSecret,
        *,
        sealed: SealedBy = "osler",
        public_url: str = "http://127.0.0.1:8765",
        clock: Clock | None = None,
    ) -> None:
        """Raises InvalidFieldError if the bucket is to seal, but there is none or the way to it is not encrypted."""
        if sealed == "bucket" and not store.seals_by_itself:
            raise InvalidFieldError(
                "blobs", "sealed: bucket needs an S3 bucket with an https endpoint; use sealed: osler."
            )
        self._store = store
        self._ring = keyring
        self._secret = secret
        self._sealed = sealed
        self._urls = MediaUrls(secret.url_key(), public_url)
        self._clock = clock or SystemClock()

    async def store(
        self, organization_id: str, chunks: AsyncIterator[bytes], *, limit: int | None = None
    ) -> StoredBlob:
        """Seal and store what ``chunks`` yields; durable on return, absent if this or ``chunks`` raises.

        Raises InvalidFieldError for more than ``limit`` bytes, StorageFullError and BlobsUnavailableError.
        """
        wrapped, opened = self._ring.new_object_key() if self._sealed == "osler" else (None, None)
        blob_id = (_SEALED if wrapped else PLAIN) + self._secret.new_object_id()
        intake = _Intake(self._secret.content_digest(organization_id), opened, limit)
        await self._store.put(object_name(blob_id), intake.stored(chunks))
        return StoredBlob(blob_id, intake.size, intake.digest.hexdigest(), wrapped)

    async def stream(self, blob: StoredBlob, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """Yield plain bytes ``start:end``, in pieces of up to 4 MiB. What stands beyond the end is not there to read.

        Raises CorruptedError for an object that is missing or has other bytes than were written, ErasedError,
        MasterKeyError and BlobsUnavailableError.
        """
        if start < 0 or (end is not None and end < start):
            raise ValueError("a range starts at 0 or later and does not end before it starts")
        reading = BlobReading(blob, self._key_of(blob))
        end = blob.size if end is None else min(end, blob.size)
        # The stream of nothing is one empty chunk; it is authenticated like any other.
        chunks = chunks_of(start, end) if start < end else reading.chunks if not blob.size else range(0)
        name = object_name(blob.id)
        if chunks and reading.needs_header(chunks):
            reading.open_header(*await self._store.get(name, 0, HEADER_SIZE))
        for window in windows(chunks, WINDOW_CHUNKS):
            first, last = reading.span(window)
            if first == last:
                return
            got, stored_size = await self._store.get(name, first, last)
            plain = await asyncio.to_thread(reading.open, window, got, stored_size)
            offset = window.start * CHUNK_SIZE
            piece = plain[max(start - offset, 0) : end - offset]
            if piece:
                yield piece

    def open(self, blob: StoredBlob) -> BinaryIO:
        """Return a seekable file of the plain bytes, for a worker thread; it reads and opens as it goes.

        Raises ErasedError and MasterKeyError; reading it raises CorruptedError and BlobsUnavailableError.
        """
        reading = BlobReading(blob, self._key_of(blob))
        return io.BufferedReader(BlobFile(self._store, object_name(blob.id), blob.size, reading), CHUNK_SIZE)

    async def holds(self, blob: StoredBlob) -> bool:
        """Say whether the object is there with the length that was written, without reading it.

        Raises ErasedError, MasterKeyError and BlobsUnavailableError.
        """
        stored_size = BlobReading(blob, self._key_of(blob)).stored_size
        return await self._store.size(object_name(blob.id)) == stored_size

    async def delete(self, ids: Iterable[str]) -> None:
        """Remove objects; those that are gone already are no error. Raises BlobsUnavailableError."""
        await self._store.delete([object_name(blob_id) for blob_id in ids])

    async def signed_url(self, blob: StoredBlob, *, media_type: str, expires_at: datetime) -> str:
        """Return a URL that serves the plain bytes without a header until ``expires_at``.

        It is a presigned URL of the bucket for an object that the bucket seals; otherwise it is Osler's own, checked by
        :meth:`verify_media_url`.
        Raises InvalidFieldError if ``expires_at`` is past, or further away than a bucket allows (seven days).
        """
        self._key_of(blob)
        lifetime = self._lifetime(expires_at)
        if blob.key is None:
            presigned = await self._store.presign(object_name(blob.id), lifetime, media_type)
            if presigned is not None:
                return presigned
        return self._urls.url(blob.id, media_type=media_type, expires_at=expires_at)

    async def recording_url(self, recording_id: str, *, media_type: str, expires_at: datetime) -> str:
        """Return a URL of Osler's own that serves all of a recording until ``expires_at``.

        It is checked by :meth:`verify_recording_url`. Raises InvalidFieldError if ``expires_at`` is past.
        """
        self._lifetime(expires_at)
        return self._urls.recording_url(recording_id, media_type=media_type, expires_at=expires_at)

    def verify_recording_url(self, recording_id: str, *, expires: str, media_type: str, signature: str) -> datetime:
        """As :meth:`verify_media_url`, for the URL of a whole recording."""
        return self._urls.verify_recording(
            recording_id, expires=expires, media_type=media_type, signature=signature, now=self._clock.now()
        )

    def verify_media_url(self, blob_id: str, *, expires: str, media_type: str, signature: str) -> datetime:
        """Return when one of our URLs expires, given the parts of its query as they came.

        Raises NotAllowedError with the code ``media_url_invalid`` or ``media_url_expired``.
        """
        return self._urls.verify(
            blob_id, expires=expires, media_type=media_type, signature=signature, now=self._clock.now()
        )

    async def list(self, older_than: datetime) -> AsyncIterator[str]:
        """Yield the ids of objects last written before ``older_than``, in no order: for a sweep of orphans.

        Only of those that this deployment wrote: beside a new or another database, opened on the same folder or bucket
        by mistake, all objects look like orphans.
        An object is written before its row is: ``older_than`` must leave the longest upload its time.
        """
        async for name in self._store.list(older_than.astimezone(UTC)):
            blob_id = name.rpartition("/")[2]
            if not _ID.fullmatch(blob_id) or object_name(blob_id) != name:
                continue
            if self._secret.made_object_id(blob_id[1:]):
                yield blob_id

    async def remove_unfinished(self, older_than: datetime) -> int:
        """Remove what uploads that broke off before ``older_than`` left behind; return how many."""
        return await self._store.remove_unfinished(older_than.astimezone(UTC))

    async def check(self) -> None:
        """Return if objects can be stored and read now. Raises BlobsUnavailableError and StorageFullError."""
        await self._store.check()

    def _lifetime(self, expires_at: datetime) -> timedelta:
        """Return how long a URL is to live. Raises InvalidFieldError if ``expires_at`` is past.

        Whoever signs counts from the whole second that has begun: so are they counted here.
        """
        lifetime = timedelta(seconds=int(expires_at.timestamp()) - int(self._clock.now().timestamp()))
        if lifetime < timedelta(seconds=1):
            raise InvalidFieldError("expires_at", "A signed URL must expire in the future.")
        return lifetime

    def _key_of(self, blob: StoredBlob) -> DataKey | None:
        if blob.key is not None:
            return self._ring.open_key(blob.key)
        if blob.id.startswith(PLAIN):
            return None
        raise ErasedError("This was erased for good: its key is destroyed.")


class _Intake:
    """One upload on its way in: counted, digested and, with a key, sealed."""

    def __init__(self, digest: HMAC, key: DataKey | None, limit: int | None) -> None:
        self.digest = digest
        self.size = 0
        self._sealer = StreamSealer(key) if key else None
        self._limit = limit

    async def stored(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Yield the bytes to store, a few megabytes at a time; the work is done in a thread."""
        if self._sealer:
            yield self._sealer.header
        batch: list[memoryview] = []
        held = 0
        async for chunk in chunks:
            self.size += len(chunk)
            if self._limit is not None and self.size > self._limit:
                raise InvalidFieldError("content", f"More than {self._limit} bytes came; send a smaller file.")
            # A caller may hand over all at once: it is not sealed all at once.
            for start in range(0, len(chunk), BATCH_SIZE):
                piece = memoryview(chunk)[start : start + BATCH_SIZE]
                batch.append(piece)
                held += len(piece)
                if held >= BATCH_SIZE:
                    for ready in await asyncio.to_thread(self._take, batch):
                        yield ready
                    batch, held = [], 0
        for ready in await asyncio.to_thread(self._take, batch):
            yield ready
        if self._sealer:
            yield self._sealer.finish()

    def _take(self, batch: Iterable[memoryview]) -> Iterable[bytes]:
        sealed: list[bytes] = []
        for piece in batch:
            self.digest.update(piece)
            sealed += self._sealer.update(piece) if self._sealer else [bytes(piece)]
        return [b"".join(sealed)] if sealed else []


def object_name(blob_id: str) -> str:
    """Return where a blob lies: in one of 256 folders, as very large folders are slow on some file systems."""
    if not _ID.fullmatch(blob_id):
        raise ValueError("not the id of a blob")
    return f"{blob_id[1:3]}/{blob_id}"
