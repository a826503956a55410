"""The medicines that Osler knows by name: which words name one, and which names mean the same.

Most names are those of ``osler.speech.vocabulary``, which the recogniser listens for too; ``data/medications.tsv`` adds
how people shorten and describe them.
"""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType

from osler.notes.tokens import tokenize
from osler.speech.vocabulary import data_lines


@cache
def medicine_names() -> Mapping[str, str]:
    """Return every known name, generic, brand or lay (lower case, tokens joined by blanks) → its generic name."""
    names: dict[str, str] = {}
    for generic, surfaces in (*_everyday(), *_common(), *_listed()):
        for surface in surfaces:
            if key := " ".join(token.norm for token in tokenize(surface)):
                names.setdefault(key, generic)
    return MappingProxyType(names)


def medicines_named(text: str) -> list[str]:
    """Return the known names that stand in ``text`` as whole words, sorted, in lower case."""
    lowered = text.lower()
    return sorted(n for n in medicine_names() if n in lowered and re.search(rf"\b{re.escape(n)}\b", lowered))


def _everyday() -> Iterator[tuple[str, list[str]]]:
    lines = files("osler.notes").joinpath("data", "medications.tsv").read_text("utf-8").splitlines()
    for line in lines:
        if line and not line.startswith("#"):
            generic, _, surfaces = line.partition("\t")
            yield generic, [generic, *surfaces.split("|")]


def _common() -> Iterator[tuple[str, list[str]]]:
    for line in data_lines("drugs.tsv"):
        _, generic, *brands = line.split("\t")
        yield generic.lower(), [generic, *(brands[0].split(",") if brands else ())]


def _listed() -> Iterator[tuple[str, list[str]]]:
    everyday_words = frozenset(data_lines("not_drugs.txt"))
    for name in data_lines("icd10cm_drug_names.txt"):
        if name not in everyday_words:
            yield name, [name]
