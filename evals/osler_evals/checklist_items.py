"""The checklist of encounters, measured item by item: what is found that was said, and what is found that was not.

    python -m osler_evals.checklist_items [--part dev|held-out|all] [-v] [--json] [-o FILE]

The visits are Osler's own (``data/encounter_checklists``). Whoever writes the rules may read the dev visits only. (The
audit of notes fact by fact is ``osler_evals.checklist``.)
"""

import argparse
import json
import sys
import time
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from osler.engines.grounded.checklist.reader import GroundedChecklistReader
from osler.notes.checklist import ChecklistItem, ChecklistName
from osler.speech.model import CLINICIAN, PATIENT, Transcript, Turn, other
from osler_evals.tables import Column, table

PARTS: Final = ("dev", "held-out")
_SPEED_WORDS: Final = 1_300
"""Words of the visit that is timed."""


@dataclass(frozen=True, slots=True)
class Visit:
    """A visit with the words that the evidence of each item must touch; an item without words is not in the visit."""

    name: str
    transcript: Transcript
    expected: Mapping[ChecklistName, str]
    refused: str


@dataclass(slots=True)
class Counts:
    """How an item fared: found rightly, found though it was not said, missed, rightly not found.

    ``misplaced``: found rightly, with evidence that quotes other words than those that hold it.
    """

    right: int = 0
    false: int = 0
    missed: int = 0
    absent: int = 0
    misplaced: int = 0
    faults: list[str] = field(default_factory=list)

    @property
    def precision(self) -> float | None:
        """Share of what was found that was said; None where nothing was found."""
        found = self.right + self.false
        return self.right / found if found else None

    @property
    def recall(self) -> float | None:
        """Share of what was said that was found; None where nothing was said."""
        said = self.right + self.missed
        return self.right / said if said else None

    def add(self, other: "Counts") -> None:
        """Add another's counts."""
        for name in ("right", "false", "missed", "absent", "misplaced"):
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "right": self.right,
            "false": self.false,
            "missed": self.missed,
            "rightly_not_found": self.absent,
            "misplaced_evidence": self.misplaced,
            "precision": None if self.precision is None else round(self.precision, 3),
            "recall": None if self.recall is None else round(self.recall, 3),
        }


def visits(part: str) -> list[Visit]:
    """Read the visits of a part."""
    text = (files("osler_evals") / "data" / "encounter_checklists" / f"{part}.toml").read_text("utf-8")
    return [_visit(row) for row in tomllib.loads(text)["visit"]]


def judge(found: Sequence[ChecklistItem], visit: Visit) -> dict[str, Counts]:
    """Compare a checklist with what its visit holds, item by item; ``refused`` is an item of its own."""
    told = {item.name.value: _outcome(item.found, item, visit.expected.get(item.name), visit) for item in found}
    consent = next(item for item in found if item.name is ChecklistName.CONSENT)
    told["refused"] = _outcome(consent.refused, consent, visit.refused or None, visit)
    return told


def measure(part: str) -> tuple[dict[str, Counts], int]:
    """Read every visit of a part; returns the counts by item, and how many visits there are."""
    reader = GroundedChecklistReader()
    totals = {name: Counts() for name in (*(each.value for each in ChecklistName), "refused")}
    read = visits(part)
    for visit in read:
        for name, counts in judge(reader.read(visit.transcript), visit).items():
            totals[name].add(counts)
            totals[name].faults += [f"{visit.name}: {fault}" for fault in counts.faults]
    return totals, len(read)


