"""How what is named stands with the patient: medicines stopped, refused or offered, side effects, general talk."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

from osler.engines.grounded.context import FAMILY, NEGATED
from osler.engines.grounded.lexicon import indexed, phrases_in, table
from osler.engines.grounded.reading import Mention, Reading
from osler.notes.model import FindingKind

_Phrases = Mapping[str, Sequence[tuple[str, ...]]]

_NEAR: Final = 6
"""Tokens between what blames a medicine and the symptom: "it gave me a really bad rash"."""

_DEFINITE: Final = frozenset(("the", "my", "this", "that", "your", "his", "her", "these", "those"))


@dataclass(frozen=True, slots=True)
class SideEffect:
    """A symptom that the speaker blames on a medicine.

    ``turn`` and ``drug`` are where the medicine is named, None where only "it" is; ``past`` says that it is over,
    ``generic`` that the medicine is spoken of as such ("codeine makes me sick", not "the codeine"); ``start`` and
    ``end`` are the tokens that blame.
    """

    turn: int
    drug: Mention | None
    past: bool
    generic: bool
    start: int
    end: int


def is_general(reading: Reading, sentence: int) -> bool:
    """Say whether a sentence of the clinician speaks of people, medicines or diseases in general."""
    if not reading.by_clinician or reading.asks[sentence]:
        return False
    start, end = reading.sentences[sentence]
    words = reading.words[start:end]
    general = phrases_in(words, _words("general", "phrases"))
    return bool(general) and not phrases_in(words[: general[0][0]], _words("general", "unless"))


def stopped(reading: Reading, mention: Mention) -> tuple[int, int] | None:
    """Return the tokens that say that a medicine is taken no more, if any do."""
    start, end = reading.sentences[mention.sentence]
    first = max(start, mention.start - 3 - table("standing")["stopped"]["reach"])
    for s, e in reversed(phrases_in(reading.words[first : mention.start], _words("stopped", "before"))):
        lead = reading.words[max(start, first + s - 4) : first + e]
        if mention.start - (first + e) > table("standing")["stopped"]["reach"]:
            continue
        if phrases_in(lead, _words("stopped", "unless")):
            continue
        if reading.by_clinician and reading.words[first + s] not in table("standing")["stopped"]["told_by_clinicians"]:
            continue  # "quit taking the aspirin" is an order
        return first + s, first + e
    other = next((m.start for m in _medicines(reading) if m.start >= mention.end), end)
    for s, e in phrases_in(reading.words[mention.end : min(end, other)], _words("stopped", "after")):
        lead = reading.words[max(start, mention.end + s - 3) : mention.end + e]
        if not phrases_in(lead, _words("stopped", "unless")):
            return mention.end + s, mention.end + e
    return None


def kept(reading: Reading, mention: Mention) -> bool:
    """Say whether what is denied is that a medicine was stopped or missed."""
    start, _ = reading.sentences[mention.sentence]
    return bool(phrases_in(reading.words[max(start, mention.start - _NEAR) : mention.start], _words("stopped", "kept")))


def refused(reading: Reading, mention: Mention) -> tuple[int, int] | None:
    """Return the tokens with which a patient refuses what is named after them, if any do."""
    if reading.by_clinician:
        return None
    start, _ = reading.sentences[mention.sentence]
    found = phrases_in(reading.words[start : mention.start], _words("refused", "phrases"))
    near = [(start + s, start + e) for s, e in found if mention.start - (start + e) <= _NEAR]
    return near[-1] if near else None


def offered(reading: Reading, sentence: int) -> bool:
    """Say whether a sentence of the clinician offers rather than orders."""
    start, end = reading.sentences[sentence]
    return reading.by_clinician and bool(phrases_in(reading.words[start:end], _words("offered", "phrases")))


def refusal(reading: Reading) -> tuple[int, int] | None:
    """Return the tokens with which a reply refuses an offer, if it does."""
    end = reading.sentences[min(1, len(reading.sentences) - 1)][1] if reading.sentences else 0
    found = phrases_in(reading.words[:end], _words("refused", "replies"))
    return max(found, key=lambda span: span[1] - span[0]) if found else None


def accepts(reading: Reading) -> bool:
    """Say whether a reply takes an offer."""
    return refusal(reading) is None and bool(phrases_in(reading.words[:8], _words("refused", "accepting")))


def at_home(reading: Reading, start: int, end: int, before: Reading | None) -> bool:
    """Say whether a value in ``tokens[start:end)`` was taken at home, by its sentence or the question before."""
    sentence = next((s, e) for s, e in reading.sentences if s <= start < e)
    words = reading.words[sentence[0] : sentence[1]]
    if phrases_in(words, _words("home", "words")):
        here = phrases_in(reading.words[max(sentence[0], start - 6) : start], _words("home", "here"))
        return not (reading.by_clinician and here)
    if reading.by_clinician or before is None or not before.by_clinician:
        return False
    asked = [i for i, asks in enumerate(before.asks) if asks]
    return bool(asked) and any(
        phrases_in(before.words[slice(*before.sentences[i])], _words("home", "words")) for i in asked
    )


def side_effect(readings: Sequence[Reading], index: int, mention: Mention) -> SideEffect | None:
    """Return what a symptom is blamed on by the patient, None where it is blamed on no medicine."""
    reading = readings[index]
    if reading.by_clinician or mention.modified(NEGATED) or mention.modified(FAMILY):
        return None
    start, end = reading.sentences[mention.sentence]
    asked_why = index > 0 and bool(phrases_in(readings[index - 1].words, _words("reaction", "why")))
    # "made my ankles swell": a name that was put together may start at "my", before the verb's end.
    for past, name in ((True, "past"), (False, "present")):
        for s, e in reversed(phrases_in(reading.words[start : mention.start], _words("reaction", name))):
            s, e = start + s, start + e
            between = reading.words[e : mention.start]
            blames = any(phrases_in(reading.words[s:e], _words("reaction", which)) for which in ("blaming", "erupting"))
            if mention.start - e > _NEAR or "for" in between or not (blames or asked_why):
                continue
            found = _culprit(readings, index, s)
            if found is None and phrases_in(reading.words[s:e], _words("reaction", "erupting")):
                named = [m for m in _medicines(reading) if start <= m.start < s]
                found = (index, named[-1]) if named else None
            if found is None and not asked_why:
                continue
            turn, drug = found or (index, None)
            direct = drug is not None and turn == index and drug.end == s
            barred = drug is not None and bool(
                phrases_in(readings[turn].words[max(0, drug.start - 4) : drug.start], _words("reaction", "barred"))
            )
            generic = barred or (
                direct and drug is not None and not _DEFINITE.intersection(reading.words[: drug.start][-1:])
            )
            return SideEffect(turn, drug, past or asked_why, generic, s, e)
    return _linked(reading, mention, start, end)


def _linked(reading: Reading, mention: Mention, start: int, end: int) -> SideEffect | None:
    """Read "I got a rash from the amoxicillin"."""
    after = reading.words[mention.end : min(end, mention.end + 1)]
    if not after or after[0] not in ("from", "with"):
        return None
    for drug in _medicines(reading):
        if 1 <= drug.start - mention.end <= 3:
            past = bool(phrases_in(reading.words[start : mention.start], _words("reaction", "past")))
            named = reading.words[drug.start - 1] not in _DEFINITE
            return SideEffect(reading.index, drug, past, named and not past, mention.end, drug.start)
    return None


def _culprit(readings: Sequence[Reading], index: int, blame: int) -> tuple[int, Mention] | None:
    """Return where the medicine is named that ``it`` before token ``blame`` stands for."""
    reading = readings[index]
    named = [m for m in _medicines(reading) if m.end <= blame]
    if named and blame - named[-1].end <= 2:
        return index, named[-1]
    subject = reading.words[blame - 1] if blame else ""
    if subject not in table("standing")["reaction"]["subjects"]:
        return None
    if named:
        return index, named[-1]
    for earlier in (index - 1, index - 2):
        if earlier >= 0 and (before := _medicines(readings[earlier])):
            return earlier, before[-1]
    return None


def reactions_after(
    reading: Reading, start: int, end: int, substances: Sequence[tuple[int, int]]
) -> tuple[int, int, Mention | None] | None:
    """Return the tokens of the reaction to the substance ``tokens[start:end)``: after it, else before it.

    ``substances`` are the tokens of all substances of the turn. The mention is None where no symptom names it.
    """
    sentence = next((n for n, (s, e) in enumerate(reading.sentences) if s <= start < e), 0)
    last = reading.sentences[min(sentence + 2, len(reading.sentences) - 1)][1]
    until = min((s for s, _ in substances if s >= end), default=last)
    after = first_reaction(reading, end, min(last, until))
    if after is not None:
        return after
    begin = max((e for _, e in substances if e <= start), default=0)
    return first_reaction(reading, max(begin, reading.sentences[sentence][0]), start)


def first_reaction(reading: Reading, start: int, end: int) -> tuple[int, int, Mention | None] | None:
    """Return the first symptom or reaction that ``tokens[start:end)`` names and does not deny."""
    for mention in reading.mentions:
        if start <= mention.start and mention.end <= end and mention.term.kind is FindingKind.SYMPTOM:
            if mention.modified(NEGATED) or mention.modified(FAMILY) or reading.asks[mention.sentence]:
                continue
            return mention.start, mention.end, mention
    for s, e in phrases_in(reading.words[start:end], _words("reaction", "words")):
        return start + s, start + e, None
    return None


def asks_what_happens(reading: Reading) -> bool:
    """Say whether a turn asks what a substance does to the patient."""
    return bool(phrases_in(reading.words, _words("reaction", "what")))


def is_borne(reading: Reading, start: int) -> bool:
    """Say whether the sentence of token ``start`` says that the substance is borne well."""
    s, e = next((s, e) for s, e in reading.sentences if s <= start < e)
    return bool(phrases_in(reading.words[s:e], _words("reaction", "borne")))


def allergic(concept: str) -> bool:
    """Say whether a symptom makes a reaction to a medicine an allergy."""
    return concept in table("standing")["reaction"]["allergic"] or concept.endswith((" rash", " itching"))


def safety_net(reading: Reading, sentence: int) -> bool:
    """Say whether a sentence of the clinician tells what to do if something happens."""
    start, end = reading.sentences[sentence]
    words = reading.words[start:end]
    return bool(phrases_in(words, _words("net", "conditions"))) and bool(phrases_in(words, _words("net", "actions")))


def _medicines(reading: Reading) -> list[Mention]:
    return [m for m in reading.mentions if m.term.kind is FindingKind.MEDICATION]


@cache
def _words(section: str, name: str) -> _Phrases:
    return indexed(table("standing")[section][name])
