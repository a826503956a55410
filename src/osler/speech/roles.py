"""Who sounds like the clinician: a small linear language model of roles and of turn changes.

Two logistic regressions over words, word pairs and shapes, trained by ``python -m osler_evals.train_roles`` and read
from ``data/roles.tsv`` (sources and licences stand in that file):

* ``role``: log-odds that a sentence was said by the clinician and not by the patient (or who speaks for the patient);
* ``relative``: log-odds that a sentence was said by a relative or other companion and not by the patient;
* ``change``: log-odds that another person speaks after the border between two sentences.
"""

import functools
import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Final

import numpy as np
from numpy.typing import NDArray

from osler.speech.model import CLINICIAN, PATIENT

_TOKEN = re.compile(r"[a-z0-9]+(?:['’][a-z]+)*")
_DIGITS = re.compile(r"\d+")


_SENTENCE_END = re.compile(r"(?<=[.?!…])[\"')”’]*\s+")
_BLANK_BEFORE_PUNCTUATION = re.compile(r"\s+([.,?!;:])")


def sentences_of(text: str) -> list[list[str]]:
    """Split a turn's text into sentences, each a list of words as written; stray punctuation joins the word before."""
    tidy = _BLANK_BEFORE_PUNCTUATION.sub(r"\1", text)
    return [sentence.split() for sentence in _SENTENCE_END.split(tidy) if re.search(r"\w", sentence)]


def tokens_of(words: Iterable[str]) -> list[str]:
    """Return the lower-case tokens of words as written, digits folded to ``0``, punctuation dropped."""
    return [_DIGITS.sub("0", token).replace("’", "'") for word in words for token in _TOKEN.findall(word.lower())]


def is_question(words: Sequence[str]) -> bool:
    """Say whether the last word carries a question mark."""
    return bool(words) and "?" in words[-1][-2:]


def _length(count: int) -> str:
    for limit in (1, 2, 3, 5, 8, 13, 21):
        if count <= limit:
            return f"#{limit}"
    return "#34"


def sentence_features(words: Sequence[str]) -> list[str]:
    """Return the features of one sentence (its words as written) for ``role`` and ``relative``; each once."""
    tokens = tokens_of(words)
    found = dict.fromkeys(tokens)
    found.update(dict.fromkeys(f"{a} {b}" for a, b in itertools.pairwise(tokens)))
    if tokens:
        found[f"^{tokens[0]}"] = None
        found["^" + " ".join(tokens[:2])] = None
    found[_length(len(tokens))] = None
    if is_question(words):
        found["?"] = None
    return list(found)


def change_features(before: Sequence[str], after: Sequence[str]) -> list[str]:
    """Return the features of the border between two sentences (words as written) for ``change``."""
    left, right = tokens_of(before), tokens_of(after)
    asked = "?" if is_question(before) else "."
    ended = "?" if is_question(after) else "."
    features = [
        f"{asked}|",
        f"{asked}|{ended}",
        f"{asked}|{_length(len(right))}",
        f"{_length(len(left))}|",
        f"{_length(len(left))}|{_length(len(right))}",
    ]
    if left:
        features += [f"^{left[0]}|", f"{left[-1]}|", f"{' '.join(left[-2:])}|"]
    if right:
        features += [f"|{right[0]}", f"{asked}|{right[0]}", f"|{' '.join(right[:2])}", f"|{right[-1]}$"]
        if left:
            features.append(f"^{left[0]}|{right[0]}")
    return features


@dataclass(frozen=True, slots=True)
class LinearModel:
    """Weights of a logistic regression: ``score`` is the log-odds (natural logarithm)."""

    bias: float
    weights: Mapping[str, float]

    def score(self, features: Iterable[str]) -> float:
        """Return bias plus the weights of the features that the model knows."""
        return self.bias + sum(self.weights.get(feature, 0.0) for feature in features)


@functools.cache
def models() -> Mapping[str, LinearModel]:
    """Read the shipped models (``role``, ``relative``, ``change``) from ``data/roles.tsv``, once."""
    return parse_models(resources.files("osler.speech").joinpath("data/roles.tsv").read_text("utf-8"))


def parse_models(text: str) -> dict[str, LinearModel]:
    """Read models from their file: ``@name bias step`` opens one, then a line per weight, ``integer<TAB>features``.

    The weight of each of the tab-separated features is the integer times ``step``. Lines with ``# `` are comments.
    """
    found: dict[str, LinearModel] = {}
    weights: dict[str, float] = {}
    step = 1.0
    for line in text.splitlines():
        if not line or line.startswith("# "):
            continue
        if line.startswith("@"):
            name, bias, width = line[1:].split()
            weights, step = {}, float(width)
            found[name] = LinearModel(float(bias), weights)
            continue
        value, *features = line.split("\t")
        weights.update(dict.fromkeys(features, int(value) * step))
    return found


