"""What stands beside a finding: side, duration, severity, and of medicines dose, route, frequency and action."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Final

from osler.engines.grounded.lexicon import body_sites, indexed, phrases_in, table, words_of
from osler.engines.grounded.reading import Mention, Reading
from osler.notes.grounding import frequencies_in, units_in
from osler.notes.model import FindingKind
from osler.notes.tokens import numbers

_Phrases = Mapping[str, Sequence[tuple[str, ...]]]


@dataclass(slots=True)
class Attributes:
    """Values by name, and the tokens ``[start:end)`` of the turn that hold each."""

    values: dict[str, str] = field(default_factory=dict)
    spans: list[tuple[int, int]] = field(default_factory=list)

    def put(self, name: str, value: str, start: int, end: int) -> None:
        """Add a value unless that name has one."""
        if name not in self.values:
            self.values[name] = value
            self.spans.append((start, end))

    def take_dose(self, told: "Attributes") -> None:
        """Add what ``told`` says of dose and use, where nothing was known."""
        for name in ("dose", "unit", "frequency", "route"):
            if name in told.values:
                self.values.setdefault(name, told.values[name])


_DOSE_UNITS: Final = frozenset(
    ("mg", "mcg", "g", "ml", "unit", "puff", "tablet", "capsule", "drop", "spray", "meq", "%")
)


def of_symptom(reading: Reading, mention: Mention) -> Attributes:
    """Return side, severity and duration of a symptom, problem or sign, from its sentence."""
    found = Attributes()
    start, end = reading.sentences[mention.sentence]
    _side(reading, mention, start, end, found)
    left, right = _territory(reading, mention, start, end)
    words = reading.words
    for grade, phrases in _severities().items():
        for s, e in phrases_in(words[left:right], phrases):
            if left + e <= mention.start and mention.start - (left + e) <= 3:
                found.put("severity", grade, left + s, left + e)
    _grade(reading, mention, left, found)
    duration = duration_in(reading, left, right)
    if duration:
        found.put("duration", reading.text(*duration).lower(), *duration)
    return found


_PRONOUNS: Final = frozenset(("it", "they", "this"))
_GOES_ON: Final = frozenset(
    (
        "started",
        "began",
        "'s",
        "is",
        "are",
        "'re",
        "spread",
        "came",
        "has",
        "have",
        "was",
        "were",
        "goes",
        "runs",
        "'ve",
    )
)
"""How a sentence goes on about the symptom before it: "it started on my arm"."""


def continue_symptom(reading: Reading, mention: Mention, found: Attributes) -> None:
    """Add what the next sentence says of a symptom: "I've got a rash. It started on my right forearm"."""
    following = mention.sentence + 1
    if following >= len(reading.sentences) or any(
        m.sentence == mention.sentence and m.start > mention.start and m.term.kind is mention.term.kind
        for m in reading.mentions
    ):
        return
    start, end = reading.sentences[following]
    complaints = (FindingKind.SYMPTOM, FindingKind.PROBLEM, FindingKind.MEDICATION)
    verb = reading.words[start + 1 : start + 2]
    if (
        reading.words[start] not in _PRONOUNS
        or not _GOES_ON.intersection(verb)
        or any(m.term.kind in complaints for m in reading.of_sentence(following))
    ):
        return
    if duration := duration_in(reading, start, end):
        found.put("duration", reading.text(*duration).lower(), *duration)
    if "site" in found.values or "laterality" in found.values or mention.site:
        return
    for site in body_sites().find(words_of(reading.tokens[start:end])):
        found.put("site", site.terms[0].concept, start + site.start, start + site.end)
        for i in range(max(start, start + site.start - 2), start + site.start):
            for side in ("left", "right", "bilateral"):
                if reading.words[i] in table("attributes")["laterality"][side] and _is_side(reading.words, i):
                    found.put("laterality", side, i, i + 1)
        break


def _grade(reading: Reading, mention: Mention, left: int, found: Attributes) -> None:
    """Put the grade before a sign: "2/6 systolic murmur", "one plus pitting edema", "trace edema"."""
    words, start = reading.words, max(left, mention.start - 7)
    for number in numbers(reading.tokens[start : mention.start]):
        s, e = start + number.start, start + number.end
        link = words[e : e + 2]
        if link[:1] in (["plus"], ["+"]):
            found.put("grade", number.value + "+", s, e + 1)
        elif link[:1] == ["/"] or link == ["out", "of"]:
            of = numbers(reading.tokens[e:])
            if of and of[0].start == len(link[:1] if link[0] == "/" else link):
                found.put("grade", f"{number.value}/{of[0].readings[-1][0]}", s, e + of[0].end)
    if "trace" in words[start : mention.start]:
        i = start + words[start : mention.start].index("trace")
        found.put("grade", "trace", i, i + 1)


def duration_in(reading: Reading, start: int, end: int, *, bare: bool = False) -> tuple[int, int] | None:
    """Return the tokens of the first duration in ``[start:end)``: "for three weeks", "two days ago", "since monday".

    With ``bare``, "three weeks" alone is one, as in the answer to "how long?".
    """
    words = reading.words
    counted = {
        (number.start, e)
        for number in numbers(reading.tokens[start:end])
        for s, e, unit in units_in(reading.tokens[start:end], time_only=True)
        if 0 <= s - number.end <= 1 and unit != "time"
    }
    single = {
        (s - 1, e)
        for s, e, unit in units_in(reading.tokens[start:end], time_only=True)
        if words[start + s - 1] in ("a", "an")
    }
    vague = {
        (s, unit_end)
        for s, e in phrases_in(words[start:end], _vague())
        for unit_start, unit_end, unit in units_in(reading.tokens[start:end], time_only=True)
        if unit_start == e and unit != "time"
    }
    for s, e in sorted(counted | single | vague):
        s, e = s + start, e + start
        after = words[e] if e < len(words) else ""
        if after == "old" or (after == "-" and words[e + 1 : e + 2] == ["old"]):
            continue
        before = words[max(start, s - 3) : s]
        if after in ("ago", "now"):
            return s, e + 1
        for lead in ("for", "past", "last", "since"):
            if lead in before:
                return max(start, s - 3) + before.index(lead), e
        if bare:
            return s, e
    for i in range(start, end):
        if words[i] == "since" and (length := _leading(words, i + 1, _since_words())):
            return i, i + 1 + length
    return None


def of_medicine(reading: Reading, mention: Mention) -> Attributes:
    """Return dose, unit, frequency, route and action of a medicine, from its part of the sentence."""
    found = Attributes()
    start, end = reading.sentences[mention.sentence]
    left, right = _territory(reading, mention, start, end, FindingKind.MEDICATION)
    _dose(reading, mention.end, right, found) or _dose(reading, left, mention.start, found, near=6)
    after = mention.end, right
    if "dose" not in found.values and (told := _told_apart(reading, mention, end)):
        _dose(reading, *told, found)
        after = told
    for s, e, frequency in frequencies_in(reading.tokens[after[0] : after[1]]):
        if "ago" in reading.words[after[0] + e : after[0] + e + 1]:
            continue  # "a month ago"
        found.put("frequency", frequency, after[0] + s, after[0] + e)
        break
    for route, phrases in _routes().items():
        for s, e in phrases_in(reading.words[left:right], phrases):
            found.put("route", route, left + s, left + e)
    action = _action(reading, mention, start, end)
    if action:
        found.put("action", *action)
    return found


def _told_apart(reading: Reading, mention: Mention, end: int) -> tuple[int, int] | None:
    """Return the sentence after one that ends with a medicine if it begins with an amount: "amlodipine? 10 mg?"."""
    following = mention.sentence + 1
    if mention.end < end - 1 or following >= len(reading.sentences):
        return None
    start, stop = reading.sentences[following]
    opens = any(number.start == 0 for number in numbers(reading.tokens[start:stop]))
    named = any(m.meaning(FindingKind.MEDICATION) for m in reading.of_sentence(following))
    return (start, stop) if opens and not named else None


def _dose(reading: Reading, start: int, end: int, found: Attributes, near: int = 14) -> bool:
    """Put the dose in ``[start:end)``; after "from 20 to 40 milligrams" it is the last. Says whether there is one."""
    tokens = reading.tokens[start:end]
    units = {s: (e, unit) for s, e, unit in units_in(tokens)}
    dosed = []
    for number in numbers(tokens):
        at = number.end + (number.end < len(tokens) and tokens[number.end].norm == "-")
        if at in units and units[at][1] in _DOSE_UNITS:
            dosed.append((number, *units[at]))
    if not dosed:
        return False
    number, unit_end, unit = dosed[0]
    if len(dosed) > 1 and "to" in reading.words[start + unit_end : start + dosed[1][0].start]:
        number, unit_end, unit = dosed[1]
    if near < 14 and len(tokens) - unit_end > near:
        return False
    found.put("dose", number.value, start + number.start, start + unit_end)
    found.values["unit"] = unit
    return True


def _action(reading: Reading, mention: Mention, start: int, end: int) -> tuple[str, int, int] | None:
    """Return (action, start, end) of the nearest verb of change before the medicine, else after it."""
    words = reading.words
    best: tuple[int, str, int, int] | None = None
    for action, phrases in _actions().items():
        for s, e in phrases_in(words[start : mention.start], phrases):
            distance = mention.start - (start + e)
            if distance <= 12 and (best is None or (distance, -(e - s)) < (best[0], -(best[3] - best[2]))):
                best = (distance, action, start + s, start + e)
    if best and phrases_in(words[max(start, best[2] - 3) : best[2]], _past()):
        return None
    return best[1:] if best else None


def _territory(
    reading: Reading, mention: Mention, start: int, end: int, kind: FindingKind | None = None
) -> tuple[int, int]:
    """Return the part of the sentence nearer to this mention than to its neighbours (of one kind, if given)."""
    left, right = start, end
    for other in reading.of_sentence(mention.sentence):
        if other is mention or (kind and other.term.kind is not kind):
            continue
        if other.end <= mention.start:
            left = max(left, other.end)
        elif other.start >= mention.end:
            right = min(right, other.start)
    return left, right


def _side(reading: Reading, mention: Mention, start: int, end: int, found: Attributes) -> None:
    sides = table("attributes")["laterality"]
    words = reading.words
    first, last = max(start, mention.start - sides["before"]), min(end, mention.end + sides["after"])
    said = [
        (i, side)
        for i in range(first, last)
        for side in ("left", "right", "bilateral")
        if words[i] in sides[side] and _is_side(words, i)
    ]
    if not said:
        return
    inside = [(i, side) for i, side in said if mention.start - sides["before"] <= i]
    i, side = inside[0]
    for later, other in inside[1:]:
        if phrases_in(words[i:later], _corrections()):
            i, side = later, other
        elif {side, other} == {"left", "right"} and "and" in words[i:later] and later <= mention.end:
            side = "bilateral"
            found.spans.append((later, later + 1))
    found.put("laterality", side, i, i + 1)


def _is_side(words: Sequence[str], i: int) -> bool:
    before = words[i - 1] if i else ""
    after = words[i + 1] if i + 1 < len(words) else ""
    if words[i] == "right" and after == "." and before in ("the", "my", "your", "his", "her"):
        return True
    if words[i] == "right":
        return before not in ("all", "that's", "'s", "'re") and after not in (
            "now",
            "?",
            "away",
            "there",
            "here",
            ".",
            "back",
        )
    if words[i] == "left":
        return before not in ("i", "he", "she", "they", "we", "'ve", "have") and after not in ("the", "a", "me", "work")
    return True


def _leading(words: Sequence[str], start: int, phrases: _Phrases) -> int:
    for phrase in phrases.get(words[start], ()) if start < len(words) else ():
        if tuple(words[start : start + len(phrase)]) == phrase:
            return len(phrase)
    return 0


@cache
def _severities() -> Mapping[str, _Phrases]:
    return {grade: indexed(words) for grade, words in table("attributes")["severity"].items()}


@cache
def _vague() -> _Phrases:
    return indexed(table("attributes")["duration"]["vague"])


@cache
def _since_words() -> _Phrases:
    return indexed(table("attributes")["duration"]["since_words"])


@cache
def _corrections() -> _Phrases:
    return indexed(table("attributes")["laterality"]["corrections"])


@cache
def _actions() -> Mapping[str, _Phrases]:
    return {action: indexed(phrases) for action, phrases in table("actions")["medicine"]["actions"].items()}


@cache
def _past() -> _Phrases:
    return indexed(table("actions")["medicine"]["past"])


@cache
def _routes() -> Mapping[str, _Phrases]:
    return {route: indexed(phrases) for route, phrases in table("actions")["routes"].items()}
