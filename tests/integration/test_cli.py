"""What the command line promises around every command: help, errors, output files."""

import ctypes
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from osler.cli import exits
from osler.cli.note import Style
from osler.kernel import errors
from osler.notes.model import VoiceStyle
from tests.integration.cli import osler

DIALOGUE = """[doctor] what brings you in today ?
[patient] i have had a cough and a sore throat for three days .
[doctor] any fever ?
[patient] no .
[doctor] okay . let's start amoxicillin 500 mg three times a day . come back in one week .
"""


@pytest.fixture
def dialogue(tmp_path: Path) -> Path:
    path = tmp_path / "visit.txt"
    path.write_text(DIALOGUE)
    return path


def test_help_names_every_command() -> None:
    shown = osler("--help")
    assert shown.code == 0
    operators = ("init", "serve", "worker", "org", "user", "key", "encounter", "jobs", "audit", "backup", "restore")
    for command in ("transcribe", "note", "demo", "models", "eval", "master-key", *operators):
        assert f" {command} " in shown.out


def test_help_loads_no_engine() -> None:
    heavy = ("numpy", "spacy", "medspacy", "faster_whisper", "ctranslate2", "av", "onnxruntime", "pydantic", "rich",
             "sqlalchemy", "fastapi", "uvicorn", "structlog", "dbos", "cryptography", "asyncio")  # fmt: skip
    code = f"import sys, osler.cli.app; print([m for m in {heavy} if m in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def test_a_wrong_option_is_a_usage_error() -> None:
    shown = osler("note", "--no-such-option")
    assert shown.code == exits.USAGE
    assert "Traceback" not in shown.err


def test_note_offers_the_voice_styles_of_the_notes_room_but_that_of_a_user_whom_a_command_line_does_not_know() -> None:
    assert [s.value for s in Style] == [s.value for s in VoiceStyle if s is not VoiceStyle.MY_VOICE]


def test_every_error_class_has_an_exit_code_of_its_own_and_a_line_in_the_reference() -> None:
    reference = (Path(__file__).parents[2] / "docs/reference/exit-codes.md").read_text()
    assert len(set(exits.CODES.values())) == len(exits.CODES)
    concrete = [e for e in vars(errors).values() if isinstance(e, type) and issubclass(e, errors.OslerError)]
    for error in concrete:
        if error is not errors.OslerError:
            assert f"| {exits.CODES[error]} | `{error.__name__}` |" in reference


def test_a_note_is_written_from_a_dialogue(dialogue: Path) -> None:
    shown = osler("note", dialogue)
    assert shown.code == 0, shown.err
    assert "cough" in shown.out and "amoxicillin 500 mg" in shown.out.lower()


def test_note_json_quotes_the_turns_exactly(dialogue: Path) -> None:
    shown = osler("note", dialogue, "--json")
    data = json.loads(shown.out)
    turns = [line.split("] ", 1)[1] for line in DIALOGUE.splitlines()]
    cited = [e for section in data["sections"] for s in section["sentences"] for e in s["evidence"]]
    assert cited
    for evidence in cited:
        assert turns[evidence["turn"]][evidence["start"] : evidence["end"]] == evidence["quote"]


def test_output_goes_to_a_file_whole_and_leaves_nothing_else(dialogue: Path, tmp_path: Path) -> None:
    target = tmp_path / "out" / "note.json"
    target.parent.mkdir()
    shown = osler("note", dialogue, "--json", "-o", target)
    assert shown.code == 0 and shown.out == ""
    assert json.loads(target.read_text())["note"]
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("empty.txt", b"", 12),
        ("prose.txt", b"The quick brown fox jumps over the lazy dog.\n", 14),
        ("other.json", b'{"name": "not a transcript"}', 14),
        ("list.json", b"[1, 2, 3]", 14),
        ("broken.json", b'{"turns": [{"speaker": "doc', 14),
        ("turns.json", b'{"turns": [{"speaker": 1, "text": null}]}', 14),
        ("none.json", b'{"turns": []}', 15),
        ("reversed.json", b'{"turns": [{"speaker": "patient", "text": "I cough.", "start": 9, "end": 4}]}', 14),
        ("negative.json", b'{"turns": [{"speaker": "patient", "text": "I cough.", "start": -1, "end": 4}]}', 14),
        ("nan.json", b'{"turns": [{"speaker": "patient", "text": "I cough.", "start": NaN}]}', 14),
        ("late.json", b'{"turns": [{"speaker": "patient", "text": "I cough.", "start": 1%s}]}' % (b"0" * 400), 14),
        ("chat.txt", b"[doctor] nice weather today .\n[patient] yes , lovely .\n", 15),
    ],
)
def test_bad_transcripts_are_refused_in_one_line(name: str, content: bytes, code: int, tmp_path: Path) -> None:
    path, target = tmp_path / name, tmp_path / "note.md"
    path.write_bytes(content)
    shown = osler("note", path, "-o", target)
    assert shown.code == code, shown.err
    assert shown.is_one_clear_line(), shown.err
    assert not target.exists()


