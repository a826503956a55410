"""Trains the writer's choice of sentences and sections: ``python -m osler_evals.train_selection --data DIR``.

A candidate is a good one if adding it raises the unigram F1 of all chosen candidates against the reference note (greedy
oracle, as in Nallapati et al. 2017, "SummaRuNNer", section 3.3). A good candidate's section is that of the reference
sentence with which it shares the most words, rare ones counting more. Only word weights leave this program.
"""

import argparse
import csv
import json
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.feature_extraction import DictVectorizer
from sklearn.linear_model import LogisticRegression

from osler.engines.grounded.candidates import Candidate, candidates
from osler.engines.grounded.rewriting import reference_of
from osler.engines.grounded.selection import CLINICIAN_SECTIONS, PATIENT_SECTIONS, features, terms
from osler.engines.grounded.utterances import utterances
from osler.speech.model import CLINICIAN, PATIENT, Transcript, Turn

OUTPUT = Path(__file__).resolve().parents[2] / "src/osler/engines/grounded/data/selection.json"
SOURCE = (
    "Weights learned from ACI-BENCH train (Yim et al. 2023, Scientific Data 10:586) and MTS-Dialog train "
    "(Ben Abacha et al. 2023, EACL), both CC BY 4.0; made by osler_evals.train_selection. Values are hundredths."
)
SELECTION_C, SECTION_C = 0.3, 0.5
"""Inverse strengths of the L2 penalty, chosen by five-fold cross-validation on the training part."""
MIN_COUNT = 4
"""A feature in fewer candidates is left out."""
MIN_SHARED = 0.3
"""Share of a candidate's word weight that a reference sentence must hold to lend it its section."""

HEADINGS = (
    (r"chief complaint|^cc:?$", "chief_complaint"),
    (r"history of present illness|^hpi:?$|interval history", "hpi"),
    (r"family history", "family"),
    (r"social history", "social"),
    (r"medical history|past history|surgical history|^problem list", "history"),
    (r"allerg", "allergies"),
    (r"medications", "medications"),
    (r"review of systems", "ros"),
    (r"^vitals", "vitals"),
    (r"physical exam|^exam", "exam"),
    (r"^results", "results"),
    (r"^instructions", "instructions"),
    (r"^assessment|^plan|^impression", "assessment_plan"),
)
MTS_HEADERS = {
    "GENHX": "hpi",
    "PASTMEDICALHX": "history",
    "PASTSURGICAL": "history",
    "CC": "chief_complaint",
    "ALLERGY": "allergies",
    "ROS": "ros",
    "MEDICATIONS": "medications",
    "EXAM": "exam",
    "ASSESSMENT": "assessment_plan",
    "PLAN": "assessment_plan",
    "DIAGNOSIS": "assessment_plan",
    "DISPOSITION": "instructions",
    "GYNHX": "history",
    "IMMUNIZATIONS": "history",
    "IMAGING": "results",
    "LABS": "results",
}
RELATIVES = frozenset(
    [
        "mother",
        "father",
        "brother",
        "sister",
        "parents",
        "family",
        "grandmother",
        "grandfather",
        "mom",
        "dad",
        "uncle",
        "aunt",
        "son",
    ]
)


@dataclass(frozen=True)
class Visit:
    """A dialogue with its reference note."""

    transcript: Transcript
    note: str


