"""Where the words of a condition name something else: a diet, a test, a device, a vaccine, an operation to come."""

import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Final

from osler.engines.coder.finding import Mention, Sentence
from osler.engines.coder.vocabulary import Word

EVERYDAY: Final = frozenset(("burning", "fall", "fell", "falling"))
"""Words that name a condition in the index and tell a sensation or a single event in a visit."""
_ABBREVIATED: Final = frozenset(("af", "cad", "pad", "sob", "mono", "aki", "gad", "hf"))
"""Abbreviations that are words of everyday speech or of other fields in small letters."""
_FEELINGS: Final = frozenset(("anxious", "depressed"))
_OF_SOMETHING: Final = frozenset(("about", "to", "regarding", "that", "over"))
"""After the name of a feeling these tell what it is about: "anxious about needles" is no disorder."""
_JOINED: Final = frozenset(("-", "/", "evaluation", "care"))
"""What may stand between the condition and the thing: "Covid evaluation centers"."""
_LISTED: Final = frozenset(("and", "or", ",", "/"))
_FAR: Final = 6
"""Tokens between "low sodium" and the diet that it describes."""
_NEAR: Final = 3
"""Tokens between "foods" and "high in potassium"."""


def is_everyday(text: str, words: Sequence[Word], mention: Mention) -> bool:
    """Say whether a single word is meant as everyday speech means it."""
    token = words[mention.start].token
    if mention.end - mention.start > 1:
        return False
    following = words[mention.end].token.norm if mention.end < len(words) else ""
    if token.norm in _FEELINGS and following in _OF_SOMETHING:
        return True
    return token.norm in EVERYDAY or (token.norm in _ABBREVIATED and not text[token.start : token.end].isupper())


def is_something_else(words: Sequence[Word], cut: Sequence[Sentence], mention: Mention, *, complaint: bool) -> bool:
    """Say whether a mention only describes a thing: "low sodium diet", "pregnancy test", "flu shot".

    ``complaint``: its code is that of a sign, whose medicine ("cough syrup") says nothing of the patient.
    """
    sentence = cut[mention.sentence]
    following = [words[at].token.norm for at in range(mention.end, sentence.end)]
    while following and following[0] in _JOINED:
        following = following[1:]
    things = _things()
    if following[:1]:
        thing = following[0]
        if thing in things["diet"] or thing in things["other"] or (complaint and thing in things["medicine"]):
            return True
        if thing in things["test"]:
            return "positive" not in (word.token.norm for word in words[sentence.start : sentence.end])
        if thing in _LISTED and things["vaccine"].intersection(following[1:4]):
            return True
        if thing in things["vaccine"]:
            return True
    return _is_of_diet(words, cut, mention, following)


def _is_of_diet(words: Sequence[Word], cut: Sequence[Sentence], mention: Mention, following: Sequence[str]) -> bool:
    """Say whether "low sodium" and the like tell what to eat."""
    inside = [word.token.norm for word in words[mention.start : mention.end]]
    if not {"low", "high"}.intersection(inside):
        return False
    diet = _things()["diet"]
    if "low" in inside and diet.intersection(following[:_FAR]):
        return True
    start = cut[mention.sentence].start
    if mention.sentence and start == mention.start and words[start - 1].token.norm == ":":
        before = cut[mention.sentence - 1]
        return bool(diet.intersection(word.token.norm for word in words[before.start : before.end]))
    near = words[max(start, mention.start - _NEAR) : mention.start]
    return "in" in inside and bool(diet.intersection(word.token.norm for word in near))


@cache
def _things() -> Mapping[str, frozenset[str]]:
    text = files("osler.engines.coder").joinpath("data", "cues.toml").read_text(encoding="utf-8")
    return {kind: frozenset(names) for kind, names in tomllib.loads(text)["things"].items()}
