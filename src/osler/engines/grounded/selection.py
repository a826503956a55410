"""Which candidate sentences belong in a note, and in which section: two linear models over words and context.

The weights in ``data/selection.json`` are made by ``python -m osler_evals.train_selection`` from the training parts of
ACI-BENCH (Yim et al. 2023) and MTS-Dialog (Ben Abacha et al. 2023), both CC BY 4.0. They hold word weights only.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import pairwise

from osler.engines.grounded.candidates import DENIED, STATED, Candidate

PATIENT_SECTIONS = frozenset(
    {"chief_complaint", "hpi", "history", "medications", "allergies", "social", "family", "ros"}
)
"""Sections that may rest on the patient's own words."""

CLINICIAN_SECTIONS = frozenset(
    {"hpi", "history", "medications", "vitals", "exam", "results", "assessment_plan", "instructions"}
)
"""Sections that may rest on what the clinician says."""


@dataclass(frozen=True)
class SelectionModel:
    """Weights by feature. ``sections`` weights are in the order of ``labels``."""

    bias: float
    weights: Mapping[str, float]
    labels: tuple[str, ...]
    section_bias: tuple[float, ...]
    section_weights: Mapping[str, tuple[float, ...]]

    def probability(self, candidate: Candidate) -> float:
        """Return 0..1: how likely the candidate is to belong in a note."""
        total = self.bias + sum(self.weights.get(f, 0.0) for f in features(candidate))
        return 1 / (1 + math.exp(-total))

    def section(self, candidate: Candidate, allowed: frozenset[str]) -> str:
        """Return the key of the section, of those allowed, that the candidate fits best."""
        totals = list(self.section_bias)
        for feature in features(candidate):
            for i, weight in enumerate(self.section_weights.get(feature, ())):
                totals[i] += weight
        return max((t, label) for t, label in zip(totals, self.labels, strict=True) if label in allowed)[1]


@cache
def load_model() -> SelectionModel:
    """Read the weights."""
    data = json.loads(files("osler.engines.grounded").joinpath("data", "selection.json").read_text(encoding="utf-8"))
    selection, sections = data["selection"], data["sections"]
    return SelectionModel(
        bias=selection["bias"],
        weights={k: v / 100 for k, v in selection["weights"].items()},
        labels=tuple(sections["labels"]),
        section_bias=tuple(sections["bias"]),
        section_weights={k: tuple(x / 100 for x in v) for k, v in sections["weights"].items()},
    )


def terms(text: str) -> list[str]:
    """Split into the words that the models know: lower case, letters and digits; digits as "0"."""
    return ["0" if w.isdigit() else w for w in re.sub(r"[^a-z0-9]+", " ", text.lower()).split()]


def features(candidate: Candidate) -> list[str]:
    """Return the names of the binary features that hold of a candidate, sorted, each once."""
    words = terms(candidate.text)
    who = "c" if candidate.by_clinician else "p"
    found = {f"w {w}" for w in words}
    found.update(f"b {a} {b}" for a, b in pairwise(words))
    found.update((f"who {who}", f"kind {candidate.kind}", f"length {who}{min(len(words) // 3, 8)}"))
    found.add(f"place {who}{int(candidate.position * 10)}")
    asked = candidate.asked if candidate.kind == STATED else candidate.sources[0].text
    found.update(f"q {w}" for w in terms(asked))
    if "0" in words:
        found.add(f"digit {who}")
    if candidate.kind == DENIED:
        found.add("denied")
    return sorted(found)
