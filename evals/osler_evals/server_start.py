"""How long ``osler serve`` takes until it answers, beside the bare import of the libraries that it stands on.

``python -m osler_evals.server_start`` starts servers one after the other on a new deployment in a temporary folder
(SQLite, no job runs). The figure wanted is seconds by the clock; machines differ, so the ratio to the libraries' own
import, taken in turns with it, is what to compare between two of them.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import httpx

from osler_evals.served import osler, port_of, running, tidy_end

STARTS: Final = 7
WANTED_SECONDS: Final = 3.0
LIBRARIES: Final = "import typer, structlog, fastapi, uvicorn, pydantic_settings, numpy, sqlalchemy.ext.asyncio, dbos"


@dataclass(frozen=True, slots=True)
class ServerStart:
    """Seconds of each start: until ``/healthz`` answered, what the server computed by then, and the libraries alone."""

    ready: list[float]
    computed: list[float]
    libraries: list[float]
    load_before: float
    cores: int

    @property
    def ratio(self) -> float:
        """The median start beside the median import of the libraries."""
        return statistics.median(self.ready) / statistics.median(self.libraries)

    @property
    def reached(self) -> bool:
        """Whether the median start is as short as wanted."""
        return statistics.median(self.ready) <= WANTED_SECONDS

    def table(self) -> str:
        """Return the figures for people."""
        lines = [
            f"{'until /healthz answers':26}{_spread(self.ready)}",
            f"{'of which computed':26}{_spread(self.computed)}",
            f"{'import of the libraries':26}{_spread(self.libraries)}",
            f"{'start / libraries':26}{self.ratio:6.2f}",
            f"load {self.load_before:.2f} before, {self.cores} cores; wanted: {WANTED_SECONDS:.0f} s: "
            f"{'reached' if self.reached else 'missed'}",
        ]
        return "\n".join(lines) + "\n"


def _spread(seconds: list[float]) -> str:
    return f"{statistics.median(seconds):6.2f} s ({min(seconds):.2f} to {max(seconds):.2f})"


def _computed(pid: int) -> float:
    """Return how long a process has computed, in user and system mode together (proc(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(starts: int) -> ServerStart:
    """Start so many servers, one after the other, after one that is not counted."""
    load = os.getloadavg()[0]
    ready: list[float] = []
    computed: list[float] = []
    libraries: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("OSLER_")}
        environment["OSLER_DATA"] = str(Path(folder) / "data")
        osler(environment, "init")
        log = Path(folder) / "server.log"
        for _ in range(starts + 1):
            begun = time.monotonic()
            with running(["serve", "--port", "0", "--no-worker"], environment, log) as process:
                httpx.get(f"http://127.0.0.1:{port_of(process, log)}/healthz", timeout=30).raise_for_status()
                ready.append(time.monotonic() - begun)
                computed.append(_computed(process.pid))
            begun = time.monotonic()
            subprocess.run([sys.executable, "-c", LIBRARIES], env=environment, check=True)
            libraries.append(time.monotonic() - begun)
    return ServerStart(ready[1:], computed[1:], libraries[1:], load, os.cpu_count() or 1)


def main() -> None:
    """Measure, print the table, and write ``--json FILE``."""
    parser = argparse.ArgumentParser(prog="python -m osler_evals.server_start", description=__doc__)
    parser.add_argument("--starts", type=int, default=STARTS, help="how many starts are counted")
    parser.add_argument("--json", type=Path, help="file for the figures")
    arguments = parser.parse_args()
    with tidy_end():
        figures = measure(arguments.starts)
    sys.stdout.write(figures.table())
    if arguments.json:
        written = asdict(figures) | {"ratio": figures.ratio, "reached": figures.reached}
        arguments.json.write_text(json.dumps(written, indent=2) + "\n")


if __name__ == "__main__":
    main()
