"""What grounding promises: nothing in a sentence that is not in its quotes, and every accepted equivalence."""

from collections.abc import Sequence

import pytest

from osler.notes.grounding import Kind, check, verdict
from osler.notes.model import Verdict

# Sentences of a note with the words they cite.
GROUNDED: dict[str, tuple[str, ...]] = {
    "The patient denies chest pain.": ("any chest pain ?", "no , not that i've noticed ."),
    "He denies nausea, vomiting, and diarrhea.": ("nausea", "vomiting or diarrhea", "Nope."),
    "She denies fever but has chills.": ("no fever but some chills",),
    "He does not smoke.": ("do you smoke ?", "no"),
    "Blood pressure is 145/92.": ("it was one forty five over ninety two",),
    "Blood pressure today is 138/84.": ("138 over 84",),
    "Heart rate 58.": ("your heart rate was fifty eight",),
    "Temperature 98.6.": ("ninety eight point six",),
    "Hemoglobin A1c is 7.2.": ("your hemoglobin a1c is seven point two",),
    "Increase lisinopril to 40 mg daily.": ("i wan na increase your lisinopril to 40 milligrams a day",),
    "Start furosemide 20 mg once daily.": ("start you on some lasix , you know , twenty milligrams a day",),
    "Metformin 500 mg twice daily.": ("metformin 500 milligrams b.i.d.",),
    "Ibuprofen 600 mg as needed.": ("ibuprofen , six hundred milligrams when you need it",),
    "Albuterol two puffs every four hours.": ("albuterol , 2 puffs every 4 hours",),
    "The left knee is swollen.": ("all right , so your left knee is swollen",),
    "Right shoulder pain for 3 weeks.": ("my right shoulder has hurt for three weeks",),
    "Edema of both legs.": ("there's edema in both legs",),
    "Bilateral knee pain.": ("my left knee and my right knee hurt",),
    "She has had a cough for 1 week.": ("i've had this cough for a week",),
    "Follow up in 3 months.": ("see you in three months",),
    "3/6 systolic ejection murmur.": ("a three out of six systolic ejection murmur",),
    "1+ pitting edema.": ("one plus pitting edema",),
    "X-ray of the right ankle shows no fracture.": ("the x-ray of your right ankle does n't show a fracture",),
    "He was diagnosed with type 2 diabetes in 2019.": ("type two diabetes", "back in twenty nineteen"),
    "There is no tenderness of the left elbow.": ("no tenderness on the left elbow",),
    "She takes atorvastatin nightly.": ("i take the lipitor at bedtime",),
    "He drinks 2 cups of coffee a day.": ("two cups of coffee every day",),
    "The patient is allergic to penicillin.": ("i'm allergic to penicillin",),
    "Weight 180 pounds.": ("you're one hundred and eighty pounds",),
    "Oxygen saturation 97%.": ("your oxygen is ninety seven percent",),
    "The mass measures 0.4 cm.": ("point four centimeters",),
    "MRI of the L5 nerve root.": ("at l five there is the nerve root on the mri",),
}

UNGROUNDED: list[tuple[str, tuple[str, ...], Kind]] = [
    ("Blood pressure is 154/92.", ("145 over 92",), Kind.NUMBER),
    ("Lisinopril 20 mg daily.", ("lisinopril 40 milligrams a day",), Kind.NUMBER),
    ("Lisinopril 40 mcg daily.", ("lisinopril 40 milligrams a day",), Kind.UNIT),
    ("Follow up in 3 months.", ("see you in three weeks",), Kind.UNIT),
    ("Follow up in 3 months.", ("in three weeks , not six months",), Kind.UNIT),
    ("Lisinopril 40 mg twice daily.", ("lisinopril 40 milligrams a day",), Kind.FREQUENCY),
    ("Losartan 40 mg daily.", ("lisinopril 40 milligrams a day",), Kind.MEDICINE),
    ("Start fictopril.", ("i'll start you on a pill",), Kind.MEDICINE),
    ("Right knee pain.", ("my left knee hurts",), Kind.SIDE),
    ("Right knee pain.", ("my left knee and my right shoulder hurt",), Kind.SIDE),
    ("Bilateral knee pain.", ("my left knee hurts",), Kind.SIDE),
    ("The right knee is swollen.", ("all right , your knee is swollen right now",), Kind.SIDE),
    ("The patient denies fever.", ("any fever ?", "yeah"), Kind.NEGATION),
    ("Denies chills.", ("no fever but some chills",), Kind.NEGATION),
    ("No fracture.", ("there is a fracture",), Kind.NEGATION),
    ("The patient has chest pain.", ("chest pain", "no"), Kind.CONTRADICTION),
    ("The patient reports fever.", ("no fever but some chills",), Kind.CONTRADICTION),
    ("There is an effusion.", ("there is no effusion",), Kind.CONTRADICTION),
]


@pytest.mark.parametrize("sentence", GROUNDED)
def test_what_was_said_is_grounded(sentence: str) -> None:
    assert check(sentence, GROUNDED[sentence]) == []
    assert verdict(sentence, GROUNDED[sentence]) is Verdict.SUPPORTED


@pytest.mark.parametrize(("sentence", "quotes", "kind"), UNGROUNDED)
def test_what_was_not_said_is_named(sentence: str, quotes: Sequence[str], kind: Kind) -> None:
    assert kind in {missing.kind for missing in check(sentence, quotes)}


def test_a_denied_thing_affirmed_is_contradicted() -> None:
    assert verdict("The patient has chest pain.", ("any chest pain ?", "no .")) is Verdict.CONTRADICTED


def test_without_quotes_nothing_is_grounded() -> None:
    for sentence in GROUNDED:
        assert verdict(sentence, ()) is Verdict.UNSUPPORTED


def test_shuffled_quotes_turn_the_check_red() -> None:
    """Every rotation of the quotes between the sentences: at least nine sentences of ten must fail."""
    sentences, quotes = list(GROUNDED), list(GROUNDED.values())
    caught = [
        bool(check(sentence, quotes[(i + by) % len(quotes)]))
        for by in range(1, len(sentences))
        for i, sentence in enumerate(sentences)
    ]
    assert sum(caught) / len(caught) > 0.9


@pytest.mark.parametrize("text", ["", " ", "...", "?", "½", "1/", "no", "right", "a a a", "mg", "\u2019s", "o'clock"])
def test_odd_text_is_no_error(text: str) -> None:
    check(text, (text,))
    check(text, ())
    check("Lisinopril 40 mg.", (text,))
