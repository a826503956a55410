"""Summaries of a visit, sentence by sentence from what was said: for the clinician, or plainly for the patient."""

import re
from collections.abc import Sequence
from typing import Final

from osler.engines.grounded.asking_editing import in_plain_words
from osler.engines.grounded.asking_passages import Sources
from osler.engines.grounded.asking_replies import Reply
from osler.engines.grounded.phrasing import Line
from osler.notes.model import Evidence

_SECTIONS: Final = (
    ("What brought you here", "Reason for the visit", ("chief_complaint", "hpi"), 5),
    ("What was found", "Findings", ("vitals", "exam", "results"), 6),
    ("What happens next", "Assessment and plan", ("assessment_plan", "instructions"), 9),
)
_LEAST_RANK: Final = 0.45

_SPOKEN_TO: Final = (
    (r"^The patient (reports|reported|states|describes) that (he|she|they) (has|have)\b", "You said that you have"),
    (r"^The patient denies\b", "You said that you have no"),
    (r"^The patient (reports|reported)\b", "You told us of"),
    (r"^The patient (has|have)\b", "You have"),
    (r"^The patient (does|do) not\b", "You do not"),
    (r"^The patient (is|are)\b", "You are"),
    (r"^The patient was\b", "You were"),
    (r"^The patient takes\b", "You take"),
    (r"^The patient's\b", "Your"),
)
_OF_OTHERS: Final = re.compile(
    r"\b(he|she|his|her|hers|him|they|their|them|mother|father|wife|husband)\b", re.IGNORECASE
)


def visit_summary(sources: Sources) -> Reply | None:
    """Return the sentences that matter most, under headings, each with the line that it rests on."""
    return _summary(sources, plain=False)


def lay_summary(sources: Sources) -> Reply | None:
    """Return the same in plain words, spoken to the patient where that changes nothing else."""
    return _summary(sources, plain=True)


def _summary(sources: Sources, *, plain: bool) -> Reply | None:
    lines = sources.transcript.visit.lines
    parts: list[tuple[str, tuple[Evidence, ...]]] = []
    for lay_heading, heading, names, most in _SECTIONS:
        chosen = [line for line in lines if line.part in names and line.rank >= _LEAST_RANK and not line.is_problem]
        if any(line.part == "hpi" for line in chosen):
            chosen = [line for line in chosen if line.part != "chief_complaint"]  # what is told says it, too
        kept = sorted(chosen[:most], key=lambda line: (names.index(line.part), line.order))
        if kept:
            parts.append((f"{'' if not parts else chr(10)}**{lay_heading if plain else heading}**\n\n", ()))
            parts += [(f"- {_sentence(line, plain)} {_source(line.evidence)}\n", tuple(line.evidence)) for line in kept]
    return Reply(tuple(parts)) if parts else None


def told(lines: Sequence[Line], parts: Sequence[str], most: int) -> Reply | None:
    """Return the sentences of some parts of a note, in the order of the visit, each with what it rests on."""
    chosen = [line for line in lines if line.part in parts and not line.is_problem][:most]
    ordered = sorted(chosen, key=lambda line: line.order)
    return (
        Reply(tuple((f"- {line.text} {_source(line.evidence)}\n", tuple(line.evidence)) for line in ordered))
        if ordered
        else None
    )


def _sentence(line: Line, plain: bool) -> str:
    return _to_patient(in_plain_words(line.text)) if plain else line.text


def _to_patient(sentence: str) -> str:
    for pattern, spoken in _SPOKEN_TO:
        if match := re.match(pattern, sentence):
            rest = sentence[match.end() :]
            return f"{spoken}{rest}" if not _OF_OTHERS.search(rest) else sentence
    return sentence


def _source(evidence: Sequence[Evidence]) -> str:
    first = evidence[0]
    words = first.quote.split()
    quote = first.quote if len(words) <= _QUOTED else f"{' '.join(words[:_QUOTED])} …"
    return f"(“{quote}”, line {first.turn + 1})"


_QUOTED: Final = 12
"""Words of a quote behind a sentence."""
