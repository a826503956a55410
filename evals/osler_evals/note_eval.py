"""Transcript to note, measured on ACI-BENCH (Yim et al. 2023): dialogues with a clinician's full note each."""

import csv
import os
import statistics
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from osler.kernel.errors import InputError, NoClinicalContentError
from osler.kernel.progress import Progress, silent
from osler.notes.model import Note
from osler.notes.rendering import to_markdown
from osler.speech.dialogue import parse_dialogue
from osler.speech.model import Transcript
from osler_evals.note_scores import Counts, Rouge, count, plain, rouge
from osler_evals.tables import Column, table

WriteNote = Callable[[Transcript], Note]

EMPTY: Final = Rouge(0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Encounter:
    """One row of the table: its subset (aci, virtassist, virtscribe), id, dialogue and reference note."""

    subset: str
    name: str
    dialogue: str
    note: str


@dataclass(frozen=True, slots=True)
class NoteScores:
    """Scores of the notes of some encounters: means of ROUGE and seconds, sums of counts."""

    encounters: int
    rouge: Rouge
    counts: Counts
    seconds: float
    longest_seconds: float
    not_written: int = 0

    @property
    def words(self) -> float:
        """Words per note."""
        return self.counts.words / self.encounters if self.encounters else 0.0

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "encounters": self.encounters,
            "not_written": self.not_written,
            "rouge1": round(self.rouge.rouge1, 4),
            "rouge2": round(self.rouge.rouge2, 4),
            "rougeLsum": round(self.rouge.rouge_lsum, 4),
            "words_per_note": round(self.words, 1),
            "seconds_per_note": round(self.seconds, 3),
            "longest_seconds": round(self.longest_seconds, 3),
            **self.counts.to_json(),
        }


@dataclass(frozen=True, slots=True)
class NoteReport:
    """Scores of all encounters, by subset, and of baselines: a copy of the transcript, and the notes misquoted."""

    split: str
    voice_style: str
    load_average: float
    all: NoteScores
    subsets: Mapping[str, NoteScores]
    baselines: Mapping[str, NoteScores]
    by_encounter: Mapping[str, NoteScores]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "data": f"ACI-BENCH {self.split}",
            "voice_style": self.voice_style,
            "cpus": os.cpu_count(),
            "load_average_at_start": round(self.load_average, 2),
            "all": self.all.to_json(),
            "subsets": {name: scores.to_json() for name, scores in self.subsets.items()},
            "baselines": {name: scores.to_json() for name, scores in self.baselines.items()},
            "encounters": {name: scores.to_json() for name, scores in self.by_encounter.items()},
        }

    def to_text(self) -> str:
        """Return a table for reading."""
        columns: tuple[Column[NoteScores], ...] = (
            Column("notes", lambda s: str(s.encounters)),
            Column("ROUGE-1", lambda s: f"{100 * s.rouge.rouge1:.1f}"),
            Column("ROUGE-2", lambda s: f"{100 * s.rouge.rouge2:.1f}"),
            Column("ROUGE-Lsum", lambda s: f"{100 * s.rouge.rouge_lsum:.1f}"),
            Column("evidence %", lambda s: _percent(s.counts.with_evidence, s.counts.sentences)),
            Column("exact %", lambda s: _percent(s.counts.quoting_exactly, s.counts.sentences)),
            Column("unsupported %", lambda s: f"{100 * s.counts.unsupported_rate:.2f}" if s.counts.sentences else "-"),
            Column("reworded %", _reworded),
            Column("repeated", lambda s: str(s.counts.repeated) if s.counts.sentences else "-"),
            Column("words", lambda s: f"{s.words:.0f}"),
            Column("s/note", lambda s: f"{s.seconds:.2f}" if s.counts.sentences else "-"),
            Column("longest s", lambda s: f"{s.longest_seconds:.2f}" if s.counts.sentences else "-"),
        )
        rows = [(f"Osler, {self.voice_style}", self.all)]
        rows += [(f"  {name}", scores) for name, scores in self.subsets.items()]
        rows += list(self.baselines.items())
        title = (
            f"Notes, ACI-BENCH {self.split}, ROUGE F1 without stemming, {os.cpu_count()} cores, "
            f"load average {self.load_average:.1f} at the start"
        )
        text = table(title, "note", columns, rows)
        return text + (
            f"{self.all.not_written} notes were not written (no clinical content)\n" * bool(self.all.not_written)
        )


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f}" if whole else "-"


