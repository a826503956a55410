"""The types of context documents, told apart by their bytes: what a file is called or said to be does not count."""

import re
from enum import StrEnum
from typing import Final


class DocumentType(StrEnum):
    """What a context document can be, by media type. ``WORD_97`` and ``DOCX`` are guesses until the file is read."""

    PDF = "application/pdf"
    DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
    WORD_97 = "application/msword"
    RTF = "application/rtf"
    JPEG = "image/jpeg"
    PNG = "image/png"
    TEXT = "text/plain"


HEAD: Final = 64 * 1024
"""Bytes from a file's beginning that are enough to tell its type."""

_SIGNATURES: Final = (
    (b"%PDF-", DocumentType.PDF),
    (b"PK\x03\x04", DocumentType.DOCX),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", DocumentType.WORD_97),
    (b"{\\rtf", DocumentType.RTF),
    (b"\xff\xd8\xff", DocumentType.JPEG),
    (b"\x89PNG\r\n\x1a\n", DocumentType.PNG),
)

_PDF_PROLOGUE: Final = 1024
"""Bytes: readers accept a PDF header that stands so far from the beginning (ISO 32000-1, annex H, note 13)."""

_OTHER_LANGUAGES: Final = re.compile(rb"\s*(<!doctype|<html|<\?xml|<svg|<script|%!ps|#!)", re.IGNORECASE)
"""Texts that a person does not read as they stand."""

_TEXT_MARKS: Final = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")

_CONTROLS: Final = frozenset(range(32)) - {9, 10, 12, 13, 26, 27}


def type_of(head: bytes) -> DocumentType | None:
    """Tell the type from the first :data:`HEAD` bytes (or all, if there are fewer); None if it is no document of ours.

    A file that fits two types (a polyglot) is the one whose signature stands at the very beginning, and is read as
    that and as nothing else.
    """
    for signature, found in _SIGNATURES:
        if head.startswith(signature):
            return found
    without_mark = head.removeprefix(_TEXT_MARKS[0]).lstrip()
    for signature, found in (_SIGNATURES[0], _SIGNATURES[3]):
        if without_mark.startswith(signature):
            return found
    if is_text(head):
        return None if _OTHER_LANGUAGES.match(head.removeprefix(_TEXT_MARKS[0])) else DocumentType.TEXT
    return DocumentType.PDF if b"%PDF-" in head[:_PDF_PROLOGUE] else None


def is_text(head: bytes) -> bool:
    """Say whether the bytes can be text in some encoding: hardly any control characters, or a Unicode mark."""
    if not head:
        return False
    if head.startswith(_TEXT_MARKS[1:]) or is_utf16_without_mark(head):
        return True
    return sum(byte in _CONTROLS for byte in head) * 1000 <= len(head)


def is_utf16_without_mark(head: bytes) -> bool:
    """Say whether every other byte is zero, as in Western text of 16-bit units."""
    sample = head[: len(head) // 2 * 2]
    if len(sample) < 4:
        return False
    zeros = sample[0::2].count(0), sample[1::2].count(0)
    half = len(sample) // 2
    return min(zeros) == 0 and max(zeros) >= 0.7 * half
