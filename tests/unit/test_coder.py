"""The coder: only what the patient has now, as specific as the words and no further, each with its words."""

from collections.abc import Callable
from pathlib import Path

import pytest

from osler.bootstrap.engines import terminologies
from osler.coding.coder import CodedEntity, CodingTask, ReferenceSource, Setting
from osler.coding.terminology import Terminology
from osler.config import Settings
from osler.engines.coder.coder import GroundedCoder
from osler.engines.grounded.findings import GroundedFindingExtractor
from osler.kernel.errors import NoClinicalContentError
from osler.speech.dialogue import parse_dialogue
from osler.speech.model import Transcript

Code = Callable[..., dict[str, CodedEntity]]


@pytest.fixture(scope="module")
def icd(tmp_path_factory: pytest.TempPathFactory) -> Terminology:
    return terminologies(Settings(data=tmp_path_factory.mktemp("none"))).get("ICD-10-CM")


@pytest.fixture(scope="module")
def coder() -> GroundedCoder:
    return GroundedCoder()


@pytest.fixture
def coded(coder: GroundedCoder, icd: Terminology) -> Code:
    def code(note: str, setting: Setting = Setting.OUTPATIENT) -> dict[str, CodedEntity]:
        return {entity.primary.code: entity for entity in coder.code(CodingTask(note=note, setting=setting), icd)}

    return code


def test_a_feeling_about_something_is_no_disorder_and_hides_no_complaint(coded: Code) -> None:
    history = "# Subjective\nReason for visit: Headache.\n\n- Patient is anxious about needles.\n"
    note = f"{history}\n# Assessment and plan\n- Rest.\n"
    assert set(coded(note)) == {"R51.9"}
    assert set(coded("ASSESSMENT\n\nThe patient is anxious.\n")) == {"F41.9"}


@pytest.mark.parametrize(
    ("words", "codes"),
    [
        ("Hypertension.", {"I10"}),
        ("High blood pressure.", {"I10"}),
        ("Type 2 diabetes.", {"E11.9"}),
        ("Uncontrolled type 2 diabetes.", {"E11.65"}),
        ("Type 2 diabetes with hyperglycemia.", {"E11.65"}),
        ("Right knee pain.", {"M25.561"}),
        ("Pain in the left shoulder.", {"M25.512"}),
        ("Bilateral carpal tunnel syndrome.", {"G56.03"}),
        ("Patellofemoral pain syndrome, bilateral.", {"M22.2X1", "M22.2X2"}),
        ("Right ankle sprain.", {"S93.401A"}),
        ("Chronic kidney disease, stage 3b.", {"N18.32"}),
        ("Status post kidney transplant.", {"Z94.0"}),
        ("History of breast cancer.", {"Z85.3"}),
        ("History of coronary artery bypass graft.", {"Z95.1"}),
        ("Asthma exacerbation.", {"J45.901"}),
    ],
)
def test_a_diagnosis_is_as_specific_as_its_words(coded: Code, words: str, codes: set[str]) -> None:
    assert set(coded(f"ASSESSMENT\n\n{words}\n")) == codes


@pytest.mark.parametrize(
    "words",
    [
        "The patient denies chest pain, fever, and cough.",
        "No history of asthma.",
        "Pneumonia was ruled out.",
        "Negative for diabetes.",
        "There is no evidence of gout, arthritis or lupus.",
        "His mother has diabetes and his father died of lung cancer.",
        "FAMILY HISTORY\n\nHypertension, stroke.",
        "If she develops a fever, she will call.",
        "We discussed the risks of the injection, including infection and stroke.",
        "She is here for a screening for osteoporosis.",
        "Likely gout.",
        "Left shoulder, suspicious for adhesive capsulitis.",
        "ALLERGIES\n\nSulfa gives him hives.",
        "He had a pneumonia in the past.",
    ],
)
def test_what_is_denied_anothers_feared_or_uncertain_is_not_coded(coded: Code, words: str) -> None:
    assert set(coded(f"{words}\n\nASSESSMENT\n\nMigraine.\n")) == {"G43.909"}


def test_a_hospital_stay_may_be_coded_by_what_is_probable_and_a_visit_may_not(coded: Code) -> None:
    assert coded("Findings consistent with pneumonia.", Setting.INPATIENT).keys() == {"J18.9"}
    assert coded("Findings consistent with pneumonia.").keys() == set()


