"""Digests of API keys, made with the digest key (pepper), which is kept apart from the database."""

import asyncio
import hmac
from time import monotonic
from typing import Final

from osler.kernel.errors import MasterKeyError
from osler.storage.sealing.sources import SecretSource

PAUSE: Final = 1.0
"""Seconds from a failure to load the digest key to the next attempt: a command is not run for every request."""


class HmacKeyDigest:
    """The access room's KeyDigest: HMAC-SHA256. The digest key is loaded when it is needed first, in a thread.

    Those who need it at once share one attempt. One that failed is told to all who ask within :data:`PAUSE` of its
    end; then the next request tries again, so that what an operator mends holds without a restart. Belongs to the
    event loop that first used it.

    API keys are random and long, so a fast digest is safe; the pepper keeps a stolen database from being of use to
    test keys against.
    """

    def __init__(self, source: SecretSource, *, pause: float = PAUSE) -> None:
        """``pause``: seconds from a failure to the next attempt."""
        self._source = source
        self._pause = pause
        self._key: bytes | None = None
        self._attempt: asyncio.Task[bytes] | None = None
        self._failed_at = 0.0

    async def digest(self, key: str) -> bytes:
        """Return HMAC-SHA256 of the whole key. Raises MasterKeyError if the digest key cannot be loaded."""
        pepper = self._key
        if pepper is None:
            pepper = await self._loaded()
        return hmac.digest(pepper, key.encode(), "sha256")

    async def _loaded(self) -> bytes:
        attempt = self._attempt
        if attempt is None or (attempt.done() and monotonic() - self._failed_at >= self._pause):
            attempt = self._attempt = asyncio.create_task(self._load())
            attempt.add_done_callback(_heard)
        try:
            # Whoever gives up takes nothing from the others.
            return await asyncio.shield(attempt)
        except MasterKeyError as error:
            raise MasterKeyError(str(error)) from None  # an error of one's own: many are told of one attempt

    async def _load(self) -> bytes:
        try:
            self._key = await asyncio.to_thread(self._source.load)
        except MasterKeyError:
            self._failed_at = monotonic()
            raise
        except Exception as error:  # noqa: BLE001  (whatever it is, there is no key, and no request may go on)
            self._failed_at = monotonic()
            raise MasterKeyError(
                f"The {self._source.name.label} could not be loaded ({type(error).__name__}); check where it is kept."
            ) from None
        return self._key


def _heard(attempt: "asyncio.Task[bytes]") -> None:
    """Have no error reported as missed because all who asked went away."""
    if not attempt.cancelled():
        attempt.exception()
