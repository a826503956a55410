"""Reads the dialogues of the four training sets: who said what, turn by turn.

``data`` is the folder that holds aci-bench/, mts-dialog/, osce/ and primock57/ (all CC BY 4.0).
"""

import csv
import re
from dataclasses import dataclass
from pathlib import Path

_ACI = re.compile(r"\[(\w+)\]\s*")
_MTS = re.compile(r"^\s*(\w+)\s*:\s*")
_OSCE = re.compile(r"^\s*([DdPp])\s?:\s*")
_PRIMOCK = re.compile(r'xmin = ([\d.]+)\s+xmax = ([\d.]+)\s+text = "((?:[^"]|"")*)"')
_MARKUP = re.compile(r"<[^>]*>")

READ_ALOUD = frozenset(
    {
        *("CAR0002", "GAS0007", "MSK0010", "RES0013", "day1_consultation01", "day1_consultation06"),
        *("day1_consultation11", "day2_consultation01", "day2_consultation03", "day3_consultation01"),
        "day3_consultation06",
    }
)
"""Dialogues of osce and primock57 that the synthetic visits read aloud: speech is measured on them."""

CLINICIAN, PATIENT, RELATIVE, SECOND_CLINICIAN = "clinician", "patient", "relative", "second clinician"


@dataclass(frozen=True, slots=True)
class Utterance:
    """One turn of a reference dialogue; times are seconds where the source has them."""

    speaker: str
    text: str
    start: float | None = None
    end: float | None = None


@dataclass(frozen=True, slots=True)
class Dialogue:
    """A reference dialogue: ``source`` is the data set, ``held_out`` says that nothing may be trained on it."""

    name: str
    source: str
    held_out: bool
    utterances: tuple[Utterance, ...]


def read_dialogues(data: Path) -> list[Dialogue]:
    """Read every dialogue below ``data`` in a fixed order.

    Held out are the validation parts of aci-bench and mts-dialog, every fifth of osce, and :data:`READ_ALOUD`.
    """
    return [*_aci(data / "aci-bench"), *_mts(data / "mts-dialog"), *_osce(data / "osce"), *_primock(data / "primock57")]


def notes(data: Path) -> list[str]:
    """Return the full notes of the training part of aci-bench: how clinicians dictate."""
    return [row["note"] for row in _rows(data / "aci-bench" / "train.csv")]


def _role(label: str) -> str:
    label = label.lower()
    if label.startswith(("guest_clin", "doctor_2", "docotr_2")):
        return SECOND_CLINICIAN
    if "guest" in label or label.startswith("gest"):
        return RELATIVE
    return CLINICIAN if label.startswith("d") else PATIENT


def _rows(path: Path) -> list[dict[str, str]]:
    csv.field_size_limit(10**9)
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _aci(folder: Path) -> list[Dialogue]:
    found = []
    for part in ("train", "valid"):
        for row in _rows(folder / f"{part}.csv"):
            pieces = _ACI.split(row["dialogue"])[1:]
            turns = tuple(
                Utterance(_role(label), " ".join(text.split()))
                for label, text in zip(pieces[::2], pieces[1::2], strict=True)
                if text.strip()
            )
            found.append(Dialogue(row["encounter_id"], "aci-bench", part == "valid", turns))
    return found


def _mts(folder: Path) -> list[Dialogue]:
    found = []
    for part, held_out in (("Training", False), ("Validation", True)):
        for row in _rows(folder / f"MTS-Dialog-{part}Set.csv"):
            turns = _labelled(row["dialogue"], _MTS)
            found.append(Dialogue(f"{part}-{row['ID']}", "mts-dialog", held_out, turns))
    return found


def _osce(folder: Path) -> list[Dialogue]:
    return [
        Dialogue(
            path.stem,
            "osce",
            i % 5 == 0 or path.stem in READ_ALOUD,
            _labelled(path.read_text("utf-8", errors="replace"), _OSCE),
        )
        for i, path in enumerate(sorted(folder.glob("*.txt")))
    ]


def _labelled(text: str, label: re.Pattern[str]) -> tuple[Utterance, ...]:
    turns: list[Utterance] = []
    for line in text.replace("\ufeff", "").splitlines():
        if match := label.match(line):
            turns.append(Utterance(_role(match[1]), line[match.end() :].strip()))
        elif line.strip() and turns:
            turns[-1] = Utterance(turns[-1].speaker, f"{turns[-1].text} {line.strip()}".strip())
    return tuple(turn for turn in turns if turn.text)


def _primock(folder: Path) -> list[Dialogue]:
    found = []
    for doctor in sorted(folder.glob("*_doctor.TextGrid")):
        name = doctor.name.removesuffix("_doctor.TextGrid")
        turns = [
            *_intervals(doctor, CLINICIAN),
            *_intervals(doctor.with_name(f"{name}_patient.TextGrid"), PATIENT),
        ]
        turns.sort(key=lambda turn: (turn.start or 0.0, turn.speaker))
        found.append(Dialogue(name, "primock57", name in READ_ALOUD, tuple(turns)))
    return found


def _intervals(path: Path, speaker: str) -> list[Utterance]:
    turns = []
    for start, end, text in _PRIMOCK.findall(path.read_text("utf-8")):
        if words := " ".join(_MARKUP.sub(" ", text).replace('""', '"').split()):
            turns.append(Utterance(speaker, words, float(start), float(end)))
    return turns
