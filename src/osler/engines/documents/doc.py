"""Word documents of 1997 to 2003 (doc): the text by the piece table, without what is deleted, hidden or machinery.

The layout of the file, the names and the offsets are those of [MS-DOC], "Word (.doc) Binary File Format"; the sections
are named where they are used. Macros, embedded objects and links stay unread.
"""

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from osler.engines.documents.doc_formatting import Formatting
from osler.engines.documents.refusals import RefusedError

_WORD: Final = 0xA5EC
_WORD_6: Final = (0xA5DC, 0xA5DB, 0xA697, 0xA698, 0xA699)
_OLDEST: Final = 0x00C1
"""nFib of Word 97; Word 6 and 95 wrote the same mark with a lower one."""

_ENCRYPTED: Final = 0x0100
_TABLE_1: Final = 0x0200

_LENGTHS: Final = 0x4C
"""FibRgLw97 (2.5.4), from ccpText on: text, footnotes, headers, (reserved), comments, endnotes, text boxes."""

_CLX: Final = 0x1A2
"""Offset of fcClx and lcbClx in the file information block (FibRgFcLcb97, 2.5.6)."""

_MAX_PIECES: Final = 200_000
_MAX_STREAM: Final = 60 * 1000 * 1000

_CELL: Final = "\x07"
_FIELD_BEGIN, _FIELD_SEPARATOR, _FIELD_END = "\x13", "\x14", "\x15"
_PLAIN: Final = str.maketrans(
    {
        "\r": "\n",
        "\x0b": "\n",
        "\x0c": "\n\n",
        "\x0e": "\n",
        "\x1e": "-",
        "\x1f": None,
        "\x01": None,
        "\x02": None,
        "\x03": None,
        "\x04": None,
        "\x05": None,
        "\x08": None,
    }
)


@dataclass(frozen=True, slots=True)
class _Piece:
    """A run of characters ``start:end`` of the document, at byte ``offset`` of the stream."""

    start: int
    end: int
    offset: int
    compressed: bool


def read_doc(data: bytes) -> str:
    """Return the text: headers once, the text, foot- and endnotes, text boxes, footers with the headers.

    Raises RefusedError: damaged, encrypted, old_format, unsupported (another kind of OLE file).
    """
    word, tables = _streams(data)
    try:
        return _Document(word, tables).text()
    except (struct.error, IndexError, ValueError, OverflowError):
        raise RefusedError("damaged") from None


def _streams(data: bytes) -> tuple[bytes, dict[str, bytes]]:
    """Return the stream of the text and those of tables."""
    import olefile

    try:
        with olefile.OleFileIO(io.BytesIO(data), raise_defects=olefile.DEFECT_FATAL) as file:
            names = {"/".join(path).lower(): path for path in file.listdir()}
            if "encryptedpackage" in names:
                raise RefusedError("encrypted")  # a docx with a password is wrapped in such a file
            if "worddocument" not in names:
                raise RefusedError("unsupported")
            found: dict[str, bytes] = {}
            for name in ("worddocument", "0table", "1table"):
                if name in names:
                    if file.get_size(names[name]) > _MAX_STREAM:
                        raise RefusedError("too_large")
                    found[name] = file.openstream(names[name]).read()
    except RefusedError:
        raise
    except (OSError, ValueError, IndexError, TypeError, AttributeError, KeyError, struct.error, RecursionError):
        raise RefusedError("damaged") from None
    return found.pop("worddocument"), found


