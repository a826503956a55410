"""The process that reads one document: bytes in, text out, and nothing else in or out.

Started by :mod:`osler.engines.documents.parser`, which writes one line of JSON (the limits), then the document, and
reads lines of JSON: one after each page, and last the outcome.
"""

import io
import json
import logging
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any, BinaryIO

from osler.encounters.document_types import HEAD, DocumentType, type_of
from osler.engines.documents.confinement import confine
from osler.engines.documents.limits import MAX_BYTES, MAX_CHARACTERS, Limits
from osler.engines.documents.plain import normalised, read_text
from osler.engines.documents.refusals import RefusedError

EXTRA = "osler[documents]"


def main() -> None:
    """Read standard input, write the outcome to standard output."""
    out = os.fdopen(os.dup(1), "wb")
    # What libraries print may hold words of the document.
    with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - a device, not a path
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    logging.disable(logging.CRITICAL)
    source = sys.stdin.buffer
    limits = Limits(**json.loads(source.readline()))
    confine(memory=limits.memory, seconds=limits.seconds * 4)

    def turned() -> None:
        _say(out, {"page": True})

    _say(out, outcome(source, limits, turned))


def outcome(source: BinaryIO, limits: Limits, turned: Callable[[], None]) -> dict[str, Any]:
    """Return what became of the document, in plain JSON types."""
    try:
        data = source.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise RefusedError("too_large")
        return read(data, limits, turned)
    except RefusedError as refused:
        return {"refused": refused.code}
    except ModuleNotFoundError as error:
        return {"missing": error.name or ""}
    except (MemoryError, RecursionError):
        return {"refused": "too_complex"}
    except Exception as error:  # noqa: BLE001 - a library has no name for what is wrong with the file; nor have we
        frames = traceback.extract_tb(error.__traceback__)
        place = f"{os.path.basename(frames[-1].filename)}:{frames[-1].lineno}"  # noqa: PTH119 - no path is touched
        return {"refused": "damaged", "error": type(error).__name__, "place": place}


def read(data: bytes, limits: Limits, turned: Callable[[], None]) -> dict[str, Any]:
    """Return type and text of a document, the number of its pages, and how many of them were read by OCR."""
    from osler.engines.documents.ocr import Reader

    if not data:
        raise RefusedError("no_text")
    found = type_of(data[:HEAD])
    pages, by_ocr = 1, 0
    if found is DocumentType.PDF:
        from osler.engines.documents.pdf import read_pdf

        text, pages, by_ocr = read_pdf(data, Reader(), pages=limits.pages, turned=turned)
    elif found is DocumentType.DOCX:
        from osler.engines.documents.docx import read_docx

        text = read_docx(data, Reader())
    elif found is DocumentType.WORD_97:
        from osler.engines.documents.doc import read_doc

        text = read_doc(data)
    elif found is DocumentType.RTF:
        from osler.engines.documents.rtf import read_rtf

        text = read_rtf(data)
    elif found in (DocumentType.JPEG, DocumentType.PNG):
        from osler.engines.documents.images import read_image

        text, by_ocr = read_image(data, Reader()), 1
    elif found is DocumentType.TEXT:
        text = read_text(data)
    else:
        raise RefusedError("unsupported")
    text = normalised(text)
    if len(text) > MAX_CHARACTERS:
        raise RefusedError("too_long")
    if not any(character.isalnum() for character in text):
        raise RefusedError("no_text")
    return {"text": text, "type": found.value, "pages": pages, "by_ocr": by_ocr}


def _say(out: io.BufferedIOBase | BinaryIO, what: dict[str, Any]) -> None:
    out.write(json.dumps(what).encode() + b"\n")
    out.flush()


if __name__ == "__main__":
    main()
