"""Twenty sessions that record at once: is every segment taken, when is all of it heard, does the server still answer?

``python -m osler_evals.many_sessions [--sessions 20] [--minutes 2] [--model tiny.en] [--one-process]``: a real server
and a real worker. Each session sends a segment of 10 s every 10 s, beginning at another moment; beside them a client
reads sessions and live transcripts four times a second. "answers" are all requests until the last segment was sent,
"reads" those of the reading client alone.
"""

import argparse
import asyncio
import json
import random
import sys
import time
from pathlib import Path
from typing import Any, Final

from osler_evals.recording_client import VISIT, RecordingClient, load, pieces, summary
from osler_evals.served import Served, served

WANTED_P95: Final = 0.25
SECONDS: Final = 10.0
LOOKS: Final = 4.0
PATIENCE: Final = 1800.0


async def measure(where: Served, visit: Path, sessions: int, minutes: float) -> dict[str, Any]:
    """Return what was taken, how long the rest took, and how long answers took."""
    sounds = pieces(visit, SECONDS)
    segments = round(minutes * 60 / SECONDS)
    recorder, reader = RecordingClient(where), RecordingClient(where)
    paths = [await recorder.session() for _ in range(sessions)]
    recordings = [await recorder.begin(path) for path in paths]
    recorder.answers.clear()
    before, began = load(), time.perf_counter()
    reading = asyncio.create_task(_keep_reading(reader, paths))
    refused: list[str] = []
    await asyncio.gather(
        *(
            _record(recorder, recording, sounds, number, segments, number * SECONDS / sessions, refused)
            for number, recording in enumerate(recordings)
        )
    )
    sent_after = time.perf_counter() - began
    answers, reads = [*recorder.answers, *reader.answers], list(reader.answers)
    reading.cancel()
    await asyncio.wait((reading,))
    left = [await recorder.chunks(path) for path in paths]
    backlog = sum(chunk["status"] == "PENDING" for chunks in left for chunk in chunks)
    for path in paths:
        await recorder.until_heard(path, segments, PATIENCE)
    drained_after = time.perf_counter() - began - sent_after
    kept = [await recorder.chunks(path) for path in paths]
    ended = time.perf_counter()
    for recording in recordings:
        await recorder.finish(recording)
    for path in paths:
        while (answer := await recorder.http.get(f"{path}/transcript")).status_code == 503:
            pass
        answer.raise_for_status()
    figures = {
        "sessions": sessions,
        "segments": {
            "sent": sessions * segments,
            "refused": len(refused),
            "lost": sessions * segments - sum(len(chunks) for chunks in kept) - len(refused),
            "failed": sum(chunk["status"] == "FAILED" for chunks in kept for chunk in chunks),
            "not heard when the last was sent": backlog,
        },
        "seconds": {
            "sending": round(sent_after, 1),
            "until all segments were heard": round(drained_after, 1),
            "then until all final transcripts": round(time.perf_counter() - ended, 1),
        },
        "answers": summary(answers),
        "reads": summary(reads),
        "refusals": sorted(set(refused)),
        "load": {"before": before, "after": load()},
    }
    await recorder.http.aclose()
    await reader.http.aclose()
    return figures


async def _record(
    client: RecordingClient,
    recording: str,
    sounds: list[bytes],
    number: int,
    segments: int,
    wait: float,
    refused: list[str],
) -> None:
    """Send a segment every 10 s, whatever became of the one before."""
    begin = time.perf_counter() + wait
    sending = []
    for index in range(segments):
        await asyncio.sleep(max(0.0, begin + index * SECONDS - time.perf_counter()))
        sound = sounds[(number + index) % len(sounds)]
        sending.append(asyncio.create_task(client.segment(recording, index, sound)))
    for outcome in await asyncio.gather(*sending, return_exceptions=True):
        if isinstance(outcome, BaseException):
            refused.append(str(outcome)[-120:])


async def _keep_reading(client: RecordingClient, paths: list[str]) -> None:
    chance = random.Random(1)
    while True:
        path = chance.choice(paths)
        await client.ask("GET", path)
        await client.ask("GET", f"{path}/transcript/live")
        await asyncio.sleep(1 / LOOKS)


def main() -> int:
    """Measure, print, and say by the exit code whether nothing was lost and the answers stayed quick."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=20)
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--visit", type=Path, default=VISIT)
    parser.add_argument("--model", default="tiny.en")
    parser.add_argument("--one-process", action="store_true", help="let the server run the jobs itself")
    parser.add_argument("-o", "--output", type=Path, help="also write the figures as JSON here")
    given = parser.parse_args()
    with served(execute=given.one_process, workers=int(not given.one_process), model=given.model) as where:
        figures = asyncio.run(measure(where, given.visit, given.sessions, given.minutes))
    figures |= {"model": given.model, "one_process": given.one_process}
    print(json.dumps(figures, indent=2))
    if given.output:
        given.output.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    whole = not any(figures["segments"][name] for name in ("refused", "lost", "failed"))
    return 0 if whole and figures["answers"]["p95"] <= WANTED_P95 else 1


if __name__ == "__main__":
    sys.exit(main())