def _reworded(scores: NoteScores) -> str:
    return f"{100 * scores.counts.unsupported_content_rate:.1f}" if scores.counts.sentences else "-"


def read_encounters(data: Path, split: str) -> list[Encounter]:
    """Read SPLIT.csv of ACI-BENCH in ``data`` or ``data``/aci-bench, in its order.

    Raises InputError when it is not there or lacks a column.
    """
    places = (data / f"{split}.csv", data / "aci-bench" / f"{split}.csv")
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        raise InputError(
            "The --data folder holds no table of that --split; name the folder of ACI-BENCH (valid.csv, train.csv)."
        )
    try:
        with path.open(encoding="utf-8", newline="") as lines:
            rows = [
                Encounter(row["dataset"], row["encounter_id"], row["dialogue"], row["note"])
                for row in csv.DictReader(lines)
            ]
    except (OSError, UnicodeDecodeError, KeyError, csv.Error):
        raise InputError(
            "That table cannot be read as ACI-BENCH: it needs the columns dataset, encounter_id, dialogue and note."
        ) from None
    if not rows:
        raise InputError("That table of ACI-BENCH holds no rows.")
    return rows


def evaluate_notes(
    write: WriteNote,
    data: Path,
    *,
    split: str = "valid",
    voice_style: str,
    limit: int | None = None,
    progress: Progress = silent,
) -> NoteReport:
    """Write the note of every encounter with ``write`` and score it. Raises InputError as :func:`read_encounters`.

    The first dialogue is written once before the clock runs, so that loading is not counted.
    """
    load = os.getloadavg()[0]
    encounters = read_encounters(data, split)[:limit]
    _scored(encounters[0], write)
    scored: dict[str, NoteScores] = {}
    for number, encounter in enumerate(encounters):
        progress("Writing notes", number, len(encounters))
        scored[encounter.name] = _scored(encounter, write)
    progress("Writing notes", len(encounters), len(encounters))
    copies = [_copy(encounter) for encounter in encounters]
    shuffled = [_scored(encounter, lambda transcript: with_quotes_moved(write(transcript))) for encounter in encounters]
    subsets = Counter(encounter.subset for encounter in encounters)
    return NoteReport(
        split,
        voice_style,
        load,
        _together(list(scored.values())),
        {name: _together([scored[e.name] for e in encounters if e.subset == name]) for name in sorted(subsets)},
        {
            "copy of the transcript": _together(copies),
            "Osler, quotes shuffled": _together(shuffled),
        },
        scored,
    )


def with_quotes_moved(note: Note) -> Note:
    """Return ``note`` with each sentence citing what the next one cites: a control that must score badly."""
    sentences = note.sentences
    moved = iter([replace(s, evidence=sentences[(i + 1) % len(sentences)].evidence) for i, s in enumerate(sentences)])
    return replace(
        note,
        sections=tuple(replace(part, sentences=tuple(next(moved) for _ in part.sentences)) for part in note.sections),
    )


def _scored(encounter: Encounter, write: WriteNote) -> NoteScores:
    transcript = parse_dialogue(encounter.dialogue)
    started = time.perf_counter()
    try:
        note = write(transcript)
    except NoClinicalContentError:
        elapsed = time.perf_counter() - started
        return NoteScores(1, EMPTY, Counts(), elapsed, elapsed, not_written=1)
    elapsed = time.perf_counter() - started
    return NoteScores(1, rouge(encounter.note, plain(to_markdown(note))), count(note, transcript), elapsed, elapsed)


def _copy(encounter: Encounter) -> NoteScores:
    text = "\n".join(turn.text for turn in parse_dialogue(encounter.dialogue).turns)
    return NoteScores(1, rouge(encounter.note, text), Counts(words=len(text.split())), 0.0, 0.0)


def _together(scores: Sequence[NoteScores]) -> NoteScores:
    return NoteScores(
        encounters=len(scores),
        rouge=Rouge(
            statistics.fmean(s.rouge.rouge1 for s in scores),
            statistics.fmean(s.rouge.rouge2 for s in scores),
            statistics.fmean(s.rouge.rouge_lsum for s in scores),
        ),
        counts=sum((s.counts for s in scores), Counts()),
        seconds=statistics.fmean(s.seconds for s in scores),
        longest_seconds=max(s.longest_seconds for s in scores),
        not_written=sum(s.not_written for s in scores),
    )
