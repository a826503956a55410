"""What the form filler promises on short visits: answers with the words that they rest on, or none."""

from datetime import date
from typing import Any

import pytest

from osler.engines.grounded.forms.filler import GroundedFormFiller
from osler.notes.forms import FormAnswer, given_answer, read_form
from osler.notes.model import SourceKind
from osler.notes.writing import Source, VisitSources
from osler.speech.model import CLINICIAN, PATIENT, Transcript, Turn

FILLER = GroundedFormFiller()
THURSDAY = date(2024, 3, 14)


def visit(dialogue: str) -> Transcript:
    """Read lines of "D: ..." and "P: ..." as turns."""
    turns = []
    for line in dialogue.strip().splitlines():
        who, _, text = line.strip().partition(": ")
        turns.append(Turn(CLINICIAN if who == "D" else PATIENT, text))
    return Transcript(tuple(turns))


def ask(
    sources: Transcript | VisitSources, question: str, options: list[Any] | None = None, **fields: Any
) -> tuple[Any, FormAnswer | None]:
    """Put one question; return the answer as it goes out, and with its evidence. Every quote is checked."""
    if isinstance(sources, Transcript):
        sources = VisitSources(sources)
    kind = fields.pop("kind", "SingleResponse" if options else "TextArea")
    node = {"questionId": "q", "question": question, "answerType": kind, **fields}
    if options:
        node["answerOptions"] = [{"value": option} for option in options]
    form = read_form({"questions": [node]})
    (answer,) = FILLER.fill(sources, form.questions, THURSDAY)
    texts = {(SourceKind.TRANSCRIPT, ""): [turn.text for turn in sources.transcript.turns]}
    texts |= {(source.kind, source.id): list(source.paragraphs) for source in sources.others}
    for piece in answer.evidence if answer else ():
        assert texts[piece.source, piece.source_id][piece.turn][piece.start : piece.end] == piece.quote != ""
    assert answer is None or answer.evidence
    return given_answer(form.questions[0], answer), answer


YES_NO = ["Yes", "No", "Unknown"]

SMOKING = ["Never", "Former", "Current"]

# Dialogue, question, options, answer.
SINGLE: dict[str, tuple[str, str, list[Any], Any]] = {
    "an affirmed question": ("D: Do you have a cough?\nP: Yeah.", "Cough?", YES_NO, "Yes"),
    "a denied question": ("D: Any chest pain?\nP: No.", "Does the patient have chest pain?", YES_NO, "No"),
    "a denied list": ("D: Any fever, chills or nausea?\nP: No, none.", "Nausea", ["Present", "Absent"], "Absent"),
    "nothing said": ("D: Any chest pain?\nP: No.", "Palpitations?", YES_NO, None),
    "nothing said is not 'not asked'": ("D: Hello.\nP: Hi.", "Cough", ["Yes", "No", "Not asked"], None),
    "I don't know is unknown": ("D: Any blood in your urine?\nP: I don't know.", "Blood in urine", YES_NO, "Unknown"),
    "a relative's disease is not the patient's": ("P: My mother has diabetes.", "Diabetes?", YES_NO, None),
    "a family question asks for a relative's": ("P: My mother has diabetes.", "Diabetes in the family", YES_NO, "Yes"),
    "what is only feared is no answer": ("D: If you get a fever, call us.", "Fever", YES_NO, None),
    "what was then is not now": ("P: I had migraines as a child.", "Does the patient have migraines?", YES_NO, None),
    "a history question asks for then": ("P: I've never had a seizure.", "History of seizures", YES_NO, "No"),
    "a stopped medicine is not taken": ("P: I stopped taking metformin last year.", "On metformin?", YES_NO, "No"),
    "a plural, a synonym": ("P: I've been throwing up all night.", "Vomiting", YES_NO, "Yes"),
    "both said is neither": ("P: I have a cough.\nD: A cough?\nP: No, I have no cough.", "Cough", YES_NO, None),
    "or: one is enough": ("D: Any nausea?\nP: Yes.\nD: Vomiting?\nP: No.", "Nausea or vomiting", YES_NO, "Yes"),
    "or: none of them": ("D: Any nausea or vomiting?\nP: No.", "Nausea or vomiting", YES_NO, "No"),
    "a qualifier that was not said": ("P: I have chest pain.", "Chest pain at rest", YES_NO, None),
    "a scale": ("D: Rate your pain from zero to ten.\nP: It's a seven.", "Pain score", list(range(11)), 7),
    "a range": ("D: On a scale of 0 to 10, how bad is the pain?\nP: Eight.", "Pain", ["0-3", "4-6", "7-10"], "7-10"),
    "two values of a scale": (
        "D: Rate your pain from zero to ten.\nP: Seven.\nD: And with the tablets, rate it zero to ten?\nP: Three.",
        "Pain score",
        list(range(11)),
        None,
    ),
    "a range that holds all that was said": (
        "P: I smoke one to two cigarettes per day.",
        "Cigarettes per day",
        ["0", "1-10", "11-20", "> 20"],
        "1-10",
    ),
    "a side": ("P: My left knee hurts.", "Which knee hurts?", ["Left", "Right", "Both"], "Left"),
    "no side": ("P: My knee hurts.", "Which knee hurts?", ["Left", "Right", "Both"], None),
    "all right is no side": ("P: My knee hurts.\nD: All right, the knee.", "Which knee?", ["Left", "Right"], None),
    "former smokers": ("P: I used to smoke, but I quit.", "Smoking status", SMOKING, "Former"),
    "never smokers": ("D: Do you smoke?\nP: No, I've never smoked.", "Smoking", SMOKING, "Never"),
    "no smoker now says nothing of before": ("D: Do you smoke?\nP: No.", "Smoking", SMOKING, None),
    "one of several named": ("P: I have asthma.", "Lung disease", ["Asthma", "COPD"], None),
    "the one that is named": ("P: I have asthma.", "Condition", ["Asthma", "COPD"], "Asthma"),
    "two named fit no single answer": ("P: I have asthma and diabetes.", "Condition", ["Asthma", "Diabetes"], None),
    "options that are numbers": ("D: Any cough?\nP: Yes.", "Cough", [0, 1], None),
}  # fmt: skip


