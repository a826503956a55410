"""A deployment for measurements, served by real processes, with a tenant and a user's token."""

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx

from osler.config import Settings

BASE_PATH: Final = "/api/v2/ml-scribe/open-api"
START_SECONDS: Final = 60.0


@dataclass(frozen=True)
class Served:
    """Where it is served, and how to get in. ``data`` is its folder."""

    data: Path
    root: str
    organization_id: str
    key: str
    token: str

    @property
    def url(self) -> str:
        """The base of the scribe API."""
        return self.root + BASE_PATH

    @property
    def headers(self) -> dict[str, str]:
        """What every request carries."""
        return {"Authorization": f"Bearer {self.token}"}


@contextlib.contextmanager
def served(*, execute: bool = False, workers: int = 0, model: str = "base") -> Iterator[Served]:
    """Make a deployment on SQLite in a folder of its own, serve it, and remove it in the end.

    ``execute``: the server runs jobs itself; ``workers``: so many processes beside it do; ``model`` is what they hear
    with, from the models of this machine.
    """
    with tidy_end(), tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as processes:
        data = Path(folder) / "data"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("OSLER_")}
        environment |= {"OSLER_DATA": str(data), "OSLER_TOKEN_MINUTES": "120", "OSLER_SPEECH_MODEL": model}
        environment["OSLER_MODELS"] = str(Settings().models_path)
        log = Path(folder) / "server.log"
        how = [] if execute else ["--no-worker"]
        process = processes.enter_context(running(["serve", "--port", "0", *how], environment, log))
        root = f"http://127.0.0.1:{port_of(process, log)}"
        for number in range(workers):
            said = Path(folder) / f"worker-{number}.log"
            ready(processes.enter_context(running(["worker"], environment, said)), said)
        organization = osler(environment, "org", "create", "Clinic")["organization_id"]
        key = osler(environment, "key", "create", "--org", organization, "--kind", "tenant")["key"]
        answer = httpx.get(
            f"{root}{BASE_PATH}/jwt",
            params={"email": "clinician@example.org", "third_party_internal_id": "7"},
            headers={"Heidi-Api-Key": key},
            timeout=30,
        )
        answer.raise_for_status()
        yield Served(data, root, organization, key, answer.json()["token"])


@contextlib.contextmanager
def running(
    arguments: list[str], environment: dict[str, str], log: Path, module: str = "osler"
) -> "Iterator[subprocess.Popen[bytes]]":
    """Run a module as a process of its own, which ends with the block, or with this process however it dies."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            preexec_fn=_end_with_parent,
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


def _end_with_parent() -> None:
    """Have Linux end a process (SIGTERM) when the measuring one dies, even if that is killed."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)


@contextlib.contextmanager
def tidy_end() -> Iterator[None]:
    """Let SIGTERM end a measurement as Ctrl-C does: what it started and wrote is gone when it has ended."""
    ended_by = signal.SIGINT

    def leave(number: int, frame: object) -> None:
        # By way of Ctrl-C, which an event loop answers between two steps; an exception from here would break into one.
        nonlocal ended_by
        ended_by = signal.SIGTERM
        signal.raise_signal(signal.SIGINT)

    # Set even if it stands so: a shell starts what is in the background with Ctrl-C ignored.
    before = {
        signal.SIGINT: signal.signal(signal.SIGINT, signal.default_int_handler),
        signal.SIGTERM: signal.signal(signal.SIGTERM, leave),
    }
    try:
        yield
    except KeyboardInterrupt:
        sys.exit(128 + ended_by)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def port_of(process: "subprocess.Popen[bytes]", log: Path) -> int:
    """Wait until a server says that it is ready, and return its port."""
    port: int = ready(process, log)["port"]
    return port


def ready(process: "subprocess.Popen[bytes]", log: Path) -> dict[str, Any]:
    """Wait until a process says that it is ready, and return what it says."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        for line in log.read_text().splitlines():
            if '"event": "ready"' in line:
                said: dict[str, Any] = json.loads(line)
                return said
        time.sleep(0.05)
    raise RuntimeError(f"a process did not start:\n{log.read_text()}")


def osler(environment: dict[str, str], *arguments: str) -> Any:
    """Run a command and return what it says as JSON."""
    command = [sys.executable, "-m", "osler", *arguments, "--json"]
    return json.loads(subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE).stdout)
