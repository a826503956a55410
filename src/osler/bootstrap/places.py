"""Settings, and the places that they name: where keys come from and where objects are kept."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

DEFAULT_REGION: Final = "us-east-1"
"""What S3 servers other than AWS's expect unless they are told otherwise."""

LEDGER: Final = "erasures"

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
    """Return the place of recordings and documents.

    A folder that has gone (a disk that is not mounted) is not made anew unless ``create``: raises
    BlobsUnavailableError. Raises InvalidFieldError for a place of another form.
    """
    from osler.kernel.errors import BlobsUnavailableError

    place = settings.blobs_place
    if not _is_bucket(place) and not create and not Path(place).expanduser().is_dir():
        raise BlobsUnavailableError(
            "the folder of the blobs is missing: bring its disk back, or run osler init if there is to be a new one"
        )
    return _store(settings, "")


def ledger_store(settings: "Settings") -> "ObjectStore":
    """Return the place of the erasure ledger: ``erasures``, beside the objects in the same folder or bucket."""
    return _store(settings, LEDGER)


def blobs_folder(settings: "Settings") -> Path | None:
    """Return the folder of the objects; None if they are in a bucket."""
    return None if _is_bucket(settings.blobs_place) else Path(settings.blobs_place).expanduser()


def _is_bucket(place: str) -> bool:
    from osler.kernel.errors import InvalidFieldError

    if "://" not in place:
        return False
    if not place.startswith("s3://") or not place.removeprefix("s3://").strip("/"):
        raise InvalidFieldError("OSLER_BLOBS", "OSLER_BLOBS must be a folder or s3://bucket/prefix.")
    return True


def _store(settings: "Settings", below: str) -> "ObjectStore":
    place = settings.blobs_place
    if not _is_bucket(place):
        from osler.storage.blobs.local import LocalObjects

        return LocalObjects(Path(place).expanduser() / below)
    from osler.storage.blobs.s3 import S3Objects, S3Settings

    bucket, _, prefix = place.removeprefix("s3://").partition("/")
    key, secret = settings.s3_access_key_id, settings.s3_secret_access_key
    return S3Objects(
        S3Settings(
            bucket=bucket,
            prefix="/".join(part for part in (prefix.strip("/"), below) if part),
            endpoint=settings.s3_endpoint,
            region=settings.s3_region or DEFAULT_REGION,
            access_key_id=key.get_secret_value() if key else None,
            secret_access_key=secret.get_secret_value() if secret else None,
        )
    )
