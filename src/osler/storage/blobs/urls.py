"""Osler's own signed URLs of recordings: no header needed, for a while, for one thing."""

import base64
import hmac
import re
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote, urlencode

from osler.kernel.errors import NotAllowedError

_SECONDS: Final = re.compile(r"[1-9][0-9]{0,11}")

# What is signed begins with one of these, so that no URL of one kind has the signed bytes of one of the other. Each
# part of it ends with a line end, which none of those that are signed holds: no two URLs of one kind have them either.
_OBJECT: Final = "osler media 1\n"
_RECORDING: Final = "osler recording 1\n"


class MediaUrls:
    """Makes and checks ``PUBLIC_URL/media/BLOB?expires=...&type=...&signature=...``, the URL of one object's bytes, and
    ``PUBLIC_URL/media/recordings/RECORDING?...``, that of all of a recording.

    ``expires`` is in seconds since 1970 (UTC), ``type`` the media type to answer with; ``signature`` is HMAC-SHA256 of
    the kind, the id and both, base64 for URLs without padding.
    """

    def __init__(self, key: bytes, public_url: str) -> None:
        self._key = key
        self._base = public_url.rstrip("/")

    def url(self, blob_id: str, *, media_type: str, expires_at: datetime) -> str:
        """Return the URL of an object."""
        return self._signed("", _OBJECT, blob_id, media_type, expires_at)

    def recording_url(self, recording_id: str, *, media_type: str, expires_at: datetime) -> str:
        """Return the URL of a recording."""
        return self._signed("recordings/", _RECORDING, recording_id, media_type, expires_at)

    def verify(self, blob_id: str, *, expires: str, media_type: str, signature: str, now: datetime) -> datetime:
        """Return when the URL of an object expires.

        Raises NotAllowedError: ``media_url_invalid`` for anything that was not signed here, ``media_url_expired``.
        """
        return self._verified(self._signature(_OBJECT, blob_id, expires, media_type), signature, expires, now)

    def verify_recording(
        self, recording_id: str, *, expires: str, media_type: str, signature: str, now: datetime
    ) -> datetime:
        """As :meth:`verify`, of the URL of a recording."""
        return self._verified(self._signature(_RECORDING, recording_id, expires, media_type), signature, expires, now)

    def _signed(self, folder: str, kind: str, name: str, media_type: str, expires_at: datetime) -> str:
        expires = str(int(expires_at.timestamp()))
        signature = self._signature(kind, name, expires, media_type)
        query = {"expires": expires, "type": media_type, "signature": signature}
        return f"{self._base}/media/{folder}{quote(name, safe='')}?{urlencode(query, quote_via=quote)}"

    def _verified(self, wanted: str, signature: str, expires: str, now: datetime) -> datetime:
        if not hmac.compare_digest(wanted.encode(), signature.encode()) or not _SECONDS.fullmatch(expires):
            raise NotAllowedError("media_url_invalid", "This URL was not made by this server; ask for a new one.")
        expires_at = datetime.fromtimestamp(int(expires), UTC)
        if now >= expires_at:
            raise NotAllowedError("media_url_expired", "This URL has expired; ask for a new one.")
        return expires_at

    def _signature(self, kind: str, name: str, expires: str, media_type: str) -> str:
        message = f"{kind}{name}\n{expires}\n{media_type}\n".encode()
        return base64.urlsafe_b64encode(hmac.digest(self._key, message, "sha256")).rstrip(b"=").decode()
