"""From attributed words to turns: text as a clinician writes it, words with offsets, doubtful places, speakers."""

from collections.abc import Sequence
from dataclasses import replace

from osler.speech.attribution import Attribution
from osler.speech.marks import find_marks
from osler.speech.model import HeardWord, Speaker, Turn, Word
from osler.speech.numbers import write_clinically


def build_turns(words: Sequence[HeardWord], attribution: Attribution) -> tuple[tuple[Turn, ...], tuple[Speaker, ...]]:
    """Return the turns in time order, and the speakers in the order in which they first speak.

    ``words`` are those that were given to :func:`osler.speech.attribution.attribute`, in time order. A turn is what one
    speaker says without another taking over; its text begins with a capital. Raises ValueError when the attribution
    is of other words.
    """
    if len(attribution.speakers) != len(words):
        raise ValueError(f"attribution of {len(attribution.speakers)} words for {len(words)} words")
    turns: list[Turn] = []
    start = 0
    for i in range(1, len(words) + 1):
        if i == len(words) or attribution.speakers[i] != attribution.speakers[start]:
            turns.append(_turn(words[start:i], attribution.roles[attribution.speakers[start]]))
            start = i
    return tuple(turns), summarize_speakers(turns, dict(zip(attribution.roles, attribution.confidences, strict=True)))


def summarize_speakers(turns: Sequence[Turn], confidences: dict[str, float]) -> tuple[Speaker, ...]:
    """Return the speakers of ``turns`` with their confidence (by label, 0..1) and the seconds that they speak."""
    seconds: dict[str, float] = {}
    for turn in turns:
        length = turn.end - turn.start if turn.start is not None and turn.end is not None else 0.0
        seconds[turn.speaker] = seconds.get(turn.speaker, 0.0) + length
    return tuple(Speaker(label, confidences[label], total) for label, total in seconds.items())


def _turn(words: Sequence[HeardWord], label: str) -> Turn:
    written = _capitalised(write_clinically(words))
    return Turn(
        speaker=label,
        text=" ".join(word.text for word in written),
        start=min(word.start for word in words),
        end=max(word.end for word in words),
        words=written,
        marks=find_marks(written),
    )


def _capitalised(words: tuple[Word, ...]) -> tuple[Word, ...]:
    first = words[0].text
    if first[1:].lower() == first[1:]:  # "mRNA" keeps its small letter
        upper = first[0].upper()
        if len(upper) == 1:  # "ß" would grow and shift the offsets
            return (replace(words[0], text=upper + first[1:]), *words[1:])
    return words
