"""Forms of clients: a tree of questions, read strictly, and the same tree with its answers."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any, Final

from osler.kernel.errors import InvalidFieldError
from osler.notes.form_dates import DateFormat, read_format
from osler.notes.model import Evidence

MOST_QUESTIONS: Final = 500
MOST_OPTIONS: Final = 300
LONGEST_QUESTION: Final = 4_000
LONGEST_OPTION: Final = 1_000
LONGEST_ID: Final = 200
LONGEST_FORMAT: Final = 50
DEEPEST: Final = 12
"""Questions within questions."""

ISO: Final = "YYYY-MM-DD"
"""The format of a date question that names none."""

_KNOWN: Final = frozenset(("template", "questions", "answerOptions", "value"))
"""Names that a message may hold; others are the client's own."""


class AnswerType(StrEnum):
    """How a question is to be answered."""

    SINGLE = "SingleResponse"
    MULTIPLE = "MultipleResponse"
    TEXT = "TextArea"
    DATE = "DateResponse"


@dataclass(frozen=True, slots=True)
class FormQuestion:
    """One question. ``options`` are texts, ``values`` the same as they were sent (a number may be an option).

    ``above`` are the texts that it stands under, the outermost first.
    """

    id: str
    text: str
    type: AnswerType
    options: tuple[str, ...] = ()
    values: tuple[Any, ...] = ()
    date_format: DateFormat | None = None
    above: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FormAnswer:
    """What a visit says to a question, with the words that it rests on.

    By type: ``chosen`` the places of the chosen options, ``text`` a text (one sentence or more), ``day`` a date, of
    which only as much is known as the question's format shows.
    """

    evidence: tuple[Evidence, ...]
    chosen: tuple[int, ...] = ()
    text: str | None = None
    day: date | None = None


@dataclass(frozen=True, slots=True)
class Form:
    """A form as it was sent: ``tree`` in JSON types, and its questions in their order."""

    tree: Mapping[str, Any]
    questions: tuple[FormQuestion, ...]


def read_form(tree: Mapping[str, Any], place: str = "") -> Form:
    """Read a form; ``place`` is the name of the field that holds it, if one does.

    An object with an ``answerType`` or ``questionId`` is a question, wherever in the tree it stands.
    Raises InvalidFieldError, which names the field.
    """
    reader = _Reader()
    reader.walk(tree, (place,) if place else (), (), 0)
    if not reader.questions:
        field = f"{place}.questions" if place else "questions"
        raise InvalidFieldError(field, f"{field}: the form holds no question")
    return Form(tree, tuple(reader.questions))


