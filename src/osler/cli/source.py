"""What the user gave: a recording or a transcript, told apart by content."""

import re
from pathlib import Path

from osler.kernel.errors import EmptyAudioError, UnreadableFileError

_HEAD = 4096
_BINARY = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")


def is_text(path: Path) -> bool:
    """Say whether the file holds text (a transcript) rather than audio. Raises UnreadableFileError, EmptyAudioError."""
    try:
        # A pipe could be read only once, and opening one without a writer waits for ever.
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise UnreadableFileError("The path is not a regular file; give a recording or a transcript.")
        with path.open("rb") as stream:
            head = stream.read(_HEAD)
    except OSError as error:
        raise unreadable(error) from None
    if not head:
        raise EmptyAudioError("The file is empty: it holds neither a recording nor a transcript.")
    if head.startswith((b"\xff\xfe", b"\xfe\xff")) and len(head) % 2 == 0 and b"\0" in head:
        return _decodes(head, "utf-16")
    if b"\0" not in head:
        return _decodes(head, "utf-8") or not _BINARY.search(head)  # Latin-1 decodes everything
    # Without a byte order mark the zero bytes of UTF-16 show which half comes first: Latin letters have one each.
    for encoding, zeros, letters in (("utf-16-le", head[1::2], head[::2]), ("utf-16-be", head[::2], head[1::2])):
        if 2 * zeros.count(0) > len(zeros) and not _BINARY.search(letters):
            return _decodes(head, encoding)
    return False


def read_bytes(path: Path) -> bytes:
    """Return the file's bytes. Raises UnreadableFileError."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise unreadable(error) from None


def unreadable(error: OSError) -> UnreadableFileError:
    """Return the error for a file that the system does not let us read."""
    return UnreadableFileError(f"The file cannot be read: {error.strerror}. Check the path and its permissions.")


def _decodes(head: bytes, encoding: str) -> bool:
    try:
        head.decode(encoding)
    except UnicodeDecodeError as error:
        return error.start >= len(head) - 4  # a character cut by the end of the head
    return True
