"""Words of clinical names and of questions, brought to one form: case, accents, spelling, endings, numbers."""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from importlib import resources
from typing import Final

_UNSPECIFIED: Final = re.compile(
    r"(?:site|side|type|cause|organism|stage)?,? ?(?:not (?:otherwise )?specified(?: as [^,;()]+)?|unspecified|\bnos\b)"
)
_TOKEN: Final = re.compile(r"[a-z0-9]+(?:'[a-z]+)?")
_BRACKETS: Final = re.compile(r"\(([^()]*)\)|\[([^\[\]]*)\]")

STOP: Final = frozenset(
    {"a", "an", "and", "any", "as", "at", "by", "due", "for", "from", "has", "her", "his", "in", "into", "is", "it",
     "its", "my", "of", "on", "or", "our", "that", "the", "their", "these", "this", "to", "was", "which", "who",
     "whose", "with", "your"}
)  # fmt: skip
"""Words that say nothing about which code is meant."""

WEAK: Final = frozenset(
    {"unspecified", "nos", "nec", "specified", "other", "elsewhere", "classified", "mellitus", "disorder", "disease",
     "condition", "syndrome", "type", "stage", "grade", "site", "part", "uncomplicated", "essential", "primary",
     "problem", "encounter", "initial", "organism", "nonrheumatic", "personal"}
)  # fmt: skip
"""Words that weigh little: many names have them, and people leave them out."""

_NUMBERS: Final = {
    "one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6",
    "i": "1", "ii": "2", "iii": "3", "iv": "4",
    "first": "1", "second": "2", "third": "3", "fourth": "4", "1st": "1", "2nd": "2", "3rd": "3", "4th": "4",
}  # fmt: skip
_COUNTED: Final = frozenset({"type", "stage", "grade", "class", "category", "degree", "phase"})
"""Words beside which ``i`` and ``v`` are numbers."""
_LETTERED: Final = _COUNTED | {
    "hepatitis", "influenza", "vitamin", "group", "factor", "haemophilia", "hemophilia", "streptococcus", "strep",
    "immunoglobulin", "virus", "flu",
}  # fmt: skip
"""Words after which ``a`` is a letter of the alphabet."""


def fold(text: str) -> str:
    """Return the text in lower case, without accents and with plain apostrophes and hyphens."""
    if text.isascii():
        return text.lower()
    plain = unicodedata.normalize("NFKD", text.replace("’", "'").replace("‐", "-").replace("–", "-"))
    return "".join(c for c in plain if not unicodedata.combining(c)).lower()


@lru_cache(maxsize=65_536)
def tokens(text: str) -> tuple[str, ...]:
    """Return the words of a text in their one form, in order, those of STOP left out."""
    found = _TOKEN.findall(fold(text))
    result = []
    for at, word in enumerate(found):
        if word in ("i", "v") and not _beside_counted(found, at):
            if word == "i":
                continue
        elif word in _NUMBERS:
            word = _NUMBERS[word]
        elif word == "v":
            word = "5"
        word = word.removesuffix("'s").replace("'", "")
        if word and (word not in STOP or (word == "a" and at > 0 and found[at - 1] in _LETTERED)):
            result.append(canonical(word))
    return tuple(result)


@lru_cache(maxsize=262_144)
def required_and_optional(text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the words of a name, and those that it has in brackets: there to be recognised, not to be asked for.

    "Nonessential modifiers" of ICD-10-CM, General Note on punctuation: parentheses enclose words that may be present or
    absent without affecting the code; square brackets enclose synonyms. That nothing more is specified need not be said
    either.
    """
    optional: list[str] = []
    rest, unspecified = _UNSPECIFIED.subn(" ", fold(text))
    while (match := _BRACKETS.search(rest)) is not None:
        optional += tokens(match[1] or match[2] or "")
        rest = f"{rest[: match.start()]} {rest[match.end() :]}"
    required = tokens(rest)
    if not required:
        return tokens(text), ()
    if unspecified:
        optional.append("unspecified")
    return required, tuple(o for o in dict.fromkeys(optional) if o not in required)


def canonical(word: str) -> str:
    """Return the form under which a word is kept: American spelling, one word of a pair of the same meaning, stem."""
    word = _spelling().get(word, word)
    word = stem(word)
    return _same().get(word, word)


@cache
def stem(word: str) -> str:
    """Cut off endings of number and of verbs: ``fractures``, ``fractured`` and ``fracture`` are one word."""
    if len(word) <= 3 or word[-1].isdigit():
        return word
    if word.endswith("ies") and len(word) > 5:
        word = word[:-3] + "y"
    elif word.endswith(("sses", "shes", "ches", "xes")):
        word = word[:-2]
    elif word.endswith("s") and not word.endswith(("ss", "us", "is", "itis")):
        word = word[:-1]
    for ending in ("ing", "ed"):
        bare = word.removesuffix(ending)
        if bare != word and len(bare) >= 4 and re.search("[aeiouy]", bare):
            word = bare[:-1] if len(bare) > 4 and bare[-1] == bare[-2] and bare[-1] not in "lsz" else bare
            break
    return word[:-1] if word.endswith("e") and len(word) > 4 else word


def _beside_counted(words: Sequence[str], at: int) -> bool:
    return (at > 0 and words[at - 1] in _COUNTED) or (at + 1 < len(words) and words[at + 1] in _COUNTED)


@cache
def _spelling() -> dict[str, str]:
    return {a: b for a, b, *_ in table("spelling.tsv")}


@cache
def _same() -> dict[str, str]:
    """Stem of each word of ``same.tsv`` to the stem of the first of its line."""
    return {stem(word): stem(first) for first, *others in table("same.tsv") for word in others[0].split()}


def table(name: str) -> Iterator[list[str]]:
    """Yield the rows of a data file: tab-separated, ``#`` begins a comment line."""
    text = (resources.files("osler.engines.terminology") / "data" / name).read_text(encoding="utf-8")
    for line in text.splitlines():
        if line and not line.startswith("#"):
            yield line.split("\t")
