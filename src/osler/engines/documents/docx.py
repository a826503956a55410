"""Word documents of 2007 and later (docx): the text as it is read, with lists, tables, headers and notes.

Elements are known by their local names, as the transitional and the strict form differ in their namespaces only
(ISO/IEC 29500-1, 17). Nothing that a part refers to outside the file is looked at, and no macro.
"""

import io
import posixpath
import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final
from xml.etree.ElementTree import Element, ParseError

from osler.engines.documents.limits import MAX_ENTRIES, MAX_PART, MAX_UNPACKED
from osler.engines.documents.numbering import Numbering
from osler.engines.documents.refusals import RefusedError
from osler.engines.documents.xml_names import attribute, child, children, local

if TYPE_CHECKING:
    from osler.engines.documents.ocr import Reader

_CELL: Final = " | "
_FEW: Final = 100
"""Letters of a document whose text is in its pictures, if it has any."""

_MAX_PICTURES: Final = 50
_SKIPPED: Final = frozenset({"del", "moveFrom", "Fallback", "instrText", "delText", "pict", "object", "rPr", "pPr"})
_DEEPEST: Final = 60


class Archive:
    """A zip file whose parts are read within limits. Raises RefusedError: damaged, encrypted, too_large."""

    def __init__(self, data: bytes) -> None:
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(data))
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
            raise RefusedError("damaged") from None
        entries = self._zip.infolist()
        if len(entries) > MAX_ENTRIES:
            raise RefusedError("too_large")
        self._entries = {entry.filename.lstrip("/"): entry for entry in entries}
        self._left = MAX_UNPACKED

    @property
    def names(self) -> Sequence[str]:
        """The names of the parts, in the file's order."""
        return tuple(self._entries)

    def read(self, name: str) -> bytes:
        """Unpack a part, as far as the limit and one byte; what the file says of its size is not believed."""
        entry = self._entries[name]
        if entry.flag_bits & 1:
            raise RefusedError("encrypted")
        limit = min(MAX_PART, self._left)
        try:
            with self._zip.open(entry) as part:
                data = part.read(limit + 1)
        except (zipfile.BadZipFile, zlib.error, OSError, EOFError, NotImplementedError, RuntimeError):
            raise RefusedError("damaged") from None
        if len(data) > limit:
            raise RefusedError("too_large")
        self._left -= len(data)
        return data

    def xml(self, name: str) -> Element:
        """Parse a part. Raises RefusedError also if it declares a document type or entities."""
        from defusedxml import DefusedXmlException
        from defusedxml.ElementTree import fromstring

        try:
            root: Element = fromstring(self.read(name), forbid_dtd=True)
        except DefusedXmlException:
            raise RefusedError("unsafe") from None
        except (ParseError, ValueError, LookupError):
            raise RefusedError("damaged") from None
        return root


def read_docx(data: bytes, reader: "Reader | None" = None) -> str:
    """Return the text of a docx. With ``reader``, also that of its pictures if it holds hardly any other.

    Raises RefusedError: damaged, encrypted, too_large, unsafe, unsupported (another kind of zip file).
    """
    archive = Archive(data)
    main, root = _main_part(archive)
    numbering = Numbering(_optional(archive, main, "numbering.xml"), _optional(archive, main, "styles.xml"))
    text = _Text(numbering)
    folder = posixpath.dirname(main)
    parts = [name for name in archive.names if posixpath.dirname(name) == folder]
    around = {
        kind: [name for name in sorted(parts) if re.fullmatch(rf"{kind}\d*\.xml", posixpath.basename(name))]
        for kind in ("header", "footer", "footnotes", "endnotes")
    }
    paragraphs: list[str] = []
    for name in around["header"]:
        paragraphs += _once(text.of(archive.xml(name)), paragraphs)
    paragraphs += text.of(root)
    for name in (*around["footnotes"], *around["endnotes"]):
        paragraphs += text.of(archive.xml(name))
    for name in around["footer"]:
        paragraphs += _once(text.of(archive.xml(name)), paragraphs)
    found = "\n".join(paragraphs)
    if reader is not None and sum(character.isalnum() for character in found) < _FEW:
        found = "\n\n".join([found, *_pictures(archive, folder, reader)])
    return found


