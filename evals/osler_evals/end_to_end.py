"""From a recording that is uploaded by HTTP to its finished note, in parts of the recording's length.

``python -m osler_evals.end_to_end [--visit FILE] [--model base] [--one-process]``: a real server and a real worker, at
rest before. Counted from the beginning of the upload to the last byte of the streamed note, which is stored by then.
"""

import argparse
import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any, Final

from osler_evals.recording_client import VISIT, RecordingClient, length_of, load
from osler_evals.served import Served, served

WANTED: Final = 0.45
SETTLING: Final = 30.0


async def measure(where: Served, visit: Path) -> dict[str, Any]:
    """Return when (in seconds after the beginning of the upload) what was there, and the ratios to the length."""
    client = RecordingClient(where)
    length = length_of(visit)
    before = load()
    await asyncio.sleep(SETTLING)
    session = await client.session()
    began = time.perf_counter()
    await client.upload(session, visit)
    at = {"uploaded": time.perf_counter() - began}
    while (answer := await client.http.get(f"{session}/transcript")).status_code == 503:
        pass
    answer.raise_for_status()
    at["transcript"] = time.perf_counter() - began
    async with client.http.stream("POST", f"{session}/consult-note", json={"generation_method": "TEMPLATE"}) as note:
        note.raise_for_status()
        async for _ in note.aiter_bytes():
            at.setdefault("first bytes of the note", time.perf_counter() - began)
    at["note"] = time.perf_counter() - began
    stored = (await client.ask("GET", session))["session"]["consult_note"]
    if stored is None or stored["status"] != "CREATED" or not stored["result"]:
        raise RuntimeError("the note was not stored")
    await client.http.aclose()
    return {
        "audio_seconds": round(length, 1),
        "seconds": {name: round(second, 2) for name, second in at.items()},
        "ratio": round(at["note"] / length, 3),
        "first_note_bytes_after_transcript": round(at["first bytes of the note"] - at["transcript"], 2),
        "load": {"before": before, "after": load()},
    }


def main() -> int:
    """Measure, print, and say by the exit code whether it was quick enough."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--visit", type=Path, default=VISIT)
    parser.add_argument("--model", default="base")
    parser.add_argument("--one-process", action="store_true", help="let the server run the jobs itself")
    parser.add_argument("-o", "--output", type=Path, help="also write the figures as JSON here")
    given = parser.parse_args()
    with served(execute=given.one_process, workers=int(not given.one_process), model=given.model) as where:
        figures = asyncio.run(measure(where, given.visit))
    figures |= {"model": given.model, "one_process": given.one_process}
    for name, second in figures["seconds"].items():
        print(f"{name:<26}{second:8.2f} s {second / figures['audio_seconds']:7.3f} of the audio")
    print(f"first bytes of the note {figures['first_note_bytes_after_transcript']} s after the transcript")
    print(f"load {figures['load']}")
    if given.output:
        given.output.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return 0 if figures["ratio"] <= WANTED else 1


if __name__ == "__main__":
    sys.exit(main())
