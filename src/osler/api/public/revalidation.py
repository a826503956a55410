"""``ETag`` and ``If-None-Match``: whether a client's copy is still what it would get (RFC 9110, 8.8.3 and 13.1.2)."""

import hashlib
import re
from collections.abc import Iterable
from typing import Final

_LENGTH: Final = 16
"""Bytes of a tag: 128 bits."""

_TAG: Final = re.compile(rb'(?:W/)?("[!#-~\x80-\xff]*")')


def tag_of(body: bytes, version: str) -> bytes:
    """Return a strong tag: another body or another version of what it shows has another one.

    The ids in the body are random, so the tag tells nobody the text, not even one who would guess it.
    """
    digest = hashlib.blake2b(version.encode(), digest_size=_LENGTH)
    digest.update(b"\0")
    digest.update(body)
    return b'"%s"' % digest.hexdigest().encode()


def is_current(tag: bytes, headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Say whether ``If-None-Match`` names this tag, by weak comparison, or ``*``. What is no tag names nothing."""
    lines = [value for name, value in headers if name == b"if-none-match"]
    if not lines:
        return False
    wanted = b", ".join(lines)
    return wanted.strip() == b"*" or tag in _TAG.findall(wanted)
