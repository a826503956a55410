"""A server is killed at one chosen instant of a visit: before or after each commit, after each stored blob.

``make test`` tries a few instants; ``FAULT_KILLS`` above 5 (``make faults``) tries each until a visit has no more.
"""

from pathlib import Path

import pytest

from osler.access.model import ReleasePolicy
from osler.bootstrap import open_core
from osler.config import Settings
from tests.faults.client import Calm, Client, Ledger, clips
from tests.faults.inspection import inspect
from tests.faults.processes import OslerProcess, Restarting
from tests.faults.setting import NAMES, VISIT, database_files, set_up
from tests.faults.test_kills import KILLS
from tests.faults.traces import assert_no_trace
from tests.servers.ports import free_ports

pytestmark = [pytest.mark.anyio, pytest.mark.engine, pytest.mark.services]

FEW = ["before-commit:3", "after-store:2", "after-commit:11", "before-commit:14"]
ALL = [
    f"{what}:{n}"
    for what, last in (("before-commit", 30), ("after-commit", 30), ("after-store", 3))
    for n in range(1, last + 1)
]


@pytest.mark.parametrize("instant", ALL if KILLS > 5 else FEW)
async def test_a_visit_is_whole_after_a_kill_at_this_instant(
    instant: str,
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    setting = await set_up(database_url, tmp_path, monkeypatch, ReleasePolicy.AUTOMATIC)
    [port] = free_ports(1)
    ledger = Ledger(tmp_path / "ledger")
    segments = clips(VISIT, seconds=7, number=2)
    server = OslerProcess(setting.environment, setting.log, port=port)
    killed = False
    try:
        server.start(kill=instant)
        client = Client(port, setting.organization, setting.user, ledger, seed=1, calm=Calm())
        watch = Restarting(server)
        watch.start()
        try:
            client.visit(segments, sign=True)
            client.wait_for_work()
        finally:
            killed = watch.end()
    finally:
        server.stop()
    if not killed and instant not in FEW:
        pytest.skip("a visit has no such instant")
    assert killed, "the server was not killed: this instant is not reached any more; choose others"
    async with open_core(Settings()) as core:
        ((turns, note),) = (await inspect(core, setting.organization, ledger, automatic=True)).values()
    assert turns and note
    words = " ".join(text for _, text in turns) + " " + note
    places = [*setting.places, *database_files(request, database_url.partition(":")[0])]
    assert_no_trace(words, places, names=NAMES, sounds=segments)
