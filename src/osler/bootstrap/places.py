"""Settings, and the places that they name: where keys come from and where objects are kept."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

DEFAULT_REGION: Final = "us-east-1"
"""What S3 servers other than AWS's expect unless they are told otherwise."""

if TYPE_CHECKING:
    from osler.config import Settings
    from osler.storage.blobs.objects import ObjectStore
    from osler.storage.sealing.sources import SecretSource


def read_settings() -> "Settings":
    """Return the settings of the environment.

    Raises InvalidFieldError, which names the variable and does not repeat its value.
    """
    from pydantic import ValidationError

    from osler.config import Settings
    from osler.kernel.errors import InvalidFieldError

    try:
        return Settings()
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        name = f"OSLER_{str(first['loc'][0]).upper()}"
        raise InvalidFieldError(name, f"{name} cannot be used: {first['msg']}.") from None


def master_key_source(settings: "Settings") -> "SecretSource":
    """Return where the master key is to be had from. Raises MasterKeyError if the settings name two places."""
    from osler.storage.sealing.sources import MASTER_KEY, secret_source

    return secret_source(
        MASTER_KEY,
        file=settings.master_key_path,
        value=settings.master_key.get_secret_value() if settings.master_key else None,
        command=settings.master_key_command.get_secret_value() if settings.master_key_command else None,
    )


def digest_key_source(settings: "Settings") -> "SecretSource":
    """Return where the key of the digests of API keys is to be had from. Raises MasterKeyError as above."""
    from osler.storage.sealing.sources import DIGEST_KEY, secret_source

    return secret_source(
        DIGEST_KEY,
        file=settings.digest_key_path,
        value=settings.digest_key.get_secret_value() if settings.digest_key else None,
        command=settings.digest_key_command.get_secret_value() if settings.digest_key_command else None,
    )


def object_store(settings: "Settings", *, create: bool = False) -> "ObjectStore":
    """Return the place of objects.

    A folder that has gone (a disk that is not mounted) is not made anew: raises BlobsUnavailableError.
    """
    from urllib.parse import urlsplit

    from osler.kernel.errors import BlobsUnavailableError, InvalidFieldError

    place = settings.blobs_place
    if "://" not in place:
        from osler.storage.blobs.local import LocalObjects

        folder = Path(place).expanduser()
        if not create and not folder.is_dir():
            raise BlobsUnavailableError(
                "the folder of the blobs is missing: bring its disk back, or run osler init if there is to be a new one"
            )
        return LocalObjects(folder)
    address = urlsplit(place)
    if address.scheme != "s3" or not address.netloc:
        raise InvalidFieldError("OSLER_BLOBS", "OSLER_BLOBS must be a folder or s3://bucket/prefix.")
    from osler.storage.blobs.s3 import S3Objects, S3Settings

    key, secret = settings.s3_access_key_id, settings.s3_secret_access_key
    return S3Objects(
        S3Settings(
            bucket=address.netloc,
            prefix=address.path.strip("/"),
            endpoint=settings.s3_endpoint,
            access_key_id=key.get_secret_value() if key else None,
            secret_access_key=secret.get_secret_value() if secret else None,
            region=settings.s3_region or DEFAULT_REGION,
        )
    )
