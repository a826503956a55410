"""ACHI, thirteenth edition, from ``interven.txt`` (and ``blocks.txt``) of the electronic code lists of IHACPA.

The list has a head line (Code_id, Block, ascii_desc, ascii_short_desc, effective_from, inactive, ...), between tabs
or commas; days are written d/m/yyyy. Codes have seven digits, with or without a hyphen after the fifth.
"""

import csv
import re
from collections.abc import Iterator, Sequence
from datetime import date
from typing import Final

from osler.engines.terminology.release import Entry, Release
from osler.engines.terminology.release_file import ReleaseFile, only
from osler.kernel.errors import BrokenReleaseError

LICENCE: Final = "© Independent Health and Aged Care Pricing Authority: ICD-10-AM/ACHI/ACS licence"
_THIRTEENTH: Final = date(2025, 7, 1)
"""First day of the thirteenth edition."""
_NEEDED: Final = ("code_id", "block", "ascii_desc", "ascii_short_desc", "effective_from", "inactive")
_CODE: Final = re.compile(r"(\d{5})-?(\d{2})")


def read_achi(files: Sequence[ReleaseFile]) -> Release:
    """Read the list of interventions. Raises BrokenReleaseError, which names the line."""
    file = only(files, r"(?:.*[ _-])?interven(?:tions?)?\.txt", "lists of interventions (interven.txt)")
    titles = {}
    for blocks in [f for f in files if re.fullmatch(r"(?:.*[ _-])?blocks?\.txt", f.name, re.IGNORECASE)]:
        for number, row in _rows(blocks, ("block", "ascii_desc")):
            if not row["block"].isdigit():
                raise blocks.broken(number, "the block is no number")
            titles[int(row["block"])] = row["ascii_desc"]
    blocks_: dict[int, Entry] = {}
    entries: dict[str, Entry] = {}
    newest = date.min
    for number, row in _rows(file, _NEEDED):
        match = _CODE.fullmatch(row["code_id"])
        if match is None or not row["block"].isdigit() or not row["ascii_desc"]:
            raise file.broken(number, "a code of seven digits, a block's number and a description are needed")
        code, block = f"{match[1]}-{match[2]}", int(row["block"])
        if code in entries:
            raise file.broken(number, "the code stands there twice")
        since, until = (_day(file, number, row[column]) for column in ("effective_from", "inactive"))
        newest = max(newest, since or date.min)
        above = f"Block {block}"
        blocks_.setdefault(block, Entry(above, titles.get(block, above), billable=False))
        entry = Entry(code, row["ascii_desc"], (above,), active=until is None, effective=since, expiry=until)
        if row["ascii_short_desc"] and row["ascii_short_desc"] != row["ascii_desc"]:
            entry.names.append((row["ascii_short_desc"], "short"))
        entries[code] = entry
    if newest < _THIRTEENTH:
        raise BrokenReleaseError(
            f"The newest code of this list is of {newest:%d %B %Y}: it is older than ACHI's thirteenth edition "
            f"({_THIRTEENTH:%d %B %Y}). Nothing was imported."
        )
    ordered = [*(blocks_[block] for block in sorted(blocks_)), *entries.values()]
    version = f"13th edition, codes to {newest:%Y-%m-%d}"
    return Release("ACHI-13", version, newest, LICENCE, "ACHI electronic code list", ordered)


def _rows(file: ReleaseFile, needed: tuple[str, ...]) -> Iterator[tuple[int, dict[str, str]]]:
    head: list[str] = []
    delimiter = "\t"
    for number, line in file.lines():
        if not line.strip():
            continue
        if not head:
            delimiter = "\t" if "\t" in line else ","
        try:
            cells = next(csv.reader([line], delimiter=delimiter, strict=True))
        except csv.Error:
            raise file.broken(number, "the quotation marks of the line do not fit") from None
        if not head:
            head = [cell.strip().lower() for cell in cells]
            if not set(needed) <= set(head):
                raise file.broken(number, f"the columns {', '.join(needed)} are needed")
            continue
        if len(cells) != len(head):
            raise file.broken(number, f"{len(head)} columns are needed, there are {len(cells)}")
        yield number, {name: cell.strip() for name, cell in zip(head, cells, strict=True)}


def _day(file: ReleaseFile, number: int, text: str) -> date | None:
    if not text:
        return None
    match = re.fullmatch(r"(\d{1,2})/(\d{1,2})/(\d{4})(?: 0?0:00(?::00)?)?", text)
    try:
        return date(int(match[3]), int(match[2]), int(match[1])) if match else _fail()
    except ValueError:
        raise file.broken(number, "a day must be written d/m/yyyy") from None


def _fail() -> date:
    raise ValueError
