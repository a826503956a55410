"""Objects in a bucket of S3 or of a server that speaks its language."""

import hashlib
import hmac
import ipaddress
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

import obstore
from obstore.store import S3Store

from osler.kernel.errors import InvalidFieldError
from osler.storage.blobs.objects import FAILURES, ObstoreObjects, translated

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig, S3Config

LONGEST_PRESIGNED: Final = timedelta(days=7)
"""Longest life of a presigned URL (AWS Signature Version 4)."""

_UNUSABLE: Final = "The S3 settings cannot be used; check bucket, endpoint and keys."


@dataclass(frozen=True, slots=True)
class S3Settings:
    """Where the bucket is and who we are there.

    Without keys, credentials come from where AWS clients look for them: the environment, or the instance's role.
    ``endpoint`` None is AWS itself. ``prefix`` is put before every name, for a bucket that is shared.
    ``server_side_encryption`` (``AES256``, ``aws:kms``) asks the bucket to seal each object; None leaves it to the
    bucket's own default. Times are seconds: ``connect_timeout`` to reach the server, ``timeout`` for one whole
    request, of which the largest carries 5 MiB; after ``retry_timeout`` a failed request is not tried again.
    """

    bucket: str
    endpoint: str | None = None
    region: str = "us-east-1"
    access_key_id: str | None = None
    secret_access_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)
    prefix: str = ""
    virtual_hosted_style: bool = False
    server_side_encryption: str | None = None
    kms_key_id: str | None = None
    connect_timeout: float = 2.5
    timeout: float = 20.0
    retry_timeout: float = 6.0


class S3Objects(ObstoreObjects):
    """Objects in a bucket. Raises InvalidFieldError for settings that cannot be used; connects at the first request."""

    def __init__(self, settings: S3Settings) -> None:
        config: S3Config = {
            "region": settings.region,
            "virtual_hosted_style_request": settings.virtual_hosted_style,
        }
        # One request an object: the bulk deletion of S3 is missing from many servers that speak its language.
        config["disable_bulk_delete"] = True
        if settings.endpoint:
            config["endpoint"] = settings.endpoint
        if settings.access_key_id and settings.secret_access_key:
            config["access_key_id"] = settings.access_key_id
            config["secret_access_key"] = settings.secret_access_key
        if settings.session_token:
            config["session_token"] = settings.session_token
        if settings.server_side_encryption:
            config["server_side_encryption"] = settings.server_side_encryption
        if settings.kms_key_id:
            config["sse_kms_key_id"] = settings.kms_key_id
        address = urlsplit(settings.endpoint or "https://s3.amazonaws.com")
        if address.scheme not in ("http", "https") or not address.hostname or not settings.bucket:
            raise InvalidFieldError("blobs", _UNUSABLE)
        client: ClientConfig = {
            "connect_timeout": timedelta(seconds=settings.connect_timeout),
            "timeout": timedelta(seconds=settings.timeout),
            "allow_http": address.scheme == "http",
        }
        retries: RetryConfig = {
            "max_retries": 3,
            "retry_timeout": timedelta(seconds=settings.retry_timeout),
            "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=1), "base": 2},
        }
        try:
            store = S3Store(
                settings.bucket,
                prefix=settings.prefix or None,
                config=config,
                client_options=client,
                retry_config=retries,
            )
        except (*FAILURES, ValueError):
            raise InvalidFieldError("blobs", _UNUSABLE) from None
        super().__init__(store)
        self._bucket = store
        self._secret = settings.secret_access_key if settings.access_key_id else None
        self.seals_by_itself = address.scheme == "https" or _is_loopback(address.hostname)

    async def delete(self, names: Sequence[str]) -> None:
        """Remove objects; those that are gone already are no error."""
        for name in names:
            try:
                await obstore.delete_async(self._bucket, name)
            except FileNotFoundError:
                continue
            except FAILURES as error:
                raise translated(error, "written") from None

    async def list(self, older_than: datetime) -> AsyncIterator[str]:
        """Yield the names of objects last written before ``older_than``."""
        try:
            async for found in obstore.list(self._bucket, chunk_size=1000):
                for one in found:
                    if one["last_modified"] < older_than:
                        yield one["path"]
        except FAILURES as error:
            raise translated(error, "read") from None

    async def remove_unfinished(self, older_than: datetime) -> int:
        """Return 0: the parts of uploads that broke off are the bucket's to remove, by a lifecycle rule."""
        return 0

    async def presign(self, name: str, lifetime: timedelta, media_type: str) -> str | None:
        """Return a presigned URL, whose answer has ``media_type`` and may be kept by no cache.

        None with keys from elsewhere than the settings (an instance's role), which only obstore knows: it cannot sign
        these wishes. Raises InvalidFieldError for more than seven days.
        """
        if lifetime > LONGEST_PRESIGNED:
            raise InvalidFieldError("expires_at", "A presigned URL lives seven days at most; ask for less.")
        if not self._secret:
            return None
        try:
            url = await obstore.sign_async(self._bucket, "GET", name, lifetime)
        except FAILURES as error:
            raise translated(error, "read") from None
        wishes = {"response-content-type": media_type, "response-cache-control": "private, no-store"}
        return with_wishes(url, wishes, self._secret)

    async def check(self) -> None:
        """List a little: this fails for a missing bucket, where reading a missing object would look the same."""
        try:
            async for _ in obstore.list(self._bucket, "probe", chunk_size=1):
                break
        except FAILURES as error:
            raise translated(error, "read") from None


def with_wishes(url: str, wishes: Mapping[str, str], secret: str) -> str:
    """Return a presigned URL, signed again with wishes for headers of the answer (``response-content-type``, ...).

    AWS Signature Version 4 in query parameters: docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html.
    obstore signs no parameters of its caller's.
    """
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query)) | dict(wishes)
    del query["X-Amz-Signature"]
    wanted = urlencode(sorted(query.items()), quote_via=quote, safe="-_.~")
    request = "\n".join(("GET", parts.path, wanted, f"host:{parts.netloc}", "", "host", "UNSIGNED-PAYLOAD"))
    scope = query["X-Amz-Credential"].split("/")[-4:]  # day, region, service, "aws4_request"
    key = f"AWS4{secret}".encode()
    for part in scope:
        key = hmac.digest(key, part.encode(), "sha256")
    digest = hashlib.sha256(request.encode()).hexdigest()
    to_sign = "\n".join(("AWS4-HMAC-SHA256", query["X-Amz-Date"], "/".join(scope), digest))
    signature = hmac.digest(key, to_sign.encode(), "sha256").hex()
    return urlunsplit(parts._replace(query=f"{wanted}&X-Amz-Signature={signature}"))


def _is_loopback(host: str | None) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False
