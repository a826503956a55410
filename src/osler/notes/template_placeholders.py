"""What a placeholder asks for: the parts of a note, or facts about the patient and the visit, by its own words."""

import re
import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final

from osler.notes.template_language import Problem
from osler.notes.template_tree import TemplateText
from osler.notes.templates import part_names

FIELDS: Final = ("patient_name", "patient_birth_date", "patient_gender", "visit_date", "organization_name")
"""What is known of a visit before a word is said."""

_WORD: Final = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")


@dataclass(frozen=True, slots=True)
class Target:
    """What some phrases stand for: a part of a note, or one of FIELDS.

    ``words`` (small letters; with ``*`` the beginning of one) narrow a part to the sentences that hold one of them; no
    words: all of it.
    """

    name: str
    words: tuple[str, ...] = ()

    @property
    def is_field(self) -> bool:
        """Whether it is a fact about the patient or visit rather than a part of the note."""
        return self.name in FIELDS


@dataclass(frozen=True, slots=True)
class Phrasebook:
    """What placeholders can say. Words are in small letters; ``elaborates`` is what ends the part that counts."""

    phrases: Mapping[tuple[str, ...], Target]
    neutral: frozenset[str]
    elaborates: re.Pattern[str]

    @property
    def longest(self) -> int:
        """The words of the longest phrase."""
        return max(map(len, self.phrases))


@cache
def phrasebook() -> Phrasebook:
    """Return ``data/placeholders.toml``. Raises ValueError if it names what does not exist, or a phrase twice."""
    data: dict[str, Any] = tomllib.loads(
        files("osler.notes").joinpath("data", "placeholders.toml").read_text(encoding="utf-8")
    )
    found: dict[tuple[str, ...], Target] = {}
    for entry in data["phrases"]:
        target = Target(entry["target"], tuple(entry.get("words", ())))
        if target.name not in (*part_names(), *FIELDS) or (target.is_field and target.words):
            raise ValueError(f"placeholders.toml names a target that no note has: {target.name}")
        for phrase in entry["says"]:
            words = _words(phrase)
            if not words or words in found:
                raise ValueError(f"placeholders.toml holds a phrase twice or an empty one: {phrase}")
            found[words] = target
    elaborates = "|".join(re.escape(each) for each in data["elaborates"])
    ends = re.compile(rf":|\s[-–—]\s|\(|(?<!\w)(?:{elaborates})(?!\w)", re.IGNORECASE)
    return Phrasebook(found, frozenset(data["neutral"]), ends)


def resolve(placeholder: str) -> tuple[Target, ...]:
    """Return what the words of a placeholder ask for, in their order, each once; nothing if that is unknown.

    Of phrases that begin at the same word the longest counts, and none begins inside of another. See
    ``data/placeholders.toml`` for when a phrase counts that is one word, or stands for a fact.
    """
    book = phrasebook()
    words = _words(book.elaborates.split(placeholder, maxsplit=1)[0])
    sure: list[Target] = []
    likely: list[Target] = []
    is_whole, alone, at = True, False, 0
    while at < len(words):
        size = _phrase_at(words, at, book)
        if size:
            target = book.phrases[words[at : at + size]]
            likely.append(target)
            if size > 1 and not target.is_field:
                sure.append(target)
            if size == 1 and target.is_field:
                alone = True
        elif words[at] not in book.neutral:
            is_whole = False
        at += size or 1
    # "date" is the visit's, "date of onset" is not.
    is_whole = is_whole and not (alone and len(likely) > 1)
    return tuple(dict.fromkeys(likely if is_whole else sure))


def _phrase_at(words: tuple[str, ...], at: int, book: Phrasebook) -> int:
    """Return the size of the longest phrase that begins there, 0 if none does."""
    sizes = range(min(book.longest, len(words) - at), 0, -1)
    return next((size for size in sizes if words[at : at + size] in book.phrases), 0)


def unresolved(tree: TemplateText) -> tuple[Problem, ...]:
    """Return a warning for each placeholder that only a language model could fill."""
    message = "nothing in a visit is known by these words; it will be left out unless a language model is configured"
    return tuple(
        Problem(part.line, part.column, message, is_warning=True)
        for part in tree.placeholders
        if part.text and not resolve(part.text)
    )


def targets_of(tree: TemplateText) -> dict[str, tuple[Target, ...]]:
    """Return what each placeholder (by id) asks for."""
    return {part.id: resolve(part.text) for part in tree.placeholders}


def distribute(
    tree: TemplateText, sentences: Sequence[tuple[str, str]], topics: Collection[int] = ()
) -> dict[str, tuple[int, ...]]:
    """Say which sentences answer which placeholder: their indexes by id, in their order.

    ``sentences`` are pairs of the part of the note and the text. Each goes to one placeholder at most: to the first
    narrow one that has one of its words, else to the first that asks for its whole part. ``topics`` are the indexes of
    those that head what follows them (the problems of a plan): they go wherever one of these goes, so to several
    placeholders or, if nothing follows, to the one that asks for the whole part.
    """
    targets = targets_of(tree)
    given: dict[str, list[int]] = {}
    topic: int | None = None
    for index, (part, text) in enumerate(sentences):
        if index in topics:
            followed = index + 1 < len(sentences) and index + 1 not in topics and sentences[index + 1][0] == part
            topic = index if followed else None
            if followed:
                continue
        elif topic is not None and sentences[topic][0] != part:
            topic = None
        name = _asking(targets, part, "" if index in topics else text)
        if name is None:
            continue
        indexes = given.setdefault(name, [])
        if topic is not None and topic not in indexes:
            indexes.append(topic)
        indexes.append(index)
    return {name: tuple(indexes) for name, indexes in given.items()}


def _asking(targets: Mapping[str, tuple[Target, ...]], part: str, text: str) -> str | None:
    """Return the placeholder that a sentence goes to."""
    asking = [
        (not target.words, name)
        for name, wanted in targets.items()
        for target in wanted
        if target.name == part and (not target.words or _holds(text, target.words))
    ]
    return min(asking, key=lambda each: each[0])[1] if asking else None


def _holds(text: str, words: tuple[str, ...]) -> bool:
    return _pattern(words).search(text.casefold()) is not None


@cache
def _pattern(words: tuple[str, ...]) -> re.Pattern[str]:
    each = (re.escape(word.removesuffix("*")) + (r"\w*" if word.endswith("*") else "") for word in words)
    return re.compile(rf"(?<!\w)(?:{'|'.join(each)})(?!\w)")


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.casefold().replace("’", "'") for word in _WORD.findall(text))
