"""What a BlobVault promises, in a local folder, in a bucket sealed by us, and in a bucket that seals by itself."""

import asyncio
import os
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import obstore
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from obstore.store import LocalStore, S3Store

from osler.audio.decode import Recording
from osler.kernel.blobs import BlobVault, ObjectKey, StoredBlob
from osler.kernel.errors import CorruptedError, ErasedError, InvalidFieldError, MasterKeyError, NotAllowedError
from osler.storage.blobs.local import LocalObjects
from osler.storage.blobs.objects import PART_SIZE, ObjectStore
from osler.storage.blobs.s3 import S3Objects, S3Settings
from osler.storage.blobs.vault import SealedBlobVault, SealedBy
from osler.storage.sealing.deployment import DeploymentSecret
from osler.storage.sealing.keys import DataKey, KeyRing, MasterKey
from osler.storage.sealing.stream import CHUNK_SIZE, HEADER_SIZE, SEALED_CHUNK_SIZE
from tests.servers.swift import SwiftServer

pytestmark = pytest.mark.anyio

RING = KeyRing(MasterKey(os.urandom(32)))
SECRET = DeploymentSecret(DataKey(os.urandom(32)))
NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
VISIT = Path(__file__).parents[2] / "examples" / "sample-visit" / "visit.ogg"
MEBIBYTE = 1024 * 1024


class FixedClock:
    def __init__(self, now: datetime = NOON) -> None:
        self.time = now

    def now(self) -> datetime:
        return self.time


@dataclass
class Place:
    """One place of objects: what the vault uses, and a way behind its back."""

    objects: ObjectStore
    behind: LocalStore | S3Store
    sealed: SealedBy

    def vault(self, ring: KeyRing = RING, clock: FixedClock | None = None) -> SealedBlobVault:
        return SealedBlobVault(
            self.objects, ring, SECRET, sealed=self.sealed, public_url="https://osler.example/", clock=clock
        )

    def path(self, blob: StoredBlob) -> str:
        return f"{blob.id[1:3]}/{blob.id}"

    def stored(self, blob: StoredBlob) -> bytes:
        return bytes(obstore.get(self.behind, self.path(blob)).bytes())

    def overwrite(self, blob: StoredBlob, content: bytes) -> None:
        obstore.put(self.behind, self.path(blob), content)

    def names(self) -> list[str]:
        return sorted(one["path"] for one in obstore.list(self.behind).collect())


SERVICE = pytest.mark.services


def make_place(kind: str, request: pytest.FixtureRequest, folder: Path) -> Place:
    if kind == "local":
        return Place(LocalObjects(folder), LocalStore(folder), "osler")
    swift: SwiftServer = request.getfixturevalue("swift")
    bucket = f"blobs-{secrets.token_hex(6)}"
    swift.make_bucket(bucket)
    settings = S3Settings(
        bucket,
        endpoint=swift.endpoint,
        region=swift.region,
        access_key_id=swift.access_key_id,
        secret_access_key=swift.secret_access_key,
    )
    return Place(S3Objects(settings), swift.store(bucket), "osler" if kind == "s3" else "bucket")


LOCAL, S3, S3_BUCKET = "local", pytest.param("s3", marks=SERVICE), pytest.param("s3-bucket", marks=SERVICE)


@pytest.fixture(params=[LOCAL, S3, S3_BUCKET])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return make_place(request.param, request, tmp_path / "blobs")


