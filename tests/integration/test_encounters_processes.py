"""Three processes that change different fields of one encounter at the same time: no change is lost."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from osler.storage.database import SqlDatabase
from tests.encounters_lab import DOCTOR, EncountersLab

pytestmark = pytest.mark.anyio

MASTER = b"0123456789abcdef0123456789abcdef"
ROUNDS = 40

CHANGER = """
import asyncio, json, sys
from pathlib import Path
from osler.kernel.clock import SystemClock
from osler.storage.database import SqlDatabase
from tests.encounters_lab import DOCTOR, EncountersLab

async def main(url, folder, organization_id, encounter_id, field, rounds):
    database = SqlDatabase(url)
    lab = await EncountersLab.open(database, Path(folder), SystemClock(), {master!r})
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(1, rounds + 1):
        value = {{"duration": number, "name": str(number), "clinician_notes": [str(number)]}}[field]
        await lab.encounters.change(DOCTOR, organization_id, encounter_id, {{field: value}})
    await database.dispose()

asyncio.run(main(*json.loads(sys.argv[1])))
"""


async def test_no_change_of_another_process_is_lost(database: SqlDatabase, database_url: str, tmp_path: Path) -> None:
    lab = await EncountersLab.open(database, tmp_path, master=MASTER)
    organization = await lab.organization()
    made = await lab.encounters.create(DOCTOR, organization.id, (await lab.user(organization)).id)
    fields = ("duration", "name", "clinician_notes")
    processes = []
    try:
        for field in fields:
            arguments = json.dumps([database_url, str(tmp_path), organization.id, made.id, field, ROUNDS])
            processes.append(
                subprocess.Popen(
                    [sys.executable, "-c", CHANGER.format(master=MASTER), arguments],
                    cwd=Path(__file__).parents[2],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        for process in processes:
            assert process.wait(timeout=300) == 0
    finally:
        for process in processes:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    stream.close()
    read = await lab.encounters.get(organization.id, made.id)
    assert (read.duration, read.name, read.clinician_notes) == (ROUNDS, str(ROUNDS), (str(ROUNDS),))
    assert read.revision == 1 + len(fields) * ROUNDS
    trail = await lab.audit.list(organization.id, encounter_id=made.id, limit=1000)
    assert len(trail) == 1 + len(fields) * ROUNDS
    assert (await lab.audit.verify(organization.id)).broken == ()
