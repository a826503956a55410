"""Plain text: its encoding, and the one form that the text of every document is brought to."""

import re
import unicodedata
from typing import Final

from osler.encounters.document_types import is_text, is_utf16_without_mark
from osler.engines.documents.refusals import RefusedError

_SAMPLE: Final = 64 * 1024

_MARKS: Final = (
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)

_UNSEEN: Final = re.compile(
    "["
    "\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f"  # control characters but tab, line feed and what becomes one
    "\u00ad\u200b\u2060\ufeff"  # soft hyphen, spaces of no width
    "\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069"  # marks that turn the direction of what is shown
    "\ufff9-\ufffb\ufffe\uffff\ud800-\udfff\U000e0000-\U000e007f"  # what is no character, and tags, which nobody sees
    "]"
)


def read_text(data: bytes) -> str:
    """Decode plain text. Raises RefusedError if it is none."""
    if not data.strip():
        raise RefusedError("no_text")
    if not is_text(data):
        raise RefusedError("unsupported")
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return data.decode(encoding, errors="replace")
    if is_utf16_without_mark(data[:_SAMPLE]):
        return data.decode("utf-16-be" if data[:1] == b"\0" else "utf-16-le", errors="replace")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start >= len(data) - 3 and error.reason == "unexpected end of data":
            return data.decode("utf-8", errors="ignore")  # cut off within a character
    return data.decode(_guessed(data), errors="replace")


def _guessed(data: bytes) -> str:
    """Guess an 8-bit or East Asian encoding. Windows' Western one unless another makes clearly more sense."""
    from charset_normalizer import from_bytes

    # What is not ASCII decides; a long letter in English with one accent must not hide it.
    lines = [line for line in data.splitlines() if not line.isascii()]
    matches = from_bytes(b"\n".join(lines)[:_SAMPLE])
    best = matches.best()
    if best is None:
        return "cp1252"
    western = next((match for match in matches if "cp1252" in (match.encoding, *match.could_be_from_charset)), None)
    if western is not None and western.chaos <= best.chaos + 0.02 and western.coherence + 0.1 >= best.coherence:
        return "cp1252"
    return best.encoding


def normalised(text: str) -> str:
    """Return text in NFC with line feeds only, no control or invisible characters, and no more than one blank line."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = re.sub("[\x0b\x0c\x85\u2028\u2029]", "\n", text)
    text = unicodedata.normalize("NFC", _UNSEEN.sub("", text)).replace("\xa0", " ")
    text = "\n".join(line.rstrip() for line in text.split("\n"))
    return re.sub(r"\n{3,}", "\n\n", text).strip("\n")
