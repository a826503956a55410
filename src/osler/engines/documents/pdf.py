"""PDF by PDFium: the text layer of each page, and by OCR those pages that are only pictures of text."""

import ctypes
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from osler.engines.documents.layout import Piece, joined, lines_of, without_repeats
from osler.engines.documents.ocr import LONGEST_SIDE
from osler.engines.documents.refusals import RefusedError

if TYPE_CHECKING:
    from osler.engines.documents.ocr import Reader

_PASSWORD_ERRORS: Final = (4, 5)
"""FPDF_ERR_PASSWORD and FPDF_ERR_SECURITY (fpdfview.h)."""

_FEW: Final = 100
"""Letters and digits of a page that has a text layer of its own; a stamp on a scan or a fax's first line has fewer."""

_PICTURE: Final = 0.3
"""Share of a page that pictures cover if the page is a scan."""

_UNREADABLE: Final = 0.3
"""Share of characters without a meaning (fonts without a table of them) above which a text layer is of no use."""

_MAX_CHARACTERS: Final = 100_000
"""Characters of one page."""

_MAX_OBJECTS: Final = 5_000


def read_pdf(data: bytes, reader: "Reader", *, pages: int, turned: Callable[[], None]) -> tuple[str, int, int]:
    """Return the text of a PDF, the number of its pages, and of how many the text was read by OCR.

    ``turned`` is called after each page. Raises RefusedError: damaged, encrypted, too_many_pages.
    """
    import pypdfium2
    from pypdfium2 import raw

    try:
        document = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        locked = getattr(error, "err_code", None) in _PASSWORD_ERRORS
        raise RefusedError("encrypted" if locked else "damaged") from None
    with closing(document):
        count = len(document)
        if count > pages:
            raise RefusedError("too_many_pages")
        if count < 1:
            raise RefusedError("damaged")
        texts, by_ocr, damaged = [], 0, 0
        for index in range(count):
            try:
                page = document[index]
            except pypdfium2.PdfiumError:
                damaged += 1
                continue
            with closing(page):
                # What is written into the fields of a form becomes part of the page.
                raw.FPDFPage_Flatten(page, raw.FLAT_NORMALDISPLAY)
            with closing(document[index]) as page:
                lines, seen = _page_lines(page, reader)
            texts.append(lines)
            by_ocr += seen
            turned()
        if damaged == count:
            raise RefusedError("damaged")
    return "\n\n".join("\n".join(lines) for lines in without_repeats(texts)), count, by_ocr


def _page_lines(page: Any, reader: "Reader") -> tuple[list[str], bool]:
    """Return the lines of a page, and whether OCR read them."""
    pieces, unreadable = _words(page)
    letters = sum(character.isalnum() for piece in pieces for character in piece.text)
    if not unreadable and (letters >= _FEW or (letters and _pictured(page) < _PICTURE)):
        return lines_of(joined(pieces)), False
    if not letters and not unreadable and not _has_objects(page):
        return [], False
    lines = reader.lines(_rendered(page))
    return (lines, True) if lines or not pieces else (lines_of(joined(pieces)), False)


def _words(page: Any) -> tuple[list[Piece], bool]:
    """Return the words of the text layer with their places, and whether too many characters have no meaning."""
    from pypdfium2 import raw

    with closing(page.get_textpage()) as layer:
        count = min(raw.FPDFText_CountChars(layer), _MAX_CHARACTERS)
        place = _Place(page)
        box = raw.FS_RECTF()
        words: list[Piece] = []
        letters: list[str] = []
        bounds: list[tuple[float, float, float, float]] = []
        nameless = 0

        def end_word() -> None:
            if letters:
                left, top, right, bottom = zip(*bounds, strict=True)
                words.append(Piece("".join(letters), min(left), min(top), max(right), max(bottom)))
            letters.clear()
            bounds.clear()

        for character in _characters(layer, count):
            index, letter = character
            if letter.isspace() or letter in "\x00\x02":
                end_word()
                continue
            nameless += letter == "\ufffd" or "\ue000" <= letter <= "\uf8ff" or letter < " "
            if not raw.FPDFText_GetLooseCharBox(layer, index, ctypes.byref(box)):
                continue
            here = place(box.left, box.top, box.right, box.bottom)
            if bounds and _is_apart(bounds[-1], here):
                end_word()
            letters.append(letter)
            bounds.append(here)
        end_word()
    total = sum(len(word.text) for word in words)
    return words, bool(total) and nameless > _UNREADABLE * total


def _characters(layer: Any, count: int) -> Iterator[tuple[int, str]]:
    from pypdfium2 import raw

    high = 0
    for index in range(count):
        unit = raw.FPDFText_GetUnicode(layer, index)
        if 0xD800 <= unit < 0xDC00:
            high = unit
            continue
        if 0xDC00 <= unit < 0xE000:
            unit = 0x10000 + ((high - 0xD800) << 10) + (unit - 0xDC00) if high else 0xFFFD
        high = 0
        yield index, chr(unit) if unit <= 0x10FFFF else "\ufffd"


def _is_apart(one: tuple[float, float, float, float], two: tuple[float, float, float, float]) -> bool:
    """Say whether two characters that follow each other in the file do not stand side by side on the page."""
    height = max(one[3] - one[1], two[3] - two[1])
    middle = (two[1] + two[3]) / 2
    return not one[1] <= middle <= one[3] or two[0] - one[2] > 0.25 * height or two[0] < one[0] - 0.5 * height


class _Place:
    """Turns a box in a page's own coordinates (upwards) into one as the page is shown (downwards)."""

    def __init__(self, page: Any) -> None:
        self._turns = page.get_rotation() // 90 % 4
        self._left, self._bottom, self._right, self._top = page.get_bbox()

    def __call__(self, left: float, top: float, right: float, bottom: float) -> tuple[float, float, float, float]:
        if self._turns == 1:
            return bottom, left, top, right
        if self._turns == 2:
            return -right, bottom, -left, top
        if self._turns == 3:
            return -top, -right, -bottom, -left
        return left, -top, right, -bottom


def _pictured(page: Any) -> float:
    """Return the share of the page that its pictures cover."""
    from pypdfium2 import raw

    area = 0.0
    for number, thing in enumerate(page.get_objects(filter=(raw.FPDF_PAGEOBJ_IMAGE,), max_depth=5)):
        if number > _MAX_OBJECTS:
            break
        left, bottom, right, top = thing.get_bounds()
        area += abs((right - left) * (top - bottom))
    width, height = page.get_size()
    return float(area / max(width * height, 1.0))


def _has_objects(page: Any) -> bool:
    return next(iter(page.get_objects(max_depth=1)), None) is not None


def _rendered(page: Any) -> "np.ndarray[Any, np.dtype[np.uint8]]":
    """Return the page as a picture (blue, green, red) of at most so many pixels as OCR looks at."""
    width, height = page.get_size()
    scale = LONGEST_SIDE / max(width, height, 1.0)
    # PDFium shows text upright that the page says to turn.
    bitmap = page.render(scale=min(scale, 300 / 72 * 4), rev_byteorder=False, prefer_bgrx=False, may_draw_forms=False)
    pixels = bitmap.to_numpy()
    if pixels.ndim == 2 or pixels.shape[2] == 1:
        pixels = np.repeat(pixels.reshape(*pixels.shape[:2], 1), 3, axis=2)
    return np.ascontiguousarray(pixels[:, :, :3])
