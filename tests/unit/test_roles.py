"""Promises of the language model of roles, and of how it was trained."""

import os
from importlib import resources
from pathlib import Path

import pytest

from osler.speech.model import CLINICIAN, PATIENT
from osler.speech.roles import (
    change_log_odds,
    clinician_log_odds,
    decide_roles,
    models,
    parse_models,
    relative_log_odds,
    sentences_of,
)

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


def words(text: str) -> list[str]:
    return text.split()


@pytest.mark.parametrize(
    "sentence",
    [
        "What brings you in today?",
        "Any fevers or chills?",
        "I'm going to order some blood tests.",
        "can you take a deep breath for me",
        "Do you smoke?",
        "Let me have a look at your tummy.",
    ],
)
def test_who_asks_examines_and_instructs_is_the_clinician(sentence: str) -> None:
    assert clinician_log_odds(sentence.split()) > 1


@pytest.mark.parametrize(
    "sentence",
    [
        "I've had this pain for two weeks.",
        "my chest hurts when I breathe",
        "I take metformin for my sugar.",
        "No, I haven't.",
    ],
)
def test_who_tells_of_his_own_complaints_is_the_patient(sentence: str) -> None:
    assert clinician_log_odds(sentence.split()) < -1


def test_who_tells_of_somebody_else_is_a_companion_rather_than_the_patient() -> None:
    assert relative_log_odds(words("My son has been coughing and he won't eat.")) > 1
    assert relative_log_odds(words("I've been coughing and I can't sleep.")) < -1


def test_another_person_speaks_after_a_question_and_the_same_one_goes_on_in_an_account() -> None:
    assert change_log_odds(words("Any fevers?"), ["No."]) > 1
    assert change_log_odds(words("It started on Monday."), words("And then it got worse.")) < -1


def test_roles_go_to_speakers_by_what_they_say_with_more_confidence_the_more_they_say() -> None:
    doctor = sentences_of("What brings you in? Any chest pain? I'm going to listen to your heart. Do you smoke?")
    patient = sentences_of("I have been dizzy. No. My head hurts too. I quit last year.")
    long = decide_roles({"a": patient, "b": doctor}, [CLINICIAN, PATIENT])
    short = decide_roles({"a": patient[1:2], "b": doctor[:1]}, [CLINICIAN, PATIENT])
    assert {who: role for who, (role, _) in long.items()} == {"a": PATIENT, "b": CLINICIAN}
    assert 0.5 < short["b"][1] < long["b"][1] < 1


def test_the_shipped_file_names_sources_and_licence_is_small_and_holds_no_sentences() -> None:
    text = resources.files("osler.speech").joinpath("data/roles.tsv").read_text("utf-8")
    assert len(text.encode()) < 300_000
    assert all(word in text for word in ("CC BY 4.0", "ACI-BENCH", "MTS-Dialog", "Fareez", "PriMock57"))
    assert max(len(name.split()) for model in models().values() for name in model.weights) <= 3
    assert parse_models(text) == models()


@pytest.mark.skipif(not DATA.is_dir() and "CI" not in os.environ, reason="needs ../shared/data, which a clone lacks")
def test_on_dialogues_that_it_never_saw_five_of_six_sentences_get_the_right_role() -> None:
    from osler_evals.dialogues import read_dialogues

    right = total = 0
    for dialogue in read_dialogues(DATA):
        if not dialogue.held_out or dialogue.source == "osce":  # osce is the easiest and would outweigh the others
            continue
        for turn in dialogue.utterances:
            if turn.speaker in (CLINICIAN, PATIENT):
                for sentence in sentences_of(turn.text):
                    total += 1
                    right += (clinician_log_odds(sentence) > 0) == (turn.speaker == CLINICIAN)
    assert total > 3_000
    assert right / total > 5 / 6
