"""The sample visit: sound, script and reference turns fit together."""

import json
import tomllib
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from osler_evals.sample_visit import main
from osler_evals.voices import power

FOLDER = Path(__file__).parents[2] / "examples" / "sample-visit"
RATE = 48_000


@pytest.fixture(scope="module")
def sound() -> NDArray[np.float32]:
    with av.open(str(FOLDER / "visit.ogg")) as container:
        blocks = [frame.to_ndarray().mean(axis=0) for frame in container.decode(audio=0)]
        assert container.streams.audio[0].rate == RATE
    return np.asarray(np.concatenate(blocks), np.float32)


@pytest.fixture(scope="module")
def turns() -> list[dict[str, Any]]:
    reference: dict[str, Any] = json.loads((FOLDER / "visit.json").read_text())
    return list(reference["turns"])


def test_it_lasts_one_to_two_minutes_and_is_small(sound: NDArray[np.float32]) -> None:
    assert 60 <= len(sound) / RATE <= 120
    assert (FOLDER / "visit.ogg").stat().st_size < 400_000


def test_its_reference_turns_say_what_its_script_says(turns: list[dict[str, Any]]) -> None:
    script = tomllib.loads((FOLDER / "script.toml").read_text())
    assert [[turn["speaker"], turn["text"]] for turn in turns] == script["turns"]
    assert {turn["speaker"] for turn in turns} == {"clinician", "patient"}


def test_its_reference_times_hold_the_sound_and_leave_the_pauses(
    sound: NDArray[np.float32], turns: list[dict[str, Any]]
) -> None:
    for before, after in pairwise(turns):
        assert before["start"] < before["end"] < after["start"]
    assert turns[-1]["end"] < len(sound) / RATE
    speech = [sound[round(t["start"] * RATE) : round(t["end"] * RATE)] for t in turns]
    pauses = [sound[round((a["end"] + 0.05) * RATE) : round((b["start"] - 0.05) * RATE)] for a, b in pairwise(turns)]
    quietest = min(power(piece) for piece in speech)
    assert max(float(np.sqrt(np.mean(pause**2))) for pause in pauses) < quietest / 10


def test_its_script_holds_what_a_visit_must_show() -> None:
    words = " ".join(text for _, text in tomllib.loads((FOLDER / "script.toml").read_text())["turns"]).lower()
    for said in ("one forty five over ninety two", "lisinopril, ten milligrams once a day", "no chest pain"):
        assert said in words
    for said in ("lipid panel", "don't eat anything for twelve hours", "penicillin", "four weeks"):
        assert said in words


@pytest.mark.engine
def test_making_it_anew_gives_the_same_turns(tmp_path: Path, turns: list[dict[str, Any]]) -> None:
    (tmp_path / "script.toml").write_text((FOLDER / "script.toml").read_text())
    assert main([str(tmp_path)]) == 0
    anew = json.loads((tmp_path / "visit.json").read_text())["turns"]
    assert [turn["text"] for turn in anew] == [turn["text"] for turn in turns]
    # Another processor's rounding may move a synthesiser's frame (12 ms); nothing may move a word.
    assert [turn["end"] for turn in anew] == pytest.approx([turn["end"] for turn in turns], abs=0.5)


def test_a_folder_without_a_script_is_told_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 2
    assert "no script.toml" in capsys.readouterr().err
