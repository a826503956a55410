"""Where the model weights are kept, as an operator sets it."""

from pathlib import Path

import pytest

from osler.config import Settings


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OSLER_DATA", "OSLER_MODELS", "OSLER_MODELS_FROM", "OSLER_MODELS_LOCK", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/home/osler")


def test_weights_are_in_the_users_data_folder_unless_set() -> None:
    assert Settings().models_path == Path("/home/osler/.local/share/osler/models")


def test_the_users_data_folder_follows_the_xdg_specification(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "/var/data")
    assert Settings().models_path == Path("/var/data/osler/models")
    monkeypatch.setenv("XDG_DATA_HOME", "relative/is/ignored")
    assert Settings().models_path == Path("/home/osler/.local/share/osler/models")


def test_osler_data_moves_the_weights_and_osler_models_moves_them_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OSLER_DATA", "/srv/osler")
    assert Settings().models_path == Path("/srv/osler/models")
    monkeypatch.setenv("OSLER_MODELS", "~/weights")
    assert Settings().models_path == Path("/home/osler/weights")
    assert Settings().data_path == Path("/srv/osler")


def test_an_empty_setting_is_no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OSLER_MODELS", "")
    monkeypatch.setenv("OSLER_MODELS_FROM", "")
    assert Settings().models_path == Path("/home/osler/.local/share/osler/models")
    assert Settings().models_from is None