@pytest.mark.parametrize("name", SINGLE)
def test_a_single_answer_is_what_the_visit_says(name: str) -> None:
    dialogue, question, options, expected = SINGLE[name]
    given, _ = ask(visit(dialogue), question, options)
    assert given == expected


MANY = "D: Any fever, chills or nausea?\nP: No.\nP: I have a cough and I've been sweating a lot."


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["Cough", "Sweating", "Fever"], ["Cough", "Sweating"]),
        (["Fever", "Chills", "None of the above"], ["None of the above"]),
        (["Fever", "Rash", "None of the above"], None),
        (["Fever", "Chills"], None),
        (["Palpitations", "Other"], None),
    ],
)
def test_several_answers_are_those_affirmed_and_none_only_if_all_are_denied(options: list[str], expected: Any) -> None:
    given, _ = ask(visit(MANY), "Symptoms", options, kind="MultipleResponse")
    assert given == expected


_MEASURED = """\
D: Your weight is 180 pounds, and your height is 5 feet 10 inches.
P: I've noticed my blood pressure feels a bit higher than usual.
D: Your blood pressure is reading 145/92. The pulse is 80 bpm, which is fine.
D: It's not alarmingly high, but it's definitely something we'll monitor closely."""


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("Systolic blood pressure", "145"),
        ("Diastolic BP (mmHg)", "92"),
        ("Blood pressure", "Blood pressure: 145/92."),
        ("What is the patient's blood pressure?", "Blood pressure: 145/92."),
        ("Blood pressure and pulse", "Blood pressure: 145/92. Heart rate: 80 bpm."),
        ("Weight", "Weight: 180 lb."),
        ("Temperature", None),
        ("Oxygen saturation", None),
        ("Weight loss", None),
    ],
)
def test_a_vital_sign_asked_for_by_name_is_answered_by_its_value_alone(question: str, expected: str | None) -> None:
    assert ask(visit(_MEASURED), question)[0] == expected


def test_vital_signs_asked_for_as_such_are_all_told() -> None:
    given, _ = ask(visit(_MEASURED), "Vital signs")
    assert all(value in given for value in ("180 lb", "5 ft 10 in", "145/92", "80 bpm"))


