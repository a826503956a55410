"""A deployment for measurements, served by a real process, with a tenant and a user's token."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx

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
def served() -> Iterator[Served]:
    """Make a deployment on SQLite in a folder of its own, serve it without workers, and remove it in the end."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("OSLER_")}
        environment |= {"OSLER_DATA": str(data), "OSLER_TOKEN_MINUTES": "120"}
        log = Path(folder) / "server.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "osler", "serve", "--port", "0", "--no-worker"],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
            )
        try:
            root = f"http://127.0.0.1:{_port(process, log)}"
            organization = _osler(environment, "org", "create", "Clinic")["organization_id"]
            key = _osler(environment, "key", "create", "--org", organization, "--kind", "tenant")["key"]
            answer = httpx.get(
                f"{root}{BASE_PATH}/jwt",
                params={"email": "clinician@example.org", "third_party_internal_id": "7"},
                headers={"Heidi-Api-Key": key},
                timeout=30,
            )
            answer.raise_for_status()
            yield Served(data, root, organization, key, answer.json()["token"])
        finally:
            process.terminate()
            process.wait(30)


def _port(process: "subprocess.Popen[bytes]", log: Path) -> int:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        for line in log.read_text().splitlines():
            if '"event": "ready"' in line:
                port: int = json.loads(line)["port"]
                return port
        time.sleep(0.05)
    raise RuntimeError(f"the server did not start:\n{log.read_text()}")


def _osler(environment: dict[str, str], *arguments: str) -> Any:
    command = [sys.executable, "-m", "osler", *arguments, "--json"]
    return json.loads(subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE).stdout)
