"""A transcript as text for people: one turn a paragraph, with time and speaker."""

from osler.speech.model import Transcript, Turn

LOOK = "[?]"
"""Stands behind a drug, dose or number that the engine was not sure of."""


def clock(seconds: float) -> str:
    """Return ``seconds`` as mm:ss, or h:mm:ss from one hour on."""
    whole = int(seconds)
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes:02d}:{whole % 60:02d}"


def with_marks(turn: Turn) -> str:
    """Return the turn's text with LOOK behind every doubtful place."""
    text = turn.text
    for mark in sorted(turn.marks, key=lambda m: m.end, reverse=True):
        text = f"{text[: mark.end]} {LOOK}{text[mark.end :]}"
    return text


def to_text(transcript: Transcript) -> str:
    """Return one line a turn: ``[mm:ss] Speaker: text``; without times the bracket is left out."""
    lines = [
        f"{f'[{clock(t.start)}] ' if t.start is not None else ''}{t.speaker.capitalize()}: {with_marks(t)}"
        for t in transcript.turns
    ]
    if any(t.marks for t in transcript.turns):
        lines += ["", f"{LOOK} = heard with doubt; check against the audio."]
    return "\n".join(lines)
