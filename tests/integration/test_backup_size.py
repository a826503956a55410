"""A backup and a restore need little memory, however much sound there is."""

import json
import os
import subprocess
import sys
from pathlib import Path

MEGABYTE = 1_000_000
SOUND = 300 * MEGABYTE

MEASURED = """
import asyncio, json, os, sys, time
from pathlib import Path

from osler.storage.backup.create import create_backup
from osler.storage.backup.restore import restore_backup
from osler.storage.database import SqlDatabase
from osler.storage.migrations import migrate
from tests.deployment_lab import Laboratory


def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def peak():
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


async def run(folder, sound):
    database = SqlDatabase(f"sqlite:///{folder / 'a.db'}")
    await migrate(database)
    source = Laboratory(database, folder / "a")
    organization_id, user_id = await source.organization()
    visits = [await source.visit(organization_id, user_id, bytes(3_000_000)) for _ in range(sound // 3_000_000 - 20)]
    visits.append(await source.visit(organization_id, user_id, bytes(60_000_000)))
    await database.erase_traces()
    deployment = await source.deployment()
    # Once with little, so that what is loaded at first use is not counted.
    small = SqlDatabase(f"sqlite:///{folder / 's.db'}")
    await migrate(small)
    other = Laboratory(small, folder / "s", source.key)
    await other.visit(*await other.organization(), bytes(8_000_000))
    await create_backup(await other.deployment(), folder / "small.backup")
    Path("/proc/self/clear_refs").write_text("5")
    before = resident()
    begun = time.perf_counter()
    report = await create_backup(deployment, folder / "osler.backup")
    backup = time.perf_counter() - begun
    grown_by_backup = peak() - before

    empty = SqlDatabase(f"sqlite:///{folder / 'b.db'}")
    target = Laboratory(empty, folder / "b", source.key)
    Path("/proc/self/clear_refs").write_text("5")
    before = resident()
    begun = time.perf_counter()
    await restore_backup(target.target, folder / "osler.backup")
    restore = time.perf_counter() - begun
    grown_by_restore = peak() - before
    assert await target.sound_of(visits[0]) == bytes(3_000_000)
    for each in (database, small, empty):
        await each.dispose()
    print(json.dumps({
        "bytes": report.counts.object_bytes,
        "backup_growth": grown_by_backup, "restore_growth": grown_by_restore,
        "backup_seconds": backup, "restore_seconds": restore,
    }))


asyncio.run(run(Path(sys.argv[1]), int(sys.argv[2])))
"""


def test_300_mb_of_sound_are_backed_up_and_restored_in_little_memory(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, str(tmp_path), str(SOUND)],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONPATH": "."},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["bytes"] >= SOUND
    assert found["backup_growth"] < 100 * MEGABYTE, found
    assert found["restore_growth"] < 100 * MEGABYTE, found
    print(found)
