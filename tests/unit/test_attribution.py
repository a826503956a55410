"""Promises of deciding who said each word, by sound and language together."""

import numpy as np
import pytest

from osler.speech.attribution import Attribution, attribute
from osler.speech.model import CLINICIAN, PATIENT, HeardWord
from tests.unit.visits_as_heard import DAUGHTER, DICTATION, VISIT, heard, voices


def accuracy(attribution: Attribution, speakers: list[str]) -> float:
    named = [attribution.roles[index] for index in attribution.speakers]
    return float(np.mean([a == b for a, b in zip(named, speakers, strict=True)]))


@pytest.mark.parametrize("order", [[CLINICIAN, PATIENT], [PATIENT, CLINICIAN]])
@pytest.mark.parametrize("seed", range(5))
def test_sound_and_language_together_beat_sound_alone(order: list[str], seed: int) -> None:
    words, speakers = heard(VISIT)
    affinity = voices(words, speakers, order, noise=2.0, seed=seed)
    sound_alone = np.mean([order[j] == s for j, s in zip(affinity.argmax(axis=1), speakers, strict=True)])
    together = accuracy(attribute(words, affinity), speakers)
    assert together >= 0.95
    assert together > sound_alone


def test_a_short_answer_belongs_to_the_one_who_was_asked_where_the_voices_leave_it_open() -> None:
    words, speakers = heard(VISIT)
    affinity = voices(words, speakers, [CLINICIAN, PATIENT], noise=0.0, seed=0)
    (answer,) = [i for i, w in enumerate(words) if w.text == "No." and words[i + 1].text == "Okay."]
    affinity[answer] = np.log(0.5)
    attribution = attribute(words, affinity)
    assert attribution.roles[attribution.speakers[answer]] == PATIENT


@pytest.mark.parametrize("order", [[CLINICIAN, PATIENT, "other 1"], ["other 1", PATIENT, CLINICIAN]])
def test_a_daughter_is_neither_the_patient_nor_the_clinician(order: list[str]) -> None:
    words, speakers = heard([*VISIT[:8], *DAUGHTER, *VISIT[8:]])
    attribution = attribute(words, voices(words, speakers, order, noise=1.0, seed=1))
    assert sorted(attribution.roles) == sorted(order)
    assert accuracy(attribution, speakers) >= 0.95


def test_where_only_a_mother_answers_there_is_no_patient_among_the_speakers() -> None:
    mother = [
        (CLINICIAN, "What brings her in today?"),
        ("other 1", "She has been pulling at her ear since Monday. She was up all night with a fever."),
        (CLINICIAN, "Is she eating and drinking?"),
        ("other 1", "She drinks a little, but she won't eat. Her brother had the same last week."),
        (CLINICIAN, "I'm going to take a look in her ears. Does she have any allergies?"),
        ("other 1", "No. She gets a rash from amoxicillin, her father has that too."),
    ]
    words, speakers = heard(mother)
    attribution = attribute(words, voices(words, speakers, [CLINICIAN, "other 1"], noise=0.5, seed=2))
    assert set(attribution.roles) == {CLINICIAN, "other 1"}


@pytest.mark.parametrize("columns", [1, 2])
def test_one_voice_signal_is_split_by_language_where_two_people_clearly_talk(columns: int) -> None:
    words, speakers = heard(VISIT)
    attribution = attribute(words, np.zeros((len(words), columns), dtype=np.float32))
    assert set(attribution.roles) == {CLINICIAN, PATIENT}
    assert accuracy(attribution, speakers) >= 0.9


def test_a_dictation_stays_one_clinician() -> None:
    words, _ = heard(DICTATION)
    attribution = attribute(words, np.zeros((len(words), 1), dtype=np.float32))
    assert attribution.roles == (CLINICIAN,)
    assert set(attribution.speakers) == {0}


def test_confidence_is_high_for_a_clear_visit_and_low_for_two_words() -> None:
    words, speakers = heard(VISIT)
    clear = attribute(words, voices(words, speakers, [CLINICIAN, PATIENT], noise=0.5, seed=3))
    two = [HeardWord("Hello.", 0.0, 0.3, 0.9), HeardWord("Hello.", 1.0, 1.3, 0.9)]
    unclear = attribute(two, np.log(np.array([[0.99, 0.01], [0.01, 0.99]], dtype=np.float32)))
    assert min(clear.confidences) > 0.9
    assert max(unclear.confidences) < 0.75


def test_speakers_of_no_words_are_left_out_and_others_are_numbered_as_they_speak() -> None:
    words, speakers = heard(VISIT)
    affinity = voices(words, speakers, [CLINICIAN, PATIENT, "nobody", "no one"], noise=0.0, seed=0)
    affinity[:, 2:] = -30
    attribution = attribute(words, affinity)
    assert sorted(attribution.roles) == [CLINICIAN, PATIENT]
    assert len(attribution.confidences) == 2


def test_the_same_input_gives_the_same_answer() -> None:
    words, speakers = heard(VISIT)
    affinity = voices(words, speakers, [PATIENT, CLINICIAN], noise=2.0, seed=7)
    assert attribute(words, affinity) == attribute(words, affinity.copy())


def test_no_words_are_no_speakers_and_an_affinity_of_other_words_is_refused() -> None:
    assert attribute([], np.zeros((0, 2), dtype=np.float32)) == Attribution((), (), ())
    with pytest.raises(ValueError, match="affinity"):
        attribute([HeardWord("Hi.", 0, 1, 1)], np.zeros((2, 2), dtype=np.float32))
