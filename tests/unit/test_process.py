"""A process that stays ends within bounded time, whatever its threads are at."""

import json
import signal
import subprocess
import sys
import time

from osler.cli.process import PATIENCE

BUSY = """
import asyncio, time
from osler import logs
from osler.cli.process import run_until_stopped
logs.configure("info")
async def work(stop):
    asyncio.get_running_loop().run_in_executor(None, time.sleep, 3600)
    print("at work", flush=True)
    await stop.wait()
    {afterwards}
run_until_stopped(work)
"""


def started(afterwards: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", BUSY.format(afterwards=afterwards)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stdout.readline() == "at work\n"
    return process


def test_a_thread_that_cannot_be_interrupted_does_not_hold_the_process() -> None:
    process = started("pass")
    begun = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0 and time.monotonic() - begun < PATIENCE + 20
    events = [json.loads(line)["event"] for line in said.splitlines()]
    assert events == ["stopping", "a thread still computes: ending without it"]


def test_a_second_signal_ends_at_once() -> None:
    process = started("await asyncio.Event().wait()")
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None and json.loads(process.stderr.readline())["event"] == "stopping"
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1 and json.loads(said)["event"] == "a second signal: ending at once"
