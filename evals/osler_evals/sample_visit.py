"""Make the sample visit that ships with Osler: ``python -m osler_evals.sample_visit``."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from osler.kernel.errors import OslerError
from osler.speech.model import CLINICIAN, PATIENT
from osler_evals.audio_files import write_audio
from osler_evals.scripts import from_toml
from osler_evals.synthesize import synthesize, turns_to_json
from osler_evals.voices import SAMPLE_RATE, VOICES

VOICES_OF_THE_SAMPLE: Final = {CLINICIAN: VOICES["heart"], PATIENT: VOICES["joe"]}
SEED: Final = 11
BIT_RATE: Final = 24_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Read FOLDER/script.toml aloud into FOLDER/visit.ogg and FOLDER/visit.json; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m osler_evals.sample_visit", description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("examples/sample-visit"))
    folder: Path = parser.parse_args(arguments).folder
    if not (folder / "script.toml").is_file():
        print("There is no script.toml in that folder; run this from the repository's root.", file=sys.stderr)
        return 2
    script = from_toml(folder / "script.toml")
    try:
        reading = synthesize(script.utterances, VOICES_OF_THE_SAMPLE, gaps=(0.2, 0.6), seed=SEED)
    except OslerError as error:
        print(error, file=sys.stderr)
        return 1
    write_audio(folder / "visit.ogg", reading.samples[None, :], SAMPLE_RATE, codec="libopus", bit_rate=BIT_RATE)
    reference = {
        "source": f"{script.source}, read by synthetic voices",
        "noise_snr_db": None,
        "turns": turns_to_json(reading.turns),
    }
    (folder / "visit.json").write_text(json.dumps(reference, ensure_ascii=False, indent=1) + "\n", "utf-8")
    print(f"{len(reading.samples) / SAMPLE_RATE:.0f} s, {len(reading.turns)} turns")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
