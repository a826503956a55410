"""CPT 2025 from the American Medical Association's standard text files.

``LONGULT.txt`` is needed: the copyright notice, then a code, a tab and the long description on each line. ``MEDU.txt``
(code in columns 1 to 5, medium description from column 7) and ``SHORTU.txt`` (the same, short) are used where they are
there. The layouts are those of the AMA's file layout document.
"""

import re
from collections.abc import Iterator, Sequence
from datetime import date
from typing import Final

from osler.engines.terminology.release import Entry, Release
from osler.engines.terminology.release_file import ReleaseFile, only
from osler.kernel.errors import BrokenReleaseError

LICENCE: Final = "© American Medical Association: CPT licence"
_YEAR: Final = 2025
_CODE: Final = re.compile(r"\d{4}[0-9A-Z]")
"""Category I: five digits; category II ends in F, III in T, proprietary laboratory analyses in U, MAAA in M."""


def read_cpt(files: Sequence[ReleaseFile]) -> Release:
    """Read the codes. Raises BrokenReleaseError, which names the line."""
    file = only(files, r"LONGULT\.txt", "files of long descriptions (LONGULT.txt)")
    entries: dict[str, Entry] = {}
    for number, code, description in _lines(file, separator="\t"):
        if code in entries:
            raise file.broken(number, "the code stands there twice")
        entries[code] = Entry(code, description)
    for pattern in (r"MEDU\.txt", r"SHORTU\.txt"):
        for other in [f for f in files if f.member is not None and re.fullmatch(pattern, f.name, re.IGNORECASE)]:
            for number, code, description in _lines(other, separator=" "):
                if code not in entries:
                    raise other.broken(number, "the code has no long description in LONGULT.txt")
                entries[code].names.append((description, "short"))
    version = f"{_YEAR}"
    return Release("CPT-2025", version, date(_YEAR, 1, 1), LICENCE, "CPT standard files", list(entries.values()))


def _lines(file: ReleaseFile, *, separator: str) -> Iterator[tuple[int, str, str]]:
    """Yield number, code and description of each line after the copyright notice, which must be of the right year."""
    notice: list[str] = []
    begun = False
    for number, line in file.lines():
        code, found, description = line[:5], line[5:6], line[6:].strip()
        if _CODE.fullmatch(code) and found == separator and description:
            if not begun:
                _check_year(notice)
                begun = True
            yield number, code, " ".join(description.split())
        elif begun and line.strip():
            raise file.broken(
                number, f"a code, a {'tab' if separator == chr(9) else 'space'} and a description are needed"
            )
        else:
            notice.append(line)
    if not begun:
        raise file.broken(max(len(notice), 1), "there is no code of CPT in the file")


def _check_year(notice: list[str]) -> None:
    """A notice that names years must name that of the edition."""
    years = {int(year) for year in re.findall(r"\b(?:19|20)\d\d\b", " ".join(notice))}
    if years and max(years) not in (_YEAR, _YEAR - 1):  # the edition of a year is copyright of the year before
        raise BrokenReleaseError(
            f"The copyright notice is of {max(years)}: this is not CPT {_YEAR}. Nothing was imported."
        )
