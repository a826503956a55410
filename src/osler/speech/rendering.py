"""A transcript as text for people: one turn a paragraph, with time and speaker."""

from collections.abc import Sequence

from osler.speech.model import Transcript, Turn

LOOK = "[?]"
"""Stands behind a drug, dose or number that the engine was not sure of."""


def clock(seconds: float) -> str:
    """Return ``seconds`` as mm:ss, or h:mm:ss from one hour on."""
    whole = int(seconds)
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes:02d}:{whole % 60:02d}"


def speaker_name(label: str) -> str:
    """Return a speaker's label as it is shown: with a capital."""
    return label[:1].upper() + label[1:]


def served_lines(turns: Sequence[Turn]) -> list[str]:
    """Return one line a turn, ``Speaker: text``: what clients get as the transcript, joined by line feeds.

    Offsets into the whole transcript count code points in exactly this text.
    """
    return [f"{speaker_name(turn.speaker)}: {turn.text}" for turn in turns]


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
