"""The fact-level audit of notes: each score falls when the note gets worse, and a good note can reach them all."""

import json
from dataclasses import replace

import pytest
from osler_evals.checklist import (
    Audit,
    Visit,
    audit,
    evaluate,
    lint,
    lint_section,
    read_fact,
    read_pattern,
    read_visits,
    status_at,
    to_json,
    to_text,
)

from osler.kernel.engine_record import EngineRecord
from osler.kernel.errors import NoClinicalContentError
from osler.notes.model import Evidence, Note, Section, Sentence, VoiceStyle
from osler.speech.model import Transcript, Turn

VISIT = Visit(
    "knee",
    "dev",
    "acute",
    Transcript((Turn("patient", "It is my left, no sorry, my right knee. No fever."),)),
    (
        read_fact(
            {
                "name": "right knee",
                "category": "symptom",
                "importance": "critical",
                "any": ["right knee"],
                "section": "Present",
            }
        ),
        read_fact({"name": "no fever", "category": "denied", "importance": "critical", "any": ["fever"]}),
        read_fact(
            {
                "name": "dose raised to 20 mg",
                "category": "medication_change",
                "importance": "useful",
                "any": [r"lisinopril\b.*20 ?mg"],
                "also_near": "increas",
            }
        ),
    ),
    (
        read_pattern({"name": "wrong side", "any": ["left knee"], "unless": "normal"}),
        read_pattern({"name": "mother's diabetes", "any": ["diabet"], "status": "affirmed", "unless": "mother"}),
    ),
)


def _note(**sections: list[str]) -> Note:
    parts = tuple(
        Section(name.replace("_", " "), tuple(Sentence(t, ()) for t in texts)) for name, texts in sections.items()
    )
    return Note(parts, "full", VoiceStyle.GOLDILOCKS, EngineRecord("hand", "1"))


GOOD = {
    "History_of_Present_Illness": ["The patient twisted the right knee.", "Denies chills and fever."],
    "Assessment_and_Plan": ["Increase lisinopril from 10 mg to 20 mg."],
}


def _names(found: Audit) -> list[str]:
    return [fact.name for fact in found.missing]


def test_a_note_that_says_everything_misses_nothing_and_breaks_nothing() -> None:
    found = audit(VISIT, _note(**GOOD))
    assert _names(found) == []
    assert found.violations == ()
    assert found.lint == ()
    assert found.words == 6 + 4 + 8


def test_a_missing_fact_lowers_recall() -> None:
    found = audit(VISIT, _note(History_of_Present_Illness=["The patient twisted the right knee."]))
    assert _names(found) == ["no fever", "dose raised to 20 mg"]
    assert found.to_json()["critical"] == {"found": 1, "of": 2}
    assert found.to_json()["useful"] == {"found": 0, "of": 1}


def test_a_note_that_was_not_written_misses_every_fact() -> None:
    def refuse(transcript: Transcript) -> Note:
        raise NoClinicalContentError("nothing")

    (found,) = evaluate([VISIT], refuse)
    assert not found.written
    assert len(found.missing) == len(VISIT.must)


def test_a_wrong_side_is_a_violation_and_a_normal_other_side_is_none() -> None:
    wrong = audit(VISIT, _note(History_of_Present_Illness=["The patient twisted the left knee."]))
    assert [name for name, _ in wrong.violations] == ["wrong side"]
    assert "right knee" in _names(wrong)
    assert audit(VISIT, _note(Physical_Examination=["The left knee is normal."])).violations == ()


def test_a_relatives_disease_written_as_the_patients_is_a_violation() -> None:
    assert audit(VISIT, _note(Past_Medical_History=["Diabetes."])).violations
    assert not audit(VISIT, _note(Family_History=["The mother had diabetes."])).violations
    assert not audit(VISIT, _note(Past_Medical_History=["No history of diabetes."])).violations


def test_a_denied_symptom_counts_only_when_it_is_denied() -> None:
    assert "no fever" in _names(audit(VISIT, _note(History_of_Present_Illness=["Reports fever."])))
    assert "no fever" in _names(audit(VISIT, _note(Instructions=["Call if a fever comes."])))


def test_a_fact_in_the_wrong_section_or_without_its_companion_does_not_count() -> None:
    found = audit(VISIT, _note(Physical_Examination=["The right knee is swollen."], Medications=["Lisinopril 20 mg."]))
    assert {"right knee", "dose raised to 20 mg"} <= set(_names(found))


@pytest.mark.parametrize(
    ("sentence", "word", "status"),
    [
        ("Denies cough, chills or fever.", "fever", "denied"),
        ("Denies cough but reports fever.", "fever", "affirmed"),
        ("The patient has no cough and has a fever.", "fever", "affirmed"),
        ("If she gets a fever, call.", "fever", "hypothetical"),
        ("Fever: denied.", "Fever", "denied"),
        ("The patient hasn't had a fever.", "fever", "denied"),
        ("She has had a fever since Monday.", "fever", "affirmed"),
    ],
)
def test_status_follows_the_cues_around_a_word(sentence: str, word: str, status: str) -> None:
    start = sentence.index(word)
    assert status_at(sentence, start, start + len(word)) == status


