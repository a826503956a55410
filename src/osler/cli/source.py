"""What the user gave: a recording or a transcript, told apart by content."""

from pathlib import Path

from osler.kernel.errors import EmptyAudioError, UnreadableFileError

_HEAD = 4096


def is_text(path: Path) -> bool:
    """Say whether the file holds text (a transcript) rather than audio. Raises UnreadableFileError, EmptyAudioError."""
    try:
        with path.open("rb") as stream:
            head = stream.read(_HEAD)
    except OSError as error:
        raise unreadable(error) from None
    if not head:
        raise EmptyAudioError("The file is empty: it holds neither a recording nor a transcript.")
    if head.startswith((b"\xff\xfe", b"\xfe\xff")) and len(head) % 2 == 0 and b"\0" in head:
        return _decodes(head, "utf-16")
    return b"\0" not in head and _decodes(head, "utf-8")


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
