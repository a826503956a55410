"""Numbers as people say them, and how dictated, transcribed and tokenised text become the same tokens."""

import pytest

from osler.notes.tokens import numbers, sentences, singular, tokenize

SPOKEN = {
    "one forty five over ninety two": ["145", "92"],
    "145/92": ["145", "92"],
    "twenty-five": ["25"],
    "two hundred and ten": ["210"],
    "a hundred and five": ["105"],
    "one oh five": ["105"],
    "ninety eight point six": ["98.6"],
    "point four": ["0.4"],
    ".40": ["0.4"],
    "1,200": ["1200"],
    "two thousand nineteen": ["2019"],
    "twenty nineteen": ["2019"],
    "one and a half": ["1.5"],
    "2 and a half": ["2.5"],
    "20th": ["20"],
    "twenty first": ["21"],
    "fifteen hundred": ["1500"],
    "twice": ["2"],
    "a point of order": [],
}


@pytest.mark.parametrize("text", SPOKEN)
def test_numbers_read_as_a_clinician_writes_them(text: str) -> None:
    assert [number.value for number in numbers(tokenize(text))] == SPOKEN[text]


def test_a_list_of_digits_has_both_readings() -> None:
    (number,) = numbers(tokenize("six seven times"))
    assert number.readings == (("67",), ("6", "7"))


@pytest.mark.parametrize(
    ("written", "tokenised"),
    [("don't", "do n't"), ("I'm gonna", "i 'm gon na"), ("can’t", "ca n't"), ("cannot", "can not"), ("5mg", "5 mg")],
)
def test_written_and_tokenised_speech_are_the_same(written: str, tokenised: str) -> None:
    assert [t.norm for t in tokenize(written)] == [t.norm for t in tokenize(tokenised)]


def test_tokens_are_where_they_say() -> None:
    text = "I don't take 1,200 mg of Ibuprofen b.i.d., Dr. O’Neil — it's the 3rd time…"
    for token in tokenize(text):
        said = text[token.start : token.end].lower().replace("’", "'")
        assert said == token.norm or token.norm.replace("'", "") in said.replace(",", "").replace(".", "")


def test_sentences_cover_all_tokens_and_keep_titles_together() -> None:
    text = "I saw Dr. Smith . it was ... fine ? yes"
    tokens = tokenize(text)
    spans = sentences(text, tokens)
    assert [text[tokens[s].start : tokens[e - 1].end] for s, e in spans] == [
        "I saw Dr. Smith .",
        "it was ... fine ?",
        "yes",
    ]
    assert spans[0][0] == 0
    assert spans[-1][1] == len(tokens)


@pytest.mark.parametrize(
    ("plural", "one"),
    [("fevers", "fever"), ("headaches", "headache"), ("rashes", "rash"), ("allergies", "allergy"), ("pus", "pus")],
)
def test_plurals_become_singular(plural: str, one: str) -> None:
    assert singular(plural) == one
