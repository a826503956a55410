"""How a named condition stands, by the words near it and its section: denied, another's, feared, uncertain, past."""

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from functools import cache
from importlib.resources import files
from typing import Any, Final

from osler.engines.coder.finding import Mention, Sentence
from osler.engines.coder.vocabulary import Word
from osler.notes.tokens import tokenize

_MARKS: Final = frozenset("#*_•-–—.:|>1234567890 ")

_NEAR: Final = 5
"""Tokens over which "not" denies: further on it denies a verb."""
_CLOSE: Final = 3
"""Tokens after a condition within which what is said after it begins."""


class Section(Enum):
    """What a part of a note is for."""

    NONE = auto()
    LEADING = auto()
    PAST = auto()
    FAMILY = auto()
    MEDICATION = auto()
    SKIPPED = auto()
    COMPLAINT = auto()
    TOLD = auto()
    OTHER = auto()


_UNREAD: Final = frozenset((Section.FAMILY, Section.MEDICATION, Section.SKIPPED))


@dataclass(frozen=True, slots=True)
class Standing:
    """How a condition stands with the patient. ``treated``: the words before it say that something is taken for it;
    ``planned``: what is wanted or still to come; ``ceased``: a habit given up; ``era``: a time is named by it;
    ``operated``: an operation of the past is named, which took it away.
    """

    denied: bool = False
    family: bool = False
    hypothetical: bool = False
    uncertain: bool = False
    former: bool = False
    treated: bool = False
    planned: bool = False
    ceased: bool = False
    era: bool = False
    operated: bool = False
    section: Section = Section.NONE


def sections(text: str, words: Sequence[Word], cut: Sequence[Sentence]) -> list[Section]:
    """Return the section in which each sentence stands; a heading stands in the one that it opens."""
    found: list[Section] = []
    current = Section.NONE
    names = {
        _plain(name): section
        for section, key in (
            (Section.FAMILY, "family"),
            (Section.SKIPPED, "skipped"),
            (Section.MEDICATION, "medication"),
            (Section.LEADING, "leading"),
            (Section.PAST, "past"),
            (Section.COMPLAINT, "complaint"),
            (Section.TOLD, "told"),
            (Section.OTHER, "other"),
        )
        for name in _cues()["sections"][key]
    }
    for sentence in cut:
        start, end = words[sentence.start].token.start, words[sentence.end - 1].token.end
        before = text.rfind("\n", 0, start) + 1
        opens_line = not text[before:start].strip(" #*_•-–—\t0123456789.")
        if opens_line and end - start <= 45:
            heading = text[start:end]
            marked = text[before:end].lstrip().startswith("#") or heading.isupper()
            # A heading that is not known ends a part that is not read; a problem's name stays in the assessment.
            otherwise = Section.OTHER if marked and current in _UNREAD else current
            current = names.get(_plain(heading), otherwise)
        found.append(current)
    return found


def standing(words: Sequence[Word], sentence: Sentence, mention: Mention, section: Section) -> Standing:
    """Return how a condition stands that a sentence of this section names."""
    norms = [word.token.norm for word in words[sentence.start : sentence.end]]
    start, end = mention.start - sentence.start, mention.end - sentence.start
    inside = norms[start:end]
    former = _before(norms, start, "former") or _after(norms, end, "former") or _is_dated(norms[end:])
    if former and any(_found(norms, 0, start, "former", "unless")):
        former = False
    return Standing(
        denied=_before(norms, start, "denied") or _after(norms, end, "denied") or inside[:1] == ["no"],
        family=section is Section.FAMILY or _family(norms, start),
        hypothetical=_before(norms, start, "hypothetical") or _after(norms, end, "hypothetical"),
        uncertain=_before(norms, start, "uncertain") or _after(norms, end, "uncertain"),
        former=former,
        treated="for" in norms[max(0, start - _CLOSE) : start],
        planned=_before(norms, start, "planned") or _after(norms, end, "planned"),
        ceased=_before(norms, start, "ceased"),
        era=_before(norms, start, "era"),
        operated=_operation(norms, end) and (section is Section.PAST or _before(norms, start, "operated")),
        section=section,
    )


def _is_dated(following: Sequence[str]) -> bool:
    """Say whether the year of an event comes next: "a heart attack in 2018"."""
    return bool(following[1:]) and following[0] == "in" and re.fullmatch(r"(?:19|20)\d\d", following[1]) is not None


def _operation(norms: Sequence[str], end: int) -> bool:
    return bool(frozenset(_cues()["things"]["operation"]).intersection(norms[end : end + 1]))


def is_answered_no(words: Sequence[Word], cut: Sequence[Sentence], mention: Mention) -> bool:
    """Say whether a form denies what it names before a colon: "Melanocytic nevus: not identified"."""
    sentence = cut[mention.sentence]
    if words[sentence.end - 1].token.norm != ":" or mention.sentence + 1 == len(cut):
        return False
    answer = cut[mention.sentence + 1]
    norms = [word.token.norm for word in words[answer.start : answer.end]]
    return norms in (["no"], ["no", "."]) or any(
        at == 0 for _, at in _found(norms, 0, len(norms), "answered", "before")
    )


def _before(norms: Sequence[str], start: int, kind: str) -> bool:
    for phrase, at in _found(norms, max(0, start - _cues()[kind]["reach"]), start, kind, "before"):
        between = norms[at + len(phrase) : start]
        if kind == "denied" and phrase[0] in _short() and len(between) > _NEAR:
            continue
        if not _clause_ends().intersection(between) and ";" not in between and ":" not in between:
            return True
    return False


def _after(norms: Sequence[str], end: int, kind: str) -> bool:
    following = norms[end : end + 8]
    for at, norm in enumerate(following):
        if norm in (",", ";", "but", "and") and at > 0:
            following = following[:at]
            break
    return any(at <= _CLOSE for _, at in _found(following, 0, len(following), kind, "after"))


def _family(norms: Sequence[str], start: int) -> bool:
    ends = frozenset(_cues()["family"]["ends"])
    found = _found(norms, max(0, start - _cues()["family"]["reach"]), start, "family", "before")
    return any(not ends.intersection(norms[at + len(phrase) : start]) for phrase, at in found)


def _found(norms: Sequence[str], start: int, end: int, kind: str, key: str) -> Iterator[tuple[tuple[str, ...], int]]:
    """Yield the phrases that ``norms[start:end)`` has, with where."""
    by_first = _phrases(kind, key)
    for at in range(start, end):
        for phrase in by_first.get(norms[at], ()):
            if at + len(phrase) <= end and tuple(norms[at : at + len(phrase)]) == phrase:
                yield phrase, at


@cache
def _phrases(kind: str, key: str) -> Mapping[str, Sequence[tuple[str, ...]]]:
    """Return phrases by their first word."""
    by_first: dict[str, list[tuple[str, ...]]] = {}
    for listed in _cues()[kind].get(key, ()):
        phrase = tuple(token.norm for token in tokenize(listed))
        by_first.setdefault(phrase[0], []).append(phrase)
    return by_first


@cache
def _short() -> frozenset[str]:
    return frozenset(_cues()["denied"]["short"])


@cache
def _clause_ends() -> frozenset[str]:
    return frozenset(_cues()["clause"]["ends"])


@cache
def _cues() -> Mapping[str, Any]:
    return tomllib.loads(files("osler.engines.coder").joinpath("data", "cues.toml").read_text(encoding="utf-8"))


def _plain(heading: str) -> str:
    return heading.strip("".join(_MARKS)).lower()
