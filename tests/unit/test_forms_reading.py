"""Forms read strictly: what is wrong with one is named by its place, never by the client's own words."""

from typing import Any

import pytest

from osler.kernel.errors import InvalidFieldError
from osler.notes.forms import DEEPEST, MOST_QUESTIONS, AnswerType, answered, read_form


def question(name: str = "q", **more: Any) -> dict[str, Any]:
    return {"questionId": name, "question": "Cough?", "answerType": "TextArea", **more}


CHOICE: dict[str, Any] = {"answerType": "SingleResponse", "answerOptions": [{"value": "Yes"}]}


def test_questions_are_found_wherever_they_stand_and_the_tree_comes_back() -> None:
    tree = {
        "name": "Intake",
        "questions": [question("a", questions=[question("b", custom={"kept": [1, None]})])],
        "sections": [{"title": "Heart", "questions": [question("c", **CHOICE)]}],
    }
    form = read_form(tree)
    assert [each.id for each in form.questions] == ["a", "b", "c"]
    assert form.questions[1].above == ("Intake", "Cough?") and form.questions[2].above == ("Intake", "Heart")
    filled = answered(form, {name: {"answer": name.upper()} for name in "abc"})
    assert filled["questions"][0]["questions"][0] == {**question("b", custom={"kept": [1, None]}), "answer": "B"}
    assert filled["sections"][0]["questions"][0]["answer"] == "C" and filled["name"] == "Intake"


def nested(depth: int) -> dict[str, Any]:
    inner = question(str(depth))
    return inner if depth == 0 else {**inner, "questions": [nested(depth - 1)]}


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no questions": ({}, "template.questions"),
    "empty questions": ({"questions": []}, "template.questions"),
    "questions that are no list": ({"questions": {"a": 1}}, "template.questions"),
    "a question that is a text": ({"questions": ["Cough?"]}, "template.questions.0"),
    "a question without a type or an id": ({"questions": [{"question": "Cough?"}]}, "template.questions.0.questionId"),
    "an id twice": ({"questions": [question("a"), question("a")]}, "template.questions.1.questionId"),
    "no id": ({"questions": [question(questionId=None)]}, "template.questions.0.questionId"),
    "an id that is a number": ({"questions": [question(questionId=7)]}, "template.questions.0.questionId"),
    "no text": ({"questions": [question(question=" ")]}, "template.questions.0.question"),
    "an unknown type": ({"questions": [question(answerType="Slider")]}, "template.questions.0.answerType"),
    "no type": ({"questions": [{"questionId": "a", "question": "b"}]}, "template.questions.0.answerType"),
    "no options": (
        {"questions": [question(answerType="SingleResponse")]},
        "template.questions.0.answerOptions",
    ),
    "options that are no list": (
        {"questions": [question(answerType="MultipleResponse", answerOptions="Yes")]},
        "template.questions.0.answerOptions",
    ),
    "an option without a value": (
        {"questions": [question(**{**CHOICE, "answerOptions": [{"value": "Yes"}, {"label": "No"}]})]},
        "template.questions.0.answerOptions.1.value",
    ),
    "an option twice": (
        {"questions": [question(**{**CHOICE, "answerOptions": [{"value": "Yes"}, {"value": "Yes "}]})]},
        "template.questions.0.answerOptions.1.value",
    ),
    "an unknown date format": (
        {"questions": [question(answerType="DateResponse", dateFormat="soon")]},
        "template.questions.0.dateFormat",
    ),
    "a question of a megabyte": ({"questions": [question(question="x" * 1_000_000)]}, "template.questions.0.question"),
    "an option of a megabyte": (
        {"questions": [question(**{**CHOICE, "answerOptions": [{"value": "x" * 1_000_000}]})]},
        "template.questions.0.answerOptions.0.value",
    ),
    "ten thousand questions": (
        {"questions": [question(str(n)) for n in range(10_000)]},
        f"template.questions.{MOST_QUESTIONS}",
    ),
    "a client's own names are not told": (
        {"secret name": {"inner": [question(answerType="Slider")]}},
        "template.*.*.0.answerType",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_named_by_its_place(name: str) -> None:
    tree, field = WRONG[name]
    with pytest.raises(InvalidFieldError) as caught:
        read_form(tree, "template")
    assert caught.value.field == field and field in str(caught.value)
    assert "secret" not in str(caught.value) and len(str(caught.value)) < 300


def test_questions_too_deep_are_refused_where_they_begin_to_be() -> None:
    assert len(read_form(nested(DEEPEST - 1)).questions) == DEEPEST
    with pytest.raises(InvalidFieldError, match=f"deeper than {DEEPEST} levels"):
        read_form(nested(DEEPEST))


def test_a_form_without_a_field_around_it_names_its_own() -> None:
    with pytest.raises(InvalidFieldError) as caught:
        read_form({"questions": [question(answerType="Slider")]})
    assert caught.value.field == "questions.0.answerType"
    assert ", ".join(AnswerType) in str(caught.value)


def test_options_may_be_numbers_and_keep_being_so() -> None:
    sent = question(answerType="SingleResponse", answerOptions=[{"value": 0}, {"value": 2.5}, {"value": "ten"}])
    (read,) = read_form({"questions": [sent]}).questions
    assert read.values == (0, 2.5, "ten") and read.options == ("0", "2.5", "ten")
