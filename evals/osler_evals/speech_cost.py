"""What transcribing costs on a long recording: seconds of work per second of audio, and peak memory.

Run as ``python -m osler_evals.speech_cost [--hours 2] [--data DIR] [--model base] [--json FILE]``. The long recording
is made by repeating the recordings in a folder; the work is measured in a process of its own. Other work on the same
machine makes it slower: the load average stands in the report.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import av
import numpy as np

from osler.audio.decode import open_recording
from osler.audio.model import SAMPLE_RATE
from osler.bootstrap import speech_service
from osler.kernel.errors import InputError
from osler_evals.speech_eval import AUDIO_SUFFIXES

SAMPLE_VISIT: Final = Path(__file__).parents[2] / "examples" / "sample-visit"


@dataclass(frozen=True, slots=True)
class SpeechCost:
    """What one transcription took. Times in seconds; memory in bytes; load averages over the last minute."""

    audio: float
    elapsed: float
    processor: float
    peak_rss: int
    load_before: float
    load_after: float
    cores: int
    words: int
    turns: int
    model: str

    @property
    def real_time_factor(self) -> float:
        """Seconds of work for one second of audio."""
        return self.elapsed / self.audio

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {**asdict(self), "real_time_factor": round(self.real_time_factor, 3)}

    def to_text(self) -> str:
        """Return lines for reading."""
        return (
            f"audio            {self.audio / 60:8.1f} min, model {self.model}, {self.words} words, {self.turns} turns\n"
            f"elapsed          {self.elapsed / 60:8.1f} min = {self.real_time_factor:.3f} of real time\n"
            f"processor time   {self.processor / 60:8.1f} min on {self.cores} cores "
            f"= {self.processor / self.cores / self.audio:.3f} of real time were they free\n"
            f"peak memory      {self.peak_rss / 2**30:8.2f} GiB\n"
            f"load average     {self.load_before:8.2f} before, {self.load_after:.2f} after\n"
        )


def write_long_recording(folder: Path, seconds: float, target: Path) -> None:
    """Write the recordings in ``folder`` to ``target`` (FLAC, 16 kHz), one after the other, until it is long enough.

    The last one is cut off at ``seconds``. Raises InputError when there is no recording in the folder.
    """
    sources = sorted(p for p in folder.iterdir() if p.suffix in AUDIO_SUFFIXES) if folder.is_dir() else []
    if not sources:
        raise InputError("There are no recordings in the --data folder.")
    missing = round(seconds * SAMPLE_RATE)
    with av.open(str(target), "w", format="flac") as out:
        stream: Any = out.add_stream("flac", rate=SAMPLE_RATE)
        stream.layout = "mono"
        while missing > 0:
            for source in sources:
                for chunk in open_recording(source):
                    piece = chunk[:missing]
                    missing -= len(piece)
                    if len(piece):
                        whole = (piece * 32767).astype(np.int16)[None]
                        frame = av.AudioFrame.from_ndarray(whole, format="s16", layout="mono")
                        frame.sample_rate = SAMPLE_RATE
                        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


def measure_here(recording: Path, model: str) -> SpeechCost:
    """Transcribe ``recording`` in this process and say what it took, loading the models included."""
    load = os.getloadavg()[0]
    started = time.perf_counter()
    transcript = speech_service(model).transcribe(recording)
    elapsed = time.perf_counter() - started
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return SpeechCost(
        audio=transcript.duration or 0.0,
        elapsed=elapsed,
        processor=usage.ru_utime + usage.ru_stime,
        peak_rss=usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
        load_before=load,
        load_after=os.getloadavg()[0],
        cores=os.cpu_count() or 1,
        words=sum(len(turn.words) for turn in transcript.turns),
        turns=len(transcript.turns),
        model=model,
    )


def measure(folder: Path, hours: float, model: str) -> SpeechCost:
    """Make a recording of ``hours`` from those in ``folder`` and transcribe it in a process of its own."""
    with tempfile.TemporaryDirectory() as scratch:
        recording = Path(scratch) / "long.flac"
        write_long_recording(folder, hours * 3600, recording)
        command = [sys.executable, "-m", "osler_evals.speech_cost", "--measure", str(recording), "--model", model]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found = json.loads(done.stdout)
    found.pop("real_time_factor")
    return SpeechCost(**found)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write JSON where asked."""
    parser = argparse.ArgumentParser(prog="osler_evals.speech_cost", description=__doc__.splitlines()[0])
    parser.add_argument("--hours", type=float, default=2.0, help="length of the recording (default 2)")
    parser.add_argument("--data", type=Path, default=SAMPLE_VISIT, help="folder of recordings to repeat")
    parser.add_argument("--model", default="base", help="Whisper model (default base)")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    if chosen.measure:
        print(json.dumps(measure_here(chosen.measure, chosen.model).to_json()))
        return
    cost = measure(chosen.data, chosen.hours, chosen.model)
    print(cost.to_text(), end="")
    if chosen.json:
        chosen.json.write_text(json.dumps(cost.to_json(), indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