@pytest.mark.parametrize(
    "words",
    [
        "Try to stick to a low sodium part healthy diet.",
        "Low sodium, low fat diet.",
        "Diet: low sodium.",
        "Avoid foods high in potassium.",
        "High fiber, gluten free diet and low potassium snacks.",
        "Watch the sugar.",
        "Use the blood pressure cuff at home and keep a headache diary.",
        "Blood pressure medication and a blood pressure monitor.",
        "High cholesterol panel.",
        "Urine pregnancy test today.",
        "Rapid COVID-19 test performed today in office is negative.",
        "Flu shot given.",
        "Flu and COVID shots.",
        "Fall precautions.",
        "Continue to work on weight loss.",
        "Plan for right knee replacement.",
        "Melanocytic nevus: not identified.",
        "Flomax at night to avoid dizziness.",
        "History of aortic aneurysm repair.",
        "He works from home since the start of COVID-19.",
        "She fell.",
        "He thought he was having a heart attack.",
        "He had a skin cancer removed in March.",
        "Her work supports Covid evaluation centers.",
    ],
)
def test_words_of_a_condition_that_tell_a_diet_a_test_a_device_or_a_plan_are_not_coded(coded: Code, words: str) -> None:
    assert coded(f"ASSESSMENT AND PLAN\n\n- {words}\n") == {}


@pytest.mark.parametrize(
    ("words", "codes"),
    [
        ("Low sodium.", {"E87.1"}),
        ("High potassium.", {"E87.5"}),
        ("COVID-19 test is positive.", {"U07.1"}),
        ("Unexplained weight loss.", {"R63.4"}),
        ("Right knee replacement last year.", {"Z96.651"}),
        ("Aortic aneurysm, scheduled for repair.", {"I71.9"}),
        ("He had a heart attack in 2018.", {"I25.2"}),
    ],
)
def test_the_same_words_of_a_condition_that_is_there_are_coded(coded: Code, words: str, codes: set[str]) -> None:
    assert set(coded(f"ASSESSMENT AND PLAN\n\n- {words}\n")) == codes


_FOLLOW_UP = """## Chief Complaint

Fatigue.

## History of Present Illness

The patient has been feeling tired. The patient feels low on energy and sometimes light headed. {history}

## Review of Systems

Reports a rash.

## Assessment and Plan

**{assessed}.**

- The blood pressure is not alarmingly high, but it's definitely something to monitor closely.
"""


def test_the_reason_for_the_visit_is_coded_where_no_diagnosis_explains_it(coded: Code) -> None:
    found = coded(_FOLLOW_UP.format(history="He denies chest pain.", assessed="Hypertension"))
    assert set(found) == {"I10", "R53.83", "R42"}


def test_a_sign_that_is_part_of_a_coded_diagnosis_is_not_coded_beside_it(coded: Code) -> None:
    assert set(coded(_FOLLOW_UP.format(history="", assessed="Iron deficiency anemia"))) == {"D50.9"}


def test_a_condition_goes_by_its_own_affirmed_name(coded: Code) -> None:
    found = coded(_FOLLOW_UP.format(history="His blood pressure was slightly elevated.", assessed="Hypertension"))
    assert found["I10"].entity == "Hypertension"
    assert "blood pressure is not alarmingly high" not in {reference.quote for reference in found["I10"].references}


def test_one_condition_named_with_and_without_its_side_is_coded_once(coded: Code) -> None:
    assert set(coded("RESULTS\n\nA knee sprain.\n\nASSESSMENT\n\nRight knee sprain.\n")) == {"S83.91XA"}
    assert set(coded("ASSESSMENT\n\nNausea and vomiting. Vomiting in the morning.\n")) == {"R11.2"}


def test_a_smoker_is_coded_as_one_and_who_stopped_as_one_who_did(coded: Code) -> None:
    now = "Social: he has a long history of smoking and is currently a smoker."
    then = "Social: former smoker, previously smoked two packs a day."
    assert set(coded(f"ASSESSMENT\n\n{now}\n")) == {"F17.200"}
    assert set(coded(f"ASSESSMENT\n\n{then}\n")) == {"Z87.891"}


@pytest.mark.parametrize(
    ("words", "codes"),
    [
        ("Hypertension. Congestive heart failure.", {"I11.0", "I50.9"}),
        ("Hypertension. Chronic kidney disease stage 4.", {"I12.9", "N18.4"}),
        ("Hypertension. Heart failure. CKD stage 3a.", {"I13.0", "I50.9", "N18.31"}),
        ("Diabetes. CKD stage 2.", {"E11.22", "N18.2"}),
    ],
)
def test_conditions_that_the_guidelines_presume_related_have_the_combined_code(
    coded: Code, words: str, codes: set[str]
) -> None:
    assert set(coded(f"ASSESSMENT\n\n{words}\n")) == codes


def test_every_reference_is_the_words_at_its_place_in_code_points(coded: Code) -> None:
    note = "Größe 180 cm 😀\n\nASSESSMENT\n\n1. Hypertension.\n2. Left knee osteoarthritis – hypertension is stable.\n"
    entities = coded(note)
    assert set(entities) == {"I10", "M17.12"}
    assert [r.quote for r in entities["I10"].references] == ["Hypertension", "hypertension"]
    for entity in entities.values():
        for reference in entity.references:
            assert reference.source is ReferenceSource.CONSULT_NOTE and reference.turn is None
            assert note[reference.start : reference.end] == reference.quote


