"""How the time of a list and of a transcript grows with the number of encounters.

``python -m osler_evals.core_scale [--encounters 10000]`` measures SQLite in a temporary folder and a PostgreSQL of its
own: the first page of an organization's encounters (50) and one transcript read, at 100 encounters and at the whole
number, each the median of 300 calls through the services.
"""

import argparse
import asyncio
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

from pydantic import SecretStr

from osler.audit.model import OPERATOR
from osler.bootstrap import Core, initialise, open_core
from osler.config import Settings
from osler.kernel.ids import new_id
from osler.speech.model import Transcript

VISIT: Final = Path(__file__).resolve().parents[2] / "examples" / "sample-visit" / "visit.json"
FEW: Final = 100
CALLS: Final = 300


async def measure(settings: Settings, encounters: int) -> dict[str, dict[str, float]]:
    """Return milliseconds of ``list`` and ``transcript`` at FEW and at ``encounters``, and their ratio."""
    await initialise(settings)
    transcript = Transcript.from_json(json.loads(VISIT.read_text(encoding="utf-8")))
    taken: dict[str, dict[str, float]] = {"list": {}, "transcript": {}}
    async with open_core(settings) as core:
        organization = (await core.access.create_organization(OPERATOR, "A practice")).id
        user = (await core.access.create_user(OPERATOR, organization, "a@example.org", "1")).id
        made: list[str] = []
        for size in (FEW, encounters):
            while len(made) < size:
                made.append(await _encounter(core, organization, user, transcript))
            taken["list"][str(size)] = await _median(lambda: core.encounters.list(organization))
            pick = partial(random.Random(size).choice, made)
            taken["transcript"][str(size)] = await _median(partial(_read, core, organization, pick))
    for times in taken.values():
        times["ratio"] = times[str(encounters)] / times[str(FEW)]
    return taken


async def _read(core: Core, organization: str, pick: Callable[[], str]) -> None:
    assert await core.transcripts.current(organization, pick()) is not None


async def _encounter(core: Core, organization: str, user: str, transcript: Transcript) -> str:
    encounter = await core.encounters.create(OPERATOR, organization, user, ehr_patient_id=new_id())
    recording = await core.audio.start_recording(OPERATOR, organization, encounter.id)
    async with core.database.write() as transaction:
        await core.transcripts.store(transaction, recording, new_id(), transcript, core.clock.now())
    return encounter.id


async def _median(call: Callable[[], Awaitable[Any]]) -> float:
    times = []
    for _ in range(CALLS):
        began = time.perf_counter()
        await call()
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1000


def main() -> None:
    """Measure both databases and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--encounters", type=int, default=10_000)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    given = parser.parse_args()
    figures: dict[str, Any] = {"load": os.getloadavg()[0], "encounters": given.encounters}
    with tempfile.TemporaryDirectory() as folder:
        figures["sqlite"] = asyncio.run(measure(Settings(data=Path(folder)), given.encounters))
    from tests.servers.postgresql import PostgresqlServer

    server = PostgresqlServer(durable=True)
    try:
        server.start()
        with tempfile.TemporaryDirectory() as folder:
            settings = Settings(data=Path(folder), database=SecretStr(server.create_database("scale")))
            figures["postgresql"] = asyncio.run(measure(settings, given.encounters))
    finally:
        server.close()
    if given.json:
        given.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    sys.stdout.write(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
