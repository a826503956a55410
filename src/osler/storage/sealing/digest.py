"""Digests of API keys, made with the digest key (pepper), which is kept apart from the database."""

import hmac
import threading

from osler.storage.sealing.sources import SecretSource


class HmacKeyDigest:
    """The access room's KeyDigest: HMAC-SHA256. The digest key is loaded when it is needed first.

    API keys are random and long, so a fast digest is safe; the pepper keeps a stolen database from being of use to
    test keys against.
    """

    def __init__(self, source: SecretSource) -> None:
        self._source = source
        self._key: bytes | None = None
        self._lock = threading.Lock()

    def digest(self, key: str) -> bytes:
        """Return HMAC-SHA256 of the whole key. Raises MasterKeyError if the digest key cannot be loaded."""
        if self._key is None:
            with self._lock:
                if self._key is None:
                    self._key = self._source.load()
        return hmac.digest(self._key, key.encode(), "sha256")
