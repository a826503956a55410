"""Settings as an operator gives them."""

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from osler.config import Settings

SECRETS = (
    "OSLER_DATABASE",
    "OSLER_S3_ACCESS_KEY_ID",
    "OSLER_S3_SECRET_ACCESS_KEY",
    "OSLER_MASTER_KEY",
    "OSLER_MASTER_KEY_COMMAND",
    "OSLER_DIGEST_KEY",
    "OSLER_DIGEST_KEY_COMMAND",
)


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("OSLER_", "XDG_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", "/home/osler")


def test_everything_lies_in_the_data_folder_unless_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OSLER_DATA", "/srv/osler")
    settings = Settings()
    assert settings.database_url == "sqlite:////srv/osler/osler.db"
    assert settings.blobs_place == "/srv/osler/blobs"
    assert settings.master_key_path == Path("/srv/osler/keys/master.key")
    assert settings.digest_key_path == Path("/srv/osler/keys/digest.key")


def test_each_place_can_be_moved_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OSLER_DATA", "/srv/osler")
    monkeypatch.setenv("OSLER_DATABASE", "postgresql://osler@db/osler")
    monkeypatch.setenv("OSLER_BLOBS", "s3://clinic/osler")
    monkeypatch.setenv("OSLER_MASTER_KEY_FILE", "~/master.key")
    settings = Settings()
    assert settings.database_url == "postgresql://osler@db/osler"
    assert settings.blobs_place == "s3://clinic/osler"
    assert settings.master_key_path == Path("/home/osler/master.key")
    assert settings.digest_key_path == Path("/srv/osler/keys/digest.key")


def test_a_relative_data_folder_gives_the_database_an_absolute_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OSLER_DATA", "here")
    assert Settings().database_url == f"sqlite:///{Path.cwd() / 'here/osler.db'}"


@pytest.mark.parametrize("name", SECRETS)
def test_what_may_hold_a_secret_never_shows_itself(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "hunter2hunter2")
    settings = Settings()
    assert "hunter2" not in repr(settings) + str(settings) + settings.model_dump_json()


@pytest.mark.parametrize(
    "name",
    [
        "OSLER_SEALED",
        "OSLER_LOG_LEVEL",
        "OSLER_EXECUTOR_ID",
        "OSLER_PUBLIC_URL",
        "OSLER_MAX_UPLOAD_MB",
        "OSLER_NOTE_WORKERS",
        "OSLER_LANGUAGE",
    ],
)
def test_a_wrong_value_is_refused_and_not_repeated(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "hunter2 ?")
    with pytest.raises(ValidationError) as refused:
        Settings()
    assert "hunter2" not in str(refused.value)


def test_the_public_address_has_no_slash_at_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OSLER_PUBLIC_URL", "https://scribe.example/osler/")
    assert Settings().public_url == "https://scribe.example/osler"
