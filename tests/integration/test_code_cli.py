"""``osler code`` and ``osler eval codes`` as their user has them."""

import json
import shutil
from pathlib import Path

import pytest

from osler.cli import exits
from osler.kernel.errors import (
    InputError,
    NoClinicalContentError,
    OutputError,
    TerminologyMissingError,
    UnknownNameError,
    UnreadableFileError,
)
from tests.integration.cli import osler

NOTE = """# Note

## Assessment

Hypertension, uncontrolled. Right knee osteoarthritis. No diabetes. Her mother had breast cancer.
"""


@pytest.fixture
def note(tmp_path: Path) -> Path:
    path = tmp_path / "note.md"
    path.write_text(NOTE)
    return path


def test_a_note_is_coded_with_the_words_of_each_code(note: Path, tmp_path: Path) -> None:
    done = osler("code", note, "--json", "-o", tmp_path / "codes.json")
    assert (done.code, done.out) == (0, ""), done.err
    entities = json.loads((tmp_path / "codes.json").read_text())["entities"]
    assert {entity["primary_code"]["code"] for entity in entities} == {"I10", "M17.11"}
    for entity in entities:
        assert entity["primary_code"]["description"] and isinstance(entity["similar_codes"], list)
        for reference in entity["references"]:
            assert NOTE[reference["start"] : reference["end"]] == reference["text"]


def test_words_are_coded_as_well_as_a_file() -> None:
    done = osler("code", "Pain in the left shoulder")
    assert done.code == 0, done.err
    assert done.out.startswith("M25.512") and "Pain in left shoulder" in done.out


def test_another_system_may_be_named() -> None:
    done = osler("code", "Essential hypertension", "--system", "icd-9", "--json")
    assert done.code == 0, done.err
    (entity,) = json.loads(done.out)["entities"]
    assert entity["primary_code"]["code"].startswith("401")


def test_a_note_without_conditions_says_so() -> None:
    done = osler("code", "The patient feels well.")
    assert done.code == 0 and "No condition" in done.out
    assert json.loads(osler("code", "The patient feels well.", "--json").out) == {"entities": []}


def test_what_cannot_be_coded_is_one_clear_line_with_a_code_of_its_own(note: Path, tmp_path: Path) -> None:
    empty, sound = tmp_path / "empty.md", tmp_path / "sound.bin"
    empty.write_text("")
    sound.write_bytes(bytes(range(256)) * 16)
    for arguments, error in (
        ((empty,), NoClinicalContentError),
        (("   ",), NoClinicalContentError),
        ((note, "--system", "ICD-11"), UnknownNameError),
        ((note, "--system", "SNOMED"), TerminologyMissingError),
        ((tmp_path / "nowhere.md",), UnreadableFileError),
        ((tmp_path,), UnreadableFileError),
        ((sound,), InputError),
        ((note, "-o", tmp_path), OutputError),
    ):
        done = osler("code", *arguments)
        assert done.code == exits.CODES[error], (arguments, done.code, done.err)
        assert done.is_one_clear_line() and done.out == ""
        assert "note.md" not in done.err and "nowhere" not in done.err


CASE = "A man with arterial hypertension and type 2 diabetes. No fever.\n"


def test_eval_counts_what_was_found_and_what_was_not(tmp_path: Path) -> None:
    texts = tmp_path / "text_files_en"
    texts.mkdir()
    (texts / "case-1.txt").write_text(CASE)
    (texts / "case-2.txt").write_text("Gout.\n")
    (tmp_path / "devD.tsv").write_text("case-1\ti10\ncase-1\tr50.9\ncase-2\tm10.9\n")
    done = osler("eval", "codes", "--data", tmp_path, "--json")
    assert done.code == 0, done.err
    scores = json.loads(done.out)["codiesp"]
    # Found: I10, E11.9 and M10.9; given: I10, R50.9 and M10.9.
    assert (scores["precision"], scores["recall"], scores["micro_f1"]) == (0.6667, 0.6667, 0.6667)
    assert scores["macro_f1"] == 0.5, "two of four codes are right wherever they stand"
    assert scores["map"] in (0.75, 0.625), "by the rank of I10"
    assert scores["chapters"]["Chapter 9"]["micro_f1"] == 1.0 and scores["chapters"]["Chapter 18"]["recall"] == 0.0
    shown = osler("eval", "codes", "--data", tmp_path)
    assert "macro F1 50.0 %" in shown.out and "Chapter 9" in shown.out


def test_eval_of_nothing_is_one_clear_line(tmp_path: Path) -> None:
    done = osler("eval", "codes", "--data", tmp_path)
    assert done.code == exits.CODES[InputError] and done.is_one_clear_line()
    shutil.rmtree(tmp_path)
    assert osler("eval", "codes", "--data", tmp_path).is_one_clear_line()
