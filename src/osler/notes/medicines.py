"""The medicines that Osler knows by name: which words name one, and which names mean the same."""

import csv
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType

from osler.notes.tokens import tokenize


@cache
def medicine_names() -> Mapping[str, str]:
    """Return every known name, generic, brand or lay (lower case, tokens joined by blanks) → its generic name."""
    lines = files("osler.notes").joinpath("data", "medications.tsv").read_text("utf-8").splitlines()
    rows = csv.DictReader((line for line in lines if not line.startswith("#")), delimiter="\t")
    names: dict[str, str] = {}
    for row in rows:
        for name in (row["generic"], *(row["names"] or "").split("|")):
            if name:
                names.setdefault(" ".join(token.norm for token in tokenize(name)), row["generic"])
    return MappingProxyType(names)
