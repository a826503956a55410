"""Blobs in a folder: on disk before they are acknowledged, whatever happens to the process or the disk."""

import json
import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from osler.kernel.blobs import ObjectKey, StoredBlob
from osler.kernel.errors import BlobsUnavailableError, InvalidFieldError, StorageFullError
from osler.storage.blobs.local import LocalObjects
from osler.storage.blobs.objects import translated
from osler.storage.blobs.vault import SealedBlobVault
from osler.storage.sealing.deployment import DeploymentSecret
from osler.storage.sealing.keys import DataKey, KeyRing, MasterKey

pytestmark = pytest.mark.anyio

MEBIBYTE = 1024 * 1024

OPEN_VAULT = """
import asyncio, json, os, resource, sys
from pathlib import Path
from osler.kernel.errors import StorageFullError
from osler.storage.blobs.local import LocalObjects
from osler.storage.blobs.vault import SealedBlobVault
from osler.storage.sealing.deployment import DeploymentSecret
from osler.storage.sealing.keys import DataKey, KeyRing, MasterKey

vault = SealedBlobVault(
    LocalObjects(Path(sys.argv[1])), KeyRing(MasterKey(bytes(32))), DeploymentSecret(DataKey(bytes(32)))
)

async def pieces(count, piece=os.urandom(1024 * 1024)):
    for _ in range(count):
        yield piece
"""


def vault_in(folder: Path) -> SealedBlobVault:
    """Open the same vault as the child processes do."""
    return SealedBlobVault(LocalObjects(folder), KeyRing(MasterKey(bytes(32))), DeploymentSecret(DataKey(bytes(32))))


async def pieces(size: int, step: int = MEBIBYTE) -> AsyncIterator[bytes]:
    for start in range(0, size, step):
        yield os.urandom(min(step, size - start))


def all_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("size", [1000, 11 * MEBIBYTE])
async def test_file_and_folders_are_synced_after_the_last_change_and_before_the_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    synced: list[tuple[Path, list[Path]]] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append((Path(f"/proc/self/fd/{descriptor}").readlink(), all_files(tmp_path)))
        real(descriptor)

    vault = vault_in(tmp_path / "blobs")
    monkeypatch.setattr(os, "fsync", fsync)
    blob = await vault.store("org", pieces(size))
    (file,) = all_files(tmp_path)
    assert file.name == blob.id
    after_renaming = [path for path, files in synced if files == [file]]
    assert after_renaming == [file, file.parent]
    assert file.parent.parent in [path for path, _ in synced], "the new folder has an entry in the folder above"


