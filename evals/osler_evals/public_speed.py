"""How many pages of 50 encounters a second the public API answers, beside a bare route that reads the same rows.

``python -m osler_evals.public_speed [--seconds 8] [--rounds 3] [-o evals/results/public-speed.json]`` needs wrk and
takes about three minutes: it makes a PostgreSQL of its own with 1,000 encounters (``osler_evals.public_data``), serves
it by ``osler serve`` and by ``osler_evals.public_bare`` (Starlette, msgspec, asyncpg: no key, no audit), one process
each, and lets wrk ask both for the first page, in turn, with 64 connections and one thread. Before that it makes sure
that both give the same encounters, patients and documents. Shown are medians of the rounds; wanted are half of the
bare route's requests a second, and a 99th percentile of at most five times the median. SQLite is measured for
information.

It leaves nothing behind, also when it is ended by Ctrl-C or SIGTERM.
"""

import argparse
import contextlib
import json
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from osler_evals.public_served import OneConnection, PublicServed, load, served_publicly
from osler_evals.served import running, tidy_end

WANTED_RATIO: Final = 0.5
WANTED_SPREAD: Final = 5.0
CONNECTIONS: Final = 64
WARM_UP: Final = 2

_SCRIPT: Final = """
done = function(summary, latency)
  local errors = summary.errors
  io.write("errors: " .. errors.status + errors.read + errors.write + errors.connect + errors.timeout .. "\\n")
  for _, each in pairs({50, 99}) do io.write("p" .. each .. ": " .. latency:percentile(each) .. "\\n") end
end
"""


def measure(encounters: int, seconds: int, rounds: int) -> dict[str, Any]:
    """Return the figures of PostgreSQL and SQLite, and the load of the machine before and after."""
    from tests.servers.postgresql import PostgresqlServer

    before = load()
    server = PostgresqlServer(durable=True)
    try:
        server.start()
        url = server.create_database("speed")
        with served_publicly(url, of_organization=encounters, in_all=encounters) as where, _bare(where) as bare:
            _compare(where, bare)
            figures = _both(where, bare, seconds, rounds)
    finally:
        server.close()
    figures["encounters"] = encounters
    with served_publicly(None, of_organization=encounters, in_all=encounters) as where:
        _wrk(where.page(), WARM_UP, where.headers)
        figures["SQLite, for information"] = _wrk(where.page(), seconds, where.headers)
    figures["load"] = {"before": before, "after": load()}
    return figures


def _both(where: PublicServed, bare: str, seconds: int, rounds: int) -> dict[str, Any]:
    taken: dict[str, list[dict[str, float]]] = {"bare": [], "public API": []}
    for number in range(rounds + 1):
        for name, url, headers in (("bare", bare, {}), ("public API", where.page(), where.headers)):
            figures = _wrk(url, seconds if number else WARM_UP, headers)
            if number:
                taken[name].append(figures)
    middle = {
        name: {figure: round(statistics.median(each[figure] for each in runs), 1) for figure in runs[0]}
        for name, runs in taken.items()
    }
    ours = middle["public API"]
    return {
        **middle,
        "ratio": round(ours["requests a second"] / middle["bare"]["requests a second"], 3),
        "p99 / p50": round(statistics.median(each["p99 ms"] / each["p50 ms"] for each in taken["public API"]), 2),
        "rounds": taken,
    }


def _wrk(url: str, seconds: int, headers: dict[str, str]) -> dict[str, float]:
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(_SCRIPT)
        script.flush()
        command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--timeout", "20s", "-s", script.name]
        for name, value in headers.items():
            command += ["-H", f"{name}: {value}"]
        said = subprocess.run([*command, url], check=True, stdout=subprocess.PIPE, text=True).stdout
    found = {name: re.search(rf"{name}:\s+([0-9.]+)", said) for name in ("errors", "Requests/sec", "p50", "p99")}
    figures = {name: float(match[1]) for name, match in found.items() if match is not None}
    if len(figures) < len(found) or figures["errors"]:
        raise RuntimeError(f"not every request was answered well:\n{said}")
    return {
        "requests a second": figures["Requests/sec"],
        "p50 ms": round(figures["p50"] / 1000, 1),
        "p99 ms": round(figures["p99"] / 1000, 1),
    }


def _compare(where: PublicServed, bare: str) -> None:
    """Make sure that both routes give the same rows: a quicker answer to another question is no measure."""
    client = OneConnection(where.root, where.headers)
    try:
        ours = json.loads(client.get(where.page()))
    finally:
        client.close()
    with urllib.request.urlopen(bare, timeout=60) as answer:
        theirs = json.load(answer)
    if _rows(ours) != _rows(theirs):
        raise RuntimeError("the public API and the bare route do not give the same encounters")


def _rows(page: dict[str, Any]) -> Any:
    """Return what is the same however a page is written down: times are compared by the second."""
    items = [
        (
            item["encounter_id"],
            item["created_at"][:19],
            item["date_of_service"][:19],
            item["status"],
            item["encounter_type"],
            item["patient"],
            [tuple(sorted(document.items())) for document in item["documents"]],
        )
        for item in page["items"]
    ]
    return page["total"], items


@contextlib.contextmanager
def _bare(where: PublicServed) -> Iterator[str]:
    """Serve the bare route on the same deployment by a process of its own; yield the page's URL."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    url = f"http://127.0.0.1:{port}/encounters/{where.data.organization_id}?limit=50&offset=0"
    with tempfile.NamedTemporaryFile(suffix=".log") as log:
        module = "osler_evals.public_bare"
        with running(["--port", str(port)], where.environment, Path(log.name), module) as process:
            for _ in range(300):
                try:
                    urllib.request.urlopen(url, timeout=20).close()
                    break
                except urllib.error.URLError:
                    if process.poll() is not None:
                        break
                    time.sleep(0.1)
            else:
                process.kill()
            if process.poll() is not None:
                raise RuntimeError(f"the bare route did not start:\n{Path(log.name).read_text()}")
            yield url


def main() -> int:
    """Measure, print, and say by the exit code whether it is quick enough."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=8, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--encounters", type=int, default=1000)
    parser.add_argument("-o", "--output", type=Path, help="also write the figures as JSON here")
    options = parser.parse_args()
    if shutil.which("wrk") is None:
        print("wrk is needed: apt-get install wrk", file=sys.stderr)
        return 2
    with tidy_end():
        figures = measure(options.encounters, options.seconds, options.rounds)
    text = json.dumps(figures, indent=2)
    print(text)
    if options.output is not None:
        options.output.write_text(text + "\n", encoding="utf-8")
    return 0 if figures["ratio"] >= WANTED_RATIO and figures["p99 / p50"] <= WANTED_SPREAD else 1


if __name__ == "__main__":
    sys.exit(main())
