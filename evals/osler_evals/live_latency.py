"""How soon the words of a 10 s segment can be read after it was sent: alone, and while another recording is finished.

``python -m osler_evals.live_latency [--segments 10] [--model base] [--worker]`` serves a deployment by real processes
(``osler serve``; with ``--worker`` the jobs run in an ``osler worker`` beside it) and sends pieces of a visit by HTTP.
Counted from the moment the sending begins to the look at ``/transcript/live`` that shows the text (every 0.1 s). The
first segment is shown by itself: it comes half a minute after the start, as nobody speaks sooner.
"""

import argparse
import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any, Final

from osler_evals.recording_client import VISIT, RecordingClient, load, pieces, summary
from osler_evals.served import Served, served
from osler_evals.tables import Column, table

WANTED: Final = 5.0
SECONDS: Final = 10.0
SETTLING: Final = 30.0


async def measure(where: Served, visit: Path, segments: int) -> dict[str, Any]:
    """Return seconds until the words of a segment were seen, alone and beside a recording that is being finished."""
    client = RecordingClient(where)
    sounds = pieces(visit, SECONDS)
    before = load()
    await asyncio.sleep(SETTLING)
    alone = await _latencies(client, sounds, segments)
    between = load()
    stop = asyncio.Event()
    finishing = asyncio.create_task(_keep_finishing(client, visit, stop))
    await asyncio.sleep(3)
    beside = await _latencies(client, sounds, segments)
    stop.set()
    finishing.cancel()
    await asyncio.wait((finishing,))
    await client.http.aclose()
    return {
        "seconds": {"first": summary(alone[:1]), "alone": summary(alone[1:]), "beside a recording": summary(beside)},
        "load": {"before": before, "between": between, "after": load()},
    }


async def _latencies(client: RecordingClient, sounds: list[bytes], segments: int) -> list[float]:
    session = await client.session()
    recording = await client.begin(session)
    taken = []
    for index in range(segments):
        began = time.perf_counter()
        await client.segment(recording, index, sounds[index % len(sounds)])
        settled = await client.until_heard(session, index + 1)
        taken.append(time.perf_counter() - began)
        if any(chunk["status"] == "FAILED" for chunk in settled):
            raise RuntimeError("a segment could not be transcribed")
        await asyncio.sleep(0.7)
    return taken


async def _keep_finishing(client: RecordingClient, visit: Path, stop: asyncio.Event) -> None:
    """Have whole recordings transcribed, so that there is always one at work and one that waits."""
    while not stop.is_set():
        sessions = [await client.session() for _ in range(2)]
        for session in sessions:
            await client.upload(session, visit)
        await client.until_heard(sessions[0], 1)


def main() -> int:
    """Measure, print, and say by the exit code whether every segment could be read in time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--segments", type=int, default=10, help="in each of the two rounds")
    parser.add_argument("--visit", type=Path, default=VISIT)
    parser.add_argument("--model", default="base")
    parser.add_argument("--worker", action="store_true", help="run the jobs in a process of their own")
    parser.add_argument("-o", "--output", type=Path, help="also write the figures as JSON here")
    given = parser.parse_args()
    with served(execute=not given.worker, workers=int(given.worker), model=given.model) as where:
        figures = asyncio.run(measure(where, given.visit, given.segments))
    figures |= {"model": given.model, "worker": given.worker}
    columns: list[Column[dict[str, float]]] = [
        Column("segments", lambda row: f"{row['count']:.0f}"),
        Column("median s", lambda row: f"{row['median']:.2f}"),
        Column("p95 s", lambda row: f"{row['p95']:.2f}"),
        Column("longest s", lambda row: f"{row['longest']:.2f}"),
    ]
    print(table("Words of a 10 s segment", "", columns, list(figures["seconds"].items())))
    print(f"load {figures['load']}")
    if given.output:
        given.output.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return 0 if all(row["longest"] <= WANTED for row in figures["seconds"].values()) else 1


if __name__ == "__main__":
    sys.exit(main())
