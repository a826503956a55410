"""Scores of a transcript against a reference: word errors, diarization errors, speaker roles. Pure functions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from itertools import permutations
from typing import Any, Final

import jiwer
from pyannote.core import Annotation, Segment, Timeline
from pyannote.metrics.diarization import DiarizationErrorRate
from whisper_normalizer.english import EnglishTextNormalizer

COLLAR_SECONDS: Final = 0.25
"""Forgiven on either side of each boundary of the reference, as in the NIST Rich Transcription evaluations."""


@dataclass(frozen=True, slots=True)
class Said:
    """One turn to be scored: who, what, and from when to when in seconds."""

    speaker: str
    text: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class WordErrors:
    """Counts of word errors; they add up over recordings."""

    words: int = 0
    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0

    @property
    def rate(self) -> float:
        """Word error rate, 0..; with no reference words, 0 if nothing was heard and 1 if something was."""
        errors = self.substitutions + self.deletions + self.insertions
        return errors / self.words if self.words else float(errors > 0)

    def __add__(self, more: "WordErrors") -> "WordErrors":
        return WordErrors(**{f.name: getattr(self, f.name) + getattr(more, f.name) for f in fields(self)})


@dataclass(frozen=True, slots=True)
class DiarizationErrors:
    """Seconds of diarization error; they add up over recordings."""

    total: float = 0.0
    missed: float = 0.0
    false_alarm: float = 0.0
    confusion: float = 0.0

    @property
    def rate(self) -> float:
        """Diarization error rate, 0.. (NIST RT-09)."""
        return (self.missed + self.false_alarm + self.confusion) / self.total if self.total else 0.0

    def __add__(self, more: "DiarizationErrors") -> "DiarizationErrors":
        return DiarizationErrors(**{f.name: getattr(self, f.name) + getattr(more, f.name) for f in fields(self)})


@dataclass(frozen=True, slots=True)
class RoleHits:
    """Of the reference words that were aligned to a heard word, how many stand with the right speaker."""

    aligned: int = 0
    right: int = 0

    @property
    def accuracy(self) -> float:
        """Share of aligned words with the right role, 0..1; 0 when no word was aligned."""
        return self.right / self.aligned if self.aligned else 0.0

    def __add__(self, more: "RoleHits") -> "RoleHits":
        return RoleHits(self.aligned + more.aligned, self.right + more.right)


@cache
def _normalizer() -> EnglishTextNormalizer:
    return EnglishTextNormalizer()


def normalized(text: str) -> str:
    """Return ``text`` after the English normaliser of Whisper (Radford et al. 2022, appendix C)."""
    return str(_normalizer()(text)).strip()


def word_errors(reference: str, heard: str) -> WordErrors:
    """Count the word errors of ``heard`` after normalising both texts."""
    said, got = normalized(reference), normalized(heard)
    if not said:
        return WordErrors(insertions=len(got.split()))
    counts = jiwer.process_words(said, got)
    return WordErrors(
        counts.hits + counts.substitutions + counts.deletions, counts.substitutions, counts.deletions, counts.insertions
    )


def diarization_errors(
    reference: Sequence[Said], turns: Sequence[Said], *, seconds: float, collar: float = 0.0
) -> DiarizationErrors:
    """Score who spoke when, overlapping speech included, speakers matched as well as can be whatever their names.

    ``collar`` is forgiven on either side of each reference boundary (pyannote.metrics takes the whole width);
    ``seconds`` is the length of the recording, all of which is scored.
    """
    metric = DiarizationErrorRate(collar=2 * collar, skip_overlap=False)
    length = max([seconds, *(turn.end for turn in (*reference, *turns))])
    found: Mapping[str, Any] = metric(
        _annotation(reference), _annotation(turns), uem=Timeline([Segment(0.0, length)]), detailed=True
    )
    return DiarizationErrors(
        float(found["total"]),
        float(found["missed detection"]),
        float(found["false alarm"]),
        float(found["confusion"]),
    )


def _annotation(turns: Sequence[Said]) -> Annotation:
    annotation = Annotation()
    for track, turn in enumerate(turns):
        if turn.end > turn.start:
            annotation[Segment(turn.start, turn.end), track] = turn.speaker
    return annotation


def role_hits(reference: Sequence[Said], turns: Sequence[Said]) -> RoleHits:
    """Align the words of both sides by edit distance and count those whose speaker's role is right.

    Clinician and patient must be named so; which further person is "other 1" and which "other 2" is not judged.
    """
    said, heard = _words_with_speaker(reference), _words_with_speaker(turns)
    if not said or not heard:
        return RoleHits()
    alignment = jiwer.process_words(" ".join(w for w, _ in said), " ".join(w for w, _ in heard)).alignments[0]
    pairs = [
        (said[chunk.ref_start_idx + i][1], heard[chunk.hyp_start_idx + i][1])
        for chunk in alignment
        if chunk.type in ("equal", "substitute")
        for i in range(chunk.ref_end_idx - chunk.ref_start_idx)
    ]
    further = sorted({role for _, role in (*said, *heard) if role.startswith("other")})
    right = max(
        sum(want == swap.get(got, got) for want, got in pairs)
        for swap in (dict(zip(further, order, strict=True)) for order in permutations(further))
    )
    return RoleHits(len(pairs), right)


def _words_with_speaker(turns: Sequence[Said]) -> list[tuple[str, str]]:
    return [(word, turn.speaker) for turn in turns for word in normalized(turn.text).split()]
