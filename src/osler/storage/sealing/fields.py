"""Sealed fields: short values in database rows, AES-256-GCM, bound to the row that they stand in."""

import os
from functools import lru_cache
from typing import Final

from cryptography.exceptions import InvalidTag

from osler.kernel.errors import CorruptedError
from osler.storage.sealing.keys import NONCE_SIZE, DataKey

_VERSION: Final = b"\x01"
_TAG_SIZE: Final = 16
_REMEMBERED: Final = 4096


def field_context(table: str, row_id: str, column: str, organization_id: str) -> bytes:
    """Return the place of a field as bytes; each part carries its length, so no two places have the same bytes."""
    before, after = _around(table, column, organization_id)
    return before + _part(row_id) + after


@lru_cache(_REMEMBERED)
def _around(table: str, column: str, organization_id: str) -> tuple[bytes, bytes]:
    """Return what stands before and after the row's id: the same for all the rows of a page."""
    return _part(table), _part(column) + _part(organization_id)


def _part(text: str) -> bytes:
    part = text.encode()
    return len(part).to_bytes(4, "big") + part


def seal(key: DataKey, plaintext: bytes, context: bytes) -> bytes:
    """Return version (1 byte), nonce (12, random), ciphertext and tag (16). ``context`` is authenticated, not stored.

    AES-256-GCM, NIST SP 800-38D.
    """
    nonce = os.urandom(NONCE_SIZE)
    return _VERSION + nonce + key.cipher.encrypt(nonce, plaintext, context)


def unseal(key: DataKey, sealed: bytes, context: bytes) -> bytes:
    """Return what :func:`seal` sealed. Raises CorruptedError for other bytes, another key or another context."""
    if sealed[:1] == _VERSION and len(sealed) >= 1 + NONCE_SIZE + _TAG_SIZE:
        try:
            return key.cipher.decrypt(sealed[1 : 1 + NONCE_SIZE], sealed[1 + NONCE_SIZE :], context)
        except InvalidTag:
            pass
    raise CorruptedError("A sealed value does not have the bytes that were written; restore it from a backup.")
