"""A real object store with an S3 interface for tests: OpenStack Swift, started on loopback in a temporary folder.

Four servers run as child processes (proxy with s3api and tempauth, account, container, object) on one device with one
replica. Swift checks signatures, presigned URLs and their expiry for real, which the usual imitations of S3 do not.
All of it comes from PyPI (``swift``; its ``pyeclib`` wheel brings liberasurecode along, though erasure coding is not
used). The folder's file system must allow extended attributes of users, as ext4, xfs, btrfs and, since Linux 6.6, tmpfs
do.
"""

import contextlib
import getpass
import os
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
import obstore
import pytest
from obstore.store import S3Store

from tests.servers.ports import free_ports

START_SECONDS: Final = 120.0
"""Longest wait for the servers; they need about three seconds on a quiet machine."""

BACKENDS: Final = ("account", "container", "object")
USER: Final = "osler:tester"
PASSWORD: Final = "testing-only"
REGION: Final = "us-east-1"


@dataclass(frozen=True)
class SwiftServer:
    """A running Swift: where its S3 interface listens, who may speak to it, and the processes that are it."""

    endpoint: str
    access_key_id: str
    secret_access_key: str
    region: str
    folder: Path
    processes: tuple[subprocess.Popen[bytes], ...]

    def store(self, bucket: str) -> S3Store:
        """Return a client of our own on a bucket, for looking behind the back of the code under test."""
        return S3Store(
            bucket,
            endpoint=self.endpoint,
            region=self.region,
            access_key_id=self.access_key_id,
            secret_access_key=self.secret_access_key,
            virtual_hosted_style_request=False,
            client_options={"allow_http": True},
        )

    def make_bucket(self, bucket: str) -> None:
        """Make a bucket, through a presigned request."""
        from datetime import timedelta

        url = obstore.sign(self.store(bucket), "PUT", "", timedelta(minutes=1))
        httpx.put(url, trust_env=False).raise_for_status()

    def log(self) -> str:
        """Return the last lines that each server wrote."""
        return "\n".join(
            f"== {path.name}\n" + "\n".join(path.read_text(errors="replace").splitlines()[-30:])
            for path in sorted(self.folder.glob("*.log"))
        )


@contextlib.contextmanager
def running_swift(folder: Path) -> Iterator[SwiftServer]:
    """Run Swift in ``folder`` until the block ends; then end its processes, by their ids."""
    ports = dict(zip(("proxy", *BACKENDS), free_ports(4), strict=True))
    _configure(folder, ports)
    processes: list[subprocess.Popen[bytes]] = []
    server = SwiftServer(f"http://127.0.0.1:{ports['proxy']}", USER, PASSWORD, REGION, folder, ())
    try:
        for name in ports:
            with (folder / f"{name}.log").open("wb") as log:
                processes.append(
                    subprocess.Popen(
                        [*_program(f"swift-{name}-server"), str(folder / f"{name}.conf"), "--verbose"],
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=subprocess.STDOUT,
                        cwd=folder,
                        # A server signals its whole process group when it ends: it must have its own.
                        start_new_session=True,
                        env={k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")},
                    )
                )
        server = SwiftServer(server.endpoint, USER, PASSWORD, REGION, folder, tuple(processes))
        _wait_until_ready(server, ports)
        yield server
    finally:
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        for process in processes:
            process.wait()


@pytest.fixture(scope="session")
def swift(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SwiftServer]:
    """One Swift for all tests of a run; each test makes its own bucket."""
    with running_swift(tmp_path_factory.mktemp("swift")) as server:
        yield server


def _program(name: str) -> list[str]:
    return [sys.executable, str(Path(sysconfig.get_path("scripts")) / name)]


def _configure(folder: Path, ports: dict[str, int]) -> None:
    (folder / "devices" / "d1").mkdir(parents=True)
    (folder / "cache").mkdir()
    (folder / "swift.conf").write_text(
        "[swift-hash]\nswift_hash_path_suffix = tests\nswift_hash_path_prefix = tests\n"
        "[storage-policy:0]\nname = one-replica\ndefault = yes\n"
    )
    _make_rings(folder, ports)
    for name in BACKENDS:
        (folder / f"{name}.conf").write_text(
            _common(folder, ports[name])
            + f"devices = {folder / 'devices'}\nmount_check = false\nfallocate_reserve = 0\n"
            + f"[pipeline:main]\npipeline = {name}-server\n"
            + f"[app:{name}-server]\nuse = egg:swift#{name}\nrecon_cache_path = {folder / 'cache'}\n"
        )
    middleware = (
        "catch_errors",
        "gatekeeper",
        "healthcheck",
        "listing_formats",
        "bulk",
        "s3api",
        "tempauth",
        "slo",
        "dlo",
    )
    account, user = USER.split(":")
    options = {
        # Buckets are containers; parts of multipart uploads lie in a container beside each, and complete as an SLO.
        "s3api": f"s3_acl = false\nlocation = {REGION}\nallow_multipart_uploads = true\nmin_segment_size = 5242880\n",
        "tempauth": f"user_{account}_{user} = {PASSWORD} .admin\n",
    }
    (folder / "proxy.conf").write_text(
        _common(folder, ports["proxy"])
        + f"[pipeline:main]\npipeline = {' '.join(middleware)} proxy-server\n"
        + "[app:proxy-server]\nuse = egg:swift#proxy\naccount_autocreate = true\nallow_account_management = true\n"
        + "".join(f"[filter:{name}]\nuse = egg:swift#{name}\n{options.get(name, '')}" for name in middleware)
    )


_RINGS: Final = """
import sys
from swift.common.ring import RingBuilder
folder, *places = sys.argv[1:]
for place in places:
    name, port = place.split(":")
    builder = RingBuilder(part_power=2, replicas=1, min_part_hours=0)
    builder.add_dev({"region": 1, "zone": 1, "ip": "127.0.0.1", "port": int(port), "device": "d1", "weight": 1})
    builder.rebalance()
    builder.get_ring().save(f"{folder}/{name}.ring.gz")
"""


def _make_rings(folder: Path, ports: dict[str, int]) -> None:
    """Write the three rings, in a process of its own: Swift's modules patch the one that imports them."""
    places = [f"{name}:{ports[name]}" for name in BACKENDS]
    subprocess.run([sys.executable, "-c", _RINGS, str(folder), *places], check=True, cwd=folder, capture_output=True)


def _common(folder: Path, port: int) -> str:
    return (
        f"[DEFAULT]\nbind_ip = 127.0.0.1\nbind_port = {port}\nworkers = 0\nuser = {getpass.getuser()}\n"
        f"swift_dir = {folder}\nlog_level = INFO\neventlet_debug = false\n"
    )


def _wait_until_ready(server: SwiftServer, ports: dict[str, int]) -> None:
    deadline = time.monotonic() + START_SECONDS
    waiting = list(ports.values())
    while waiting:
        dead = [process for process in server.processes if process.poll() is not None]
        if dead or time.monotonic() > deadline:
            raise RuntimeError(f"Swift did not start; {len(dead)} of its servers ended:\n{server.log()}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", waiting[0]), timeout=1):
            waiting.pop(0)
            continue
        time.sleep(0.05)
    httpx.get(f"{server.endpoint}/healthcheck", trust_env=False, timeout=30).raise_for_status()