@pytest.mark.parametrize("failing", [1, 2, 3])
async def test_an_upload_that_could_not_be_synced_is_not_acknowledged_and_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    """Whichever sync the system tells it to, early or last: it tells only once."""
    vault = vault_in(tmp_path / "blobs")
    real = os.fsync
    synced: list[str] = []

    def fsync(descriptor: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        if len(synced) == 1 + failing:  # the first is that of the folder
            raise OSError(28, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(StorageFullError):
        await vault.store("org", pieces(80 * MEBIBYTE))
    assert sum("#1" in path for path in synced) >= 1, "the disk was set to work before the end"
    monkeypatch.undo()
    assert all_files(tmp_path) == []


async def test_files_and_folders_are_their_owners_alone(tmp_path: Path) -> None:
    await vault_in(tmp_path / "blobs").store("org", pieces(MEBIBYTE))
    modes = {
        path.is_dir(): stat.S_IMODE(path.stat().st_mode)
        for path in [tmp_path / "blobs", *(tmp_path / "blobs").rglob("*")]
    }
    assert modes == {True: 0o700, False: 0o600}


STORE_FOR_EVER = """
async def main():
    count = 0
    while True:
        count += 1
        blob = await vault.store("org", pieces(1 + count % 12))
        key = blob.key
        print(json.dumps([blob.id, blob.size, blob.digest, key.id, key.wrapped.hex(), key.master]), flush=True)
asyncio.run(main())
"""


@pytest.mark.parametrize("seed", range(3))
async def test_after_kill_9_all_that_was_acknowledged_is_whole_and_what_was_not_can_be_swept(
    tmp_path: Path, seed: int
) -> None:
    folder = tmp_path / "blobs"
    with subprocess.Popen(
        [sys.executable, "-c", OPEN_VAULT + STORE_FOR_EVER, str(folder)], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        first = child.stdout.readline()
        time.sleep(random.Random(seed).uniform(0.05, 0.8))
        child.send_signal(signal.SIGKILL)
        lines = [first, *child.stdout.readlines()]
    acknowledged = []
    for line in lines:
        if line.endswith("\n"):  # a line cut off by the kill was not read by anybody
            blob_id, size, digest, key_id, wrapped, master = json.loads(line)
            acknowledged.append(StoredBlob(blob_id, size, digest, ObjectKey(key_id, bytes.fromhex(wrapped), master)))
    assert acknowledged
    vault = vault_in(folder)
    for blob in acknowledged:
        assert sum([len(piece) async for piece in vault.stream(blob)]) == blob.size
    later = datetime.now(UTC) + timedelta(seconds=1)
    orphans = {found async for found in vault.list(later)} - {blob.id for blob in acknowledged}
    assert len(orphans) <= 1, "at most the upload that was under way, complete but not yet answered"
    await vault.delete(orphans)
    await vault.remove_unfinished(later)
    assert {file.name for file in all_files(folder)} == {blob.id for blob in acknowledged}


async def test_an_upload_under_way_is_not_swept(tmp_path: Path) -> None:
    vault = vault_in(tmp_path / "blobs")

    async def slow() -> AsyncIterator[bytes]:
        async for piece in pieces(12 * MEBIBYTE):
            yield piece
            assert await vault.remove_unfinished(datetime.now(UTC) - timedelta(hours=1)) == 0

    blob = await vault.store("org", slow())
    assert sum([len(piece) async for piece in vault.stream(blob)]) == blob.size


FILL = """
async def main():
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
    kept = []
    try:
        for _ in range(100):
            kept.append(await vault.store("org", pieces(int(sys.argv[3]))))
    except StorageFullError as error:
        print("full:", error)
    for blob in kept:
        assert sum([len(piece) async for piece in vault.stream(blob)]) == blob.size
    print(len(kept), "kept")
    print(sum(path.is_file() for path in Path(sys.argv[1]).rglob("*")), "files")
asyncio.run(main())
"""


@pytest.mark.parametrize("mebibytes", [3, 20])
def test_a_file_that_the_system_will_not_let_grow_is_a_full_disk(tmp_path: Path, mebibytes: int) -> None:
    """The limit of a process's file size stands for a quota."""
    limit = str((mebibytes - 1) * MEBIBYTE)
    words = [sys.executable, "-c", OPEN_VAULT + FILL, str(tmp_path / "blobs"), limit, str(mebibytes)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1:] == ["0 kept", "0 files"]
    assert "free some space" in done.stdout


def may_mount() -> bool:
    if not shutil.which("unshare"):
        return False
    words = ["unshare", "--user", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"]
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not may_mount(), reason="this system does not let its users mount a small disk")
@pytest.mark.parametrize("mebibytes", [2, 9])
def test_on_a_full_disk_what_was_acknowledged_stays_and_no_half_upload_does(tmp_path: Path, mebibytes: int) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    script = f'mount -t tmpfs -o size=25m none "{disk}" && exec "$@"'
    child = [sys.executable, "-c", OPEN_VAULT + FILL, str(disk / "blobs"), str(2**40), str(mebibytes)]
    words = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh", *child]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    first, kept, files = done.stdout.splitlines()
    assert "free some space" in first
    assert kept.split()[0] == files.split()[0] == str(24 // mebibytes)


async def test_a_folder_that_is_gone_or_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BlobsUnavailableError):
        LocalObjects(tmp_path / "file" / "blobs")
    vault = vault_in(tmp_path / "blobs")
    await vault.check()
    shutil.rmtree(tmp_path / "blobs")
    (tmp_path / "blobs").touch()
    for attempt in (vault.check(), vault.store("org", pieces(10)), vault.store("org", pieces(9 * MEBIBYTE))):
        with pytest.raises(BlobsUnavailableError) as caught:
            await attempt
        assert str(tmp_path) not in str(caught.value)


def test_a_folder_cannot_be_trusted_to_seal_by_itself(tmp_path: Path) -> None:
    with pytest.raises(InvalidFieldError, match="sealed: osler"):
        SealedBlobVault(
            LocalObjects(tmp_path),
            KeyRing(MasterKey(bytes(32))),
            DeploymentSecret(DataKey(bytes(32))),
            sealed="bucket",
        )


UPLOAD = """
def peak():
    # Of this program's own memory: the system's other figure begins with that of the process that started it.
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])

async def main():
    await vault.store("org", pieces(20))
    before = peak()
    blob = await vault.store("org", pieces(300))
    async for _ in vault.stream(blob):
        pass
    print((peak() - before) / 1024)
asyncio.run(main())
"""


def test_memory_does_not_grow_with_the_upload(tmp_path: Path) -> None:
    words = [sys.executable, "-c", OPEN_VAULT + UPLOAD, str(tmp_path / "blobs")]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert float(done.stdout) < 60  # MiB, of 300 sent


async def test_the_error_of_a_full_disk_is_its_own_kind() -> None:
    assert isinstance(translated(OSError(28, "No space left on device"), "written"), StorageFullError)
    assert isinstance(translated(OSError(122, "Disk quota exceeded"), "written"), StorageFullError)
    assert not isinstance(translated(OSError(5, "Input/output error"), "written"), StorageFullError)


def test_the_measurement_of_speed_says_what_it_measured(tmp_path: Path) -> None:
    """The figures themselves depend on the machine and are not judged here."""
    report = tmp_path / "speed.json"
    words = [sys.executable, "-m", "osler_evals.blob_speed", "--mb", "20", "--rounds", "2", "--json", str(report)]
    done = subprocess.run([*words, "--folder", str(tmp_path)], capture_output=True, text=True, check=False)
    found = json.loads(report.read_text())
    assert done.returncode == (0 if found["reached"] else 1), done.stderr
    assert found["mb"] == 20
    for name in ("write", "read", "read_as_file", "disk_write_unsealed", "write_by_processor_time"):
        assert len(found[name]) == 2 and all(speed > 1 for speed in found[name])
    assert 0 < found["rss_growth_first_upload"] <= found["rss_growth_all_rounds"]
    assert list(tmp_path.iterdir()) == [report]
