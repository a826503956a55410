"""Answers placeholders that ask for something by its own name: only lines that hold every word of it."""

import re
from collections.abc import Sequence
from functools import cache
from typing import Final

from osler.engines.grounded.phrasing import Line
from osler.engines.grounded.repetition import content
from osler.notes.template_placeholders import phrasebook, resolve
from osler.notes.template_tree import TemplateText

MOST_WORDS: Final = 4
"""A placeholder of more content words is a sentence of its own, which no words of the visit will repeat."""

_UNASKED: Final = frozenset({"not"})


def searched(template: TemplateText, lines: Sequence[Line]) -> dict[str, tuple[int, ...]]:
    """Return the lines (by index) that answer the placeholders of which the phrasebook knows nothing, by id.

    Each line goes to the first that it answers; problems, which head other lines, to none.
    """
    found: dict[str, tuple[int, ...]] = {}
    taken: set[int] = set()
    words = [content(line.text) for line in lines]
    for part in template.placeholders:
        asked = frozenset() if resolve(part.text) else asked_words(part.text)
        if not asked:
            continue
        indexes = [
            index
            for index, line in enumerate(lines)
            if index not in taken and not line.is_problem and asked <= words[index]
        ]
        if indexes:
            found[part.id] = tuple(indexes)
            taken.update(indexes)
    return found


@cache
def asked_words(placeholder: str) -> frozenset[str]:
    """Return the stems of the words that a placeholder asks for; none if they are too many, or say nothing."""
    book = phrasebook()
    said = re.findall(r"[\w'’-]+", book.elaborates.split(placeholder, maxsplit=1)[0].casefold())
    asked = content(" ".join(word for word in said if word not in book.neutral)) - _UNASKED
    return asked if len(asked) <= MOST_WORDS else frozenset()