def test_a_vital_sign_that_only_a_question_names_is_none() -> None:
    assert ask(visit("D: Has your blood pressure been fine?\nP: I think so."), "Systolic blood pressure")[0] is None


def test_a_text_is_the_visits_own_sentences() -> None:
    sources = visit("D: What brings you in?\nP: I've had a sore throat for three days.\nD: Any allergies?\nP: No.")
    given, answer = ask(sources, "Describe the sore throat")
    assert "three days" in given.lower() or "3 days" in given
    assert answer is not None and any("sore throat" in e.quote for e in answer.evidence)
    assert ask(sources, "Describe the back pain")[0] is None
    assert ask(sources, "Occupation")[0] is None


@pytest.mark.parametrize(
    ("dialogue", "question", "wanted", "expected"),
    [
        ("P: I had my surgery on the third of March.", "Date of surgery", "DD/MM/YYYY", "03/03/2024"),
        ("P: The rash started last Tuesday.", "Onset of the rash", "YYYY-MM-DD", "2024-03-12"),
        ("P: The rash started two weeks ago.", "Onset of the rash", "%d.%m.%Y", "29.02.2024"),
        ("P: The rash started about two weeks ago.", "Onset of the rash", "YYYY-MM-DD", None),
        ("D: I'll see you in three months.", "Follow-up date", "ISO", "2024-06-14"),
        ("D: Come back in one to two weeks.", "Follow-up date", "ISO", None),
        ("D: If it gets worse, come back in two weeks.", "Follow-up date", "ISO", None),
        ("P: My hysterectomy was in 2015.", "Year of the hysterectomy", "YYYY", "2015"),
        ("P: My hysterectomy was in 2015.", "Date of the hysterectomy", "DD/MM/YYYY", None),
        ("P: I had my surgery on 3/4/2023.", "Date of surgery", "DD/MM/YYYY", None),
        ("P: I had my surgery on 3/14/2023.", "Date of surgery", "DD/MM/YYYY", "14/03/2023"),
        ("P: The rash started yesterday. The rash started on Monday.", "Onset of the rash", "ISO", None),
        ("P: My sister visits on Monday.", "Date of surgery", "ISO", None),
    ],
)
def test_a_date_is_reckoned_from_the_visit_and_vague_ones_are_none(
    dialogue: str, question: str, wanted: str, expected: str | None
) -> None:
    assert ask(visit(dialogue), question, kind="DateResponse", dateFormat=wanted)[0] == expected


def test_what_stands_beside_the_transcript_answers_where_it_is_silent() -> None:
    heard = visit("D: Any chest pain?\nP: No.")
    beside = (
        Source(SourceKind.CLINICIAN_NOTE, "0", ("She has a long history of asthma.",)),
        Source(SourceKind.LINKED_NOTE, "77", ("The patient has a cough.",)),
    )
    sources = VisitSources(heard, others=beside)
    given, answer = ask(sources, "Asthma", YES_NO)
    assert given == "Yes" and answer is not None
    assert {(e.source, e.source_id) for e in answer.evidence} == {(SourceKind.CLINICIAN_NOTE, "0")}
    assert ask(sources, "Chest pain", YES_NO)[0] == "No"
    # How things stood at another visit does not say how they stand.
    assert ask(sources, "Cough", YES_NO)[0] is None


def test_a_question_without_words_of_its_own_takes_those_above_it() -> None:
    tree = {
        "questionId": "a",
        "question": "Chest pain",
        "answerType": "SingleResponse",
        "answerOptions": [{"value": "Yes"}, {"value": "No"}],
        "questions": [
            {
                "questionId": "b",
                "question": "Is it present?",
                "answerType": "SingleResponse",
                "answerOptions": [{"value": "Yes"}, {"value": "No"}],
            }
        ],
    }
    form = read_form({"questions": [tree]})
    answers = FILLER.fill(VisitSources(visit("D: Any chest pain?\nP: No.")), form.questions, THURSDAY)
    assert [given_answer(q, a) for q, a in zip(form.questions, answers, strict=True)] == ["No", "No"]


def test_an_empty_visit_answers_nothing() -> None:
    assert ask(Transcript(()), "Cough", YES_NO) == (None, None)
    assert ask(Transcript(()), "Follow-up date", kind="DateResponse") == (None, None)
