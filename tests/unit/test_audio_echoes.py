"""What Whisper reads from its prompt into a pause is dropped; what was said is kept, however doubtful or short."""

from osler.engines.echoes import without_echoes
from osler.speech.model import HeardWord


def heard(*words: tuple[str, float, float]) -> list[HeardWord]:
    """Words one after the other: text, seconds, probability."""
    found, now = [], 10.0
    for text, seconds, probability in words:
        found.append(HeardWord(text, now, now + seconds, probability))
        now += seconds
    return found


def kept(words: list[HeardWord]) -> str:
    return " ".join(word.text for word in without_echoes(words))


BEFORE = (("today's", 0.4, 0.98), ("details.", 0.3, 0.96))
AFTER = (("Let's", 0.6, 0.88), ("talk.", 0.2, 0.99))


def test_a_drug_of_the_prompt_repeated_in_a_pause_is_not_in_the_transcript() -> None:
    echo = (("albuterol,", 0.8, 0.002), ("albuterol,", 0.0, 0.677), ("albuterol,", 0.0, 0.93))
    assert kept(heard(*BEFORE, *echo, *AFTER)) == "today's details. Let's talk."


def test_a_sentence_of_the_prompt_squeezed_into_a_pause_is_dropped_with_its_repetition() -> None:
    once = (("I'm,", 0.6, 0.13), ("uh,", 0.0, 0.021), ("still", 0.0, 0.009), ("a", 0.0, 0.03), ("bit.", 0.0, 0.046))
    again = (("I'm,", 0.0, 0.319), ("uh,", 0.0, 0.53), ("still", 0.0, 0.201), ("a", 0.0, 0.781), ("bit.", 0.0, 0.871))
    assert kept(heard(*BEFORE, *once, *again, *AFTER)) == "today's details. Let's talk."


def test_a_single_improbable_answer_in_a_pause_is_dropped() -> None:
    assert kept(heard(*BEFORE, ("Yeah.", 0.86, 0.005), *AFTER)) == "today's details. Let's talk."
    assert kept(heard(*BEFORE, ("I", 0.6, 0.035), ("do.", 0.0, 0.018), *AFTER)) == "today's details. Let's talk."


def test_doubtful_words_stay_for_a_person_to_check() -> None:
    said = heard(
        ("You", 0.2, 0.9), ("take", 0.2, 0.9), ("lisinopril,", 0.7, 0.08), ("don't", 0.2, 0.9), ("you?", 0.2, 0.9)
    )
    assert without_echoes(said) == said


def test_one_short_word_stays() -> None:
    said = heard(("and", 0.2, 0.9), ("here.", 0.46, 0.07), ("I", 0.02, 0.99), ("have", 0.1, 0.97), ("pain.", 0.3, 0.9))
    assert without_echoes(said) == said


def test_nothing_heard_is_nothing() -> None:
    assert without_echoes([]) == []
