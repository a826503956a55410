"""What terminologies cost: seconds to load an index, memory it takes, milliseconds of a search.

Run as ``python -m osler_evals.codes_speed [--system ICD-10-CM] [--json FILE]``. The questions are the phrases of the
lay lexicon, their clinical words, and each with a side; each is asked once, so that nothing is answered from memory.
Loading is measured in a fresh process, after its imports. Other work on the machine makes it slower: wall and
processor time stand beside each other, with the load average.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from osler.bootstrap import terminologies
from osler.config import Settings
from osler.engines.terminology.lexicon import lay_phrases

LIMITS: Final = {"load_seconds": 0.5, "resident_megabytes": 150.0, "search_milliseconds": 5.0}
"""The figures that were asked for."""


def resident() -> int:
    """Return the bytes of memory that this process has (Linux: proc(5), statm)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def questions() -> list[str]:
    """Return what is asked: lay and clinical phrases, alone and with a side."""
    phrases = [text for each in lay_phrases() for text in (each.phrase, each.clinical)]
    return list(dict.fromkeys([*phrases, *(f"left {text}" for text in phrases)]))


def measure(system: str, folder: Path) -> dict[str, Any]:
    """Load the system's index in this process and search it."""
    library = terminologies(Settings(data=folder))
    before, started = resident(), time.perf_counter()
    cpu = time.process_time()
    terminology = library.get(system)
    loaded, load_cpu = time.perf_counter() - started, time.process_time() - cpu
    after_load = resident()
    asked = questions()
    wall, processor = [], []
    for question in asked:
        started, cpu = time.perf_counter(), time.process_time()
        terminology.search(question, 10)
        wall.append(time.perf_counter() - started)
        processor.append(time.process_time() - cpu)
    return {
        "system": terminology.system,
        "version": terminology.version,
        "load_seconds": round(loaded, 3),
        "load_processor_seconds": round(load_cpu, 3),
        "resident_megabytes_after_load": round((after_load - before) / 1e6, 1),
        "resident_megabytes_after_searches": round((resident() - before) / 1e6, 1),
        "searches": len(asked),
        "search_milliseconds": _spread(wall),
        "search_processor_milliseconds": _spread(processor),
        "load_average": round(os.getloadavg()[0], 2),
        "cores": os.cpu_count(),
    }


def _spread(seconds: Sequence[float]) -> dict[str, float]:
    cuts = statistics.quantiles(seconds, n=100)
    return {
        "mean": round(1e3 * statistics.fmean(seconds), 2),
        "median": round(1e3 * cuts[49], 2),
        "95th": round(1e3 * cuts[94], 2),
        "99th": round(1e3 * cuts[98], 2),
        "longest": round(1e3 * max(seconds), 2),
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Measure each built-in system in a process of its own and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--system", action="append", help="one system instead of those that are built in")
    parser.add_argument("--here", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    options = parser.parse_args(argv)
    systems = options.system or ["ICD-10-CM", "ICD-10", "ICD-9-CM"]
    if options.here:
        print(json.dumps(measure(systems[0], options.here)))
        return
    with tempfile.TemporaryDirectory() as folder:
        terminologies(Settings(data=Path(folder))).installed()  # makes the indexes that are made on this machine
        command = [sys.executable, "-m", "osler_evals.codes_speed", "--here", folder, "--system"]
        results = [
            json.loads(subprocess.run([*command, each], check=True, stdout=subprocess.PIPE).stdout) for each in systems
        ]
    text = json.dumps({"limits": LIMITS, "systems": results}, indent=2)
    if options.json:
        options.json.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