def _main_part(archive: Archive) -> tuple[str, Element]:
    """Return name and content of the part that holds the text. Raises RefusedError if this is no Word document."""
    candidates = ["word/document.xml"]
    if "_rels/.rels" in archive.names:
        candidates = [
            posixpath.normpath(attribute(relation, "Target").lstrip("/"))
            for relation in archive.xml("_rels/.rels")
            if attribute(relation, "Type").endswith("/officeDocument")
        ]
    for name in candidates[:1]:
        if name in archive.names and name.endswith(".xml"):
            root = archive.xml(name)
            if local(root) == "document":
                return name, root
    raise RefusedError("unsupported")


def _optional(archive: Archive, main: str, name: str) -> Element | None:
    path = posixpath.join(posixpath.dirname(main), name)
    return archive.xml(path) if path in archive.names else None


def _once(new: Sequence[str], there: Sequence[str]) -> list[str]:
    """Return what is not there yet: first pages and sections have headers of their own that often say the same."""
    known = {line.strip() for line in there}
    return [line for line in new if line.strip() and line.strip() not in known]


def _pictures(archive: Archive, folder: str, reader: "Reader") -> Iterator[str]:
    from osler.engines.documents.images import read_image

    names = [name for name in archive.names if name.startswith(f"{folder}/media/".lstrip("/"))]
    for name in sorted(names)[:_MAX_PICTURES]:
        if name.lower().endswith((".png", ".jpg", ".jpeg")):
            yield read_image(archive.read(name), reader)


class _Text:
    """Turns elements into paragraphs of text."""

    def __init__(self, numbering: Numbering) -> None:
        self._numbering = numbering

    def of(self, root: Element) -> list[str]:
        """Return the paragraphs and the rows of tables below ``root``."""
        return list(self._blocks(root, 0))

    def _blocks(self, parent: Element, depth: int) -> Iterator[str]:
        if depth > _DEEPEST:
            raise RefusedError("too_complex")
        for element in parent:
            name = local(element)
            if name == "p":
                yield from self._paragraph(element, depth)
            elif name == "tbl":
                yield from self._table(element, depth)
            elif name in ("footnote", "endnote") and attribute(element, "type") not in ("", "normal"):
                continue  # the line between text and notes
            elif name not in _SKIPPED:
                yield from self._blocks(element, depth + 1)

    def _paragraph(self, paragraph: Element, depth: int) -> Iterator[str]:
        boxes: list[Element] = []
        text = "".join(self._runs(paragraph, depth, boxes))
        if text.strip():
            text = self._numbering.mark(child(paragraph, "pPr")) + text
        yield text
        for box in boxes:
            yield from self._blocks(box, depth + 1)

    def _runs(self, parent: Element, depth: int, boxes: list[Element]) -> Iterator[str]:
        if depth > _DEEPEST:
            raise RefusedError("too_complex")
        if local(parent) == "r" and _is_hidden(parent):
            return
        for element in parent:
            name = local(element)
            if name == "t":
                yield element.text or ""
            elif name in ("tab", "ptab"):
                yield "\t"
            elif name in ("br", "cr"):
                yield "\n"
            elif name == "noBreakHyphen":
                yield "-"
            elif name == "txbxContent":
                boxes.append(element)
            elif name == "pict":
                # A picture of old, which may hold a box of text too.
                boxes += [inner for inner in element.iter() if local(inner) == "txbxContent"]
            elif name not in _SKIPPED:
                yield from self._runs(element, depth + 1, boxes)

    def _table(self, table: Element, depth: int) -> Iterator[str]:
        for row in _through(table, "tr"):
            cells = []
            for cell in _through(row, "tc"):
                lines = [line.strip() for line in self._blocks(cell, depth + 1)]
                cells.append(" ".join(" ".join(line.split()) for line in lines if line))
            if any(cells):
                yield _CELL.join(cells)
        yield ""


def _through(parent: Element, name: str) -> Iterator[Element]:
    """Yield the rows of a table or the cells of a row, also those within content controls and insertions."""
    for element in parent:
        if local(element) == name:
            yield element
        elif local(element) in ("sdt", "sdtContent", "ins", "customXml", "smartTag"):
            yield from _through(element, name)


def _is_hidden(run: Element) -> bool:
    """Say whether a run is hidden: what its reader does not see is not to be taken into a note."""
    properties = child(run, "rPr")
    marks = children(properties, "vanish") if properties is not None else []
    return any(attribute(mark, "val") not in ("0", "false", "off") for mark in marks)
