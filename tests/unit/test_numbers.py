"""Promises of writing spoken numbers and units: the clinical form, and never another value."""

import re
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from osler.speech.model import HeardWord, Word
from osler.speech.numbers import write_clinically


def heard(text: str) -> list[HeardWord]:
    return [HeardWord(word, i * 0.5, i * 0.5 + 0.4, 0.9) for i, word in enumerate(text.split())]


def written(text: str) -> str:
    return " ".join(word.text for word in write_clinically(heard(text)))


CLINICAL = {
    # blood pressure and other ratios
    "your pressure is one forty five over ninety two.": "your pressure is 145/92.",
    "One-forty-five over ninety-two,": "145/92,",
    "a hundred and twenty over eighty": "120/80",
    "one hundred twenty over eighty ninety eight percent": "120/80 98%",
    "one oh five over seventy": "105/70",
    "one sixty over a hundred": "160/100",
    "145 over 92 today": "145/92 today",
    "120 over eighty millimeters of mercury": "120/80 mmHg",
    "strength is five over five": "strength is 5/5",
    "a two over six systolic murmur": "a 2/6 systolic murmur",
    "twenty over forty in the left eye": "20/40 in the left eye",
    # doses and forms
    "five milligrams": "5 mg",
    "Five milligrams twice a day": "5 mg twice a day",
    "twenty five micrograms": "25 mcg",
    "one milligram": "1 mg",
    "two fifty milligrams": "250 mg",
    "fifteen hundred milligrams": "1500 mg",
    "point five milligrams": "0.5 mg",
    "zero point one two five milligrams": "0.125 mg",
    "ten units of insulin": "10 units of insulin",
    "5 milligrams, 10mg and 1,000 milligrams": "5 mg, 10 mg and 1,000 mg",
    "take one tablet": "take 1 tablet",
    "one or two puffs": "1 or 2 puffs",
    "two and a half tablets": "2.5 tablets",
    "one and a quarter milligrams": "1.25 mg",
    "a five-milligram pill": "a 5-mg pill",
    "five milligrams per kilogram per day": "5 mg/kg/day",
    # measures
    "ninety eight point six": "98.6",
    "98.6 degrees Fahrenheit": "98.6 °F",
    "one oh one point two degrees": "101.2 degrees",
    "ninety eight percent on room air": "98% on room air",
    "98 percent": "98%",
    "seventy two beats per minute": "72 bpm",
    "six centimeters of water": "6 cmH2O",
    "one hundred and forty milligrams per deciliter": "140 mg/dL",
    "seven millimoles per litre": "7 mmol/L",
    "my sugar was one forty": "my sugar was 140",
    "she weighs one eighty pounds": "she weighs 180 pounds",
    "one hundred and fifty thousand": "150,000",
    "A one c of seven point two": "A1c of 7.2",
    # ages, durations, ranges, dates, codes
    "a fifty-year-old man": "a 50-year-old man",
    "five to seven days": "5 to 7 days",
    "one thirty over five minutes": "one thirty over 5 minutes",
    "six months ago": "6 months ago",
    "nine or ten": "9 or 10",
    "every four to six hours": "every 4 to 6 hours",
    "seven out of ten": "7 out of 10",
    "a hundred and one": "101",
    "in twenty twenty four": "in 2024",
    "in nineteen eighty five": "in 1985",
    "two thousand and nine": "2009",
    "July twenty first": "July 21st",
    "type two diabetes": "type 2 diabetes",
    "stage three kidney disease": "stage 3 kidney disease",
    "at L four L five": "at L4-L5",
    "vitamin B twelve": "vitamin B12",
    "five five five one two three four": "555-1234",
    "between a hundred and a hundred and twenty": "between 100 and 120",
}

AS_HEARD = [
    "No one told me, one of them is one another day.",
    "One day I woke up and this one hurt.",
    "one or two",
    "twice a day, six or seven times a day",
    "I have two children and three sisters.",
    "half a tablet",
    "a hundred times, a thousand thanks",
    "twenty four seven",
    "fifty fifty",
    "at seven thirty or ten fifteen",
    "at one forty five",
    "at this point five people know",
    "at one point five people came",
    "take one twenty milligram tablet",
    "two to three hundred milligrams",
    "two or three thousand",
    "hundred fifty over ninety",
    "the twenty second pause",
    "one hundred and fifth",
    "between one hundred and twenty",
    "a couple hundred milligrams",
    "two thirds of it",
    "one two three, breathe",
    "oh my god",
    "a few milligrams",
    "98.6 and 140/90 and L4-L5 and A1c",
    "five five milligrams",
    "thirty five hundred milligram tablets",
    "one thirty over a week",
]


@pytest.mark.parametrize(("said", "clinical"), CLINICAL.items())
def test_numbers_and_units_are_written_as_a_clinician_writes_them(said: str, clinical: str) -> None:
    assert written(said) == clinical


@pytest.mark.parametrize("said", AS_HEARD)
def test_idioms_and_what_can_mean_two_values_stay_as_heard(said: str) -> None:
    assert written(said) == said


def test_a_written_word_keeps_what_was_heard_its_time_span_and_lowest_probability() -> None:
    words = [
        HeardWord("Take", 0.0, 0.2, 0.9),
        HeardWord("twenty", 0.3, 0.5, 0.8),
        HeardWord("five", 0.5, 0.7, 0.4),
        HeardWord("milligrams.", 0.7, 1.1, 0.7),
    ]
    assert write_clinically(words) == (
        Word("Take", "Take", 0.0, 0.2, 0.9, 0),
        Word("25", "twenty five", 0.3, 0.7, 0.4, 5),
        Word("mg.", "milligrams.", 0.7, 1.1, 0.7, 8),
    )