@pytest.fixture(params=[LOCAL, S3])
def our_place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A place where we seal, not the bucket."""
    return make_place(request.param, request, tmp_path / "blobs")


async def pieces(content: bytes, step: int = 60_000) -> AsyncIterator[bytes]:
    for start in range(0, len(content), step):
        yield content[start : start + step]


def key_of(blob: StoredBlob) -> ObjectKey:
    assert blob.key is not None
    return blob.key


async def collect(stream: AsyncIterator[bytes]) -> bytes:
    return b"".join([piece async for piece in stream])


SIZES = [0, 1, CHUNK_SIZE - 1, CHUNK_SIZE, CHUNK_SIZE + 1, PART_SIZE + 5, 3 * PART_SIZE + 77_777]


@pytest.mark.parametrize("size", SIZES)
async def test_what_is_read_is_what_was_stored(place: Place, size: int) -> None:
    vault: BlobVault = place.vault()
    content = os.urandom(size)
    blob = await vault.store("org", pieces(content))
    assert blob.size == size
    assert await collect(vault.stream(blob)) == content
    assert await asyncio.to_thread(vault.open(blob).read) == content


@pytest.mark.parametrize("size", [CHUNK_SIZE, 5 * MEBIBYTE + 1234])
async def test_any_range_is_the_slice(place: Place, size: int) -> None:
    vault = place.vault()
    content = os.urandom(size)
    blob = await vault.store("org", pieces(content))
    ends = [0, 1, CHUNK_SIZE - 1, CHUNK_SIZE, CHUNK_SIZE + 1, 4 * MEBIBYTE, 4 * MEBIBYTE + 1, size - 1, size, size + 9]
    for start in ends:
        for end in (*(end for end in ends if end >= start), None):
            assert await collect(vault.stream(blob, start, end)) == content[start:end]


async def test_a_stream_comes_in_pieces(place: Place) -> None:
    vault = place.vault()
    blob = await vault.store("org", pieces(bytes(11 * MEBIBYTE), MEBIBYTE))
    lengths = [len(piece) async for piece in vault.stream(blob)]
    assert max(lengths) <= 4 * MEBIBYTE
    assert sum(lengths) == blob.size


async def test_a_file_reads_and_seeks_as_one_on_disk_does(place: Place) -> None:
    vault = place.vault()
    content = os.urandom(3 * MEBIBYTE + 17)
    blob = await vault.store("org", pieces(content))

    def read() -> None:
        with vault.open(blob) as file:
            assert file.seekable() and file.readable() and not file.writable()
            assert file.read(10) == content[:10]
            assert file.tell() == 10
            assert file.seek(-5, os.SEEK_END) == len(content) - 5
            assert file.read() == content[-5:]
            assert file.read(1) == b""
            assert file.seek(CHUNK_SIZE - 3) == CHUNK_SIZE - 3
            assert file.read(6) == content[CHUNK_SIZE - 3 : CHUNK_SIZE + 3]
            file.seek(-6, os.SEEK_CUR)
            buffer = bytearray(2 * MEBIBYTE)
            assert file.readinto(buffer) == len(buffer)  # type: ignore[attr-defined]
            assert buffer == content[CHUNK_SIZE - 3 : CHUNK_SIZE - 3 + len(buffer)]
            file.seek(len(content) + 100)
            assert file.read(1) == b""
            with pytest.raises((ValueError, OSError)):
                file.seek(-1)

    await asyncio.to_thread(read)


async def test_a_decoder_reads_a_recording_out_of_the_vault(place: Place) -> None:
    vault = place.vault()
    blob = await vault.store("org", pieces(VISIT.read_bytes()))

    def seconds(recording: Recording) -> tuple[int, float]:
        samples = sum(len(chunk) for chunk in recording)
        assert not recording.warnings
        return samples, recording.seconds

    with VISIT.open("rb") as file:
        expected = seconds(Recording(file))
    assert await asyncio.to_thread(lambda: seconds(Recording(vault.open(blob)))) == expected
    assert expected[1] > 10


async def test_what_is_stored_shows_nothing(place: Place) -> None:
    vault = place.vault()
    content = b"the patient coughs " * 100_000
    blob = await vault.store("clinic-of-dr-lee", pieces(content))
    same = await vault.store("clinic-of-dr-lee", pieces(content))
    assert blob.id != same.id
    names = place.names()
    assert len(names) == 2
    assert not any("lee" in name or "clinic" in name for name in names)
    if place.sealed == "osler":
        assert b"cough" not in place.stored(blob)
        assert (
            place.stored(blob)[HEADER_SIZE : HEADER_SIZE + 100] != place.stored(same)[HEADER_SIZE : HEADER_SIZE + 100]
        )
        assert blob.key is not None and same.key is not None and blob.key.id != same.key.id
    else:
        assert blob.key is None
        assert place.stored(blob) == content


async def test_equal_bytes_have_equal_digests_in_one_organization_only(place: Place) -> None:
    vault = place.vault()
    one = await vault.store("a", pieces(b"audio" * 50_000))
    again = await vault.store("a", pieces(b"audio" * 50_000, 7))
    other = await vault.store("b", pieces(b"audio" * 50_000))
    assert one.digest == again.digest != other.digest
    assert len(one.digest) == 64


@pytest.mark.parametrize("size", [101, 300_000, PART_SIZE * 2])
async def test_more_than_the_limit_is_refused_and_nothing_is_kept(place: Place, size: int) -> None:
    vault = place.vault()
    with pytest.raises(InvalidFieldError, match=f"{size - 1} bytes"):
        await vault.store("org", pieces(bytes(size)), limit=size - 1)
    assert place.names() == []
    assert (await vault.store("org", pieces(bytes(size)), limit=size)).size == size


@pytest.mark.parametrize("error", [RuntimeError("client gone"), ConnectionResetError("client gone")])
@pytest.mark.parametrize("size", [1000, 3 * PART_SIZE])
async def test_an_upload_that_breaks_off_leaves_nothing_and_its_error_comes_through(
    place: Place, size: int, error: Exception
) -> None:
    async def broken() -> AsyncIterator[bytes]:
        async for piece in pieces(os.urandom(size), 100_000):
            yield piece
        raise error

    with pytest.raises(type(error), match="client gone"):
        await place.vault().store("org", broken())
    assert place.names() == []


async def test_an_upload_that_is_cancelled_leaves_nothing(place: Place) -> None:
    under_way = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        for count in range(1000):
            yield os.urandom(MEBIBYTE)
            if count == 15:
                under_way.set()
            await asyncio.sleep(0.005)

    upload = asyncio.create_task(place.vault().store("org", endless()))
    await under_way.wait()
    upload.cancel()
    with pytest.raises(asyncio.CancelledError):
        await upload
    if isinstance(place.behind, LocalStore):
        assert place.behind.prefix is not None
        until = time.monotonic() + 60
        while any(path.is_file() for path in Path(place.behind.prefix).rglob("*")) and time.monotonic() < until:
            await asyncio.sleep(0.05)  # obstore removes its file in a thread of its own
    assert place.names() == []
    later = datetime.now(UTC) + timedelta(seconds=1)
    assert await place.vault().remove_unfinished(later) == 0, "obstore has removed its file itself"
    blob = await place.vault().store("org", pieces(b"the next one"))
    assert await collect(place.vault().stream(blob)) == b"the next one"


async def test_many_uploads_at_once_do_not_mix(place: Place) -> None:
    vault = place.vault()
    contents = [os.urandom(200_000 + i) for i in range(12)]
    blobs = await asyncio.gather(*(vault.store("org", pieces(content)) for content in contents))
    assert await asyncio.gather(*(collect(vault.stream(blob)) for blob in blobs)) == contents


async def test_what_is_deleted_is_gone_and_deleting_it_again_is_no_error(place: Place) -> None:
    vault = place.vault()
    one, two = [await vault.store("org", pieces(b"audio")) for _ in range(2)]
    await vault.delete([one.id])
    await vault.delete([one.id, two.id])
    assert place.names() == []
    with pytest.raises(CorruptedError, match="missing"):
        await collect(vault.stream(one))
    with pytest.raises(CorruptedError, match="missing"):
        await asyncio.to_thread(vault.open(one).read)


async def test_an_object_whose_key_was_destroyed_says_erased(our_place: Place) -> None:
    vault = our_place.vault()
    blob = await vault.store("org", pieces(b"audio"))
    for erased in (replace(blob, key=replace(key_of(blob), wrapped=b"")), replace(blob, key=None)):
        with pytest.raises(ErasedError):
            await collect(vault.stream(erased))
        with pytest.raises(ErasedError):
            vault.open(erased)
        with pytest.raises(ErasedError):
            await vault.signed_url(erased, media_type="audio/ogg", expires_at=datetime.now(UTC) + timedelta(minutes=1))


async def test_another_master_key_opens_nothing(our_place: Place) -> None:
    blob = await our_place.vault().store("org", pieces(b"audio"))
    with pytest.raises(MasterKeyError):
        await collect(our_place.vault(KeyRing(MasterKey(os.urandom(32)))).stream(blob))


# Tampering with what is stored

CONTENT = os.urandom(3 * CHUNK_SIZE + 100)


def chunk(stored: bytes, index: int) -> bytes:
    start = HEADER_SIZE + index * SEALED_CHUNK_SIZE
    return stored[start : start + SEALED_CHUNK_SIZE]


CUTS: dict[str, Callable[[bytes], bytes]] = {
    "a byte cut off": lambda s: s[:-1],
    "a chunk cut off": lambda s: s[: HEADER_SIZE + 3 * SEALED_CHUNK_SIZE],
    "everything cut off": lambda s: b"",
    "a byte appended": lambda s: s + b"\0",
    "another object appended": lambda s: s + s,
}
CHANGES: dict[str, Callable[[bytes], bytes]] = {
    "a bit flipped in the header": lambda s: bytes([s[0] ^ 1]) + s[1:],
    "a bit flipped in the middle": lambda s: s[:100_000] + bytes([s[100_000] ^ 1]) + s[100_001:],
    "a bit flipped at the end": lambda s: s[:-1] + bytes([s[-1] ^ 1]),
    "two chunks swapped": lambda s: (
        s[:HEADER_SIZE] + chunk(s, 1) + chunk(s, 0) + s[HEADER_SIZE + 2 * SEALED_CHUNK_SIZE :]
    ),
    "all zeros": lambda s: bytes(len(s)),
}


@pytest.mark.parametrize("name", CUTS)
async def test_every_other_length_is_found_whatever_is_read(place: Place, name: str) -> None:
    vault = place.vault()
    blob = await vault.store("org", pieces(CONTENT))
    place.overwrite(blob, CUTS[name](place.stored(blob)))
    for start, end in ((0, None), (0, 10), (CHUNK_SIZE + 5, CHUNK_SIZE + 6), (len(CONTENT) - 10, None)):
        with pytest.raises(CorruptedError):
            await collect(vault.stream(blob, start, end))
    with pytest.raises(CorruptedError):
        await asyncio.to_thread(vault.open(blob).read)


@pytest.mark.parametrize("name", CHANGES)
async def test_every_changed_byte_is_found_before_it_is_used(our_place: Place, name: str) -> None:
    vault = our_place.vault()
    blob = await vault.store("org", pieces(CONTENT))
    stored = our_place.stored(blob)
    tampered = CHANGES[name](stored)
    assert tampered != stored
    our_place.overwrite(blob, tampered)
    with pytest.raises(CorruptedError):
        await collect(vault.stream(blob))
    with pytest.raises(CorruptedError):
        await asyncio.to_thread(vault.open(blob).read)


async def test_a_range_of_chunks_that_nobody_changed_is_still_read(our_place: Place) -> None:
    vault = our_place.vault()
    blob = await vault.store("org", pieces(CONTENT))
    our_place.overwrite(blob, CHANGES["a bit flipped in the middle"](our_place.stored(blob)))
    assert await collect(vault.stream(blob, 0, CHUNK_SIZE)) == CONTENT[:CHUNK_SIZE]
    with pytest.raises(CorruptedError):
        await collect(vault.stream(blob, 0, CHUNK_SIZE + 1))


async def test_two_objects_swapped_are_found(our_place: Place) -> None:
    vault = our_place.vault()
    one, two = [await vault.store("org", pieces(os.urandom(1000))) for _ in range(2)]
    our_place.overwrite(one, our_place.stored(two))
    with pytest.raises(CorruptedError):
        await collect(vault.stream(one))


# The sweep of orphans


async def test_the_sweep_sees_what_is_old_and_only_blobs(place: Place) -> None:
    vault = place.vault()
    blobs = [await vault.store("org", pieces(b"audio")) for _ in range(3)]
    obstore.put(place.behind, "ab/not-a-blob", b"x")
    later = datetime.now(UTC) + timedelta(seconds=2)
    assert {found async for found in vault.list(later)} == {blob.id for blob in blobs}
    assert [found async for found in vault.list(later - timedelta(minutes=5))] == []
    await vault.delete([blob.id for blob in blobs])
    assert [found async for found in vault.list(later)] == []


async def test_the_sweep_sees_no_object_of_another_deployment_in_the_same_place(our_place: Place) -> None:
    vault = our_place.vault()
    theirs = SealedBlobVault(our_place.objects, RING, DeploymentSecret(DataKey(os.urandom(32))))
    for _ in range(20):
        await theirs.store("org", pieces(b"theirs"))
    blob = await vault.store("org", pieces(b"ours"))
    assert [found async for found in vault.list(datetime.now(UTC) + timedelta(seconds=2))] == [blob.id]


async def test_it_is_ready(place: Place) -> None:
    before = place.names()
    await place.vault().check()
    assert place.names() == before


# Our own URLs


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Place]:
    yield Place(LocalObjects(tmp_path / "blobs"), LocalStore(tmp_path / "blobs"), "osler")


async def signed(place: Place, clock: FixedClock, media_type: str = "audio/ogg") -> tuple[str, dict[str, str]]:
    blob = await place.vault(clock=clock).store("org", pieces(b"audio"))
    url = urlsplit(
        await place.vault(clock=clock).signed_url(blob, media_type=media_type, expires_at=NOON + timedelta(minutes=5))
    )
    assert f"{url.scheme}://{url.netloc}{url.path}" == f"https://osler.example/media/{blob.id}"
    query = {name: values[0] for name, values in parse_qs(url.query, strict_parsing=True).items()}
    return blob.id, {
        "expires": query["expires"],
        "media_type": query["type"],
        "signature": query["signature"],
    }


async def test_our_url_is_accepted_until_it_expires(local: Place) -> None:
    clock = FixedClock()
    blob_id, query = await signed(local, clock, media_type="audio/ogg; codecs=opus")
    assert query["media_type"] == "audio/ogg; codecs=opus"
    assert local.vault(clock=clock).verify_media_url(blob_id, **query) == NOON + timedelta(minutes=5)
    clock.time += timedelta(minutes=5)
    with pytest.raises(NotAllowedError) as caught:
        local.vault(clock=clock).verify_media_url(blob_id, **query)
    assert caught.value.code == "media_url_expired"


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("expires", "2000000000"),
        ("expires", "1893500100 "),
        ("expires", ""),
        ("expires", "never"),
        ("media_type", "text/html"),
        ("signature", ""),
        ("signature", "A" * 43),
        ("signature", "é"),
        ("blob_id", "s" + "0" * 32),
        ("blob_id", "../../etc/passwd"),
    ],
)
async def test_our_url_with_one_part_changed_is_refused(local: Place, part: str, value: str) -> None:
    clock = FixedClock()
    blob_id, query = await signed(local, clock)
    changed = {"blob_id": blob_id, **query, part: value}
    with pytest.raises(NotAllowedError) as caught:
        local.vault(clock=clock).verify_media_url(changed.pop("blob_id"), **changed)
    assert caught.value.code == "media_url_invalid"


async def test_the_url_of_another_deployment_is_refused(local: Place) -> None:
    clock = FixedClock()
    blob_id, query = await signed(local, clock)
    other = SealedBlobVault(local.objects, RING, DeploymentSecret(DataKey(os.urandom(32))), clock=clock)
    with pytest.raises(NotAllowedError):
        other.verify_media_url(blob_id, **query)


async def test_a_url_that_has_expired_already_is_not_made(local: Place) -> None:
    vault = local.vault(clock=FixedClock())
    blob = await vault.store("org", pieces(b"audio"))
    with pytest.raises(InvalidFieldError):
        await vault.signed_url(blob, media_type="audio/ogg", expires_at=NOON)


@settings(
    deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(size=st.integers(0, 3 * CHUNK_SIZE), data=st.data())
def test_whatever_the_size_and_the_pieces_a_range_is_the_slice(local: Place, size: int, data: st.DataObject) -> None:
    step = data.draw(st.integers(1000, 2 * CHUNK_SIZE))
    start = data.draw(st.integers(0, size))
    end = data.draw(st.integers(start, size))
    content = (CONTENT * 2)[:size]

    async def run() -> bytes:
        vault = local.vault()
        return await collect(vault.stream(await vault.store("org", pieces(content, step)), start, end))

    assert asyncio.run(run()) == content[start:end]
