"""How fast blobs are written and read through encryption, and how much memory a long upload takes.

Run as ``python -m osler_evals.blob_speed [--mb 500] [--rounds 3] [--folder DIR] [--json FILE]``. Everything is measured
in a process of its own, on the local folder, through the same vault as the server uses: an upload that comes in pieces
of 64 KiB, as a web server hands them on, until it is acknowledged, which is after it was synced to disk. Other work on
the same machine makes it slower: the load average stands in the report, what the disk does with the same bytes
unsealed, and the speed by processor time, in which waiting for others does not count. MB are 10^6 bytes.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from osler.kernel.blobs import StoredBlob
from osler.storage.blobs.local import LocalObjects
from osler.storage.blobs.vault import SealedBlobVault
from osler.storage.sealing.deployment import DeploymentSecret
from osler.storage.sealing.keys import DataKey, KeyRing, MasterKey

PIECE: Final = 64 * 1024
"""Bytes that a web server hands on at a time."""

MEGABYTE: Final = 1_000_000
WANTED_SPEED: Final = 200.0
"""MB/s, written and read."""
WANTED_MEMORY: Final = 100.0
"""MB by which a process may grow during an upload."""


@dataclass(frozen=True, slots=True)
class BlobSpeed:
    """Speeds in MB/s, one a round; memory in MB above what the process had before its first upload."""

    mb: float
    write: tuple[float, ...]
    read: tuple[float, ...]
    read_as_file: tuple[float, ...]
    disk_write_unsealed: tuple[float, ...]
    write_by_processor_time: tuple[float, ...]
    read_by_processor_time: tuple[float, ...]
    rss_growth_first_upload: float
    rss_growth_all_rounds: float
    load_before: float
    load_after: float
    cores: int

    @property
    def reached(self) -> bool:
        """Whether the medians and the growth are what was wanted."""
        slowest = min(statistics.median(self.write), statistics.median(self.read))
        return slowest >= WANTED_SPEED and self.rss_growth_first_upload < WANTED_MEMORY

    def to_text(self) -> str:
        """Return lines for reading."""

        def line(name: str, speeds: tuple[float, ...]) -> str:
            rounds = ", ".join(f"{speed:.0f}" for speed in speeds)
            return f"{name:<28}{statistics.median(speeds):7.0f} MB/s (median of {rounds})\n"

        return (
            f"{self.mb:.0f} MB in the local folder, {self.cores} cores\n"
            + line("write, sealed, synced", self.write)
            + line("read, opened", self.read)
            + line("read as a file, opened", self.read_as_file)
            + line("disk alone: write and sync", self.disk_write_unsealed)
            + line("write, by processor time", self.write_by_processor_time)
            + line("read, by processor time", self.read_by_processor_time)
            + f"memory of the first upload  {self.rss_growth_first_upload:7.1f} MB of growth\n"
            f"memory of all rounds        {self.rss_growth_all_rounds:7.1f} MB of growth\n"
            f"load average                {self.load_before:7.2f} before, {self.load_after:.2f} after\n"
            f"wanted: {WANTED_SPEED:.0f} MB/s written and read, less than {WANTED_MEMORY:.0f} MB of growth: "
            f"{'reached' if self.reached else 'missed'}\n"
        )


class PeakMemory:
    """The highest resident memory of this process inside a ``with`` block, looked at every 2 ms."""

    def __enter__(self) -> "PeakMemory":
        self.before = self.peak = resident()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        self.peak = max(self.peak, resident())

    def _watch(self) -> None:
        while not self._done.wait(0.002):
            self.peak = max(self.peak, resident())


def resident() -> int:
    """Return the resident memory of this process in bytes (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def upload(count: int, source: bytes) -> AsyncIterator[bytes]:
    """Yield ``count`` bytes in pieces, each a copy of its own, as those that come over a network are."""
    sent = 0
    while sent < count:
        offset = sent % len(source)
        piece = bytes(memoryview(source)[offset : offset + min(PIECE, count - sent)])
        sent += len(piece)
        yield piece


async def measure(mb: float, rounds: int, folder: Path) -> BlobSpeed:
    """Measure in this process. The vault's folder is left for the caller to remove."""
    load_before = os.getloadavg()[0]
    count = round(mb * MEGABYTE)
    source = os.urandom(64 * PIECE)
    ring = KeyRing(MasterKey(os.urandom(32)))
    vault = SealedBlobVault(LocalObjects(folder / "blobs"), ring, DeploymentSecret(DataKey(os.urandom(32))))
    write: list[float] = []
    read: list[float] = []
    read_as_file: list[float] = []
    disk: list[float] = []
    write_processor: list[float] = []
    read_processor: list[float] = []
    growth: list[float] = []
    before = resident()
    for _ in range(rounds):
        start, processor = time.perf_counter(), time.process_time()
        with PeakMemory() as memory:
            blob = await vault.store("organization", upload(count, source))
        write.append(mb / (time.perf_counter() - start))
        write_processor.append(mb / (time.process_time() - processor))
        growth.append((memory.peak - before) / MEGABYTE)
        start, processor = time.perf_counter(), time.process_time()
        got = 0
        with PeakMemory() as memory:
            async for piece in vault.stream(blob):
                got += len(piece)
        read.append(mb / (time.perf_counter() - start))
        read_processor.append(mb / (time.process_time() - processor))
        growth.append((memory.peak - before) / MEGABYTE)
        if got != count:
            raise RuntimeError("another number of bytes came back")
        read_as_file.append(mb / await asyncio.to_thread(_seconds_to_read, vault, blob))
        await vault.delete([blob.id])
        disk.append(mb / await asyncio.to_thread(_seconds_to_write, folder / "plain", count, source))
    return BlobSpeed(
        mb=mb,
        write=tuple(write),
        read=tuple(read),
        read_as_file=tuple(read_as_file),
        disk_write_unsealed=tuple(disk),
        write_by_processor_time=tuple(write_processor),
        read_by_processor_time=tuple(read_processor),
        rss_growth_first_upload=growth[0],
        rss_growth_all_rounds=max(growth),
        load_before=load_before,
        load_after=os.getloadavg()[0],
        cores=os.cpu_count() or 1,
    )


def _seconds_to_read(vault: SealedBlobVault, blob: StoredBlob) -> float:
    start = time.perf_counter()
    buffer = bytearray(PIECE)
    with vault.open(blob) as file:
        while file.readinto(buffer):  # type: ignore[attr-defined]
            pass
    return time.perf_counter() - start


def _seconds_to_write(path: Path, count: int, source: bytes) -> float:
    start = time.perf_counter()
    with path.open("wb", buffering=0) as file:
        for sent in range(0, count, len(source)):
            file.write(memoryview(source)[: count - sent])
        os.fsync(file.fileno())
    seconds = time.perf_counter() - start
    path.unlink()
    return seconds


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure in a process of its own and print; 1 if the figures were not reached."""
    parser = argparse.ArgumentParser(prog="osler_evals.blob_speed", description=__doc__)
    parser.add_argument("--mb", type=float, default=500, help="size of the upload in MB")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=None, help="where to write; by default the temporary folder")
    parser.add_argument("--json", type=Path, default=None, help="also write the figures here")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.child:
        print(json.dumps(asdict(asyncio.run(measure(given.mb, given.rounds, given.folder)))))
        return 0
    with tempfile.TemporaryDirectory(prefix="osler-blob-speed-", dir=given.folder) as folder:
        words = [sys.executable, "-m", "osler_evals.blob_speed", "--child", "--folder", folder]
        words += ["--mb", str(given.mb), "--rounds", str(given.rounds)]
        found: dict[str, Any] = json.loads(subprocess.run(words, stdout=subprocess.PIPE, check=True).stdout)
    values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in found.items()}
    speed = BlobSpeed(**values)
    print(speed.to_text(), end="")
    if given.json is not None:
        given.json.write_text(json.dumps({**asdict(speed), "reached": speed.reached}, indent=2) + "\n")
    return 0 if speed.reached else 1


if __name__ == "__main__":
    raise SystemExit(main())
