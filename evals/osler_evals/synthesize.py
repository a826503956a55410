"""Make visits read by synthetic voices, with exact turns and times: ``python -m osler_evals.synthesize``.

The scripts come from the dialogue collections (read at run time, never kept) and from scripts of our own; the sound is
spoiled on purpose in some visits (noise, room, telephone, stereo), as recordings are.
"""

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from osler.kernel.errors import OslerError
from osler.speech.model import CLINICIAN, PATIENT, other
from osler_evals.acoustics import CONSULTING_ROOM, TILED_ROOM, Room, pink_noise, reverberate, telephone
from osler_evals.audio_files import resample, write_audio
from osler_evals.scripts import Script, Utterance, from_collection, from_toml
from osler_evals.voices import SAMPLE_RATE, VOICES, Reader, Voice, power

Samples = NDArray[np.float32]

SPEECH_LEVEL_DB: Final = -25.0
"""Root mean square of the clinician's speech, dB of full scale."""

QUIETER_DB: Final = (-5.0, 0.0)
"""The others sit further from the microphone: their level against the clinician's, drawn once per speaker."""

TAIL_SECONDS: Final = 0.6


@dataclass(frozen=True, slots=True)
class SpokenTurn:
    """One utterance as read: ``start`` and ``end`` in seconds bound its first and last sound."""

    speaker: str
    text: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Reading:
    """A visit read aloud: mono ``samples`` at 16 kHz (shape [n], -1..1) and its turns in order of start."""

    samples: Samples
    turns: tuple[SpokenTurn, ...]


def synthesize(
    script: Sequence[Utterance],
    voices: Mapping[str, Voice],
    *,
    noise_snr_db: float | None = None,
    room: Room | None = None,
    gaps: tuple[float, float] = (0.15, 0.7),
    seed: int,
) -> Reading:
    """Read ``script`` aloud, each speaker with the voice that ``voices`` gives for the speaker's label.

    ``gaps`` are the least and greatest pause between turns in seconds; a negative least pause lets a speaker break in
    on another. ``noise_snr_db`` adds pink noise that far under the speech. The same arguments give the same samples.
    Raises KeyError when a speaker has no voice, ValueError on an empty script.
    """
    if not script:
        raise ValueError("an empty script cannot be read")
    random = np.random.default_rng(seed)
    reader = Reader(seed)
    level = {
        speaker: 10 ** ((SPEECH_LEVEL_DB + (0.0 if speaker == CLINICIAN else random.uniform(*QUIETER_DB))) / 20)
        for speaker in dict.fromkeys(utterance.speaker for utterance in script)
    }
    placed: list[tuple[int, Samples]] = []
    turns: list[SpokenTurn] = []
    clock = random.uniform(0.25, 0.5)
    speaking = script[0].speaker
    for index, utterance in enumerate(script):
        sound = reader.speak(utterance.text, voices[utterance.speaker]) * level[utterance.speaker]
        if index:
            gap = random.uniform(*gaps)
            clock += gap if utterance.speaker != speaking else max(gap, 0.15)
        start = round(clock * SAMPLE_RATE)
        placed.append((start, sound))
        clock = (start + len(sound)) / SAMPLE_RATE
        turns.append(SpokenTurn(utterance.speaker, utterance.text, round(start / SAMPLE_RATE, 2), round(clock, 2)))
        speaking = utterance.speaker
    samples = np.zeros(round((clock + TAIL_SECONDS) * SAMPLE_RATE), np.float32)
    for start, sound in placed:
        samples[start : start + len(sound)] += sound
    if room is not None:
        samples = reverberate(samples, SAMPLE_RATE, room, random)
    if noise_snr_db is not None:
        samples = samples + pink_noise(len(samples), random) * power(samples) * 10 ** (-noise_snr_db / 20)
    peak = float(np.abs(samples).max())
    return Reading((samples * min(1.0, 0.98 / peak)).astype(np.float32), tuple(turns))


@dataclass(frozen=True, slots=True)
class Visit:
    """One visit of the set: its script, its voices, and what happens to the sound."""

    name: str
    script: Callable[[Path], Script]
    voices: Mapping[str, str]
    noise_snr_db: float | None = None
    room: Room | None = None
    gaps: tuple[float, float] = (0.15, 0.7)
    channel: str = "mono"


def _primock(name: str) -> Callable[[Path], Script]:
    return lambda data: from_collection(data, "primock57", name, seconds=160)


def _osce(name: str) -> Callable[[Path], Script]:
    return lambda data: from_collection(data, "osce", name, seconds=160)


def _aci(name: str) -> Callable[[Path], Script]:
    return lambda data: from_collection(data, "aci-bench", name, seconds=170)


def _mts(name: str) -> Callable[[Path], Script]:
    return lambda data: from_collection(data, "mts-dialog", name, seconds=190)


def _own(name: str) -> Callable[[Path], Script]:
    return lambda _data: from_toml(Path(__file__).parent / "data" / name)


def _two(clinician: str, patient: str) -> dict[str, str]:
    return {CLINICIAN: clinician, PATIENT: patient}


