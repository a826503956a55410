"""Which lines answer which placeholder: those that are asked for by name first, then by part, narrowed by words."""

import re
from collections.abc import Collection, MutableMapping, Sequence
from functools import cache
from typing import Final

from osler.engines.grounded.lexicon import table
from osler.engines.grounded.phrasing import Line
from osler.engines.grounded.refining import is_refusal
from osler.engines.grounded.repetition import content
from osler.notes.model import SourceKind
from osler.notes.template_placeholders import distribute, phrasebook, resolve, targets_of
from osler.notes.template_tree import TemplateText

MOST_WORDS: Final = 4
"""A placeholder of more content words is a sentence of its own, which no words of the visit will repeat."""

_UNASKED: Final = frozenset({"not"})


def answered_by(template: TemplateText, lines: Sequence[Line]) -> dict[str, tuple[int, ...]]:
    """Return which lines answer which placeholder (by id), by their indexes.

    Placeholders that ask for something by name ("knee pain", "blood pressure") are answered first. What the clinician
    added stands somewhere, even if the template asks for nothing of the kind.
    """
    found = {**searched(template, lines), **measured(template, lines)}
    taken = {index for indexes in found.values() for index in indexes}
    left = [index for index in range(len(lines)) if index not in taken]
    topics = [number for number, index in enumerate(left) if lines[index].is_problem]
    given = distribute(template, [(lines[index].part, _asked_of(lines[index])) for index in left], topics)
    single = measurements_asked(template)
    for name, numbers in given.items():
        # What is asked for one vital sign gets no other one: those go where all of them are asked for.
        place: str | None = _all_vitals(template, single) if name in single else name
        if place is not None:
            found[place] = tuple(sorted({*found.get(place, ()), *(left[number] for number in numbers)}))
    _keep_to_mental_state(template, lines, found)
    placed = {index for indexes in found.values() for index in indexes}
    homeless = [i for i, line in enumerate(lines) if i not in placed and line.evidence[0].source is SourceKind.ADDITION]
    general = _most_general(template) if homeless else None
    if general is not None:
        found[general] = (*found.get(general, ()), *homeless)
    return found


def _all_vitals(template: TemplateText, but: Collection[str]) -> str | None:
    """Return the placeholder that asks for all vital signs."""
    for name, targets in targets_of(template).items():
        if name not in but and any(target.name == "vitals" and not target.words for target in targets):
            return name
    return None


def _asked_of(line: Line) -> str:
    """Return the words by which a line answers a narrow request: none if it says what a plan leaves undone."""
    return "" if line.part == "assessment_plan" and is_refusal(line.text) else line.text


def _keep_to_mental_state(
    template: TemplateText, lines: Sequence[Line], found: MutableMapping[str, tuple[int, ...]]
) -> None:
    tables = table("refining")
    for part in template.placeholders:
        if part.id in found and re.search(tables["mental_state_asked"], part.text, re.IGNORECASE):
            found[part.id] = tuple(
                index
                for index in found[part.id]
                if lines[index].part != "exam" or re.search(tables["mental_state"], lines[index].text, re.IGNORECASE)
            )


_GENERAL: Final = ("hpi", "assessment_plan", "instructions")


def _most_general(template: TemplateText) -> str | None:
    """Return the placeholder that holds what no other asks for; None if the template asks for facts alone."""
    asked = [(name, target) for name, targets in targets_of(template).items() for target in targets]
    parts = [(name, target) for name, target in asked if not target.is_field]
    parts.sort(key=lambda each: (each[1].name not in _GENERAL, bool(each[1].words)))
    return parts[0][0] if parts else None


def measured(template: TemplateText, lines: Sequence[Line]) -> dict[str, tuple[int, ...]]:
    """Return the vital signs that answer placeholders that ask for one of them alone ("BP [blood pressure]"), by id."""
    found: dict[str, tuple[int, ...]] = {}
    taken: set[int] = set()
    for name, words in measurements_asked(template).items():
        pattern = re.compile(rf"\b(?:{'|'.join(map(re.escape, words))})\b", re.IGNORECASE)
        indexes = [
            i for i, line in enumerate(lines) if line.part == "vitals" and i not in taken and pattern.search(line.text)
        ]
        if indexes:
            found[name] = tuple(indexes)
            taken.update(indexes)
    return found


def measurements_asked(template: TemplateText) -> dict[str, Sequence[str]]:
    """Return the placeholders (by id) that ask for one vital sign alone, each with the names that lines give it."""
    book = phrasebook()
    names = {name: words for words in table("refining")["measured"].values() for name in words}
    asked = {
        part.id: " ".join(
            word
            for word in re.findall(r"[\w']+", book.elaborates.split(part.text, maxsplit=1)[0].casefold())
            if word not in book.neutral
        )
        for part in template.placeholders
    }
    return {name: names[words] for name, words in asked.items() if words in names}


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
