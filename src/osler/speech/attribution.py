"""Who said each word: a hidden Markov model over words that weighs sound and language together.

States are the acoustic clusters. A word's emission is its acoustic affinity plus the language evidence of its sentence
under the cluster's role; the price of changing the speaker comes from the words around a border and the pause at it
(Viterbi 1967; the idea of lexical evidence in diarization after Park and Georgiou 2018). Every way to give the roles to
the clusters is decoded, the best total wins, and the margin over the others is the confidence.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from osler.speech.model import CLINICIAN, PATIENT, HeardWord, other
from osler.speech.roles import (
    SOLE_CLINICIAN,
    chances,
    change_log_odds,
    role_assignments,
    role_confidence,
    role_evidence,
)

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class AttributionWeights:
    """What the model's parts weigh. Set on simulated confusions of training dialogues and on synthetic visits."""

    sound: float = 0.65
    """Factor on the affinity; below 1 because neighbouring words share their acoustic windows."""
    language: float = 1.0
    """Factor on a sentence's role log-odds."""
    change: float = 0.8
    """Factor on the log-odds of the turn-change model."""
    pause: float = 2.0
    """Log-odds of a change per second of pause, up to one second."""
    comma: float = -4.0
    """Log-odds of a change after a comma."""
    mid_phrase: float = -6.0
    """Log-odds of a change inside a phrase."""
    silence: float = 0.35
    """Seconds of pause that part two sentences without punctuation between them."""
    open_border: float = -1.0
    """Log-odds of a change added at such a pause: it is more often a hesitation."""
    split_margin: float = 0.12
    """Per word: how much two speakers must explain better than one before a single voice is split by language."""


DEFAULT_WEIGHTS: Final = AttributionWeights()


@dataclass(frozen=True, slots=True)
class Attribution:
    """``speakers[i]`` is the speaker index of word ``i``; ``roles`` and ``confidences`` (0..1) are per speaker."""

    speakers: tuple[int, ...]
    roles: tuple[str, ...]
    confidences: tuple[float, ...]


def attribute(
    words: Sequence[HeardWord],
    affinity: NDArray[np.floating[Any]],
    weights: AttributionWeights = DEFAULT_WEIGHTS,
) -> Attribution:
    """Decide speaker and role of each word.

    ``words`` are the whole recording in time order; ``affinity`` (shape [n words, k], k >= 1) is log-softmax-like: how
    well each word fits each acoustic cluster. Raises ValueError when the shapes do not fit.
    """
    sound = np.asarray(affinity, dtype=np.float64)
    if sound.ndim != 2 or sound.shape[0] != len(words) or (len(words) and sound.shape[1] < 1):
        raise ValueError(f"affinity has shape {sound.shape} for {len(words)} words")
    if not words:
        return Attribution((), (), ())
    evidence = _Evidence.of(words, weights)
    if sound.shape[1] == 1:
        return _attribute_one_voice(evidence, weights)
    return _attribute_voices(sound, evidence, weights)


@dataclass(frozen=True, slots=True)
class _Evidence:
    """What language says: per word [n, 3] for clinician, patient, other; the log-odds of a change before each."""

    roles: Floats
    change: Floats

    @classmethod
    def of(cls, words: Sequence[HeardWord], weights: AttributionWeights) -> "_Evidence":
        sentences = _sentences(words, weights.silence)
        texts = [[words[i].text for i in sentence] for sentence in sentences]
        roles = np.zeros((len(words), 3))
        change = np.full(len(words), weights.mid_phrase)
        for number, (sentence, text) in enumerate(zip(sentences, texts, strict=True)):
            roles[sentence.start : sentence.stop] = weights.language * role_evidence(text) / len(text)
            if number:
                closed = _ends_sentence(words[sentence.start - 1])
                change[sentence.start] = weights.change * change_log_odds(texts[number - 1], text) + (
                    0.0 if closed else weights.open_border
                )
        for i in range(1, len(words)):
            if words[i - 1].text.endswith(",") and change[i] == weights.mid_phrase:
                change[i] = weights.comma
            change[i] += weights.pause * min(max(words[i].start - words[i - 1].end, 0.0), 1.0)
        return cls(roles, change)


