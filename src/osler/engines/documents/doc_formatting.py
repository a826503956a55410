"""What formatting says of a doc's text: which characters are deleted or hidden, and which marks end a table's row.

Names and offsets are those of [MS-DOC]: properties of characters and paragraphs are kept in pages of 512 bytes (FKP).
"""

import struct
from bisect import bisect_right
from collections.abc import Iterator
from typing import Final

_PAGE: Final = 512
_CHARACTERS: Final = 0xFA
_PARAGRAPHS: Final = 0x102
"""Offsets of fcPlcfBteChpx and fcPlcfBtePapx in the file information block (FibRgFcLcb97, 2.5.6)."""

_DELETED, _HIDDEN, _ROW_END = 0x0800, 0x083C, 0x2417
"""sprmCFRMarkDel, sprmCFVanish (2.6.1) and sprmPFTtp (2.6.2)."""

_TABLE_DEFINITIONS: Final = (0xD606, 0xD608)
"""sprmTDefTable10, sprmTDefTable (2.6.3): their length has two bytes."""

_OPERAND: Final = (1, 1, 2, 4, 2, 2, None, 3)
"""Bytes of an operand by spra, the upper three bits of a sprm (2.2.5.1); None: its first byte says how many follow."""

_MAX_PAGES: Final = 50_000


class Formatting:
    """Looks up bytes of the stream of the text."""

    def __init__(self, word: bytes, table: bytes) -> None:
        self._unseen = _merged(
            (start, end)
            for start, end, properties in _runs(word, table, _CHARACTERS, 1)
            if any(value in (1, 0x81) for code, value in _properties(properties) if code in (_DELETED, _HIDDEN))
        )
        self._row_ends = _merged(
            (start, end)
            for start, end, properties in _runs(word, table, _PARAGRAPHS, 13)
            if any(code == _ROW_END and value == 1 for code, value in _properties(properties[2:]))
        )

    def ends_row(self, offset: int) -> bool:
        """Say whether the cell mark at a byte of the stream ends a row."""
        index = bisect_right(self._row_ends, (offset, 1 << 40)) - 1
        return index >= 0 and self._row_ends[index][0] <= offset < self._row_ends[index][1]

    def visible(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Yield offset and length of the parts of ``start:end`` that are neither deleted nor hidden."""
        index = max(0, bisect_right(self._unseen, (start, 1 << 40)) - 1)
        while start < end:
            while index < len(self._unseen) and self._unseen[index][1] <= start:
                index += 1
            first, last = self._unseen[index] if index < len(self._unseen) else (end, end)
            if first > start:
                yield start, min(first, end) - start
            start = max(start, min(last, end)) if first < end else end


def _runs(word: bytes, table: bytes, place: int, entry: int) -> Iterator[tuple[int, int, bytes]]:
    """Yield start, end and properties of each run: PlcBteChpx (2.8.5), PlcBtePapx (2.8.6), ChpxFkp (2.9.33), PapxFkp.

    ``entry``: bytes of what a page has of each run beside its offset.
    """
    start, size = struct.unpack_from("<II", word, place)
    plc = table[start : start + size]
    count = (len(plc) - 4) // 8
    for index in range(min(max(count, 0), _MAX_PAGES)):
        (number,) = struct.unpack_from("<I", plc, 4 * (count + 1) + 4 * index)
        page = word[(number & 0x3FFFFF) * _PAGE :][:_PAGE]
        if len(page) < _PAGE:
            continue
        runs = page[-1]
        if 4 * (runs + 1) + entry * runs > _PAGE - 1:
            continue
        offsets = struct.unpack_from(f"<{runs + 1}I", page, 0)
        for run in range(runs):
            where = 2 * page[4 * (runs + 1) + entry * run]
            if where:
                yield offsets[run], offsets[run + 1], _in_page(page, where, paragraph=entry > 1)


def _in_page(page: bytes, where: int, *, paragraph: bool) -> bytes:
    """Return the properties that stand at a byte of a page: Chpx (2.9.32) or PapxInFkp (2.9.175)."""
    length = page[where]
    if not paragraph:
        return page[where + 1 : where + 1 + length]
    if length:
        return page[where + 1 : where + 2 * length]
    return page[where + 2 : where + 2 + 2 * page[where + 1]] if where + 1 < _PAGE else b""


def _properties(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield each property's code and the first byte of its operand: Prl (2.9.196)."""
    position = 0
    while position + 3 <= len(data):
        (code,) = struct.unpack_from("<H", data, position)
        position += 2
        yield code, data[position]
        length = _OPERAND[code >> 13]
        if length is not None:
            position += length
        elif code in _TABLE_DEFINITIONS and position + 2 <= len(data):
            position += 1 + struct.unpack_from("<H", data, position)[0]
        else:
            position += 1 + data[position]


def _merged(ranges: Iterator[tuple[int, int]]) -> list[tuple[int, int]]:
    """Sort ranges and join those that touch."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if start >= end:
            continue
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged
