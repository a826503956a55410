"""A small world for the weights store: a lock file of small files, wheels built on the spot, and a hub on loopback."""

import hashlib
import re
import threading
import time
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

# Bytes that differ everywhere, so that a shifted or swapped piece changes the digest; larger than one chunk of copying.
MODEL = b"".join(hashlib.sha256(str(i).encode()).digest() for i in range(80_000))
CONFIG = b'{"layers": 3}'
FILES = {"config.json": CONFIG, "model.bin": MODEL}
HALF = len(MODEL) // 2


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def files_toml(files: Mapping[str, bytes], sizes: Mapping[str, int] | None = None) -> str:
    rows = (
        f'{{ path = "{path}", size = {(sizes or {}).get(path, len(content))}, sha256 = "{sha256(content)}" }}'
        for path, content in files.items()
    )
    return f"files = [{', '.join(rows)}]"


def model_toml(
    name: str,
    *sources: str,
    default: bool = True,
    files: Mapping[str, bytes] = FILES,
    sizes: Mapping[str, int] | None = None,
) -> str:
    return f"""
[[models]]
name = "{name}"
title = "A small model"
version = "1"
default = {str(default).lower()}
licence = "MIT"
upstream = "https://example.org/{name}"
{files_toml(files, sizes)}
{"".join(sources)}
"""


def hub_toml(url: str) -> str:
    return f'[[models.sources]]\nkind = "hub"\nurl = "{url}"\n'


WHEELS_TOML = """
[[models.sources]]
kind = "wheel"
[models.sources.files]
"config.json" = [{ wheel = "osler-test-weights-one==2.0", member = "osler_test_weights_one/config.json" }]
"model.bin" = [
    { wheel = "osler-test-weights-one==2.0", member = "osler_test_weights_one/model.bin.part1" },
    { wheel = "osler-test-weights-two==2.0", member = "osler_test_weights_two/model.bin.part2" },
]
"""


def build_wheels(folder: Path, files: Mapping[str, bytes] = FILES, version: str = "2.0") -> Path:
    """Write two wheels that hold the model in two parts, as pip accepts them."""
    folder.mkdir(parents=True, exist_ok=True)
    half = len(files["model.bin"]) // 2
    contents = {
        "one": {"config.json": files["config.json"], "model.bin.part1": files["model.bin"][:half]},
        "two": {"model.bin.part2": files["model.bin"][half:]},
    }
    for number, members in contents.items():
        package = f"osler_test_weights_{number}"
        info = f"{package}-{version}.dist-info"
        with zipfile.ZipFile(folder / f"{package}-{version}-py3-none-any.whl", "w", zipfile.ZIP_DEFLATED) as wheel:
            for path, content in members.items():
                wheel.writestr(f"{package}/{path}", content)
            wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{info}/RECORD", "")
    return folder


@dataclass
class Hub:
    """How the hub answers, and what it was asked: pairs of path and Range header."""

    files: dict[str, bytes]
    url: str = ""
    break_after: int | None = None
    """Close the connection after so many bytes of an answer."""
    breaks: int = 1
    """How many answers break off."""
    bytes_per_second: float | None = None
    stop_after: int | None = None
    """Send no more than so many bytes of an answer until it may ``go_on``."""
    go_on: threading.Event = field(default_factory=threading.Event)
    ranges: bool = True
    status: int | None = None
    redirect: str | None = None
    """Send everyone to the file of the same name under this address."""
    asked: list[tuple[str, str | None]] = field(default_factory=list)


class _Answer(BaseHTTPRequestHandler):
    hub: ClassVar[Hub]

    def do_GET(self) -> None:
        hub = self.hub
        name = self.path.rsplit("/", 1)[-1]
        hub.asked.append((name, self.headers["Range"]))
        if hub.redirect or hub.status:
            self.send_response(hub.status or 302)
            if hub.redirect:
                self.send_header("Location", hub.redirect + name)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        content = hub.files[name]
        begin = re.fullmatch(r"bytes=(\d+)-", self.headers["Range"] or "")
        start = int(begin[1]) if begin and hub.ranges else 0
        if start >= len(content) > 0:
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self._send(content[start:])

    def _send(self, content: bytes) -> None:
        hub = self.hub
        if hub.break_after is not None and hub.breaks > 0 and len(content) > hub.break_after:
            hub.breaks -= 1
            content = content[: hub.break_after]
        step = 64 * 1024
        try:
            for at in range(0, len(content), step):
                if hub.stop_after is not None and at >= hub.stop_after:
                    hub.go_on.wait(60)
                self.wfile.write(content[at : at + step])
                self.wfile.flush()
                if hub.bytes_per_second:
                    time.sleep(step / hub.bytes_per_second)
        except ConnectionError:
            pass  # the one who asked is gone
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None: ...


@contextmanager
def serving(files: Mapping[str, bytes] = FILES) -> Iterator[Hub]:
    """Serve files on loopback as the upstream hub does, with faults on demand."""
    hub = Hub(dict(files))
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Answer", (_Answer,), {"hub": hub}))
    hub.url = f"http://127.0.0.1:{server.server_port}/"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def wait_for(path: Path, size: int, seconds: float = 60) -> None:
    """Wait until a file has grown to ``size`` bytes; fail when it does not."""
    end = time.monotonic() + seconds
    while not (path.is_file() and path.stat().st_size >= size):
        if time.monotonic() > end:
            pytest.fail(f"{path.name} did not grow to {size} bytes")
        time.sleep(0.01)
