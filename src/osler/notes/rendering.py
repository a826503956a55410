"""Notes as text: markdown, HTML, and a form for the terminal that shows each sentence's evidence."""

import re
from html import escape

from osler.notes.model import Evidence, Note, Section, Sentence
from osler.speech.model import Transcript

_LISTED = ("assessment and plan", "problems and plan", "review of systems", "medications", "vitals", "instructions")
"""Headings (beginnings, lower case) under which each sentence stands on a line of its own."""


def to_markdown(note: Note) -> str:
    """Return the note as markdown; section headings at level 2, problems in bold, plans as bullet points."""
    return "\n\n".join(f"## {s.heading}\n\n{_markdown_body(s)}" for s in note.sections) + "\n"


def to_html(note: Note) -> str:
    """Return the note as an HTML fragment; everything that was said is escaped."""
    parts = []
    for section in note.sections:
        parts.append(f"<section>\n<h2>{escape(section.heading)}</h2>")
        for block in _blocks(section):
            if block[0].is_problem:
                parts.append(f"<h3>{escape(block[0].text)}</h3>")
                block = block[1:]
            if not block:
                continue
            if _listed(section):
                items = "".join(f"<li>{escape(s.text)}</li>" for s in block)
                parts.append(f"<ul>{items}</ul>")
            else:
                parts.append(f"<p>{escape(' '.join(s.text for s in block))}</p>")
        parts.append("</section>")
    return "\n".join(parts) + "\n"


def to_annotated(note: Note, transcript: Transcript) -> str:
    """Return the note as plain text with marks ``[1]`` behind each sentence, and the quotes they stand for below."""
    numbers: dict[Evidence, int] = {}
    lines: list[str] = []
    for section in note.sections:
        lines += [section.heading.upper(), ""]
        for sentence in section.sentences:
            marks = "".join(f"[{numbers.setdefault(e, len(numbers) + 1)}]" for e in sentence.evidence)
            inferred = "" if sentence.verdict.value == "supported" else f" ({sentence.verdict.value})"
            bullet = "" if sentence.is_problem else "  "
            lines.append(f"{bullet}{sentence.text}{inferred} {marks}")
        lines.append("")
    lines += ["EVIDENCE", ""]
    width = len(str(len(numbers)))
    for evidence, number in numbers.items():
        speaker = transcript.turns[evidence.turn].speaker
        lines.append(f"{f'[{number}]':>{width + 2}} {_where(evidence)} {speaker}: “{evidence.quote}”")
    return "\n".join(lines) + "\n"


def _where(evidence: Evidence) -> str:
    place = f"turn {evidence.turn}"
    if evidence.audio_start is None:
        return place
    return f"{place}, {_clock(evidence.audio_start)}"


def _clock(seconds: float) -> str:
    whole = int(seconds)
    return f"{whole // 60:02d}:{whole % 60:02d}"


def _listed(section: Section) -> bool:
    return section.heading.lower().startswith(_LISTED) or any(s.is_problem for s in section.sentences)


def _blocks(section: Section) -> list[list[Sentence]]:
    """Split a section's sentences where a problem heads the ones after it."""
    blocks: list[list[Sentence]] = []
    for sentence in section.sentences:
        if sentence.is_problem or not blocks:
            blocks.append([])
        blocks[-1].append(sentence)
    return blocks


def _markdown_body(section: Section) -> str:
    paragraphs = []
    for block in _blocks(section):
        head = f"**{_plain(block[0].text)}**" if block[0].is_problem else ""
        rest = block[1:] if head else block
        if _listed(section):
            lines = ([head] if head else []) + [f"- {_plain(s.text)}" for s in rest]
            paragraphs.append("\n".join(lines[:1] + ([""] if head and rest else []) + lines[1:]))
        else:
            paragraphs.append(" ".join(_plain(s.text) for s in rest))
    return "\n\n".join(paragraphs)


def _plain(text: str) -> str:
    """Escape what markdown would read as markup: what was said shows as it was said."""
    text = text.replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"([\\`*_\[\]#|])", r"\\\1", text)
