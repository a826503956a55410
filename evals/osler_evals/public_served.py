"""The public API of a deployment with many encounters, served by a real process, and its list asked by one client."""

import contextlib
import http.client
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from pydantic import SecretStr

from osler.config import Settings
from osler_evals.public_data import Filled, fill
from osler_evals.served import osler, port_of, running

LIST: Final = "/external/v1/encounters"


@dataclass(frozen=True)
class PublicServed:
    """Where it is served, the key that opens it, and with which environment a process finds the same deployment."""

    root: str
    data: Filled
    environment: dict[str, str]

    @property
    def headers(self) -> dict[str, str]:
        """What every request carries."""
        return {"Authorization": f"Bearer {self.data.key}"}

    def page(self, offset: int = 0, limit: int = 50) -> str:
        """Return the URL of a page."""
        return f"{self.root}{LIST}?limit={limit}&offset={offset}"


@contextlib.contextmanager
def served_publicly(database: str | None, *, of_organization: int, in_all: int) -> Iterator[PublicServed]:
    """Make a deployment on an empty PostgreSQL database (None: on SQLite) and serve its public API, without a limit to
    a key's rate, to one organization; see :func:`osler_evals.public_data.filled` for what is in it."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        settings = Settings(data=data, database=None if database is None else SecretStr(database))
        made = fill(settings, of_organization=of_organization, in_all=in_all)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("OSLER_")}
        environment |= {"OSLER_DATA": str(data), "OSLER_PUBLIC_REQUESTS_PER_MINUTE": "0", "OSLER_LOG_LEVEL": "warning"}
        if database is not None:
            environment["OSLER_DATABASE"] = database
        osler(environment, "public", "api", "on")
        osler(environment, "public", "enable-route", "all")
        osler(environment, "public", "allow-org", made.organization_id)
        environment["OSLER_LOG_LEVEL"] = "info"  # by which it says where it is served
        log = Path(folder) / "server.log"
        with running(["serve", "--port", "0", "--no-worker"], environment, log) as process:
            yield PublicServed(f"http://127.0.0.1:{port_of(process, log)}", made, environment)


class OneConnection:
    """Asks for one URL after another on one connection, as plainly as possible: a client's own time counts too."""

    def __init__(self, root: str, headers: dict[str, str]) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(root).netloc, timeout=60)
        self._headers = headers
        self._root = root

    def get(self, url: str) -> bytes:
        """Return the body of an answer. Raises RuntimeError for any status but 200."""
        self._connection.request("GET", url.removeprefix(self._root), headers=self._headers)
        answer = self._connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{answer.status}: {body.decode(errors='replace')}")
        return body

    def milliseconds(self, url: str) -> float:
        """Return how long one call takes."""
        began = time.perf_counter()
        self.get(url)
        return (time.perf_counter() - began) * 1000

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def middle(times: Sequence[float]) -> float:
    """Return the median, to a hundredth."""
    return round(statistics.median(times), 2)


def load() -> float:
    """Return the machine's load average of the last minute."""
    return round(os.getloadavg()[0], 1)
