"""Real processes of ``osler serve`` and ``osler worker``, and what they said."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx

from osler.config import Settings

START_SECONDS = 60.0
"""A loaded machine is slow; how fast a server starts is measured where it is promised."""

PROGRAM = ("-m", "osler")

PATIENCE = 60.0
"""Seconds for anything else that it is to do."""


def clean_environment(data: Path, **more: str) -> dict[str, str]:
    """Return an environment with no setting of Osler but the model store of the outside."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OSLER_")}
    return {**kept, "OSLER_MODELS": str(Settings().models_path), "OSLER_DATA": str(data), **more}


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


class OslerProcess:
    """One process of ``osler``; a context that ends it."""

    def __init__(
        self,
        command: str,
        data: Path,
        *arguments: str,
        log: Path,
        environment: Mapping[str, str],
        program: tuple[str, ...] = PROGRAM,
    ) -> None:
        """``program``: what the interpreter runs, with the command and its arguments behind."""
        self.data = data
        self.log = log
        self._command = [sys.executable, *program, command, *arguments]
        self._environment = clean_environment(data, **environment)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command, env=self._environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def __enter__(self) -> "OslerProcess":
        self.start()
        try:
            self.wait_for("ready")
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def code(self) -> int | None:
        assert self._process is not None
        return self._process.poll()

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def wait(self, seconds: float = PATIENCE) -> int:
        """Wait for it to end by itself and return its exit code."""
        assert self._process is not None
        return self._process.wait(seconds)

    def end(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def text(self) -> str:
        return self.log.read_text()

    def lines(self) -> list[dict[str, Any]]:
        """Return what it logged; whatever is no JSON is not its log, and the last line may be half written."""
        whole = self.text().split("\n")[:-1]
        return [json.loads(line) for line in whole if line.startswith("{") and line.endswith("}")]

    def line(self, event: str) -> dict[str, Any] | None:
        return next((line for line in self.lines() if line["event"] == event), None)

    def wait_for(self, event: str, seconds: float = START_SECONDS) -> dict[str, Any]:
        """Wait until it logs an event."""
        deadline = time.monotonic() + seconds
        while (found := self.line(event)) is None:
            assert self.code is None, f"it ended with {self.code} before it said {event!r}:\n{self.text()}"
            assert time.monotonic() < deadline, f"it did not say {event!r} in time:\n{self.text()}"
            time.sleep(0.02)
        return found

    def wait_for_request(self, request_id: str, seconds: float = START_SECONDS) -> None:
        """Wait until it has logged a request of that id."""
        deadline = time.monotonic() + seconds
        while not any(line.get("request_id") == request_id for line in self.lines()):
            assert time.monotonic() < deadline, f"it did not log the request:\n{self.text()}"
            time.sleep(0.02)


class Server(OslerProcess):
    """``osler serve`` on a free port."""

    def __init__(
        self,
        data: Path,
        *arguments: str,
        log: Path,
        environment: Mapping[str, str] | None = None,
        port: int = 0,
        program: tuple[str, ...] = PROGRAM,
    ) -> None:
        more = ("--port", str(port), *arguments)
        super().__init__("serve", data, *more, log=log, environment=environment or {}, program=program)

    def __enter__(self) -> "Server":
        super().__enter__()
        return self

    @property
    def port(self) -> int:
        port: int = self.wait_for("ready")["port"]
        return port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def get(self, path: str, **more: Any) -> httpx.Response:
        return httpx.get(self.url + path, timeout=PATIENCE, **more)

    def readiness(self, **checks: dict[str, str]) -> httpx.Response:
        """Ask whether it is ready until it says so of these parts: a busy machine may let a check run out of time."""
        deadline = time.monotonic() + PATIENCE
        while True:
            answer = self.get("/readyz")
            if answer.json()["checks"].items() >= checks.items() or time.monotonic() > deadline:
                return answer
            time.sleep(0.1)

    def wait_until_read(self, client: socket.socket) -> None:
        """Wait until it has read everything that a client has sent."""
        own, other = (_as_in_proc(*client.getsockname()), _as_in_proc(*client.getpeername()))
        deadline = time.monotonic() + PATIENCE
        while not (_queues(own, other)[0] == 0 == _queues(other, own)[1] and (other, own) in connections(self.pid)):
            assert time.monotonic() < deadline, "it did not read what was sent"
            time.sleep(0.01)


def connections(pid: int) -> set[tuple[str, str]]:
    """Return the internet sockets of a process: (own address and port, the other's), as proc(5) writes them."""
    links = []
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed while we look
            links.append(str(descriptor.readlink()))
    owned = {link.removeprefix("socket:[").removesuffix("]") for link in links if link.startswith("socket:[")}
    rows = [
        line.split()
        for protocol in ("tcp", "tcp6", "udp", "udp6")
        for line in Path(f"/proc/{pid}/net/{protocol}").read_text().splitlines()[1:]
    ]
    return {(row[1], row[2]) for row in rows if row[9] in owned}


def _as_in_proc(host: str, port: int) -> str:
    return f"{int.from_bytes(socket.inet_aton(host), 'little'):08X}:{port:04X}"


def _queues(own: str, other: str) -> tuple[int, int]:
    """Return of one end of a connection the bytes that are not acknowledged yet, and those that are not read yet."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    [(sent, received)] = [row[4].split(":") for row in rows if row[1:3] == [own, other]]
    return int(sent, 16), int(received, 16)
