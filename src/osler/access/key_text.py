"""What an API key looks like: a prefix that tells which door it opens, and 43 random letters and digits."""

import re
import secrets
import string
from typing import Final

from osler.access.model import KeyKind

PREFIXES: Final = {KeyKind.PUBLIC: "ch_sk_", KeyKind.TENANT: "osk_"}
TEST: Final = "test_"
"""Follows the prefix of a test key. The random part has no underscore, so no other key begins like this."""

_ALPHABET: Final = string.ascii_letters + string.digits
_LENGTH: Final = 43
"""Characters of the random part: 43 x log2(62) = 256.03 bits."""

_RANDOM: Final = re.compile(f"[A-Za-z0-9]{{{_LENGTH}}}")
_HINT: Final = 4


def new_key_text(kind: KeyKind, *, test: bool) -> str:
    """Return a new key, at least 256 random bits."""
    random = "".join(secrets.choice(_ALPHABET) for _ in range(_LENGTH))
    return PREFIXES[kind] + (TEST if test else "") + random


def is_key_text(kind: KeyKind, text: str) -> bool:
    """Say whether ``text`` could be a key of this kind; anything else, of whatever length, is cheap to refuse."""
    prefix = PREFIXES[kind]
    if not text.startswith(prefix) or len(text) > len(prefix) + len(TEST) + _LENGTH:
        return False
    return _RANDOM.fullmatch(text[len(prefix) :].removeprefix(TEST)) is not None


def is_test_key_text(kind: KeyKind, text: str) -> bool:
    """Say whether ``text`` has the prefix of test keys, which are refused outside a test environment."""
    return text.startswith(PREFIXES[kind] + TEST)


def hint(text: str) -> str:
    """Return the last four characters, for people to tell keys apart."""
    return text[-_HINT:]