def read_aci(path: Path) -> list[Visit]:
    """Read an ACI-BENCH table: ``[doctor] ...`` lines and the note."""
    roles = {"doctor": CLINICIAN, "patient": PATIENT}
    visits = []
    with path.open(newline="", encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            parts = re.split(r"^\[(\w+)\]", row["dialogue"], flags=re.MULTILINE)[1:]
            turns = tuple(
                Turn(roles.get(who, "other 1"), " ".join(text.split()))
                for who, text in zip(parts[::2], parts[1::2], strict=True)
            )
            visits.append(Visit(Transcript(turns), row["note"]))
    return visits


def read_mts(path: Path) -> list[tuple[Transcript, str, str]]:
    """Read an MTS-Dialog table: (dialogue, key of its section, section text), headers without a key left out."""
    found = []
    with path.open(newline="", encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            parts = re.split(r"^\s*(Doctor|Patient|Guest_\w+)\s*:", row["dialogue"], flags=re.MULTILINE)[1:]
            turns = tuple(
                Turn({"Doctor": CLINICIAN, "Patient": PATIENT}.get(who, "other 1"), " ".join(text.split()))
                for who, text in zip(parts[::2], parts[1::2], strict=True)
            )
            key = MTS_HEADERS.get(row["section_header"])
            if row["section_header"] == "FAM/SOCHX":
                key = "family/social"
            if key is not None:
                found.append((Transcript(turns), key, row["section_text"]))
    return found


def reference_sentences(note: str) -> list[tuple[str, str]]:
    """Return (section key, sentence) of a reference note; what stands before any known heading is left out."""
    key, found = "", []
    for line in note.splitlines():
        text = line.strip()
        if not text:
            continue
        if len(text) < 45 and (text.isupper() or text.rstrip(":").isupper() or text.istitle()):
            for pattern, section in HEADINGS:
                if re.search(pattern, text.lower()):
                    key = section
                    break
            else:
                if text.isupper() and key not in {"assessment_plan", "exam"}:
                    key = ""
            continue
        if key:
            found += [(key, s) for s in re.split(r"(?<=[.?!])\s+", text) if terms(s)]
    return found


def oracle(pool: Sequence[Candidate], note: str) -> list[bool]:
    """Choose greedily the candidates whose words together have the best unigram F1 against the note."""
    wanted = Counter(terms(note))
    bags = [Counter(terms(c.text)) for c in pool]
    size, chosen_words, shared, best = sum(wanted.values()), 0, 0, 0.0
    have: Counter[str] = Counter()
    chosen = [False] * len(pool)
    while True:
        step: tuple[float, int, int] | None = None
        for i, bag in enumerate(bags):
            if chosen[i]:
                continue
            gain = sum(min(n, max(0, wanted[w] - have[w])) for w, n in bag.items())
            score = 2 * (shared + gain) / (chosen_words + sum(bag.values()) + size)
            if score > best + 1e-9 and (step is None or score > step[0]):
                step = (score, i, gain)
        if step is None:
            return chosen
        best, i, gain = step
        chosen[i] = True
        shared += gain
        chosen_words += sum(bags[i].values())
        have += bags[i]


def sections_of(pool: Sequence[Candidate], visit: Visit, rarity: dict[str, float]) -> list[str | None]:
    """Return for each candidate the section of the reference sentence nearest to it, None where none is near."""
    reference = [(key, set(terms(s))) for key, s in reference_sentences(visit.note)]
    found: list[str | None] = []
    for candidate in pool:
        words = set(terms(candidate.text))
        allowed = CLINICIAN_SECTIONS if candidate.by_clinician else PATIENT_SECTIONS
        total = sum(rarity.get(w, 6.0) for w in words) or 1.0
        best: tuple[float, str] | None = None
        for key, other in reference:
            if key not in allowed:
                continue
            shared = sum(rarity.get(w, 6.0) for w in words & other)
            score = shared / total + 0.3 * shared / (sum(rarity.get(w, 6.0) for w in other) or 1.0)
            if shared / total >= MIN_SHARED and (best is None or score > best[0]):
                best = (score, key)
        found.append(best[1] if best else None)
    return found


@dataclass
class Examples:
    """Training rows: features, whether to choose, section (or None), and the visit they belong to (-1: MTS)."""

    rows: list[dict[str, int]]
    chosen: list[int]
    sections: list[str | None]
    visits: list[int]


def examples(visits: Sequence[Visit], short: Sequence[tuple[Transcript, str, str]]) -> Examples:
    """Label the candidates of every dialogue."""
    counts: Counter[str] = Counter(w for v in visits for w in set(terms(v.note)))
    rarity = {w: math.log((1 + len(visits)) / n) for w, n in counts.items()}
    data = Examples([], [], [], [])
    for number, visit in enumerate(visits):
        pool = candidates(utterances(visit.transcript), reference_of(visit.transcript))
        chosen = oracle(pool, visit.note)
        for candidate, good, section in zip(pool, chosen, sections_of(pool, visit, rarity), strict=True):
            data.rows.append(dict.fromkeys(features(candidate), 1))
            data.chosen.append(int(good))
            data.sections.append(section)
            data.visits.append(number)
    for transcript, key, text in short:
        wanted = set(terms(text))
        for candidate in candidates(utterances(transcript), reference_of(transcript)):
            words = set(terms(candidate.text))
            if sum(rarity.get(w, 6.0) for w in words & wanted) < MIN_SHARED * sum(rarity.get(w, 6.0) for w in words):
                continue
            section = key
            if key == "family/social":
                section = "family" if RELATIVES & words else "social"
            if section not in (CLINICIAN_SECTIONS if candidate.by_clinician else PATIENT_SECTIONS):
                continue
            row = dict.fromkeys((f for f in features(candidate) if not f.startswith("place")), 1)
            data.rows.append(row)
            data.chosen.append(-1)
            data.sections.append(section)
            data.visits.append(-1)
    return data


def train(data: Examples) -> dict[str, Any]:
    """Fit both models and return the data file."""
    to_choose = [i for i, c in enumerate(data.chosen) if c >= 0]
    to_place = [i for i, s in enumerate(data.sections) if s is not None]
    names, coefficients, bias = _fit(
        [data.rows[i] for i in to_choose], [data.chosen[i] for i in to_choose], SELECTION_C
    )
    labels = sorted({str(data.sections[i]) for i in to_place})
    codes = [labels.index(str(data.sections[i])) for i in to_place]
    places, matrix, offsets = _fit([data.rows[i] for i in to_place], codes, SECTION_C)
    weights = {n: round(100 * float(c)) for n, c in zip(names, coefficients[0], strict=True)}
    section_weights = {n: [round(100 * float(x)) for x in matrix[:, j]] for j, n in enumerate(places)}
    return {
        "source": SOURCE,
        "selection": {
            "bias": round(float(bias[0]), 3),
            "weights": {n: w for n, w in sorted(weights.items()) if abs(w) >= 4},
        },
        "sections": {
            "labels": labels,
            "bias": [round(float(x), 3) for x in offsets],
            "weights": {n: w for n, w in sorted(section_weights.items()) if max(map(abs, w)) >= 12},
        },
    }


def _fit(rows: Sequence[dict[str, int]], targets: Sequence[int], strength: float) -> tuple[list[str], Any, Any]:
    counts = Counter(f for row in rows for f in row)
    kept = [{f: 1 for f in row if counts[f] >= MIN_COUNT} for row in rows]
    vectorizer = DictVectorizer(sort=True)
    matrix = vectorizer.fit_transform(kept)
    model = LogisticRegression(C=strength, max_iter=500, tol=1e-6).fit(matrix, np.array(targets))
    return list(vectorizer.feature_names_), model.coef_, model.intercept_


def main() -> None:
    """Train from ``--data`` and write the weights beside the writer."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds aci-bench/ and mts-dialog/")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    arguments = parser.parse_args()
    visits = read_aci(arguments.data / "aci-bench" / "train.csv")
    short = read_mts(arguments.data / "mts-dialog" / "MTS-Dialog-TrainingSet.csv")
    weights = train(examples(visits, short))
    text = json.dumps(weights, ensure_ascii=True, separators=(",", ":"), sort_keys=True).replace(
        '"sections":', '\n"sections":'
    )
    arguments.output.write_text(text.replace('"source":', '\n"source":') + "\n", encoding="utf-8")
    print(f"{arguments.output.name}: {arguments.output.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