@pytest.mark.parametrize(
    ("said", "whole"),
    [
        ("is 98 .4. Good", "is 98.4. Good"),
        ("a 58 -year -old man", "a 58-year-old man"),
        ("145 /92", "145/92"),
        ("1 ,000 milligrams", "1,000 mg"),
        ("it's three o 'clock", "it's three o'clock"),
        ("he said 'yes' twice", "he said 'yes' twice"),
    ],
)
def test_what_the_engine_split_inside_a_word_is_whole_again(said: str, whole: str) -> None:
    result = write_clinically(heard(said))
    assert " ".join(word.text for word in result) == whole
    assert " ".join(word.heard for word in result) == said


def test_no_words_are_no_words() -> None:
    assert write_clinically([]) == ()


# An independent speller: it shares nothing with the grammar under test.
SMALL = [
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
]
TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
FURTHER = [
    *("hundred", "thousand", "and", "a", "point", "oh", "half", "over", "to", "or", "mg", "days", "milligrams"),
    *("percent", "per", "L", "first", "second,", "pressure", "5", "98.6", "twenty-five", "ten.", "between", "at"),
]


def spell(number: int, *, british: bool, hyphen: bool) -> str:
    if number < 20:
        return SMALL[number]
    if number < 100:
        rest = f"{'-' if hyphen else ' '}{SMALL[number % 10]}" if number % 10 else ""
        return TENS[number // 10 - 2] + rest
    for size, magnitude in ((1_000_000, "million"), (1_000, "thousand"), (100, "hundred")):
        if number >= size:
            head = spell(number // size, british=british, hyphen=hyphen)
            left = number % size
            tail = spell(left, british=british, hyphen=hyphen)
            joint = " and " if british and left < 100 else " "
            return f"{head} {magnitude}" + (joint + tail if left else "")
    raise AssertionError


styles = st.fixed_dictionaries({"british": st.booleans(), "hyphen": st.booleans()})
numbers = st.one_of(st.integers(0, 130), st.integers(0, 2_500), st.integers(0, 9_999_999))


def values(text: str) -> list[Decimal]:
    return [Decimal(digits.replace(",", "")) for digits in re.findall(r"\d[\d,]*(?:\.\d+)?", text)]


@given(numbers, styles, st.sampled_from(["milligrams", "micrograms", "milliliters", "kilograms", "units", "percent"]))
def test_a_spelled_number_with_a_unit_keeps_its_value(number: int, style: dict[str, bool], unit: str) -> None:
    assert values(written(f"so {spell(number, **style)} {unit} now")) == [Decimal(number)]


@given(st.integers(0, 999), st.lists(st.integers(0, 9), min_size=1, max_size=4), styles)
def test_a_spelled_decimal_keeps_its_value(whole: int, digits: list[int], style: dict[str, bool]) -> None:
    said = f"it was {spell(whole, **style)} point {' '.join(SMALL[d] for d in digits)} today"
    assert values(written(said)) == [Decimal(f"{whole}.{''.join(map(str, digits))}")]


@given(st.integers(70, 250), st.integers(30, 69), styles)
def test_a_spelled_blood_pressure_keeps_both_values(upper: int, lower: int, style: dict[str, bool]) -> None:
    said = f"is {spell(upper, **style)} over {spell(lower, **style)}."
    assert written(said) == f"is {upper}/{lower}."


@given(st.integers(110, 199), st.integers(50, 109), st.booleans())
def test_a_colloquial_blood_pressure_keeps_both_values(upper: int, lower: int, hyphen: bool) -> None:
    rest = upper - 100
    said = f"one {spell(rest, british=False, hyphen=hyphen)} over {spell(lower, british=False, hyphen=hyphen)}"
    assert written(said) == f"{upper}/{lower}"


@given(st.integers(1, 400), st.integers(1, 400), st.sampled_from(["to", "or"]), styles)
def test_a_range_keeps_both_ends(low: int, high: int, between: str, style: dict[str, bool]) -> None:
    text = written(f"{spell(low, **style)} {between} {spell(high, **style)} milligrams")
    assert values(text) in ([Decimal(low), Decimal(high)], [])  # all in digits, or all as heard


@given(st.lists(st.sampled_from([*SMALL, *TENS, *FURTHER]), max_size=12))
def test_whatever_is_said_no_heard_word_is_lost_and_every_offset_fits(said: list[str]) -> None:
    words = heard(" ".join(said))
    result = write_clinically(words)
    text = " ".join(word.text for word in result)
    assert " ".join(word.heard for word in result) == " ".join(said)
    assert all(text[word.offset : word.offset + len(word.text)] == word.text for word in result)
    assert [word.start for word in result] == sorted(word.start for word in result)


@given(st.lists(st.from_regex(r"[a-z]{1,9}[.,?!]?", fullmatch=True), max_size=15))
def test_text_without_number_words_is_unchanged(said: list[str]) -> None:
    spoken = {*SMALL, *TENS, "hundred", "thousand", "million", "point", "oh", "half", "quarter"}
    text = " ".join(word for word in said if word.rstrip(".,?!") not in spoken)
    assert written(text) == text