VISITS: Final = (
    Visit("primock-clean", _primock("day1_consultation06"), _two("heart", "joe")),
    Visit("primock-room", _primock("day1_consultation11"), _two("joe", "heart-low"), 20, CONSULTING_ROOM),
    Visit("primock-noise", _primock("day2_consultation01"), _two("heart-mid", "joe-high"), 15),
    Visit("primock-two-women", _primock("day3_consultation01"), _two("heart", "heart-low"), 20),
    Visit("osce-noise", _osce("CAR0002"), _two("heart-high", "joe"), 10),
    Visit("osce-telephone", _osce("MSK0010"), _two("joe", "heart-high"), 25, channel="telephone"),
    Visit("aci-stereo", _aci("D2N068"), _two("heart-low", "joe-high"), None, CONSULTING_ROOM, channel="stereo"),
    Visit("aci-tiled-room", _aci("D2N070"), _two("joe", "heart-mid"), 18, TILED_ROOM),
    Visit("mts-family", _mts("Validation-59"), _two("heart-low", "joe") | {other(1): "heart-high"}),
    Visit("mts-second-clinician", _mts("Validation-62"),
          _two("joe", "heart-high") | {other(1): "heart-low"}, 20, CONSULTING_ROOM),
    Visit("own-daughter-and-nurse", _own("family_visit.toml"),
          _two("heart-low", "joe-low") | {other(1): "joe-high", other(2): "heart-high"}),
    Visit("osce-two-men", _osce("RES0013"), _two("joe-high", "joe-low")),
    Visit("primock-breaking-in", _primock("day3_consultation06"), _two("joe-low", "heart"), 20, gaps=(-0.3, 0.6)),
    Visit("osce-gastro", _osce("GAS0007"), _two("heart", "joe-low"), 15),
)  # fmt: skip
"""The set, in the order in which ``--count`` takes from it; its scripts are held out from training."""


def write_visit(visit: Visit, data: Path, out: Path, *, seed: int) -> Reading:
    """Read one visit of the set aloud and write NAME.ogg (telephone: NAME.wav) and NAME.json into ``out``."""
    script = visit.script(data)
    reading = synthesize(
        script.utterances,
        {speaker: VOICES[name] for speaker, name in visit.voices.items()},
        noise_snr_db=visit.noise_snr_db,
        room=visit.room,
        gaps=visit.gaps,
        seed=seed,
    )
    if visit.channel == "telephone":
        narrow = resample(telephone(reading.samples, SAMPLE_RATE), SAMPLE_RATE, 8000)
        write_audio(out / f"{visit.name}.wav", narrow[None, :], 8000, codec="pcm_mulaw")
    elif visit.channel == "stereo":
        write_audio(out / f"{visit.name}.ogg", two_microphones(reading), 48_000, codec="libopus", bit_rate=80_000)
    else:
        write_audio(out / f"{visit.name}.ogg", reading.samples[None, :], SAMPLE_RATE, codec="libopus", bit_rate=40_000)
    reference = {
        "source": f"{script.source}, read by synthetic voices",
        "noise_snr_db": visit.noise_snr_db,
        "turns": turns_to_json(reading.turns),
    }
    (out / f"{visit.name}.json").write_text(json.dumps(reference, ensure_ascii=False, indent=1) + "\n", "utf-8")
    return reading


def two_microphones(reading: Reading) -> Samples:
    """Return ``reading`` on two channels at 48 kHz (shape [2, n]): whoever speaks is nearer to one microphone."""
    sides = {speaker: side for side, speaker in enumerate(dict.fromkeys(turn.speaker for turn in reading.turns))}
    gain = np.full((2, len(reading.samples)), 0.7, np.float32)
    for turn in reading.turns:
        span = slice(round(turn.start * SAMPLE_RATE), round(turn.end * SAMPLE_RATE))
        gain[sides[turn.speaker] % 2, span] = 1.0
        gain[1 - sides[turn.speaker] % 2, span] = 0.4
    smooth = np.hanning(801) / np.hanning(801).sum()  # 50 ms, so that the change of side does not click
    return np.stack(
        [
            resample(reading.samples * np.convolve(g, smooth, "same").astype(np.float32), SAMPLE_RATE, 48_000)
            for g in gain
        ]
    )


def turns_to_json(turns: Sequence[SpokenTurn]) -> list[dict[str, Any]]:
    """Return reference turns in plain JSON types."""
    return [{"speaker": t.speaker, "text": t.text, "start": t.start, "end": t.end} for t in turns]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m osler_evals.synthesize", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds primock57/, osce/, aci-bench/, ...")
    parser.add_argument("--out", type=Path, required=True, help="folder to write into (made if missing)")
    parser.add_argument("--count", type=int, default=len(VISITS), help=f"how many visits (1 to {len(VISITS)}, all)")
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args(arguments)
    if not options.data.is_dir():
        print(
            "The --data folder does not exist; it must hold primock57/, osce/, aci-bench/ and mts-dialog/.",
            file=sys.stderr,
        )
        return 2
    if not 1 <= options.count <= len(VISITS):
        print(f"--count must be 1 to {len(VISITS)}.", file=sys.stderr)
        return 2
    options.out.mkdir(parents=True, exist_ok=True)
    for number, visit in enumerate(VISITS[: options.count]):
        try:
            reading = write_visit(visit, options.data, options.out, seed=options.seed + number)
        except OslerError as error:
            print(error, file=sys.stderr)
            return 1
        seconds = len(reading.samples) / SAMPLE_RATE
        speakers = len({turn.speaker for turn in reading.turns})
        print(f"{visit.name}: {seconds:.0f} s, {len(reading.turns)} turns, {speakers} voices", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