def _ends_sentence(word: HeardWord) -> bool:
    return word.text.rstrip("\"')”’").endswith((".", "?", "!", "…"))


def _sentences(words: Sequence[HeardWord], silence: float) -> list[range]:
    """Cut the words after sentence punctuation and at pauses of ``silence`` seconds: engines forget punctuation."""
    found, start = [], 0
    for i, word in enumerate(words):
        if i + 1 == len(words) or _ends_sentence(word) or words[i + 1].start - word.end >= silence:
            found.append(range(start, i + 1))
            start = i + 1
    return found


def _decode(emissions: Floats, change: Floats) -> tuple[Floats, NDArray[np.intp]]:
    """Run Viterbi on ``emissions`` [a, n, k] at once for all a; return the totals [a] and the best paths [a, n]."""
    variants, n, k = emissions.shape
    stays, leaves = -np.logaddexp(0, change), -np.logaddexp(0, -change) - np.log(max(k - 1, 1))
    best = emissions[:, 0, :]
    came_from = np.zeros((n, variants, k), dtype=np.intp)
    identity = np.eye(k, dtype=bool)
    for i in range(1, n):
        step = np.where(identity, stays[i], leaves[i])
        candidates = best[:, :, None] + step
        came_from[i] = candidates.argmax(axis=1)
        best = candidates.max(axis=1) + emissions[:, i, :]
    paths = np.zeros((variants, n), dtype=np.intp)
    paths[:, -1] = best.argmax(axis=1)
    rows = np.arange(variants)
    for i in range(n - 1, 0, -1):
        paths[:, i - 1] = came_from[i, rows, paths[:, i]]
    return best.max(axis=1), paths


def _attribute_voices(sound: Floats, evidence: _Evidence, weights: AttributionWeights) -> Attribution:
    assignments = role_assignments(sound.shape[1])
    emissions = np.stack([weights.sound * sound + evidence.roles[:, list(roles)] for roles, _ in assignments])
    totals, paths = _decode(emissions, evidence.change)
    totals += np.array([prior for _, prior in assignments])
    best = int(totals.argmax())
    roles, _ = assignments[best]
    likely = chances(totals)
    confidences = [role_confidence(likely, assignments, j, role) for j, role in enumerate(roles)]
    return _labelled(paths[best], roles, confidences)


def _attribute_one_voice(evidence: _Evidence, weights: AttributionWeights) -> Attribution:
    """Sound heard one voice: split it into clinician and patient only where language is sure that two people talk."""
    n = len(evidence.change)
    alone = evidence.roles[:, :2].sum(axis=0)
    both, paths = _decode(evidence.roles[None, :, :2], evidence.change)
    stay = -np.logaddexp(0, evidence.change[1:]).sum()
    margin = float(both[0] - alone.max() - stay)
    if margin > max(weights.split_margin * n, 6.0):
        return _labelled(paths[0], (0, 1), [float(chances(np.array([0.0, margin]))[1])] * 2)
    alone[0] += SOLE_CLINICIAN
    return _labelled(np.zeros(n, dtype=np.intp), (int(alone.argmax()),), [float(chances(alone).max())])


def _labelled(path: NDArray[np.intp], assignment: Sequence[int], confidences: Sequence[float]) -> Attribution:
    """Name the speakers, dropping clusters without words; others are numbered in the order in which they speak."""
    present = list(dict.fromkeys(path.tolist()))
    numbers = itertools.count(1)
    roles = tuple((CLINICIAN, PATIENT)[assignment[j]] if assignment[j] < 2 else other(next(numbers)) for j in present)
    index = {j: position for position, j in enumerate(present)}
    return Attribution(tuple(index[j] for j in path.tolist()), roles, tuple(confidences[j] for j in present))
