"""Blobs in a bucket: presigned URLs that the server itself checks, and servers that are away, silent or refuse."""

import asyncio
import contextlib
import os
import secrets
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import httpx
import obstore
import pytest

from osler.kernel.blobs import StoredBlob
from osler.kernel.errors import BlobsUnavailableError, InvalidFieldError
from osler.storage.blobs.s3 import S3Objects, S3Settings
from osler.storage.blobs.vault import SealedBlobVault, SealedBy
from osler.storage.sealing.deployment import DeploymentSecret
from osler.storage.sealing.keys import DataKey, KeyRing, MasterKey
from tests.servers.swift import SwiftServer, running_swift

pytestmark = pytest.mark.anyio

RING = KeyRing(MasterKey(os.urandom(32)))
SECRET = DeploymentSecret(DataKey(os.urandom(32)))
MEBIBYTE = 1024 * 1024
MEDIA_TYPE = "audio/ogg; codecs=opus"
KINDS: tuple[SealedBy, ...] = ("osler", "bucket")
CONTENT = os.urandom(100_000)


def settings_of(swift: SwiftServer, bucket: str, **others: str) -> S3Settings:
    return S3Settings(
        bucket,
        endpoint=swift.endpoint,
        region=swift.region,
        access_key_id=swift.access_key_id,
        secret_access_key=others.pop("secret_access_key", swift.secret_access_key),
        **others,  # type: ignore[arg-type]
    )


def vault_on(settings: S3Settings, sealed: SealedBy = "osler") -> SealedBlobVault:
    return SealedBlobVault(S3Objects(settings), RING, SECRET, sealed=sealed)


@pytest.fixture
def bucket(swift: SwiftServer) -> str:
    name = f"blobs-{secrets.token_hex(6)}"
    swift.make_bucket(name)
    return name


async def pieces(content: bytes, step: int = 60_000) -> AsyncIterator[bytes]:
    for start in range(0, len(content), step):
        yield content[start : start + step]


async def collect(stream: AsyncIterator[bytes]) -> bytes:
    return b"".join([piece async for piece in stream])


def get(url: str, **headers: str) -> httpx.Response:
    return httpx.get(url, headers=headers, trust_env=False, timeout=30)


def altered(url: str, **changes: str) -> str:
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    assert set(changes) <= set(query)
    return urlunsplit(parts._replace(query=urlencode(query | changes)))


async def presigned(vault: SealedBlobVault, lifetime: timedelta) -> tuple[StoredBlob, str]:
    blob = await vault.store("org", pieces(CONTENT))
    return blob, await vault.signed_url(blob, media_type=MEDIA_TYPE, expires_at=datetime.now(UTC) + lifetime)


# Presigned URLs


@pytest.mark.services
async def test_a_presigned_url_serves_the_bytes_and_ranges_of_them(swift: SwiftServer, bucket: str) -> None:
    _, url = await presigned(vault_on(settings_of(swift, bucket), "bucket"), timedelta(minutes=5))
    assert url.startswith(f"{swift.endpoint}/{bucket}/")
    assert swift.secret_access_key not in url
    whole = get(url)
    assert (whole.content, whole.headers["content-type"]) == (CONTENT, MEDIA_TYPE)
    part = get(url, Range="bytes=100-199")
    assert (part.status_code, part.content) == (206, CONTENT[100:200])


@pytest.mark.services
async def test_a_presigned_url_with_anything_changed_is_refused_by_the_server(swift: SwiftServer, bucket: str) -> None:
    vault = vault_on(settings_of(swift, bucket), "bucket")
    blob, url = await presigned(vault, timedelta(minutes=5))
    other, _ = await presigned(vault, timedelta(minutes=5))
    assert get(url).status_code == 200
    assert get(altered(url)).status_code == 200, "taking it apart and putting it together changes nothing"
    signature = dict(parse_qsl(urlsplit(url).query))["X-Amz-Signature"]
    flipped = signature[:-1] + ("0" if signature[-1] != "0" else "1")
    for changed in (
        altered(url, **{"X-Amz-Signature": flipped}),
        altered(url, **{"X-Amz-Expires": "86400"}),
        altered(url, **{"response-content-type": "text/html"}),
        url.replace(f"{blob.id[1:3]}/{blob.id}", f"{other.id[1:3]}/{other.id}"),
    ):
        assert changed != url
        refused = get(changed)
        assert refused.status_code == 403
        assert "SignatureDoesNotMatch" in refused.text
        assert CONTENT[:50] not in refused.content
    assert get(url.split("?")[0]).status_code in (400, 401, 403)
    assert httpx.put(url, content=b"mine now", trust_env=False).status_code == 403
    assert httpx.delete(url, trust_env=False).status_code == 403
    assert await collect(vault.stream(blob)) == CONTENT