def speed() -> tuple[int, float]:
    """Return the words of a long visit, made of the dev visits, and the milliseconds of processor time to read it: the
    median of nine."""
    turns: list[Turn] = []
    words = 0
    for visit in visits("dev"):
        if words < _SPEED_WORDS:
            turns += visit.transcript.turns
            words = sum(len(turn.text.split()) for turn in turns)
    transcript, reader = Transcript(tuple(turns)), GroundedChecklistReader()
    reader.read(transcript)
    taken = []
    for _ in range(9):
        start = time.process_time()
        reader.read(transcript)
        taken.append(time.process_time() - start)
    return words, 1_000 * sorted(taken)[4]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="osler_evals.checklist_items", description=__doc__)
    parser.add_argument("--part", choices=(*PARTS, "all"), default="dev")
    parser.add_argument("-v", "--faults", action="store_true", help="name the visits of what is wrong or missed")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE")
    options = parser.parse_args(arguments)
    parts = PARTS if options.part == "all" else (options.part,)
    measured = {part: measure(part) for part in parts}
    words, milliseconds = speed()
    result = {
        part: {"visits": count, "items": {name: counts.to_json() for name, counts in totals.items()}}
        for part, (totals, count) in measured.items()
    } | {"speed": {"words": words, "milliseconds": round(milliseconds, 1)}}
    text = json.dumps(result, indent=1) + "\n"
    if options.output:
        options.output.write_text(text, encoding="utf-8")
    sys.stdout.write(text if options.json else _text(measured, options.faults, words, milliseconds))
    return 0


def _text(
    measured: Mapping[str, tuple[Mapping[str, Counts], int]], faults: bool, words: int, milliseconds: float
) -> str:
    def share(value: float | None) -> str:
        return "–" if value is None else f"{100 * value:.0f} %"

    columns: list[Column[Counts]] = [
        Column("right", lambda c: str(c.right)),
        Column("false", lambda c: str(c.false)),
        Column("missed", lambda c: str(c.missed)),
        Column("rightly not found", lambda c: str(c.absent)),
        Column("precision", lambda c: share(c.precision)),
        Column("recall", lambda c: share(c.recall)),
        Column("misplaced evidence", lambda c: str(c.misplaced)),
    ]
    out = ""
    for part, (totals, count) in measured.items():
        out += table(f"{part}, {count} visits", "item", columns, list(totals.items()))
        if faults:
            out += "".join(f"{name}: {fault}\n" for name, counts in totals.items() for fault in counts.faults)
    return out + f"{words} words in {milliseconds:.0f} ms of processor time\n"


def _outcome(found: bool, item: ChecklistItem, expected: str | None, visit: Visit) -> Counts:
    if expected is None:
        quoted = " | ".join(piece.quote for piece in item.evidence)
        return Counts(false=1, faults=[f"false: {quoted}"]) if found else Counts(absent=1)
    if not found:
        return Counts(missed=1, faults=["missed"])
    if _touches(item, expected, visit.transcript):
        return Counts(right=1)
    quoted = " | ".join(piece.quote for piece in item.evidence)
    return Counts(right=1, misplaced=1, faults=[f"misplaced: {quoted}"])


def _touches(item: ChecklistItem, expected: str, transcript: Transcript) -> bool:
    for number, turn in enumerate(transcript.turns):
        at = turn.text.find(expected)
        if at >= 0 and any(e.turn == number and e.start < at + len(expected) and at < e.end for e in item.evidence):
            return True
    return False


def _visit(row: Mapping[str, Any]) -> Visit:
    labels = {"D": CLINICIAN, "P": PATIENT}
    turns = []
    for line in row["turns"].strip().splitlines():
        label, _, text = line.partition(": ")
        if label not in labels:
            labels[label] = other(len(labels) - 1)
        turns.append(Turn(labels[label], text))
    expected = {ChecklistName(name): str(words) for name, words in row["expected"].items()}
    refused = str(row.get("refused", ""))
    for words in (*expected.values(), *filter(None, (refused,))):
        if not any(words in turn.text for turn in turns):
            raise ValueError(f"the visit {row['name']} does not hold the words expected of it")
    return Visit(str(row["name"]), Transcript(tuple(turns)), expected, refused)


if __name__ == "__main__":
    raise SystemExit(main())
