"""Processes of Osler that the fault tests start, kill and start again."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import httpx

ROOT = Path(__file__).parents[2]
START_SECONDS = 120.0
"""On a machine that is busy with other tests; alone it takes two."""


class OslerProcess:
    """A server (with a port) or a worker (without), with its standard error kept for the search for PHI."""

    def __init__(self, environment: Mapping[str, str], log: Path, *, port: int = 0, execute: bool = True) -> None:
        self.port = port
        self._environment = {**os.environ, **environment, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}"}
        self._log = log
        self._arguments = ["--port", str(port), *(["--execute"] if execute else [])]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, kill: str | None = None) -> None:
        """Start it; a server is waited for until it answers."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.door", *self._arguments, *(["--kill", kill] if kill else [])],
                env=self._environment,
                stdout=log,
                stderr=log,
                cwd=ROOT,
            )
        deadline = time.monotonic() + START_SECONDS
        while self.port and not self._answers():
            if self._process.poll() is not None and kill is None:
                raise AssertionError(f"the server ended with {self._process.returncode} before it answered")
            if self._process.poll() is not None:
                return
            if time.monotonic() > deadline:
                self._process.send_signal(signal.SIGUSR1)  # the door shows where its threads are
                time.sleep(1)
                raise AssertionError("the server did not answer in time; its log tells where it stands")
            time.sleep(0.05)

    def _answers(self) -> bool:
        try:
            httpx.get(f"http://127.0.0.1:{self.port}/healthz", timeout=1)
        except httpx.TransportError:
            return False
        return True

    @property
    def lives(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """End it as a power cut would."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()

    def wait(self, seconds: float) -> bool:
        """Wait for it to end by itself; say whether it did."""
        assert self._process is not None
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def stop(self) -> None:
        """Ask it to end, and see that it does."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            if not self.wait(20):
                self.kill()


class Restarting:
    """Starts a process again, without a kill, once it has ended by the kill that it was given."""

    def __init__(self, process: OslerProcess) -> None:
        self._process = process
        self._over = threading.Event()
        self._killed = False
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def _watch(self) -> None:
        while not self._over.wait(0.05):
            if not self._process.lives:
                self._killed = True
                self._process.start()
                return

    def end(self) -> bool:
        """Stop watching; say whether the process had been killed."""
        self._over.set()
        self._thread.join()
        return self._killed
