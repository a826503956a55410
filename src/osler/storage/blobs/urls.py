"""Osler's own signed URLs of recordings: no header needed, for a while, for one object."""

import base64
import hmac
import re
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote, urlencode

from osler.kernel.errors import NotAllowedError

_SECONDS: Final = re.compile(r"[1-9][0-9]{0,11}")


class MediaUrls:
    """Makes and checks ``PUBLIC_URL/media/BLOB?expires=...&type=...&signature=...``.

    ``expires`` is in seconds since 1970 (UTC), ``type`` the media type to answer with; ``signature`` is HMAC-SHA256 of
    both and the blob's id, base64 for URLs without padding.
    """

    def __init__(self, key: bytes, public_url: str) -> None:
        self._key = key
        self._base = public_url.rstrip("/")

    def url(self, blob_id: str, *, media_type: str, expires_at: datetime) -> str:
        """Return the URL."""
        expires = str(int(expires_at.timestamp()))
        query = {"expires": expires, "type": media_type, "signature": self._signature(blob_id, expires, media_type)}
        return f"{self._base}/media/{quote(blob_id, safe='')}?{urlencode(query, quote_via=quote)}"

    def verify(self, blob_id: str, *, expires: str, media_type: str, signature: str, now: datetime) -> datetime:
        """Return when the URL expires.

        Raises NotAllowedError: ``media_url_invalid`` for anything that was not signed here, ``media_url_expired``.
        """
        wanted = self._signature(blob_id, expires, media_type)
        if not hmac.compare_digest(wanted.encode(), signature.encode()) or not _SECONDS.fullmatch(expires):
            raise NotAllowedError("media_url_invalid", "This URL was not made by this server; ask for a new one.")
        expires_at = datetime.fromtimestamp(int(expires), UTC)
        if now >= expires_at:
            raise NotAllowedError("media_url_expired", "This URL has expired; ask for a new one.")
        return expires_at

    def _signature(self, blob_id: str, expires: str, media_type: str) -> str:
        # Each part ends with a line end, which none of those that are signed holds: no two triples have the same bytes.
        message = f"osler media 1\n{blob_id}\n{expires}\n{media_type}\n".encode()
        return base64.urlsafe_b64encode(hmac.digest(self._key, message, "sha256")).rstrip(b"=").decode()
