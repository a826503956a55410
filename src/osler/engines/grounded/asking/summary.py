"""Summaries of a visit, sentence by sentence from what was said: for the clinician, or plainly for the patient."""

from collections.abc import Sequence
from typing import Final

from osler.engines.grounded.addressing import of_the_clinic, to_patient
from osler.engines.grounded.asking.editing import in_plain_words
from osler.engines.grounded.asking.passages import Sources
from osler.engines.grounded.asking.replies import Reply
from osler.engines.grounded.phrasing import Line
from osler.engines.grounded.rewriting import Reference
from osler.notes.grounding import check
from osler.notes.model import Evidence

_SECTIONS: Final = (
    ("What brought you here", "Reason for the visit", ("chief_complaint", "hpi"), 5),
    ("What was found", "Findings", ("vitals", "exam", "results"), 6),
    ("What happens next", "Assessment and plan", ("assessment_plan", "instructions"), 9),
)
_LEAST_RANK: Final = 0.45


def visit_summary(sources: Sources) -> Reply | None:
    """Return the sentences that matter most, under headings, each with the line that it rests on."""
    return _summary(sources, plain=False)


def lay_summary(sources: Sources) -> Reply | None:
    """Return the same in plain words, spoken to the patient where that changes nothing else."""
    return _summary(sources, plain=True)


def _summary(sources: Sources, *, plain: bool) -> Reply | None:
    visit = sources.transcript.visit
    lines = visit.lines
    parts: list[tuple[str, tuple[Evidence, ...]]] = []
    for lay_heading, heading, names, most in _SECTIONS:
        chosen = [line for line in lines if line.part in names and line.rank >= _LEAST_RANK and not line.is_problem]
        if any(line.part == "hpi" for line in chosen):
            chosen = [line for line in chosen if line.part != "chief_complaint"]  # what is told says it, too
        kept = sorted(chosen[:most], key=lambda line: (names.index(line.part), line.order))
        if kept:
            parts.append((f"{'' if not parts else chr(10)}**{lay_heading if plain else heading}**\n\n", ()))
            for line in kept:
                text = _to_patient(line, visit.reference) if plain else line.text
                parts.append((f"- {text} {_source(line.evidence)}\n", tuple(line.evidence)))
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


def _to_patient(line: Line, reference: Reference) -> str:
    """Return a sentence plainly and to the patient, or as it stands where its quotes would not bear that."""
    quotes = [evidence.quote for evidence in line.evidence]
    text = of_the_clinic(line.text, quotes)
    text = to_patient(text, reference, quotes)
    return in_plain_words(line.text if check(text, quotes) else text)


def _source(evidence: Sequence[Evidence]) -> str:
    first = evidence[0]
    words = first.quote.split()
    quote = first.quote if len(words) <= _QUOTED else f"{' '.join(words[:_QUOTED])} …"
    return f"(“{quote}”, line {first.turn + 1})"


_QUOTED: Final = 12
"""Words of a quote behind a sentence."""