def test_a_missing_file_and_a_folder_are_unreadable(tmp_path: Path) -> None:
    for path in (tmp_path / "nothing.mp3", tmp_path):
        for command in ("transcribe", "note"):
            shown = osler(command, path)
            assert shown.code == 10 and shown.is_one_clear_line(), shown.err


def _without_the_rights_of_root() -> None:
    """Take from a child process what lets root pass over permissions (capabilities(7)); a plain user has none of it."""
    if os.geteuid() == 0:
        for right in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
            assert ctypes.CDLL(None).prctl(24, right, 0, 0, 0) == 0  # PR_CAPBSET_DROP


@pytest.mark.skipif(sys.platform != "linux", reason="drops the rights of root as Linux does")
def test_what_permissions_forbid_is_one_clear_line_without_the_name(dialogue: Path, tmp_path: Path) -> None:
    dialogue.chmod(0)
    folder = tmp_path / "Zebedee-Quux"
    folder.mkdir()
    other = tmp_path / "other.txt"
    other.write_text(DIALOGUE)
    before = folder / "note.md"
    before.write_text("an earlier note")
    folder.chmod(0o555)
    cases: list[tuple[list[str | Path], int]] = [
        (["note", dialogue], 10),
        (["transcribe", dialogue], 10),
        (["note", other, "-o", folder / "new.md"], 20),
        (["note", other, "-o", before], 20),
    ]
    for args, code in cases:
        command = [sys.executable, "-m", "osler", *map(str, args)]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, preexec_fn=_without_the_rights_of_root
        )
        assert done.returncode == code, done.stderr
        assert done.stderr.startswith("osler: ") and done.stderr.count("\n") == 1 and "Quux" not in done.stderr
    assert [p.name for p in folder.iterdir()] == ["note.md"] and before.read_text() == "an earlier note"


def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    for command in ("transcribe", "note"):
        shown = osler(command, path, timeout=60)
        assert shown.code == 10 and shown.is_one_clear_line(), shown.err


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "latin-1"])
def test_a_transcript_is_read_in_the_encodings_that_programs_write(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "visit.txt"
    path.write_bytes((DIALOGUE + "[patient] au café , no fever .\n").replace("\n", "\r\n").encode(encoding))
    shown = osler("note", path)
    assert shown.code == 0, shown.err
    assert "amoxicillin 500 mg" in shown.out.lower()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_standard_output_is_one_clear_line(dialogue: Path) -> None:
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "osler", "note", str(dialogue)]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 20
    assert done.stderr.startswith("osler: ") and done.stderr.count("\n") == 1


def test_a_warning_of_a_file_stays_one_line_and_moves_no_terminal(tmp_path: Path) -> None:
    path = tmp_path / "visit.json"
    turns = [{"speaker": "patient", "text": "I have had a cough for three days."}]
    path.write_text(json.dumps({"turns": turns, "warnings": ["one\nosler: two \x1b[31mred"]}))
    shown = osler("note", path)
    assert shown.code == 0 and shown.is_one_clear_line() and "\x1b" not in shown.err


def test_an_output_that_cannot_be_written_is_said_before_the_work(dialogue: Path, tmp_path: Path) -> None:
    shown = osler("note", dialogue, "-o", tmp_path / "no" / "such" / "note.md")
    assert shown.code == 20 and shown.is_one_clear_line(), shown.err


def test_an_unknown_template_lists_those_that_exist(dialogue: Path) -> None:
    shown = osler("note", dialogue, "--template", "nonsense")
    assert shown.code == 16 and shown.is_one_clear_line(), shown.err
    assert "soap" in shown.err


def test_debug_shows_the_traceback_wherever_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "prose.txt"
    path.write_text("no speaker here\n")
    for args in (("note", path, "--debug"), ("--debug", "note", path)):
        shown = osler(*args)
        assert "Traceback" in shown.err and shown.code == 14


def test_evidence_and_html_together_are_a_usage_error(dialogue: Path) -> None:
    assert osler("note", dialogue, "--evidence", "--format", "html").code == exits.USAGE


def test_an_error_never_repeats_the_words_or_the_name_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "Zebedee-Quux-1961.json"
    path.write_text('{"turns": [{"speaker": "patient", "text": 7, "secret": "Zebedee Quux"}]}')
    shown = osler("note", path)
    assert shown.code == 14
    assert "Quux" not in shown.err
