"""Reading order: pieces of text with their places on a page become lines, columns and rows of tables."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

CELL: Final = "\t"
"""What stands between two cells of a row."""

_PROSE: Final = 25
"""Characters: what stands in a column of prose is longer in the median, what stands in a cell is shorter."""

_COLUMN_ROWS: Final = 4
"""Rows with a gap at the same place that make it the gutter between two columns."""

_PAGE_NUMBER: Final = re.compile(
    r"\W*(?:(?:page|seite|p[áa]gina|p\.|s\.)\s*)?\d{1,4}\s*(?:(?:of|/|von|de|sur)\s*\d{1,4})?\W*", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Piece:
    """Text in its box; lengths in any one unit, downwards and to the right."""

    text: str
    left: float
    top: float
    right: float
    bottom: float

    @property
    def height(self) -> float:
        """From top to bottom."""
        return self.bottom - self.top


@dataclass(frozen=True, slots=True)
class Row:
    """Pieces beside each other, from left to right."""

    pieces: tuple[Piece, ...]

    @property
    def top(self) -> float:
        """The top of the highest piece."""
        return min(piece.top for piece in self.pieces)

    @property
    def bottom(self) -> float:
        """The bottom of the lowest piece."""
        return max(piece.bottom for piece in self.pieces)

    @property
    def text(self) -> str:
        """The cells, with tabs between."""
        return CELL.join(piece.text for piece in self.pieces)


def lines_of(pieces: Sequence[Piece]) -> list[str]:
    """Return the lines of a page in reading order; an empty one between paragraphs."""
    kept = [piece for piece in pieces if piece.text.strip() and piece.height > 0]
    if not kept:
        return []
    lines: list[str] = []
    for block in _blocks(_rows(kept)):
        if lines:
            lines.append("")
        height = median(row.bottom - row.top for row in block)
        before: Row | None = None
        for row in block:
            if before is not None and row.top - before.bottom > 0.8 * height:
                lines.append("")
            lines.append(row.text)
            before = row
    return lines


def joined(words: Sequence[Piece]) -> list[Piece]:
    """Join words that follow each other on a line, up to a gap that is wider than a space between words can be."""
    made: list[Piece] = []
    for row in _rows(words):
        current = row.pieces[0]
        for word in row.pieces[1:]:
            gap = word.left - current.right
            if gap > 1.1 * max(current.height, word.height):
                made.append(current)
                current = word
                continue
            space = "" if gap < 0.05 * word.height else " "
            current = Piece(
                current.text + space + word.text,
                current.left,
                min(current.top, word.top),
                word.right,
                max(current.bottom, word.bottom),
            )
        made.append(current)
    return made


def without_repeats(pages: Sequence[Sequence[str]]) -> list[list[str]]:
    """Leave headers, footers and page numbers only where they first stand.

    A header is a line among the first three of a page that stands so on more than half of the pages; a footer likewise.
    """
    at_edges = [{_key(line) for line in _edges(page)} for page in pages]
    counts: dict[str, int] = {}
    for keys in at_edges:
        for key in keys:
            counts[key] = counts.get(key, 0) + 1
    repeated = {key for key, count in counts.items() if count >= 2 and count > len(pages) / 2}
    seen: set[str] = set()
    result = []
    for page in pages:
        numbered = [index for index, line in enumerate(page) if line.strip()]
        edge = {*numbered[:3], *numbered[-3:]}
        kept = []
        for index, line in enumerate(page):
            key = _key(line)
            if index in edge and key in repeated:
                if key in seen:
                    continue
                seen.add(key)
            kept.append(line)
        result.append(kept)
    return result


def _edges(page: Sequence[str]) -> list[str]:
    filled = [line for line in page if line.strip()]
    return filled[:3] + filled[-3:]


def _key(line: str) -> str:
    line = " ".join(line.split())
    return "page number" if len(line) < 30 and _PAGE_NUMBER.fullmatch(line) else line


def _rows(pieces: Sequence[Piece]) -> list[Row]:
    """Put pieces whose middles lie within each other's height into rows, from top to bottom."""
    rows: list[list[Piece]] = []
    for piece in sorted(pieces, key=lambda p: (p.top + p.bottom, p.left)):
        middle = (piece.top + piece.bottom) / 2
        for row in reversed(rows[-3:]):
            last = row[-1]
            if last.top <= middle <= last.bottom or piece.top <= (last.top + last.bottom) / 2 <= piece.bottom:
                row.append(piece)
                break
        else:
            rows.append([piece])
    return [Row(tuple(sorted(row, key=lambda p: p.left))) for row in rows]


def _blocks(rows: Sequence[Row]) -> list[list[Row]]:
    """Cut rows into blocks that are read one after the other: columns of prose from left to right."""
    gutter = _gutter(rows)
    if gutter is None:
        return [list(rows)] if rows else []
    first, last, place = gutter
    left: list[Row] = []
    right: list[Row] = []
    for row in rows[first : last + 1]:
        for side, pieces in (
            (left, [p for p in row.pieces if p.right <= place]),
            (right, [p for p in row.pieces if p.left >= place]),
        ):
            if pieces:
                side.append(Row(tuple(pieces)))
    before = [list(rows[:first])] if first else []
    return [*before, *_blocks(left), *_blocks(right), *_blocks(rows[last + 1 :])]


def _gutter(rows: Sequence[Row]) -> tuple[int, int, float] | None:
    """Find the first gap between two columns of prose: its first and last row, and its place; None without one."""
    places = [(one.right + two.left) / 2 for row in rows for one, two in zip(row.pieces, row.pieces[1:], strict=False)]
    best: tuple[int, int, float] | None = None
    for place in sorted(set(places)):
        first: int | None = None
        for index in range(len(rows) + 1):
            crossed = index == len(rows) or any(p.left < place < p.right for p in rows[index].pieces)
            if not crossed:
                first = index if first is None else first
                continue
            if first is not None and _is_prose(rows[first:index], place):
                span = index - first
                if best is None or span > best[1] - best[0] + 1:
                    best = (first, index - 1, place)
            first = None
    return best


def _is_prose(rows: Sequence[Row], place: float) -> bool:
    two_sided = [
        row for row in rows if any(p.right <= place for p in row.pieces) and any(p.left >= place for p in row.pieces)
    ]
    if len(two_sided) < _COLUMN_ROWS:
        return False
    sides = (
        [len(p.text) for row in two_sided for p in row.pieces if p.right <= place],
        [len(p.text) for row in two_sided for p in row.pieces if p.left >= place],
    )
    return all(median(side) >= _PROSE for side in sides)
