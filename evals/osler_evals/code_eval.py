"""Note to codes, measured on CodiEsp (Miranda-Escalada et al. 2020) and on outpatient diagnoses of ACI-BENCH."""

import csv
import os
import re
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from osler.coding.coder import CodedEntity, Coder, CodingTask, Setting
from osler.coding.terminology import Terminology
from osler.kernel.errors import InputError
from osler.kernel.progress import Progress, silent
from osler_evals.tables import Column, table

LABELS: Final = Path(__file__).parents[1] / "data" / "outpatient-codes"
MTS_DIALOG: Final = "mts-dialog"
VISIT_WORDS: Final = 1300
"""Words to which the time is scaled: those of a visit's note and more."""

_ASSESSMENT: Final = re.compile(r"(?mi)^\s*(ASSESSMENT AND PLAN|ASSESSMENT & PLAN|ASSESSMENT|IMPRESSION|PLAN)\b.*$")


@dataclass(slots=True)
class Hits:
    """Counts of codes: found, found though nobody gave them, not found."""

    true: int = 0
    false: int = 0
    missed: int = 0

    @property
    def precision(self) -> float:
        return self.true / (self.true + self.false) if self.true + self.false else 0.0

    @property
    def recall(self) -> float:
        return self.true / (self.true + self.missed) if self.true + self.missed else 0.0

    @property
    def f1(self) -> float:
        """The harmonic mean of precision and recall."""
        return 2 * self.true / (2 * self.true + self.false + self.missed) if self.true else 0.0

    def add(self, found: set[str], given: set[str]) -> None:
        """Count a document's codes."""
        self.true += len(found & given)
        self.false += len(found - given)
        self.missed += len(given - found)


@dataclass(slots=True)
class CaseReports:
    """Codes of CodiEsp: all together, by code, by chapter; ``edition`` with codes that were divided since 2018 (the
    edition of its labels) brought back to the code that they were divided from.
    """

    part: str
    documents: int = 0
    all: Hits = field(default_factory=Hits)
    edition: Hits = field(default_factory=Hits)
    by_code: dict[str, Hits] = field(default_factory=lambda: defaultdict(Hits))
    by_chapter: dict[str, Hits] = field(default_factory=lambda: defaultdict(Hits))
    precisions: list[float] = field(default_factory=list)
    words: int = 0
    seconds: float = 0.0
    processor_seconds: float = 0.0

    @property
    def macro_f1(self) -> float:
        """The mean of F1 over all codes that were given or found."""
        return sum(hits.f1 for hits in self.by_code.values()) / len(self.by_code) if self.by_code else 0.0

    @property
    def mean_average_precision(self) -> float:
        """MAP over documents, codes ranked by score."""
        return sum(self.precisions) / len(self.precisions) if self.precisions else 0.0

    @property
    def ms_per_visit(self) -> float:
        """Milliseconds for VISIT_WORDS words, after load."""
        return 1000 * self.seconds * VISIT_WORDS / self.words if self.words else 0.0

    @property
    def processor_ms_per_visit(self) -> float:
        """The same of processor time, which other work on the machine hardly changes."""
        return 1000 * self.processor_seconds * VISIT_WORDS / self.words if self.words else 0.0


@dataclass(slots=True)
class Diagnoses:
    """Labelled diagnoses: how many, with the right first code, with it among the first five, and those missed."""

    part: str
    labels: int = 0
    first: int = 0
    five: int = 0
    missed: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class CodeReport:
    """What was measured; None: the data was not there."""

    cases: CaseReports | None
    diagnoses: Sequence[Diagnoses]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types."""
        told: dict[str, Any] = {
            "outpatient": [
                {
                    "part": each.part,
                    "labels": each.labels,
                    "top1": round(each.first / each.labels, 4),
                    "top5": round(each.five / each.labels, 4),
                    "missed": each.missed,
                }
                for each in self.diagnoses
            ]
        }
        if self.cases is not None:
            cases = self.cases
            told["codiesp"] = {
                "part": cases.part,
                "documents": cases.documents,
                **_scores(cases.all),
                "macro_f1": round(cases.macro_f1, 4),
                "map": round(cases.mean_average_precision, 4),
                "by_todays_edition": _scores(cases.edition),
                "ms_per_1300_words": round(cases.ms_per_visit, 1),
                "processor_ms_per_1300_words": round(cases.processor_ms_per_visit, 1),
                "load": round(os.getloadavg()[0], 2),
                "chapters": {name: _scores(hits) for name, hits in sorted(cases.by_chapter.items())},
            }
        return told

    def to_text(self) -> str:
        """Return tables."""
        parts = []
        if self.cases is not None:
            cases = self.cases
            columns: list[Column[Hits]] = [
                Column("codes", lambda h: str(h.true + h.missed)),
                Column("P %", lambda h: f"{100 * h.precision:.1f}"),
                Column("R %", lambda h: f"{100 * h.recall:.1f}"),
                Column("F1 %", lambda h: f"{100 * h.f1:.1f}"),
            ]
            chapters = sorted(cases.by_chapter.items(), key=lambda item: _number(item[0]))
            rows = [*chapters, ("all", cases.all), ("all, today's edition", cases.edition)]
            title = f"CodiEsp {cases.part} ({cases.documents} documents), ICD-10-CM"
            parts.append(table(title, "chapter", columns, rows))
            parts.append(
                f"macro F1 {100 * cases.macro_f1:.1f} %, MAP {100 * cases.mean_average_precision:.1f} %, "
                f"{VISIT_WORDS} words in {cases.ms_per_visit:.0f} ms "
                f"({cases.processor_ms_per_visit:.0f} ms of processor time) "
                f"at a load of {os.getloadavg()[0]:.1f}\n"
            )
        if self.diagnoses:
            wanted: list[Column[Diagnoses]] = [
                Column("labels", lambda d: str(d.labels)),
                Column("top-1 %", lambda d: f"{100 * d.first / d.labels:.1f}"),
                Column("top-5 %", lambda d: f"{100 * d.five / d.labels:.1f}"),
            ]
            rows_of_parts = [(each.part, each) for each in self.diagnoses]
            parts.append(table("Outpatient diagnoses", "part", wanted, rows_of_parts))
            parts += [f"not first: {line}\n" for each in self.diagnoses for line in each.missed]
        return "\n".join(parts)


def evaluate_codes(
    coder: Coder,
    terminology: Terminology,
    data: Path,
    *,
    split: str = "dev",
    labels: Sequence[str] = ("dev",),
    limit: int | None = None,
    progress: Progress = silent,
) -> CodeReport:
    """Code CodiEsp's part ``split`` and the notes of the labelled diagnoses ``labels``, where their data is.

    ``data`` holds ``codiesp`` and ``aci-bench``, or is one of them. Case reports are coded as of hospital stays.
    Raises InputError if neither is there.
    """
    codiesp = next((f for f in (data / "codiesp" / split, data / split, data) if (f / f"{split}D.tsv").is_file()), None)
    notes = next((f for f in (data / "aci-bench", data) if (f / "valid.csv").is_file()), None)
    if codiesp is None and notes is None:
        raise InputError("The folder holds neither CodiEsp (devD.tsv, text_files_en) nor ACI-BENCH (valid.csv).")
    coder.code(CodingTask(note="Assessment: hypertension."), terminology)  # what is loaded is loaded now
    cases = None if codiesp is None else _cases(coder, terminology, codiesp, split, limit, progress)
    diagnoses = []
    for part in labels:
        texts = _assessments(data / MTS_DIALOG) if part == MTS_DIALOG else dict(_notes(notes)) if notes else {}
        if texts and (LABELS / f"{part}.tsv").is_file():
            diagnoses.append(_diagnoses(coder, terminology, texts, LABELS / f"{part}.tsv"))
    return CodeReport(cases, diagnoses)


def _cases(
    coder: Coder, terminology: Terminology, folder: Path, split: str, limit: int | None, progress: Progress
) -> CaseReports:
    given: dict[str, set[str]] = defaultdict(set)
    with (folder / f"{split}D.tsv").open(encoding="utf-8") as file:
        for document, code, *_ in csv.reader(file, delimiter="\t"):
            given[document].add(code.strip().upper())
    files = sorted((folder / "text_files_en").glob("*.txt"))[:limit]
    result = CaseReports(split)
    for number, path in enumerate(files):
        text = path.read_text(encoding="utf-8")
        began, worked = time.perf_counter(), time.process_time()
        entities = coder.code(CodingTask(note=text, setting=Setting.INPATIENT), terminology)
        result.seconds += time.perf_counter() - began
        result.processor_seconds += time.process_time() - worked
        result.words += len(text.split())
        result.documents += 1
        _count(result, ranked(entities), given[path.stem], terminology)
        progress("coding", number + 1, len(files))
    return result


def ranked(entities: Sequence[CodedEntity]) -> list[str]:
    """Return the first codes of all entities, each once, the surest first."""
    by_score = sorted(entities, key=lambda entity: -entity.primary.score)
    return list(dict.fromkeys(entity.primary.code for entity in by_score))


def _count(result: CaseReports, found: Sequence[str], given: set[str], terminology: Terminology) -> None:
    result.all.add(set(found), given)
    divided = {code for code in given if (known := terminology.find(code)) is not None and not known.billable}
    result.edition.add({next((d for d in divided if code.startswith(d)), code) for code in found}, given)
    for code in {*found, *given}:
        hit = {code} & set(found), {code} & given
        result.by_code[code].add(*hit)
        result.by_chapter[_chapter(code, terminology)].add(*hit)
    if given:
        hits, total = 0, 0.0
        for rank, code in enumerate(found, 1):
            if code in given:
                hits += 1
                total += hits / rank
        result.precisions.append(total / len(given))


def _diagnoses(coder: Coder, terminology: Terminology, texts: Mapping[str, str], labels: Path) -> Diagnoses:
    result = Diagnoses(labels.stem)
    coded: dict[str, list[CodedEntity]] = {}
    with labels.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            encounter, words, codes = row["encounter_id"], row["entity"], set(row["codes"].split())
            if "mts_dialog_part" in row:
                encounter = f"{row['mts_dialog_part']} {encounter}"
            note = texts[encounter]
            if encounter not in coded:
                coded[encounter] = coder.code(CodingTask(note=note), terminology)
            entity = _of_words(coded[encounter], note, words)
            result.labels += 1
            first = entity is not None and entity.primary.code in codes
            five = entity is not None and bool(codes & {entity.primary.code, *(s.code for s in entity.similar[:4])})
            result.first += first
            result.five += five
            if not first:
                got = f"{entity.primary.code} for {entity.entity}" if entity else "nothing"
                result.missed.append(f"{encounter}, {words}: {' or '.join(sorted(codes))}, got {got}")
    return result


def _of_words(entities: Sequence[CodedEntity], note: str, words: str) -> CodedEntity | None:
    """Return the entity that rests on the words of a label, as they stand in the assessment."""
    assessment = _ASSESSMENT.search(note)
    start = note.index(words, assessment.start() if assessment else 0)
    end = start + len(words)
    shared = [
        (min(end, r.end) - max(start, r.start), -number, entity)
        for number, entity in enumerate(entities)
        for r in entity.references
        if r.start < end and start < r.end
    ]
    return max(shared, key=lambda each: each[:2])[2] if shared else None


def _notes(folder: Path) -> Iterator[tuple[str, str]]:
    csv.field_size_limit(10**8)
    for name in ("train.csv", "valid.csv"):
        with (folder / name).open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                yield row["encounter_id"], row["note"]


def _assessments(folder: Path) -> dict[str, str]:
    """Return the assessments of MTS-Dialog as notes of one section, by part and number."""
    texts = {}
    for part, name in (("train", "Training"), ("valid", "Validation")):
        path = folder / f"MTS-Dialog-{name}Set.csv"
        if path.is_file():
            with path.open(encoding="utf-8", newline="") as file:
                for row in csv.DictReader(file):
                    texts[f"{part} {row['ID']}"] = f"ASSESSMENT\n\n{row['section_text']}\n"
    return texts


def _chapter(code: str, terminology: Terminology) -> str:
    for known in (terminology.find(code), terminology.find(code[:3])):
        if known is not None:
            return known.hierarchy[0] if known.hierarchy else known.code
    return "unknown"


def _number(chapter: str) -> tuple[int, str]:
    digits = re.search(r"\d+", chapter)
    return (int(digits.group()) if digits else 99, chapter)


def _scores(hits: Hits) -> Mapping[str, float]:
    return {
        "codes": hits.true + hits.missed,
        "precision": round(hits.precision, 4),
        "recall": round(hits.recall, 4),
        "micro_f1": round(hits.f1, 4),
    }
