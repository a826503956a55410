"""Replies to questions: a line that answers, and the quotes that it rests on, each with its speaker and its line."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from osler.engines.grounded.asking.passages import Passage
from osler.notes.model import Evidence, SourceKind
from osler.speech.model import CLINICIAN, PATIENT

LONGEST_QUOTE: Final = 60
"""Words of a quote; a longer passage is cut there, at its end."""

_FROM: Final = {
    SourceKind.CLINICIAN_NOTE: "the clinician's note",
    SourceKind.CONTEXT_DOCUMENT: "a context document",
    SourceKind.LINKED_NOTE: "the note of a linked visit",
    SourceKind.LINKED_TRANSCRIPT: "the transcript of a linked visit",
    SourceKind.CONSULT_NOTE: "the consult note",
    SourceKind.ADDITION: "an addition",
}


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer in parts of Markdown with evidence. ``said`` False: it tells what the visit holds in its stead."""

    parts: tuple[tuple[str, tuple[Evidence, ...]], ...]
    said: bool = True


def replied(lead: str, passages: Sequence[Passage], *, said: bool = True) -> Reply:
    """Return a line and what it rests on."""
    lines, evidence = quotes(passages)
    return Reply(((f"{lead}\n\n", ()), (lines, evidence)) if lead else ((lines, evidence),), said)


def listed(lead: str, rows: Iterable[tuple[str, Sequence[Passage]]]) -> Reply:
    """Return a line and a list; each row has a text and what it rests on."""
    parts: list[tuple[str, tuple[Evidence, ...]]] = [(f"{lead}\n\n", ())] if lead else []
    for text, passages in rows:
        kept = distinct(passages)
        told = "; ".join(_quoted(passage) for passage in kept)
        parts.append((f"- {text}: {told}\n" if told else f"- {text}\n", tuple(_evidence(p) for p in kept)))
    return Reply(tuple(parts))


def quotes(passages: Sequence[Passage]) -> tuple[str, tuple[Evidence, ...]]:
    """Return passages as a list of quotes; a reply is quoted with its question."""
    kept = distinct(passages)
    lines = []
    evidence: list[Evidence] = []
    for passage in kept:
        asked = passage.question if _needs_question(passage) else None
        if asked is not None and asked not in kept:
            lines.append(f"- {_quoted(asked)} – {_quoted(passage)}\n")
            evidence.append(_evidence(asked))
        else:
            lines.append(f"- {_quoted(passage)}\n")
        evidence.append(_evidence(passage))
    return "".join(lines), tuple(evidence)


def distinct(passages: Sequence[Passage]) -> list[Passage]:
    """Return passages in the order of their sources, each once, none that says the same words as an earlier one."""
    found: dict[tuple[str, ...], Passage] = {}
    for passage in passages:
        found.setdefault(tuple(passage.stems), passage)
    order = {kind: n for n, kind in enumerate(SourceKind)}
    return sorted(found.values(), key=lambda p: (order[p.of.kind], p.of.source_id, p.turn, p.start))


def _needs_question(passage: Passage) -> bool:
    return passage.question is not None and passage.question.turn != passage.turn and len(passage.stems) <= 25


def _quoted(passage: Passage) -> str:
    evidence = _evidence(passage)
    words = evidence.quote if evidence.quote == passage.text else f"{evidence.quote} …"
    if passage.of.kind is not SourceKind.TRANSCRIPT:
        return f"“{words}” ({_FROM[passage.of.kind]}, paragraph {passage.turn + 1})"
    speaker = {CLINICIAN: "clinician", PATIENT: "patient"}.get(passage.speaker, passage.speaker)
    return f"“{words}” ({speaker}, line {passage.turn + 1})"


def _evidence(passage: Passage) -> Evidence:
    if len(passage.text.split()) <= LONGEST_QUOTE:
        return passage.evidence
    words = [token for token in passage.tokens if token.is_word]
    return passage.of.cite(passage.turn, passage.start, words[LONGEST_QUOTE - 1].end)