@pytest.mark.services
async def test_a_presigned_url_is_refused_once_it_has_expired(swift: SwiftServer, bucket: str) -> None:
    vault = vault_on(settings_of(swift, bucket), "bucket")
    blob = await vault.store("org", pieces(CONTENT))
    begun = time.monotonic()
    url = await vault.signed_url(blob, media_type=MEDIA_TYPE, expires_at=datetime.now(UTC) + timedelta(seconds=4))
    status = get(url).status_code
    # Its time is told in whole seconds: it may have less than three of the four left.
    assert status == 200 or time.monotonic() - begun > 2
    await asyncio.sleep(5)
    refused = get(url)
    assert refused.status_code == 403
    assert "expired" in refused.text


@pytest.mark.services
async def test_a_presigned_url_lives_seven_days_at_most(swift: SwiftServer, bucket: str) -> None:
    vault = vault_on(settings_of(swift, bucket), "bucket")
    with pytest.raises(InvalidFieldError, match="seven days"):
        await presigned(vault, timedelta(days=7, minutes=1))


async def test_without_keys_of_the_settings_the_url_leads_to_us_as_we_cannot_sign_type_and_caching() -> None:
    vault = vault_on(S3Settings("clinic", endpoint="http://127.0.0.1:9"), "bucket")
    blob = StoredBlob("p" + SECRET.new_object_id(), 5, "", None)
    url = await vault.signed_url(blob, media_type=MEDIA_TYPE, expires_at=datetime.now(UTC) + timedelta(minutes=5))
    assert url.startswith(f"http://127.0.0.1:8765/media/{blob.id}?expires=")


@pytest.mark.services
async def test_what_we_sealed_is_never_presigned_but_served_by_us(swift: SwiftServer, bucket: str) -> None:
    blob, url = await presigned(vault_on(settings_of(swift, bucket)), timedelta(minutes=5))
    assert url.startswith(f"http://127.0.0.1:8765/media/{blob.id}?expires=")


@pytest.mark.services
async def test_who_seals_can_be_changed_and_both_kinds_stay_readable(swift: SwiftServer, bucket: str) -> None:
    ours, theirs = (vault_on(settings_of(swift, bucket), sealed) for sealed in KINDS)
    one, two = await ours.store("org", pieces(CONTENT)), await theirs.store("org", pieces(CONTENT))
    for vault in (ours, theirs):
        assert await collect(vault.stream(one)) == await collect(vault.stream(two)) == CONTENT


# The bucket


@pytest.mark.services
async def test_a_shared_bucket_is_used_below_its_prefix_alone(swift: SwiftServer, bucket: str) -> None:
    vault = vault_on(settings_of(swift, bucket, prefix="osler/blobs"))
    neighbour = await vault_on(settings_of(swift, bucket)).store("org", pieces(b"x"))
    blob = await vault.store("org", pieces(CONTENT))
    behind = {one["path"] for one in obstore.list(swift.store(bucket)).collect()}
    assert f"osler/blobs/{blob.id[1:3]}/{blob.id}" in behind
    assert [found async for found in vault.list(datetime.now(UTC) + timedelta(seconds=2))] == [blob.id]
    assert await collect(vault.stream(blob, 5, 50)) == CONTENT[5:50]
    await vault.delete([blob.id, neighbour.id])
    assert len(behind) == 2
    assert len(obstore.list(swift.store(bucket)).collect()) == 1


def data_on_disk(swift: SwiftServer) -> int:
    """Return how many bytes of objects Swift keeps, listed or not: parts of unfinished uploads count."""
    return sum(path.stat().st_size for path in (swift.folder / "devices").rglob("objects/**/*.data"))


@pytest.mark.services
async def test_the_parts_of_an_upload_that_breaks_off_are_taken_back(swift: SwiftServer, bucket: str) -> None:
    before = data_on_disk(swift)
    seen: list[int] = []

    async def broken() -> AsyncIterator[bytes]:
        async for piece in pieces(os.urandom(30 * MEBIBYTE), MEBIBYTE):
            yield piece
            seen.append(data_on_disk(swift))
        raise RuntimeError("client gone")

    with pytest.raises(RuntimeError, match="client gone"):
        await vault_on(settings_of(swift, bucket)).store("org", broken())
    assert max(seen) > before + 5 * MEBIBYTE, "parts had arrived"
    deadline = time.monotonic() + 60
    while data_on_disk(swift) > before + MEBIBYTE:
        assert time.monotonic() < deadline, "parts lie around"
        await asyncio.sleep(0.1)


# Trouble


