"""How many requests a second the scribe API answers, beside a bare FastAPI route that reads and decrypts the same row.

``python -m osler_evals.scribe_speed [--seconds 5] [--rounds 3]`` needs wrk. One process each, the same HTTP server and
settings, the same database (SQLite), one after the other in each round; shown are medians of the rounds.

- ``read``: a route that does nothing but read the encounter's row, open its seal and answer it as JSON.
- ``write``: a route that locks the row, opens it, seals it anew with another duration and writes it, durably.
- ``GET``, ``PATCH``: the scribe API's routes, with token, checks, audit trail and answer. Each PATCH changes the row.
"""

import argparse
import asyncio
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import httpx

from osler_evals.served import Served, served

WANTED: Final = 0.6
CONNECTIONS: Final = 64

_WRK_SCRIPT: Final = """
local number = 0
wrk.method = "PATCH"
wrk.headers["Content-Type"] = "application/json"
request = function()
  number = (number + 1) % 100000
  return wrk.format(nil, nil, nil, '{"duration": ' .. number .. '}')
end
done = function(summary)
  io.write("errors: " .. summary.errors.status + summary.errors.read + summary.errors.timeout .. "\\n")
end
"""
_ERRORS_SCRIPT: Final = """
done = function(summary)
  io.write("errors: " .. summary.errors.status + summary.errors.read + summary.errors.timeout .. "\\n")
end
"""


def measure(seconds: int, rounds: int) -> dict[str, Any]:
    """Return requests a second of each, their ratios, and the load of the machine before and after."""
    load = os.getloadavg()[0]
    taken: dict[str, list[float]] = {name: [] for name in ("read", "write", "GET", "PATCH")}
    with served() as where, _bare(where) as bare:
        with httpx.Client(base_url=where.url, headers=where.headers, timeout=30) as client:
            session = _session(client)
        theirs, ours = f"{bare}/{where.organization_id}/{session}", f"{where.url}/sessions/{session}"
        for _ in range(rounds):
            taken["read"].append(_wrk(theirs, seconds, {}))
            taken["GET"].append(_wrk(ours, seconds, where.headers))
            taken["write"].append(_wrk(theirs, seconds, {}, change=True))
            taken["PATCH"].append(_wrk(ours, seconds, where.headers, change=True))
    rates = {name: statistics.median(values) for name, values in taken.items()}
    return {
        "requests_per_second": {name: round(rate) for name, rate in rates.items()},
        "ratios": {
            "GET / read": round(rates["GET"] / rates["read"], 3),
            "PATCH / write": round(rates["PATCH"] / rates["write"], 3),
            "PATCH / read": round(rates["PATCH"] / rates["read"], 3),
        },
        "load": {"before": round(load, 1), "after": round(os.getloadavg()[0], 1), "cores": os.cpu_count()},
    }


def _session(client: httpx.Client) -> str:
    """Make a session with what one has: a patient, a note of the clinician."""
    session: str = client.post("/sessions", json={"ehr_appointment_id": "a-1"}).json()["session_id"]
    patient = {"name": "Ada Quill", "gender": "FEMALE", "dob": "1951-02-03", "demographic_details": "x" * 200}
    body = {"patient": patient, "clinician_notes": ["y" * 400], "language_code": "en"}
    client.patch(f"/sessions/{session}", json=body).raise_for_status()
    return session


def _wrk(url: str, seconds: int, headers: dict[str, str], *, change: bool = False) -> float:
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(_WRK_SCRIPT if change else _ERRORS_SCRIPT)
        script.flush()
        command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--timeout", "20s", "-s", script.name]
        for name, value in headers.items():
            command += ["-H", f"{name}: {value}"]
        said = subprocess.run([*command, url], check=True, stdout=subprocess.PIPE, text=True).stdout
    errors, rate = re.search(r"errors: (\d+)", said), re.search(r"Requests/sec:\s+([0-9.]+)", said)
    if rate is None or errors is None or errors[1] != "0":
        raise RuntimeError(f"not every request was answered well:\n{said}")
    return float(rate[1])


@contextmanager
def _bare(where: Served) -> Iterator[str]:
    """Serve the bare routes on the same deployment by a process of their own."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    command = [sys.executable, "-m", "osler_evals.scribe_speed", "--serve-bare", str(port)]
    environment = {**os.environ, "OSLER_DATA": str(where.data)}
    process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL)
    try:
        for _ in range(200):
            try:
                httpx.get(f"http://127.0.0.1:{port}/", timeout=5)
                break
            except httpx.TransportError:
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


async def _serve_bare(port: int) -> None:
    import uvicorn
    from fastapi import FastAPI, Request

    from osler.bootstrap import open_core, read_settings
    from osler.storage.repositories.encounters import SqlEncounterRepository
    from osler.storage.repositories.sealed import SealedRows

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    async with open_core(read_settings(), engine="closed") as core:
        rows = SqlEncounterRepository(SealedRows(core.keyring, core.clock), core.secret)

        @app.get("/{organization_id}/{encounter_id}")
        async def read(organization_id: str, encounter_id: str) -> dict[str, Any]:
            async with core.database.read() as transaction:
                encounter = await rows.get(transaction, organization_id, encounter_id)
            assert encounter.patient is not None
            return {"id": encounter.id, "duration": encounter.duration, "name": encounter.patient.name}

        @app.patch("/{organization_id}/{encounter_id}")
        async def write(organization_id: str, encounter_id: str, request: Request) -> dict[str, Any]:
            duration = json.loads(await request.body())["duration"]
            async with core.database.write() as transaction:
                encounter = await rows.lock(transaction, organization_id, encounter_id)
                encounter = await rows.save(transaction, replace(encounter, duration=duration))
            assert encounter.patient is not None
            return {"id": encounter.id, "duration": encounter.duration, "name": encounter.patient.name}

        config = uvicorn.Config(app, port=port, log_level="warning", access_log=False, server_header=False, ws="none")
        await uvicorn.Server(config).serve()


def main() -> int:
    """Measure, print, and say by the exit code whether both are quick enough."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=5, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--serve-bare", type=int, metavar="PORT", help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path, help="also write the JSON here")
    options = parser.parse_args()
    if options.serve_bare is not None:
        asyncio.run(_serve_bare(options.serve_bare))
        return 0
    if shutil.which("wrk") is None:
        print("wrk is needed: apt-get install wrk", file=sys.stderr)
        return 2
    outcome = measure(options.seconds, options.rounds)
    text = json.dumps(outcome, indent=2)
    print(text)
    if options.output is not None:
        options.output.write_text(text + "\n")
    return 0 if min(outcome["ratios"]["GET / read"], outcome["ratios"]["PATCH / write"]) >= WANTED else 1


if __name__ == "__main__":
    sys.exit(main())
