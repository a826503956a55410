"""Corrections of a transcript by a person: speakers renamed or swapped, words put right; what stands keeps its time."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import SequenceMatcher
from typing import Final

from osler.kernel.errors import InvalidFieldError
from osler.speech.model import CLINICIAN, PATIENT, Mark, Speaker, Transcript, Turn, Word
from osler.speech.turns import summarize_speakers

LONGEST_LABEL: Final = 64
LONGEST_TEXT: Final = 100_000
"""Characters of one turn: two hours of speech."""

_LABEL: Final = re.compile(r"[^\W_](?:[\w .'’()-]*[\w.)])?")
_TOKEN: Final = re.compile(r"\S+")
_SURE: Final = 1.0


@dataclass(frozen=True, slots=True)
class TurnCorrection:
    """What is put right in the turn ``index``. None: as it was; an empty text: nobody said that, the turn goes."""

    index: int
    text: str | None = None
    speaker: str | None = None


@dataclass(frozen=True, slots=True)
class Correction:
    """What is put right in a transcript. ``speakers``: new labels by old ones, all at once, so two can be swapped."""

    speakers: Mapping[str, str] = field(default_factory=dict)
    turns: Sequence[TurnCorrection] = ()


def corrected(transcript: Transcript, correction: Correction) -> Transcript:
    """Return the transcript as it was corrected; the same one if nothing is different.

    Words that stand keep their time and probability; new ones share the time of those they replace. A turn's own
    ``speaker`` is a new label, whatever ``speakers`` says.
    Raises InvalidFieldError: ``speakers`` (nobody of that label speaks; no label), ``turns.N.index`` (no such turn, or
    named twice), ``turns.N.text``, ``turns.N.speaker``, ``turns`` (nothing would be left).
    """
    renamed = _labels(transcript, correction.speakers)
    changes: dict[int, TurnCorrection] = {}
    for place, change in enumerate(correction.turns):
        if not 0 <= change.index < len(transcript.turns):
            field_name = f"turns.{place}.index"
            raise InvalidFieldError(field_name, f"{field_name}: the transcript has no such turn; they count from 0.")
        if change.index in changes:
            raise InvalidFieldError(f"turns.{place}.index", f"turns.{place}.index: this turn was named before.")
        changes[change.index] = TurnCorrection(
            change.index,
            None if change.text is None else _text(change.text, f"turns.{place}.text"),
            None if change.speaker is None else _label(change.speaker, f"turns.{place}.speaker"),
        )
    turns = []
    for index, turn in enumerate(transcript.turns):
        speaker = renamed.get(turn.speaker, turn.speaker)
        if (named := changes.get(index)) is not None:
            if named.text == "":
                continue
            speaker = named.speaker or speaker
            turn = turn if named.text is None else _reworded(turn, named.text)
        turns.append(replace(turn, speaker=speaker) if speaker != turn.speaker else turn)
    if not turns:
        raise InvalidFieldError("turns", "turns: nothing would be left; a transcript has at least one turn.")
    if tuple(turns) == transcript.turns:
        return transcript
    return replace(transcript, turns=tuple(turns), speakers=_speakers(transcript, turns, renamed))


def _labels(transcript: Transcript, wanted: Mapping[str, str]) -> dict[str, str]:
    """Return the new labels by the old ones, whose case does not matter."""
    known = {turn.speaker.casefold(): turn.speaker for turn in transcript.turns}
    labels = {}
    for old, new in wanted.items():
        if old.casefold() not in known:
            raise InvalidFieldError("speakers", "speakers: nobody of this label speaks in the transcript.")
        labels[known[old.casefold()]] = _label(new, "speakers")
    return labels


def _label(label: str, field_name: str) -> str:
    label = " ".join(label.split())
    if len(label) > LONGEST_LABEL or not _LABEL.fullmatch(label):
        raise InvalidFieldError(
            field_name, f"{field_name}: a speaker is 1 to {LONGEST_LABEL} letters, digits, blanks and . ' ( ) -"
        )
    # The roles that notes are written by have one spelling.
    folded = label.casefold()
    return folded if folded in (CLINICIAN, PATIENT) or re.fullmatch(r"other \d+", folded) else label


def _text(text: str, field_name: str) -> str:
    text = " ".join(text.split())
    if len(text) > LONGEST_TEXT:
        raise InvalidFieldError(field_name, f"{field_name}: a turn has at most {LONGEST_TEXT} characters.")
    return text


def _speakers(transcript: Transcript, turns: Sequence[Turn], renamed: Mapping[str, str]) -> tuple[Speaker, ...]:
    """Return who speaks now; who was named by a person is that one for sure."""
    confidences = {turn.speaker: _SURE for turn in turns}
    for speaker in transcript.speakers:
        if speaker.label not in renamed and speaker.label not in renamed.values():
            confidences[speaker.label] = speaker.confidence
    return summarize_speakers(turns, confidences)


def _reworded(turn: Turn, text: str) -> Turn:
    if text == turn.text:
        return turn
    if not turn.words:
        return replace(turn, text=text, marks=())
    old, new = list(_TOKEN.finditer(turn.text)), list(_TOKEN.finditer(text))
    matcher = SequenceMatcher(None, [t.group() for t in old], [t.group() for t in new], autojunk=False)
    kept: dict[int, int] = {}
    for block in matcher.get_matching_blocks():
        kept.update((block.a + i, block.b + i) for i in range(block.size))
    words, moved = _kept_words(turn, [(t.start(), t.end()) for t in old], [t.start() for t in new], kept)
    covered = sorted((word.offset, word.offset + len(word.text)) for word in words)
    fresh = [(t.start(), t.group()) for t in new if not any(a <= t.start() < b for a, b in covered)]
    words += _new_words(turn, words, fresh)
    words.sort(key=lambda word: word.offset)
    return replace(turn, text=text, words=tuple(words), marks=_kept_marks(turn, moved))


def _kept_words(
    turn: Turn, old: Sequence[tuple[int, int]], new: Sequence[int], kept: Mapping[int, int]
) -> tuple[list[Word], dict[int, int]]:
    """Return the words of which every part still stands, at their new places, and these places by the old ones."""
    words, moved = [], {}
    for word in turn.words:
        end = word.offset + len(word.text)
        tokens = [i for i, (start, stop) in enumerate(old) if start < end and word.offset < stop]
        if not tokens or any(i not in kept or kept[i] - kept[tokens[0]] != i - tokens[0] for i in tokens):
            continue
        offset = new[kept[tokens[0]]] + word.offset - old[tokens[0]][0]
        moved[word.offset] = offset
        words.append(replace(word, offset=offset))
    return words, moved


def _new_words(turn: Turn, kept: Sequence[Word], fresh: Sequence[tuple[int, str]]) -> list[Word]:
    """Give new words the time between the words that stand around them, shared by their length."""
    runs: list[list[tuple[int, str]]] = []
    bounds: list[tuple[Word | None, Word | None]] = []
    for offset, text in fresh:
        before = max((w for w in kept if w.offset < offset), key=lambda w: w.offset, default=None)
        after = min((w for w in kept if w.offset > offset), key=lambda w: w.offset, default=None)
        if runs and bounds[-1] == (before, after):
            runs[-1].append((offset, text))
        else:
            runs.append([(offset, text)])
            bounds.append((before, after))
    words = []
    for run, (before, after) in zip(runs, bounds, strict=True):
        start = before.end if before else turn.words[0].start
        end = max(after.start if after else turn.words[-1].end, start)
        share = (end - start) / sum(len(text) for _, text in run)
        for offset, text in run:
            stop = start + share * len(text)
            words.append(Word(text, text, start, stop, _SURE, offset))
            start = stop
    return words


def _kept_marks(turn: Turn, moved: Mapping[int, int]) -> tuple[Mark, ...]:
    """Return the doubtful places of which every word still stands; what a person wrote is not doubted."""
    marks = []
    for mark in turn.marks:
        within = [w for w in turn.words if w.offset < mark.end and mark.start < w.offset + len(w.text)]
        if not within or any(w.offset not in moved for w in within):
            continue
        shifts = {moved[w.offset] - w.offset for w in within}
        if len(shifts) == 1:
            shift = shifts.pop()
            marks.append(replace(mark, start=mark.start + shift, end=mark.end + shift))
    return tuple(marks)
