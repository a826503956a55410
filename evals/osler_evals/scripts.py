"""Scripts to be read aloud: who says what, from the dialogue collections and from scripts of our own.

The collections are CC BY 4.0: PriMock57 (Papadopoulos Korfiatis et al. 2022), OSCE interviews (Fareez et al. 2022),
ACI-BENCH (Yim et al. 2023), MTS-Dialog (Ben Abacha et al. 2023). Their texts are read at run time and never kept here.
"""

import csv
import re
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from osler.speech.model import CLINICIAN, PATIENT, other

SECONDS_PER_WORD: Final = 0.36
"""About 165 words a minute with the pauses between turns; used only to decide where to cut a script."""


@dataclass(frozen=True, slots=True)
class Utterance:
    """One speaker's words, ready to be read."""

    speaker: str
    text: str


@dataclass(frozen=True, slots=True)
class Script:
    """A visit to be read; ``source`` names where its text comes from and its licence."""

    source: str
    utterances: tuple[Utterance, ...]


_TAG: Final = re.compile(r"<[^<>]*>")
_BRACKETED: Final = re.compile(r"\[[^\[\]]*\]|\{[^{}]*\}")
_SPACED_CLITIC: Final = re.compile(r"\b(\w+) (n't|'s|'re|'ve|'ll|'d|'m)\b", re.IGNORECASE)
_SPACED_PARTS: Final = (("gon na", "gonna"), ("wan na", "wanna"), ("got ta", "gotta"), ("can not", "cannot"))
_READ_AS: Final = (
    (re.compile(r"\b(\d+)\s*/\s*(\d+)\b"), r"\1 over \2"),
    (re.compile(r"(?<=\d)\s*%"), " percent"),
    (re.compile(r"(?<=\d)\s*mg\b", re.IGNORECASE), " milligrams"),
    (re.compile(r"(?<=\d)\s*(?:mcg|µg)\b", re.IGNORECASE), " micrograms"),
    (re.compile(r"(?<=\d)\s*ml\b", re.IGNORECASE), " milliliters"),
    (re.compile(r"(?<=[a-z])/(?=[a-z])", re.IGNORECASE), " or "),
    (re.compile(r"\s*&\s*"), " and "),
    (re.compile(r"(?<=\w)-(?=\s|$)"), ""),  # a word broken off: "wh- what"
)


def spoken(text: str) -> str:
    """Return ``text`` as it is to be read: tags, brackets and odd spacing gone, signs spelled out."""
    text = _BRACKETED.sub(" ", _TAG.sub(" ", text)).replace("’", "'").replace("…", "...").replace('"', " ")
    text = _SPACED_CLITIC.sub(r"\1\2", text)
    for apart, joined in _SPACED_PARTS:
        text = re.sub(rf"\b{apart}\b", joined, text, flags=re.IGNORECASE)
    for sign, words in _READ_AS:
        text = sign.sub(words, text)
    text = re.sub(r"\s+([,.;:?!])", r"\1", text)
    text = re.sub(r"([,.;:?!])(?:\s*[,.;:])+", r"\1", text)
    text = re.sub(r"\s+", " ", text).strip(" ,;:-").lstrip(".?! ")
    text = re.sub(r"\bi\b(?!\.)", "I", text)
    return re.sub(r"(^|[.?!]\s+)([a-z])", lambda found: found[1] + found[2].upper(), text)


def first_part(utterances: Iterable[Utterance], *, seconds: float) -> tuple[Utterance, ...]:
    """Return the first utterances that hold something to say, until about ``seconds`` of talking are full."""
    kept: list[Utterance] = []
    words = 0
    for utterance in utterances:
        if not re.search(r"\w", utterance.text):
            continue
        kept.append(utterance)
        words += len(utterance.text.split())
        if words * SECONDS_PER_WORD >= seconds:
            break
    return tuple(kept)


def primock57(folder: Path, name: str, *, seconds: float) -> Script:
    """Read a PriMock57 consultation (``name_doctor.TextGrid``, ``name_patient.TextGrid``) in the order of its times."""
    timed = [
        (start, Utterance(speaker, spoken(text)))
        for speaker, tier in ((CLINICIAN, "doctor"), (PATIENT, "patient"))
        for start, text in _intervals((folder / f"{name}_{tier}.TextGrid").read_text(encoding="utf-8"))
    ]
    kept = first_part((u for _, u in sorted(timed, key=lambda pair: pair[0])), seconds=seconds)
    return Script(f"PriMock57 {name}, first {len(kept)} utterances, CC BY 4.0", kept)


def osce(folder: Path, name: str, *, seconds: float) -> Script:
    """Read an OSCE interview (``D:`` and ``P:`` lines)."""
    lines = (folder / f"{name}.txt").read_text(encoding="utf-8-sig").splitlines()
    kept = first_part(
        _labelled(lines, re.compile(r"^(D|P)\s*:\s*(.*)$"), {"D": CLINICIAN, "P": PATIENT}), seconds=seconds
    )
    return Script(f"OSCE interview {name}, first {len(kept)} utterances, CC BY 4.0", kept)


def aci_bench(table: Path, encounter: str, *, seconds: float, skip: int = 0) -> Script:
    """Read an ACI-BENCH dialogue by its encounter id, without its first ``skip`` lines (a dictated preamble)."""
    lines = _row(table, "encounter_id", encounter)["dialogue"].splitlines()[skip:]
    pattern = re.compile(r"^\[(doctor|patient)\]\s*(.*)$")
    kept = first_part(_labelled(lines, pattern, {"doctor": CLINICIAN, "patient": PATIENT}), seconds=seconds)
    return Script(f"ACI-BENCH {encounter}, first {len(kept)} utterances, CC BY 4.0", kept)


def mts_dialog(table: Path, number: str, *, seconds: float) -> Script:
    """Read an MTS-Dialog dialogue by its ID; whoever is neither doctor nor patient becomes other 1, other 2 ..."""
    lines = _row(table, "ID", number)["dialogue"].splitlines()
    roles = {"Doctor": CLINICIAN, "Patient": PATIENT}
    for line in lines:
        who = line.partition(":")[0].strip()
        if who and who not in roles and len(who) < 20:
            roles[who] = other(len(roles) - 1)
    kept = first_part(_labelled(lines, re.compile(r"^([A-Z]\w{2,18})\s*:\s*(.*)$"), roles), seconds=seconds)
    return Script(f"MTS-Dialog {number}, first {len(kept)} utterances, CC BY 4.0", kept)


def from_toml(path: Path) -> Script:
    """Read a script of our own: ``source`` and a list ``turns`` of [speaker, text] pairs."""
    data: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    return Script(str(data["source"]), tuple(Utterance(str(speaker), str(text)) for speaker, text in data["turns"]))


def _row(table: Path, column: str, value: str) -> dict[str, str]:
    with table.open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            if row[column] == value:
                return row
    raise KeyError(f"{column} {value} is not in {table.name}")


def _labelled(lines: Sequence[str], pattern: re.Pattern[str], roles: dict[str, str]) -> list[Utterance]:
    return [
        Utterance(roles[found[1]], spoken(found[2]))
        for line in lines
        if (found := pattern.match(line.strip())) is not None
    ]


_INTERVAL: Final = re.compile(r'xmin = ([\d.]+)\s+xmax = [\d.]+\s+text = "((?:[^"]|"")*)"')


def _intervals(textgrid: str) -> list[tuple[float, str]]:
    """Start in seconds and text of each filled interval of a long-format Praat TextGrid."""
    return [(float(start), text.replace('""', '"')) for start, text in _INTERVAL.findall(textgrid) if text.strip()]
