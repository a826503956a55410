"""Learns how a clinician writes from notes of theirs, and says things so: headings, abbreviations, length.

Only what stands in the closed tables of ``data/voice.toml`` is learned, so no words of a patient's note go elsewhere.
"""

import re
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from statistics import median_low
from typing import Any, Final

from osler.notes.html_reading import markdown_of
from osler.notes.writing import VoiceProfile

_HEADING: Final = re.compile(
    r"^\s*(?:#{1,6}\s+(?P<words>.+?)\s*#*|\*\*(?P<bold>[^*\n]+?):?\*\*:?|(?P<plain>[A-Za-z][\w /&-]{0,38}):?)\s*$",
    re.MULTILINE,
)
_LABEL: Final = re.compile(r"^\s*(?:[-*+•]\s+)?(?:\*\*)?(?P<label>[A-Za-z][\w /&-]{0,38}?)(?:\*\*)?:", re.MULTILINE)
_TAG: Final = re.compile(r"</?[a-z][^<>]*>", re.IGNORECASE)


def learn(notes: Sequence[str]) -> VoiceProfile:
    """Return how the author of some notes (Markdown or HTML) writes; ``words`` is the median of their lengths.

    Of several ways to say the same the one in most notes counts; a replacement must be in more of them than the plain
    words are. Notes without a word do not count; without any the profile is empty and has 0 notes.
    """
    texts = [text for note in notes if (text := _plain(note)).strip()]
    if not texts:
        return VoiceProfile(0, 0)
    return VoiceProfile(
        notes=len(texts),
        words=median_low(len(text.split()) for text in texts),
        headings=_headings_of(texts),
        phrases=_phrases_of(texts),
    )


def in_voice(text: str, voice: VoiceProfile) -> str:
    """Return a sentence in the author's wordings."""
    theirs = {plain: written for plain, written in voice.phrases.items() if plain in _tables().phrases}
    if not theirs:
        return text

    def replaced(match: re.Match[str]) -> str:
        written = theirs[match[0].casefold()]
        starts = match.start() == 0 and written.islower()
        return f"{written[:1].upper()}{written[1:]}" if starts else written

    return _any_phrase(tuple(sorted(theirs, key=len, reverse=True))).sub(replaced, text)


def heading_in_voice(words: str, voice: VoiceProfile) -> str:
    """Return a heading or label as the author writes it; as it is if they write none in its place."""
    return voice.headings.get(words.strip().casefold(), words)


@dataclass(frozen=True, slots=True)
class _Tables:
    groups: Mapping[str, str]
    """The name of the group of each heading."""
    phrases: Mapping[str, tuple[str, ...]]


@cache
def _tables() -> _Tables:
    data: dict[str, Any] = tomllib.loads(files("osler.notes").joinpath("data", "voice.toml").read_text("utf-8"))
    groups = {words: group for group, members in data["headings"].items() for words in members}
    if len(groups) != sum(map(len, data["headings"].values())):
        raise ValueError("voice.toml has a heading in two groups")
    return _Tables(groups, {plain: tuple(written) for plain, written in data["phrases"].items()})


def _plain(note: str) -> str:
    """Return a note without the elements of HTML, its headings as those of Markdown."""
    return markdown_of(note) if _TAG.search(note) else note


def _headings_of(texts: Sequence[str]) -> dict[str, str]:
    groups = _tables().groups
    used: dict[str, Counter[str]] = {}
    for text in texts:
        found = [match["words"] or match["bold"] or match["plain"] for match in _HEADING.finditer(text)]
        found += [match["label"] for match in _LABEL.finditer(text)]
        for words in dict.fromkeys(" ".join(each.strip(" *:").split()) for each in found):
            if (group := groups.get(words.casefold())) is not None:
                used.setdefault(group, Counter())[words] += 1
    theirs: dict[str, str] = {}
    for group, counts in used.items():
        most = max(counts, key=lambda words: (counts[words], words))
        theirs.update({words: most for words, other in groups.items() if other == group and words != most})
    return theirs


def _phrases_of(texts: Sequence[str]) -> dict[str, str]:
    theirs: dict[str, str] = {}
    for plain, written in _tables().phrases.items():
        counts = {each: sum(_occurs(each, text, plain) for text in texts) for each in written}
        most = max(counts, key=lambda each: (counts[each], -written.index(each)))
        if counts[most] > sum(_occurs(plain, text, "") for text in texts):
            theirs[plain] = most
    return theirs


def _occurs(words: str, text: str, plain: str) -> bool:
    """Say whether words stand in a text, not counting those inside of the plain phrase ("patient", "the patient")."""
    if plain:
        text = _any_phrase((plain,)).sub(" ", text)
    cased = any(character.isupper() for character in words)
    pattern = rf"(?<![\w/]){re.escape(words)}(?![\w/])"
    return re.search(pattern, text, 0 if cased else re.IGNORECASE) is not None


@cache
def _any_phrase(phrases: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w/])(?:{'|'.join(map(re.escape, phrases))})(?![\w/])", re.IGNORECASE)
