"""``osler eval`` as its user has it: tables, JSON, and clear lines when there is nothing to measure."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from osler.cli import exits
from osler.kernel.errors import InputError, MissingExtraError
from tests.integration.cli import osler

SAMPLE = Path(__file__).parents[2] / "examples" / "sample-visit"

TABLE = """dataset,encounter_id,dialogue,note
aci,D1,"[doctor] what brings you in today ?
[patient] i have had a dry cough for three days .
[doctor] any fever ?
[patient] no .
[doctor] let's start amoxicillin 500 mg three times a day . come back in one week .","CHIEF COMPLAINT

Cough.

HISTORY OF PRESENT ILLNESS

The patient has had a dry cough for 3 days. He denies fever.

PLAN

Start amoxicillin 500 mg three times a day. Follow up in 1 week."
"""


@pytest.fixture
def aci(tmp_path: Path) -> Path:
    (tmp_path / "valid.csv").write_text(TABLE)
    return tmp_path


def test_eval_notes_prints_a_table_with_the_copy_as_baseline(aci: Path) -> None:
    shown = osler("eval", "notes", "--data", aci)
    assert shown.code == 0, shown.err
    for word in (
        "ROUGE-1",
        "ROUGE-Lsum",
        "exact %",
        "unsupported %",
        "Osler, GOLDILOCKS",
        "aci",
        "copy of the transcript",
        "quotes shuffled",
    ):
        assert word in shown.out


def test_eval_notes_writes_its_json_to_a_file_and_still_prints_the_table(aci: Path, tmp_path: Path) -> None:
    shown = osler("eval", "notes", "--data", aci, "--json", "-o", tmp_path / "notes.json", "--voice-style", "BRIEF")
    assert shown.code == 0, shown.err
    assert "ROUGE-1" in shown.out
    report = json.loads((tmp_path / "notes.json").read_text())
    assert report["voice_style"] == "BRIEF"
    scores = report["all"]
    assert scores["sentences"] == scores["with_evidence"] == scores["quoting_exactly"] > 0
    assert scores["unsupported_token_rate"] == 0
    assert 0 < scores["rouge1"] < 1


@pytest.mark.parametrize("kind", ["notes", "speech"])
def test_a_folder_with_nothing_to_measure_is_one_clear_line(kind: str, tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        shown = osler("eval", kind, "--data", folder, "-o", tmp_path / "out.txt")
        assert shown.code == exits.code_of(InputError())
        assert shown.is_one_clear_line()
        assert not (tmp_path / "out.txt").exists()


@pytest.mark.parametrize(("kind", "module"), [("notes", "rouge_score"), ("speech", "jiwer")])
def test_without_the_extra_the_line_names_what_to_install(kind: str, module: str, tmp_path: Path) -> None:
    code = (
        f"import sys; sys.modules[{module!r}] = None\n"
        f"from osler.cli.app import main; main(['eval', {kind!r}, '--data', {str(tmp_path)!r}])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == exits.code_of(MissingExtraError())
    assert done.stderr == "osler: Measuring needs an extra: pip install 'osler[evals]'\n"


@pytest.mark.engine
def test_eval_speech_scores_the_sample_visit_and_names_what_it_left_out(tmp_path: Path) -> None:
    for name in ("visit.ogg", "visit.json"):
        shutil.copy(SAMPLE / name, tmp_path / name)
    (tmp_path / "broken.ogg").write_bytes(b"not audio")
    shutil.copy(SAMPLE / "visit.json", tmp_path / "broken.json")
    shown = osler("eval", "speech", "--data", tmp_path, "--model", "tiny.en", "--json")
    assert shown.code == 0, shown.err
    report = json.loads(shown.out)
    assert list(report["recordings"]) == ["visit"]
    assert report["problems"] == {"broken": "it could not be transcribed (NotAudioError)"}
    assert report["total"]["wer_heard"] < 0.1
    assert report["total"]["der"] < 0.2
    assert report["total"]["role_accuracy"] > 0.9
    assert report["total"]["speaker_counts_right"] == 1
