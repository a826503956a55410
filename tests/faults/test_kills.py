"""Server and worker are killed at random instants; nothing acknowledged is lost, nothing doubled, all work finished.

``FAULT_KILLS`` says how many kills per database (5; ``make faults`` takes 50), ``FAULT_SEED`` where their dice start.
"""

import os
import random
import threading
import time
from pathlib import Path
from typing import Final

import pytest

from osler.access.model import ReleasePolicy
from osler.bootstrap import open_core
from osler.config import Settings
from tests.faults.client import PATIENCE, Calm, Client, Ledger, clips
from tests.faults.inspection import inspect
from tests.faults.processes import OslerProcess
from tests.faults.setting import NAMES, VISIT, database_files, set_up
from tests.faults.traces import assert_no_trace
from tests.servers.ports import free_ports

pytestmark = [pytest.mark.anyio, pytest.mark.engine, pytest.mark.services]

KILLS = int(os.environ.get("FAULT_KILLS", "5"))
SEED = int(os.environ.get("FAULT_SEED", "20261122"))

LONGEST_LIFE: Final = 12.0
"""Seconds from one kill to the next, at most; on a slow machine half as long again as a visit that nobody disturbs.
Work that never has the time to end is given up, as if it killed the processes that run it."""

POLICIES: Final = {"sqlite": ReleasePolicy.AUTOMATIC, "postgresql": ReleasePolicy.SIGN_OFF}
"""When documents are released: one way on each database; ``make faults`` tries both on both."""


@pytest.mark.parametrize("swapped", [False] if KILLS <= 5 else [False, True])
async def test_what_was_acknowledged_survives_kills_at_random_instants(
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
    swapped: bool,
) -> None:
    kind = database_url.partition(":")[0]
    other = "postgresql" if kind == "sqlite" else "sqlite"
    policy = POLICIES[other if swapped else kind]
    signed = policy is ReleasePolicy.SIGN_OFF
    setting = await set_up(database_url, tmp_path, monkeypatch, policy)
    [port] = free_ports(1)
    server = OslerProcess(setting.environment, setting.log, port=port)
    worker = OslerProcess(setting.environment, setting.log)
    ledger = Ledger(tmp_path / "ledger")
    segments = clips(VISIT, seconds=6, number=3)
    dice = random.Random(f"{SEED} {kind}")
    over, calm = threading.Event(), Calm()
    faults: list[BaseException] = []

    def record_visits(number: int) -> None:
        client = Client(port, setting.organization, setting.user, ledger, dice.randrange(10**6) + number, calm)
        try:
            while not over.is_set():
                client.visit(segments, sign=signed)
        except BaseException as fault:
            faults.append(fault)
            raise

    threads = [threading.Thread(target=record_visits, args=(n,), daemon=True) for n in range(2)]
    try:
        server.start()
        worker.start()
        first = Client(port, setting.organization, setting.user, ledger, 0, calm)
        begun = time.monotonic()
        first.visit(segments, sign=signed)
        longest = max(LONGEST_LIFE, 1.5 * (time.monotonic() - begun))
        calm.end()
        for thread in threads:
            thread.start()
        for _ in range(KILLS):
            time.sleep(dice.uniform(0.5, longest))
            victim = dice.choice([server, worker])
            victim.kill()
            time.sleep(dice.uniform(0.0, 1.0))
            victim.start()
        over.set()
        calm.begin()
        for thread in threads:
            thread.join(PATIENCE)
        assert not faults, f"a client gave up: {faults[0]}"
        assert not any(thread.is_alive() for thread in threads), "a client waits for ever"
        first.wait_for_work()
    finally:
        over.set()
        server.stop()
        worker.stop()
    async with open_core(Settings()) as core:
        texts = await inspect(core, setting.organization, ledger, automatic=policy is ReleasePolicy.AUTOMATIC)
    undisturbed, *others = texts.values()
    assert undisturbed[0] and len(others) >= 2
    assert all(text == undisturbed for text in others), "a transcript or note differs from the undisturbed visit's"
    words = " ".join(text for _, text in undisturbed[0]) + " " + undisturbed[1]
    assert_no_trace(words, [*setting.places, *database_files(request, kind)], names=NAMES, sounds=segments)
