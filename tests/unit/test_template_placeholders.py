"""What the words of a placeholder ask for, and which sentences of a note answer it."""

import pytest

from osler.notes.template_language import parse
from osler.notes.template_placeholders import FIELDS, distribute, phrasebook, resolve, targets_of, unresolved
from osler.notes.templates import part_names


def names(placeholder: str) -> list[str]:
    return [target.name for target in resolve(placeholder)]


@pytest.mark.parametrize(
    ("placeholder", "wanted"),
    [
        ("history of present illness", ["hpi"]),
        ("HPI", ["hpi"]),
        ("Mention past medical history and previous surgeries", ["history"]),
        ("reason for visit and history of present illness", ["chief_complaint", "hpi"]),
        ("medications and allergies", ["medications", "allergies"]),
        ("medications, with dose and frequency", ["medications"]),
        ("list current medications, doses and frequencies", ["medications"]),
        ("each plan item", ["assessment_plan"]),
        ("list every plan item as a separate bullet point", ["assessment_plan"]),
        ("past medical history: medications, allergies", ["history"]),
        ("family history of heart disease", ["family"]),
        ("the patient’s date of birth", ["patient_birth_date"]),
        ("Patient name and date of birth", ["patient_name", "patient_birth_date"]),
        ("date", ["visit_date"]),
        ("assessment and plan for each problem", ["assessment_plan"]),
        ("ASSESSMENT/PLAN", ["assessment_plan"]),
    ],
)
def test_a_placeholder_asks_for_parts_by_its_words(placeholder: str, wanted: list[str]) -> None:
    assert names(placeholder) == wanted


@pytest.mark.parametrize(
    "placeholder",
    [
        "dose",  # of what?
        "work of breathing",  # no social history
        "date of onset",  # not that of the visit
        "patient understanding",  # not the patient's name
        "sex life",
        "",
        "...",
        "what the weather was",
        "date of birth of the child's mother",  # another person's
    ],
)
def test_words_that_only_look_known_ask_for_nothing(placeholder: str) -> None:
    assert names(placeholder) == []


def test_every_part_and_every_fact_can_be_asked_for() -> None:
    asked = {target.name for target in phrasebook().phrases.values()}
    assert asked == {*part_names(), *FIELDS}
    whole = {target.name for target in phrasebook().phrases.values() if not target.words}
    assert whole == asked, "a part that can be asked for only in portions"


def test_every_phrase_resolves_to_what_it_stands_for() -> None:
    for words, target in phrasebook().phrases.items():
        assert resolve(" ".join(words)) == (target,), words


def test_a_sentence_goes_to_the_narrow_placeholder_before_the_broad_one_and_only_once() -> None:
    tree = parse("[history of present illness]\n- Sleep: [sleep]\n- [plan]\n- [assessment]\n- [what nobody knows]")
    sentences = [
        ("hpi", "He has had a cough for a week."),
        ("hpi", "Sleeps four hours."),
        ("assessment_plan", "Bronchitis."),
        ("exam", "Wheeze."),
    ]
    assert distribute(tree, sentences) == {"p1": (0,), "p2": (1,), "p3": (2,)}
    assert {name for name, wanted in targets_of(tree).items() if not wanted} == {"p5"}


@pytest.mark.parametrize(
    ("sentence", "is_narrow"),
    [
        ("No thoughts of harming himself.", True),
        ("Suicidal ideation denied.", True),
        ("The pharmacy was charming.", False),
        ("The runny nose is better.", False),
    ],
)
def test_a_narrow_placeholder_takes_the_sentences_with_its_words(sentence: str, is_narrow: bool) -> None:
    tree = parse("[history of present illness]\n[risk assessment]")
    assert distribute(tree, [("hpi", sentence)]) == {"p2" if is_narrow else "p1": (0,)}


def test_a_problem_stands_wherever_a_part_of_its_plan_goes() -> None:
    tree = parse("- [tests to be done]\n- [plan]")
    told = ["Chest pain.", "Order an ECG.", "Start aspirin.", "Diabetes.", "Repeat the A1c test.", "Gout."]
    plan = [("assessment_plan", text) for text in told]
    assert distribute(tree, plan, topics={0, 3, 5}) == {"p1": (0, 1, 3, 4), "p2": (0, 2, 5)}
    assert distribute(parse("[vitals]"), plan, topics={0, 3, 5}) == {}


def test_what_only_a_language_model_could_fill_is_told_with_its_place() -> None:
    (problem,) = unresolved(parse("# Plan\n- [plan], [what the weather was]"))
    assert (problem.line, problem.column, problem.is_warning) == (2, 11, True)
