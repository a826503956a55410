"""A blood pressure that cannot be is heard again; nothing else is touched, and what was disputed is marked."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from osler.kernel.engine_record import EngineRecord
from osler.kernel.spans import TimeSpan
from osler.speech.attribution import attribute
from osler.speech.model import HeardWord
from osler.speech.ports import SAMPLE_RATE, Recognition, Samples
from osler.speech.second_hearing import hear_again, pressures
from osler.speech.turns import build_turns


def said(text: str, start: float = 10.0, probability: float = 0.9) -> tuple[HeardWord, ...]:
    return tuple(
        HeardWord(word, start + i * 0.4, start + i * 0.4 + 0.3, probability) for i, word in enumerate(text.split())
    )


class SaysNow:
    """A transcriber that hears the given words whatever the sound; it notes what it was asked to listen to."""

    record = EngineRecord("fake", "1")

    def __init__(self, words: tuple[HeardWord, ...]) -> None:
        self.words = words
        self.asked: list[Sequence[TimeSpan]] = []

    def transcribe(
        self,
        samples: Samples,
        regions: Sequence[TimeSpan],
        *,
        language: str | None,
        vocabulary: str,
        done: Callable[[float], None] = lambda _: None,
    ) -> Recognition:
        assert vocabulary
        self.asked.append(regions)
        return Recognition(self.words, language or "en")


def again(first: str, second: str, second_start: float = 10.2) -> tuple[str, SaysNow]:
    transcriber = SaysNow(said(second, second_start))
    samples = np.zeros(60 * SAMPLE_RATE, np.float32)
    heard = hear_again(said(first), samples, [TimeSpan(0, 30), TimeSpan(31, 60)], transcriber, "en")
    return " ".join(w.text for w in heard), transcriber


def test_an_impossible_pressure_takes_the_possible_value_of_the_second_hearing() -> None:
    text, _ = again("It is 145 over 192. Slightly high.", "it is 145 over 92 slightly high")
    assert text == "It is 145 over 92. Slightly high."


def test_the_written_form_is_read_too() -> None:
    assert again("It is 145/192, so", "It is 145/92 so")[0] == "It is 145/92, so"


def test_only_the_stretch_around_the_number_is_heard_again() -> None:
    _, transcriber = again("It is 145 over 192.", "it is 145 over 92")
    (asked,) = transcriber.asked
    assert all(span.end <= 20 for span in asked)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("It is 145 over 192.", "it is 154 over 92"),  # another upper value: not the same number
        ("It is 145 over 192.", "it is 145 over 192"),  # heard the same way twice
        ("It is 145 over 192.", "nothing of the kind"),
    ],
)
def test_without_a_sure_second_hearing_the_words_stay_as_heard(first: str, second: str) -> None:
    assert again(first, second)[0] == first


def test_a_number_elsewhere_in_the_stretch_is_not_taken() -> None:
    assert again("It is 145 over 192.", "it was 145 over 92", second_start=3.0)[0] == "It is 145 over 192."


@pytest.mark.parametrize("text", ["It is 145 over 92.", "Two over 10 people", "8 over 10", "over the weekend", "3/4"])
def test_what_can_be_is_not_heard_again(text: str) -> None:
    heard, transcriber = again(text, "it is 145 over 92")
    assert (heard, transcriber.asked) == (text, [])


def test_a_disputed_number_is_marked_for_a_look() -> None:
    transcriber = SaysNow(said("it is 145 over 92"))
    samples = np.zeros(60 * SAMPLE_RATE, np.float32)
    words = hear_again(said("It is 145 over 192."), samples, [TimeSpan(0, 60)], transcriber, "en")
    turns, _ = build_turns(words, attribute(words, np.zeros((len(words), 1), np.float32)))
    (turn,) = turns
    assert "145/92" in turn.text
    assert [turn.text[m.start : m.end] for m in turn.marks] == ["145/92"]


def test_pressures_are_found_with_their_lower_word() -> None:
    words = said("120 over 80 and 118/76.")
    assert [(p.systolic, p.diastolic, words[p.word].text) for p in pressures(words)] == [
        (120, 80, "80"),
        (118, 76, "118/76."),
    ]
