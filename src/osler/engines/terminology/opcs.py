"""OPCS-4.10 from "OPCS410 CodesAndTitles Nov 2022 V1.0.txt" of the data files of NHS England (TRUD).

Each line is a code and its title, separated by a tab, no head line; a code of three characters heads those of four.
"""

import re
from collections.abc import Sequence
from datetime import date
from typing import Final

from osler.engines.terminology.release import Entry, Release
from osler.engines.terminology.release_file import ReleaseFile, only
from osler.kernel.errors import BrokenReleaseError

LICENCE: Final = "Crown copyright, NHS England: OPCS-4 licence of TRUD"
_EFFECTIVE: Final = date(2023, 4, 1)
"""OPCS-4.10 is mandated from this day (DAPB0084)."""
_NAME: Final = r"OPCS(?P<version>4\d+) CodesAndTitles (?P<issue>.+)\.txt"
_CODE: Final = re.compile(r"([A-HJ-Z]\d{2})(?:\.?(\d))?")


def read_opcs(files: Sequence[ReleaseFile]) -> Release:
    """Read codes and titles. Raises BrokenReleaseError, which names the line."""
    file = only(files, _NAME, "files of codes and titles (OPCS410 CodesAndTitles ... .txt)")
    named = re.fullmatch(_NAME, file.name, re.IGNORECASE)
    if named is not None and named["version"] != "410":
        raise BrokenReleaseError(
            f"This is a release of OPCS-4.{named['version'][1:]}, not of OPCS-4.10. Nothing was imported."
        )
    entries: dict[str, Entry] = {}
    for number, line in file.lines():
        if not line.strip():
            continue
        code, tab, title = line.partition("\t")
        match = _CODE.fullmatch(code.strip())
        if match is None or not tab or not title.strip():
            raise file.broken(number, "a code of OPCS-4, a tab and a title are needed")
        category, fourth = match.groups()
        whole = f"{category}.{fourth}" if fourth else category
        if whole in entries:
            raise file.broken(number, "the code stands there twice")
        if fourth and category not in entries:
            raise file.broken(number, "the code's heading of three characters does not stand before it")
        entries[whole] = Entry(whole, " ".join(title.split()), (category,) if fourth else ())
        if fourth:
            entries[category].billable = False
    version = f"4.10 {named['issue']}" if named else "4.10"
    return Release("OPCS-410", version, _EFFECTIVE, LICENCE, "OPCS-4.10 codes and titles", _titled(entries))


def _titled(entries: dict[str, Entry]) -> list[Entry]:
    """Titles of four characters often say only what is particular: the heading's words are given to them as a name."""
    for entry in entries.values():
        if entry.parents:
            entry.names.append((f"{entries[entry.parents[0]].description}: {entry.description}", "synonym"))
    return list(entries.values())