async def every_way(vault: SealedBlobVault) -> dict[str, float]:
    """Use the vault in every way; each must raise BlobsUnavailableError. Return the seconds that each took."""
    blob = StoredBlob("s" + "0" * 32, 1000, "", RING.new_object_key()[0])
    ways: dict[str, Callable[[], Awaitable[object]]] = {
        "store": lambda: vault.store("org", pieces(b"audio")),
        "store in parts": lambda: vault.store("org", pieces(bytes(9 * MEBIBYTE))),
        "stream": lambda: collect(vault.stream(blob)),
        "open": lambda: asyncio.to_thread(vault.open(blob).read),
        "delete": lambda: vault.delete([blob.id]),
        "list": lambda: anext(vault.list(datetime.now(UTC))),
        "check": vault.check,
    }
    seconds = {}
    for name, way in ways.items():
        start = time.monotonic()
        with pytest.raises(BlobsUnavailableError) as caught:
            await way()
        seconds[name] = time.monotonic() - start
        assert "127.0.0.1" not in str(caught.value) and "\n" not in str(caught.value), "one line, no address"
    return seconds


@contextlib.contextmanager
def refusing() -> Iterator[int]:
    """A port on which nobody listens, nor anybody will meanwhile."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        yield one.getsockname()[1]


def settings_at(port: int, **others: float) -> S3Settings:
    return S3Settings(
        "bucket",
        endpoint=f"http://127.0.0.1:{port}",
        access_key_id="a",
        secret_access_key="b",
        **others,  # type: ignore[arg-type]
    )


async def test_a_server_that_is_away_is_said_within_ten_seconds() -> None:
    with refusing() as port:
        seconds = await every_way(vault_on(settings_at(port)))
    assert max(seconds.values()) < 10, seconds


@contextlib.contextmanager
def listening(backlog: int) -> Iterator[int]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(backlog)
        yield server.getsockname()[1]


async def test_a_server_that_takes_the_connection_and_never_answers_is_given_up() -> None:
    with listening(100) as port:
        seconds = await every_way(vault_on(settings_at(port, timeout=0.5, retry_timeout=1)))
    assert max(seconds.values()) < 5, seconds


async def test_a_server_that_drops_packets_is_said_within_ten_seconds() -> None:
    """A full queue of connections: the kernel drops what comes, as a firewall does."""
    with listening(0) as port, contextlib.ExitStack() as stack:
        for _ in range(8):
            one = stack.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
        start = time.monotonic()
        with pytest.raises(BlobsUnavailableError):
            await vault_on(settings_at(port)).check()
        assert 2 < time.monotonic() - start < 12


@pytest.mark.services
async def test_wrong_credentials_and_a_missing_bucket_are_clear_errors(swift: SwiftServer, bucket: str) -> None:
    refused = vault_on(settings_of(swift, bucket, secret_access_key="wrong"))
    missing = vault_on(settings_of(swift, "no-such-bucket"))
    blob = StoredBlob("s" + "0" * 32, 1000, "", RING.new_object_key()[0])
    for vault, message in ((refused, "credentials"), (missing, "bucket .* does not exist")):
        with pytest.raises(BlobsUnavailableError, match=message):
            await vault.check()
        with pytest.raises(BlobsUnavailableError, match=message):
            await vault.store("org", pieces(b"audio"))
        with pytest.raises(BlobsUnavailableError, match=message):
            await collect(vault.stream(blob))


def test_settings_that_cannot_be_used_are_refused_at_once() -> None:
    with pytest.raises(InvalidFieldError, match="S3 settings"):
        S3Objects(S3Settings("bucket", endpoint="not a url"))
    with pytest.raises(InvalidFieldError, match="https"):
        vault_on(S3Settings("bucket", endpoint="http://storage.example:9000"), "bucket")
    vault_on(S3Settings("bucket", endpoint="https://storage.example:9000"), "bucket")
    vault_on(S3Settings("bucket"), "bucket")


def test_secrets_do_not_show(tmp_path: Path) -> None:
    shown = repr(S3Settings("bucket", access_key_id="id", secret_access_key="hush", session_token="quiet"))
    assert "hush" not in shown and "quiet" not in shown


@pytest.mark.services
async def test_a_server_that_dies_in_the_middle_of_an_upload_or_a_read(tmp_path: Path) -> None:
    with running_swift(tmp_path) as swift:
        swift.make_bucket("bucket")
        vault = vault_on(settings_of(swift, "bucket"))
        blob = await vault.store("org", pieces(os.urandom(9 * MEBIBYTE), MEBIBYTE))
        reading = vault.stream(blob)
        assert await anext(reading)

        async def until_it_dies() -> AsyncIterator[bytes]:
            for count in range(40):
                if count == 15:
                    for process in swift.processes:
                        process.kill()
                yield bytes(MEBIBYTE)

        start = time.monotonic()
        with pytest.raises(BlobsUnavailableError):
            await vault.store("org", until_it_dies())
        with pytest.raises(BlobsUnavailableError):
            await collect(reading)
        assert time.monotonic() - start < 30, "about ten seconds each"
    assert all(process.returncode is not None for process in swift.processes), "nothing is left running"