class _Document:
    """A document's streams, and the tables that say where in them its text is."""

    def __init__(self, word: bytes, tables: dict[str, bytes]) -> None:
        mark, version = struct.unpack_from("<HH", word, 0)
        if mark in _WORD_6 or (mark == _WORD and version < _OLDEST):
            raise RefusedError("old_format")
        if mark != _WORD:
            raise RefusedError("damaged")
        (flags,) = struct.unpack_from("<H", word, 0x0A)
        if flags & _ENCRYPTED:
            raise RefusedError("encrypted")
        table = tables.get("1table" if flags & _TABLE_1 else "0table")
        if table is None:
            raise RefusedError("damaged")
        self._word = word
        self._lengths = struct.unpack_from("<7i", word, _LENGTHS)
        if min(self._lengths) < 0:
            raise RefusedError("damaged")
        self._pieces = list(_pieces(word, table))
        self._formatting = Formatting(word, table)

    def text(self) -> str:
        main, footnotes, headers, _, comments, endnotes, boxes = self._lengths
        starts = [0]
        for length in (main, footnotes, headers, comments, endnotes, boxes):
            starts.append(starts[-1] + length)
        shown = {
            name: self._shown(starts[index], starts[index + 1])
            for index, name in enumerate(("main", "footnotes", "headers", "comments", "endnotes", "boxes"))
        }
        lines: dict[str, None] = dict.fromkeys(line for line in shown["headers"].splitlines() if line.strip())
        parts = ("\n".join(lines), shown["main"], shown["boxes"], shown["footnotes"], shown["endnotes"])
        return "\n".join(part for part in parts if part.strip())

    def _shown(self, start: int, end: int) -> str:
        """Return the characters ``start:end`` as they are read."""
        return "".join(_without_fields(self._characters(start, end)))

    def _characters(self, start: int, end: int) -> Iterator[str]:
        """Yield what is neither deleted nor hidden, with tabs between cells and line feeds between rows."""
        in_row = False
        for piece in self._pieces:
            first, last = max(start, piece.start), min(end, piece.end)
            if first >= last:
                continue
            width = 1 if piece.compressed else 2
            begin = piece.offset + (first - piece.start) * width
            raw = self._word[begin : begin + (last - first) * width]
            if len(raw) < (last - first) * width:
                raise RefusedError("damaged")
            for offset, length in self._formatting.visible(begin, begin + len(raw)):
                part = raw[offset - begin : offset - begin + length]
                letters = part.decode("cp1252" if width == 1 else "utf-16-le", errors="replace")
                for index, letter in enumerate(letters):
                    if letter != _CELL:
                        yield letter
                    elif self._formatting.ends_row(offset + index * width):
                        in_row = False
                        yield "\n"
                    else:
                        in_row = True
                        yield "\t"
        if in_row:
            yield "\n"


def _pieces(word: bytes, table: bytes) -> Iterator[_Piece]:
    """Read the piece table: Clx (2.9.38), Pcdt (2.9.178), PlcPcd (2.8.35), FcCompressed (2.9.73)."""
    start, size = struct.unpack_from("<II", word, _CLX)
    clx = table[start : start + size]
    if not size or len(clx) < size:
        raise RefusedError("damaged")
    position = 0
    while clx[position] == 1:  # a Prc: properties that pieces refer to
        position += 3 + struct.unpack_from("<H", clx, position + 1)[0]
    if clx[position] != 2:
        raise RefusedError("damaged")
    (length,) = struct.unpack_from("<I", clx, position + 1)
    count = (length - 4) // 12
    if not 0 < count <= _MAX_PIECES:
        raise RefusedError("damaged")
    position += 5
    ends = struct.unpack_from(f"<{count + 1}i", clx, position)
    position += 4 * (count + 1)
    for index in range(count):
        (place,) = struct.unpack_from("<I", clx, position + 8 * index + 2)
        if ends[index + 1] <= ends[index]:
            raise RefusedError("damaged")
        compressed = bool(place & 0x40000000)
        offset = place & 0x3FFFFFFF
        yield _Piece(ends[index], ends[index + 1], offset // 2 if compressed else offset, compressed)


def _without_fields(letters: Iterator[str]) -> Iterator[str]:
    """Leave out the instructions of fields, keep their results (2.8.25), and make special characters plain ones."""
    instructions = 0  # how many of the fields that are open are still in their instruction
    open_fields: list[bool] = []
    for letter in letters:
        if letter == _FIELD_BEGIN:
            open_fields.append(True)
            instructions += 1
        elif letter == _FIELD_SEPARATOR:
            if open_fields and open_fields[-1]:
                open_fields[-1] = False
                instructions -= 1
        elif letter == _FIELD_END:
            if open_fields and open_fields.pop():
                instructions -= 1
        elif not instructions:
            yield letter.translate(_PLAIN)