def answered(form: Form, answers: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the tree with what ``answers`` holds for each question's id beside its own fields."""

    def fill(node: Any) -> Any:
        if isinstance(node, list):
            return [fill(each) for each in node]
        if not isinstance(node, Mapping):
            return node
        filled = {name: fill(child) for name, child in node.items()}
        return {**filled, **answers[node["questionId"]]} if _is_question(node) else filled

    whole: dict[str, Any] = fill(form.tree)
    return whole


class _Reader:
    def __init__(self) -> None:
        self.questions: list[FormQuestion] = []
        self._ids: set[str] = set()

    def walk(self, node: Any, path: tuple[str, ...], above: tuple[str, ...], depth: int) -> None:
        if isinstance(node, list):
            for number, each in enumerate(node):
                self.walk(each, (*path, str(number)), above, depth)
            return
        if not isinstance(node, Mapping):
            return
        if _is_question(node):
            if depth >= DEEPEST:
                raise _fault(path, f"questions are nested deeper than {DEEPEST} levels")
            self._add(node, path, above)
            depth += 1
        title = next((node[n] for n in ("question", "title", "name") if isinstance(node.get(n), str)), "")
        under = (*above, title[:LONGEST_QUESTION]) if title else above
        if "questions" in node and not isinstance(node["questions"], list):
            raise _fault((*path, "questions"), "must be a list")
        for name, child in node.items():
            if isinstance(child, list | Mapping) and name != "answerOptions":
                if name == "questions":
                    self._check_questions(child, (*path, name))
                self.walk(child, (*path, name), under, depth)

    def _check_questions(self, children: Any, path: tuple[str, ...]) -> None:
        for number, child in enumerate(children):
            if not isinstance(child, Mapping):
                raise _fault((*path, str(number)), "must be an object")
            if not _is_question(child) and not any(isinstance(each, list | Mapping) for each in child.values()):
                raise _fault((*path, str(number), "questionId"), "is missing")

    def _add(self, node: Mapping[str, Any], path: tuple[str, ...], above: tuple[str, ...]) -> None:
        if len(self.questions) >= MOST_QUESTIONS:
            raise _fault(path, f"a form holds at most {MOST_QUESTIONS} questions")
        name = _text(node, "questionId", path, LONGEST_ID)
        if name in self._ids:
            raise _fault((*path, "questionId"), "stands at another question, too")
        self._ids.add(name)
        text = _text(node, "question", path, LONGEST_QUESTION)
        kind = _text(node, "answerType", path, LONGEST_ID)
        if kind not in set(AnswerType):
            raise _fault((*path, "answerType"), f"must be one of {', '.join(AnswerType)}")
        type_ = AnswerType(kind)
        options, values = _options(node, path, type_)
        self.questions.append(FormQuestion(name, text, type_, options, values, _date_format(node, path, type_), above))


def _is_question(node: Mapping[str, Any]) -> bool:
    return "questionId" in node or "answerType" in node


def _options(
    node: Mapping[str, Any], path: tuple[str, ...], type_: AnswerType
) -> tuple[tuple[str, ...], tuple[Any, ...]]:
    given = node.get("answerOptions")
    path = (*path, "answerOptions")
    if given is None:
        given = []
    if not isinstance(given, list):
        raise _fault(path, "must be a list of objects with a value")
    if type_ not in (AnswerType.SINGLE, AnswerType.MULTIPLE):
        return (), ()
    if not given:
        raise _fault(path, f"is missing or empty; {type_} needs the answers to choose from")
    if len(given) > MOST_OPTIONS:
        raise _fault(path, f"holds more than {MOST_OPTIONS} options")
    texts: list[str] = []
    values: list[Any] = []
    for number, option in enumerate(given):
        here = (*path, str(number), "value")
        value = option.get("value") if isinstance(option, Mapping) else None
        if isinstance(value, bool) or not isinstance(value, str | int | float) or not str(value).strip():
            raise _fault(here, "is missing; it must be a text or a number")
        if len(str(value)) > LONGEST_OPTION:
            raise _fault(here, f"is longer than {LONGEST_OPTION} characters")
        text = " ".join(str(value).split())
        if text in texts:
            raise _fault(here, "stands at another option, too")
        texts.append(text)
        values.append(value)
    return tuple(texts), tuple(values)


def _date_format(node: Mapping[str, Any], path: tuple[str, ...], type_: AnswerType) -> DateFormat | None:
    if type_ is not AnswerType.DATE:
        return None
    given = node.get("dateFormat")
    if given is None or given == "":
        given = ISO
    wanted = read_format(given) if isinstance(given, str) and len(given) <= LONGEST_FORMAT else None
    if wanted is None:
        raise _fault((*path, "dateFormat"), "is no date format; write DD/MM/YYYY, %d/%m/%Y or ISO, for example")
    return wanted


def _text(node: Mapping[str, Any], name: str, path: tuple[str, ...], longest: int) -> str:
    value = node.get(name)
    if isinstance(value, int) and not isinstance(value, bool) and name == "questionId":
        raise _fault((*path, name), "must be a text")
    if not isinstance(value, str) or not value.strip():
        raise _fault((*path, name), "is missing; it must be a text")
    if len(value) > longest:
        raise _fault((*path, name), f"is longer than {longest} characters")
    return value if name == "questionId" else " ".join(value.split())


def _fault(path: tuple[str, ...], message: str) -> InvalidFieldError:
    known = (*_KNOWN, "questionId", "question", "answerType", "dateFormat")
    shown = ".".join(part if part in known or part.isdecimal() else "*" for part in path)
    return InvalidFieldError(shown or "template", f"{shown or 'template'}: {message}")


def given_answer(question: FormQuestion, answer: FormAnswer | None) -> Any:
    """Return an answer in JSON types as its question wants it; null if the visit does not say."""
    if answer is None:
        return None
    match question.type:
        case AnswerType.SINGLE:
            return question.values[answer.chosen[0]]
        case AnswerType.MULTIPLE:
            return [question.values[place] for place in answer.chosen]
        case AnswerType.DATE:
            assert question.date_format is not None and answer.day is not None
            return question.date_format.write(answer.day)
        case AnswerType.TEXT:
            return answer.text


def evidence_to_json(evidence: Evidence) -> dict[str, Any]:
    """Return a quote as answers carry it; ``kind`` is what it was taken from."""
    told = evidence.to_json()
    return {"kind": told.pop("source"), **told}
