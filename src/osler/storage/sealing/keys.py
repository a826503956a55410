"""Master key, key ring and data keys: what wraps what, and how a key's text is read."""

import base64
import binascii
import hmac
import os
import re
from collections.abc import Sequence
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from osler.kernel.blobs import ObjectKey
from osler.kernel.errors import ErasedError, MasterKeyError
from osler.kernel.ids import new_id

KEY_SIZE: Final = 32
"""Bytes of every key: AES-256 and HMAC-SHA256."""

NONCE_SIZE: Final = 12
"""Bytes of an AES-GCM nonce (96 bits, NIST SP 800-38D section 8.2). Random ones are safe up to 2^32 uses of a key."""

_HEXADECIMAL: Final = re.compile(r"[0-9a-fA-F]{64}")
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]{43}=?")


def parse_key(text: str, name: str = "master key") -> bytes:
    """Return the 32 bytes that ``text`` writes as 64 hexadecimal digits or as base64 (also the URL alphabet).

    Raises MasterKeyError, which names ``name`` and never quotes the text.
    """
    text = text.strip()
    if _HEXADECIMAL.fullmatch(text):
        return bytes.fromhex(text)
    if _BASE64.fullmatch(text):
        try:
            key = base64.b64decode(text.rstrip("=").translate(str.maketrans("-_", "+/")) + "=", validate=True)
        except binascii.Error:
            key = b""
        if len(key) == KEY_SIZE:
            return key
    raise MasterKeyError(
        f"The {name} is not 64 hexadecimal digits or base64 of 32 bytes; make one with: openssl rand -hex 32"
    )


class MasterKey:
    """A key that wraps other keys and seals nothing itself. ``id`` is a short digest of it, safe to store and show."""

    __slots__ = ("_cipher", "id")

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_SIZE:
            raise ValueError("a master key has 32 bytes")
        self.id = hmac.digest(key, b"osler master key id", "sha256")[:8].hex()
        self._cipher = AESGCM(key)

    def __repr__(self) -> str:
        return f"MasterKey({self.id})"

    def wrap(self, object_id: str, key: bytes) -> ObjectKey:
        """Return ``key`` sealed for the object key ``object_id``."""
        nonce = os.urandom(NONCE_SIZE)
        return ObjectKey(object_id, nonce + self._cipher.encrypt(nonce, key, self._context(object_id)), self.id)

    def unwrap(self, key: ObjectKey) -> bytes:
        """Return the 32 bytes that :meth:`wrap` sealed. Raises InvalidTag."""
        wrapped = key.wrapped
        if len(wrapped) != NONCE_SIZE + KEY_SIZE + 16:
            raise InvalidTag
        return self._cipher.decrypt(wrapped[:NONCE_SIZE], wrapped[NONCE_SIZE:], self._context(key.id))

    def _context(self, object_id: str) -> bytes:
        # The id is bound in, so that the wrapped keys of two rows cannot be swapped.
        return f"osler object key 1\0{self.id}\0{object_id}".encode()


class DataKey:
    """The opened key of one object. It lives in memory only and never shows itself.

    ``cipher`` is ready to use: setting up AES costs as much as sealing a kilobyte.
    """

    __slots__ = ("cipher", "secret")

    def __init__(self, secret: bytes) -> None:
        if len(secret) != KEY_SIZE:
            raise ValueError("a data key has 32 bytes")
        self.secret = secret
        self.cipher = AESGCM(secret)

    def __repr__(self) -> str:
        return "DataKey(...)"


class KeyRing:
    """The master key in use and, while a rotation lasts, former ones that some objects are still wrapped with."""

    def __init__(self, current: MasterKey, former: Sequence[MasterKey] = ()) -> None:
        self.current = current
        self._keys = {key.id: key for key in (*former, current)}

    def __repr__(self) -> str:
        return f"KeyRing({', '.join(self._keys)})"

    def new_object_key(self) -> tuple[ObjectKey, DataKey]:
        """Make the key of a new object: wrapped by the current master key, to store, and opened, to use."""
        secret = os.urandom(KEY_SIZE)
        return self.current.wrap(new_id(), secret), DataKey(secret)

    def open_key(self, key: ObjectKey) -> DataKey:
        """Unwrap ``key``.

        Raises MasterKeyError if no key of the ring wrapped it or its tag does not fit, and ErasedError if it was
        destroyed (``wrapped`` is empty).
        """
        return DataKey(self._unwrap(key))

    def rewrap(self, key: ObjectKey) -> ObjectKey:
        """Return ``key``, which opens the same data, wrapped by the current master key; itself if it is already.

        Raises as :meth:`open_key` does.
        """
        secret = self._unwrap(key)
        return key if key.master == self.current.id else self.current.wrap(key.id, secret)

    def _unwrap(self, key: ObjectKey) -> bytes:
        if not key.wrapped:
            raise ErasedError("This was erased for good: its key is destroyed.")
        master = self._keys.get(key.master)
        if master is None:
            raise MasterKeyError(
                f"This data is sealed by the master key {key.master}, and the configured one is {self.current.id}; "
                "set the master key that this data was written with."
            )
        try:
            return master.unwrap(key)
        except InvalidTag:
            raise MasterKeyError(
                f"The wrapped key {key.id} was altered or is damaged; restore the database from a backup."
            ) from None