@pytest.mark.parametrize(
    ("heading", "sentence", "fault"),
    [
        ("History of Present Illness", "And the patient has pain.", "conjunction start"),
        ("History of Present Illness", "The patient feels, um, weak today.", "speech leftover"),
        ("Physical Examination", "Let me have a look.", "speech leftover"),
        ("History of Present Illness", "Denies hurting yourself today.", "second person"),
        ("History of Present Illness", "The patient has has pain.", "doubled word"),
        ("History of Present Illness", "Reports fever.", "shorter than three words"),
        ("History of Present Illness", "The patient has pain", "no final period"),
        ("History of Present Illness", "The patient hurt my knee.", "patient my"),
    ],
)
def test_each_fault_of_english_is_named(heading: str, sentence: str, fault: str) -> None:
    assert lint(heading, sentence) == [fault]


def test_advice_may_address_the_patient_and_lists_and_problem_names_may_be_short() -> None:
    assert lint("Instructions", "Drink plenty of water if you can.") == []
    assert lint("Medications", "Aspirin.") == []
    assert lint("Assessment and Plan", "Hypertension", is_problem=True) == []


def test_a_pronoun_dangles_when_nothing_said_nearby_stands_before_it() -> None:
    transcript = Transcript(tuple(Turn("patient", "It hurts.") for _ in range(9)))
    knee, near, far = (
        Sentence(text, (Evidence.cite(transcript, turn, 0, 2),))
        for text, turn in (("The knee is sore.", 0), ("It hurts at night.", 1), ("It is worse on stairs.", 8))
    )
    assert lint_section(Section("History of Present Illness", (knee, near))) == []
    assert [name for name, _ in lint_section(Section("History of Present Illness", (knee, far)))] == [
        "dangling pronoun"
    ]
    assert lint_section(Section("History of Present Illness", (near,))) != []


def test_the_first_person_outside_the_plan_is_a_violation_in_every_visit() -> None:
    visit = read_visits()[0]
    bad = audit(visit, _note(History_of_Present_Illness=["I checked it.", "Mm-hmm."]))
    assert sorted(name for name, _ in bad.violations) == ["a sound of listening", "first person outside the plan"]
    assert not audit(visit, _note(Assessment_and_Plan=["I recommended rest."])).violations


def test_both_parts_hold_both_kinds_of_visits_and_each_asks_for_enough() -> None:
    visits = read_visits()
    for part, count in (("dev", 12), ("held-out", 4)):
        kinds = [v.kind for v in visits if v.part == part]
        assert len(kinds) == count and {*kinds} == {"acute", "chronic"}
    for visit in visits:
        assert 15 <= len(visit.transcript.turns) <= 35
        assert {t.speaker for t in visit.transcript.turns} <= {"clinician", "patient", "other 1"}
        assert len({f.name for f in visit.must}) == len(visit.must) >= 20
        assert len(visit.never) >= 8
        assert sum(f.critical for f in visit.must) >= 10


@pytest.mark.parametrize("visit", read_visits(), ids=lambda visit: visit.name)
def test_a_copy_of_the_transcript_is_no_good_note(visit: Visit) -> None:
    copy = _note(History_of_Present_Illness=[turn.text for turn in visit.transcript.turns])
    assert len(audit(visit, copy).violations) >= 5
    assert audit(visit, replace(copy, sections=())).present == ()


def test_a_clinicians_own_note_of_a_visit_reaches_every_fact_without_a_fault() -> None:
    visit = next(v for v in read_visits() if v.name == "uti_uk")
    note = _note(
        Chief_Complaint=["Dysuria."],
        History_of_Present_Illness=[
            "Three days of burning on passing urine, with frequency and nocturia.",
            "The urine is cloudy.",
            "There is an ache in the lower abdomen.",
            "Denies blood in the urine, fever, back pain and vaginal discharge.",
            "She is not pregnant; she has a coil.",
        ],
        Past_Medical_History=["Previous UTI last summer."],
        Medications=["Thyroxine 75 micrograms."],
        Allergies=["Trimethoprim caused a rash.", "No penicillin allergy."],
        Family_History=["Her mother has diabetes."],
        Vitals=["Temperature 36.8, pulse 82, blood pressure 118/74."],
        Physical_Examination=["Tender above the pubic bone.", "No tenderness over the kidneys."],
        Results=["Dipstick shows nitrites and leucocytes, no glucose."],
        Assessment_and_Plan=[
            "Lower urinary tract infection.",
            "Nitrofurantoin 100 mg twice a day for three days.",
            "Urine sample sent to the lab.",
            "Fluids and paracetamol.",
        ],
        Instructions=["Call if there is a fever or back pain.", "Come back if it is not better in 48 hours."],
    )
    found = audit(visit, note)
    assert (_names(found), found.violations, found.lint) == ([], (), ())


def test_the_report_counts_what_the_audits_found() -> None:
    worse = audit(VISIT, _note(History_of_Present_Illness=["The patient twisted the left knee."]))
    report = to_json([audit(VISIT, _note(**GOOD)), worse], "dev", "BRIEF")
    assert report["all"] == {"critical": {"found": 2, "of": 4}, "useful": {"found": 1, "of": 2}}
    assert report["violations"] == 1
    assert report["categories"]["denied"]["critical"] == {"found": 1, "of": 2}
    assert json.loads(json.dumps(report)) == report
    assert "MISSING denied: no fever" in to_text([worse], "one", verbose=True)
    assert "no fever" not in to_text([worse], "one")


def test_a_checklist_row_of_an_unknown_category_is_refused() -> None:
    with pytest.raises(ValueError, match="category"):
        read_fact({"name": "x", "category": "gossip", "importance": "critical", "any": ["x"]})
