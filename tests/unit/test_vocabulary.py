"""Promises of the medical vocabulary: what is a drug, what sounds like one, what biases the decoder."""

import pytest

from osler.speech.vocabulary import decoder_bias, drug_classes, drug_words, is_drug, near_drug, sounds_like_drug


@pytest.mark.parametrize(
    "token",
    [
        *("lisinopril", "Lisinopril,", "Zestril's", "METFORMIN.", "statins", "inhaler", "antibiotics", "Tylenols"),
        *("(warfarin)", "Depo-Provera", "insulin", "Ozempic", "paracetamol", "amoxicillin", "albuterol?"),
    ],
)
def test_generics_brands_and_class_words_are_drugs_whatever_case_or_punctuation(token: str) -> None:
    assert is_drug(token)


@pytest.mark.parametrize(
    "token",
    ["water", "iron", "alcohol", "gold", "blood", "oxygen", "sugar", "speed", "letter", "plan", "thyroid", "", "."],
)
def test_everyday_substances_are_no_drugs(token: str) -> None:
    assert not is_drug(token)


def test_the_drug_list_holds_thousands_of_names_and_the_class_of_the_common_ones() -> None:
    assert len(drug_words()) > 4_000
    assert drug_classes()["zestril"] == drug_classes()["lisinopril"] == "ACE inhibitor"


@pytest.mark.parametrize(
    ("heard", "drug"),
    [
        ("lysinopril", "lisinopril"),
        ("Metforman.", "metformin"),
        ("furocimide", "furosemide"),
        ("atorvistatin", "atorvastatin"),
        ("asprin", "aspirin"),
    ],
)
def test_a_misspelled_drug_is_near_its_name(heard: str, drug: str) -> None:
    assert near_drug(heard) == drug
    assert sounds_like_drug(heard)


@pytest.mark.parametrize("token", ["Vastatin", "zinopril"])
def test_an_unknown_word_with_the_ending_of_a_drug_sounds_like_one(token: str) -> None:
    assert not is_drug(token)
    assert sounds_like_drug(token)


@pytest.mark.parametrize("token", ["different", "ability", "cholesterol", "April", "program", "lisinopril", "morning"])
def test_everyday_words_and_right_drug_names_do_not_sound_like_a_misheard_one(token: str) -> None:
    assert not sounds_like_drug(token)


def test_the_bias_fits_the_decoders_window_and_repeats_nothing() -> None:
    terms = decoder_bias().split(", ")
    assert len(terms) == len(set(terms)) > 0
    # Whisper's byte-pair encoding makes at least 2.5 characters a token of such words; half its prompt is 223 tokens.
    assert len(decoder_bias()) / 2.5 < 223