def clinician_log_odds(words: Sequence[str]) -> float:
    """Return the log-odds that the clinician, not the patient, said this sentence (its words as written)."""
    return models()["role"].score(sentence_features(words))


def relative_log_odds(words: Sequence[str]) -> float:
    """Return the log-odds that a companion, not the patient, said this sentence (its words as written)."""
    return models()["relative"].score(sentence_features(words))


def change_log_odds(before: Sequence[str], after: Sequence[str]) -> float:
    """Return the log-odds that the speaker changes between two sentences that follow each other."""
    return models()["change"].score(change_features(before, after))


EVIDENCE_CAP: Final = 5.0
"""Largest log-odds that one sentence may add for or against a role: no single phrase decides."""

CONFIDENCE_SCALE: Final = 0.5
"""Turns margins of summed log-odds into log-odds of a right role: sentences of one visit are not independent. On
openings of 2 to 40 turns of 153 held-out dialogues the log loss is lowest from 0.5 to 1; the careful end is taken."""


def role_evidence(words: Sequence[str]) -> NDArray[np.float64]:
    """Return log-likelihoods, up to a constant, of a sentence (its words as written) by role, shape [3].

    The roles are clinician, patient and another person. Another person is mostly a relative, who talks like a patient
    but about somebody else, now and then a colleague, who talks like the clinician.
    """
    clinical = 1 / (1 + np.exp(-np.clip(clinician_log_odds(words), -EVIDENCE_CAP, EVIDENCE_CAP)))
    relative = 1 / (1 + np.exp(-np.clip(relative_log_odds(words), -EVIDENCE_CAP, EVIDENCE_CAP)))
    return np.log(
        [
            clinical,
            (1 - clinical) * (1 - 0.7 * relative),
            0.8 * (1 - clinical) * (0.3 + 0.7 * relative) + 0.2 * clinical,
        ]
    )


NO_PATIENT: Final = -2.0
"""Log prior of a visit in which the patient does not speak (a parent answers for a small child). Of 61 training
dialogues the summed evidence for a companion lies below 1 for every patient, at 2 or above for 36 of 37 companions."""

SOLE_CLINICIAN: Final = 3.0
"""Log prior that a single voice is the clinician who dictates."""


def role_assignments(speakers: int, open_roles: Sequence[int] = (0, 1)) -> list[tuple[tuple[int, ...], float]]:
    """Return every way to give roles to speakers, each with its log prior: 0 clinician, 1 patient, 2 another.

    Each open role goes to one speaker, all further speakers are 2; the patient may be missing. A single speaker has one
    of the open roles.
    """
    if speakers == 1:
        return [((role,), SOLE_CLINICIAN if role == 0 and len(open_roles) > 1 else 0.0) for role in open_roles] or [
            ((2,), 0.0)
        ]
    found: dict[tuple[int, ...], float] = {}
    for given in {tuple(open_roles), tuple(role for role in open_roles if role != 1)}:
        for who in itertools.permutations(range(speakers), len(given)):
            roles = dict(zip(who, given, strict=True))
            prior = NO_PATIENT if 1 in open_roles and 1 not in given else 0.0
            found[tuple(roles.get(j, 2) for j in range(speakers))] = prior
    return sorted(found.items())


def chances(totals: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the chance of each assignment (shape [a], sum 1) from its total log-likelihood."""
    weights = np.exp(CONFIDENCE_SCALE * (totals - totals.max()))
    return np.asarray(weights / weights.sum())


def role_confidence(
    likely: NDArray[np.float64], assignments: Sequence[tuple[tuple[int, ...], float]], speaker: int, role: int
) -> float:
    """Return the chance (0..1) that a speaker has a role, over all assignments with the chances ``likely``."""
    return float(sum(p for p, (roles, _) in zip(likely, assignments, strict=True) if roles[speaker] == role))


def decide_roles(
    said: Mapping[str, Sequence[Sequence[str]]], open_roles: Sequence[str]
) -> dict[str, tuple[str | None, float]]:
    """Give the open roles (``clinician``, ``patient``) to speakers by the sentences that each said.

    Returns per speaker the role, None for another person, and the confidence 0..1.
    """
    names = (CLINICIAN, PATIENT, None)
    evidence = np.array([sum((role_evidence(s) for s in sentences), np.zeros(3)) for sentences in said.values()])
    assignments = role_assignments(len(said), [names.index(role) for role in open_roles])
    totals = np.array([prior + sum(evidence[j, role] for j, role in enumerate(roles)) for roles, prior in assignments])
    likely = chances(totals)
    best, _ = assignments[int(totals.argmax())]
    return {
        speaker: (names[best[j]], role_confidence(likely, assignments, j, best[j])) for j, speaker in enumerate(said)
    }