def test_a_list_of_medicines_names_what_they_are_taken_for(coded: Code) -> None:
    note = "## Medications\n\n- Metformin for type 2 diabetes\n- Ibuprofen as needed for pain\n- Asthma inhaler\n\n"
    assert set(coded(note)) == {"E11.9"}
    assert set(coded(note + "## What we found\n\nGout.\n")) == {"E11.9", "M10.9"}


def test_a_hint_says_which_detail_is_missing(coded: Code) -> None:
    knee = coded("ASSESSMENT\n\nKnee pain.\n")["M25.569"]
    assert knee.hint is not None and "side" in knee.hint
    assert coded("ASSESSMENT\n\nRight knee pain.\n")["M25.561"].hint is None


def test_similar_codes_are_at_most_five_none_of_them_the_first_and_all_in_force(coded: Code) -> None:
    entity = coded("ASSESSMENT\n\nLeft wrist fracture.\n")["S62.102A"]
    similar = [code.code for code in entity.similar]
    assert 1 <= len(similar) <= 5 and len(set(similar)) == len(similar) and "S62.102A" not in similar
    assert all(code.valid and 0 <= code.score <= entity.primary.score for code in entity.similar)
    assert entity.primary.hierarchy[-3:] == ("S62.1", "S62.10", "S62.102")


def test_codes_that_exclude_each_other_are_flagged_on_both(coded: Code) -> None:
    entities = coded("ASSESSMENT\n\nType 1 diabetes. Gestational diabetes.\n")
    assert {"E10.9", "O24.419"} == set(entities)
    assert entities["E10.9"].conflicts == ("O24.419",) and entities["O24.419"].conflicts == ("E10.9",)


def test_the_same_note_has_the_same_codes(coded: Code) -> None:
    note = "ASSESSMENT\n\nGout, migraine, right knee pain and hypertension with heart failure.\n"
    assert coded(note) == coded(note)


def test_a_note_without_conditions_has_no_codes_and_no_note_is_an_error(coder: GroundedCoder, icd: Terminology) -> None:
    assert coder.code(CodingTask(note="The patient feels well."), icd) == []
    for nothing in (CodingTask(), CodingTask(note=" \n"), CodingTask(transcript=Transcript(turns=()))):
        with pytest.raises(NoClinicalContentError):
            coder.code(nothing, icd)


VISIT = """[doctor] any chest pain ?
[patient] no .
[doctor] what brings you in ?
[patient] my right knee hurts and i have a cough .
[doctor] you have high blood pressure , is that right ?
[patient] yes , and my mother has diabetes .
"""


def test_a_transcript_alone_is_coded_by_what_was_said_and_answered(coder: GroundedCoder, icd: Terminology) -> None:
    transcript = parse_dialogue(VISIT)
    findings = GroundedFindingExtractor().extract(transcript)
    entities = coder.code(CodingTask(transcript=transcript, findings=findings), icd)
    assert {entity.primary.code for entity in entities} == {"M25.561", "R05.9", "I10"}
    for entity in entities:
        for reference in entity.references:
            assert reference.source is ReferenceSource.TRANSCRIPT and reference.turn is not None
            assert transcript.turns[reference.turn].text[reference.start : reference.end] == reference.quote


def test_what_was_said_is_coded_by_its_own_words_and_one_fall_is_not_repeated_falls(
    coder: GroundedCoder, icd: Terminology
) -> None:
    heard = parse_dialogue("[patient] i fell on my elbow\n[doctor] what you have is medial epicondylitis .\n")
    task = CodingTask(transcript=heard, findings=GroundedFindingExtractor().extract(heard))
    assert [entity.primary.code for entity in coder.code(task, icd)] == ["M77.00"]


def test_beside_a_note_the_transcript_adds_references_and_no_codes(coder: GroundedCoder, icd: Terminology) -> None:
    transcript = parse_dialogue(VISIT)
    findings = GroundedFindingExtractor().extract(transcript)
    task = CodingTask(note="ASSESSMENT\n\nHypertension.\n", transcript=transcript, findings=findings)
    (entity,) = coder.code(task, icd)
    assert entity.primary.code == "I10"
    sources = [reference.source for reference in entity.references]
    assert sources == [ReferenceSource.CONSULT_NOTE, ReferenceSource.TRANSCRIPT]


def test_every_name_of_the_common_list_has_a_code_of_the_tabular_list(icd: Terminology) -> None:
    from osler.engines.coder import vocabulary

    path = Path(vocabulary.__file__).parent / "data" / "common.tsv"
    codes = [line.split("\t")[0] for line in path.read_text().splitlines() if not line.startswith("#")]
    assert [code for code in codes if code != vocabulary.NO_CONDITION and icd.find(code) is None] == []
