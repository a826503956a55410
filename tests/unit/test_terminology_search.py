"""Search in the terminologies that come with Osler: what clinicians and patients say finds the code they mean."""

from pathlib import Path

import pytest

from osler.coding.terminology import SYSTEMS, Terminology, system_named
from osler.engines.terminology.lexicon import clinical_phrases, lay_phrases
from osler.engines.terminology.store import TerminologyStore
from osler.engines.terminology.typing_errors import distance
from osler.engines.terminology.words import required_and_optional, tokens
from osler.kernel.errors import UnknownNameError


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> TerminologyStore:
    return TerminologyStore(Path(tmp_path_factory.mktemp("terminologies")))


@pytest.fixture(scope="module")
def american(store: TerminologyStore) -> Terminology:
    return store.get("ICD-10-CM")


def first(terminology: Terminology, text: str) -> str:
    matches = terminology.search(text, 5)
    return matches[0].code if matches else ""


@pytest.mark.parametrize(
    ("text", "code"),
    [
        # the general code, unless words say more
        ("hypertension", "I10"),
        ("type 2 diabetes", "E11.9"),
        ("asthma", "J45.909"),
        ("pneumonia", "J18.9"),
        ("depression", "F32.A"),
        ("atrial fibrillation", "I48.91"),
        ("congestive heart failure", "I50.9"),
        ("low back pain", "M54.50"),
        ("knee pain", "M25.569"),
        ("aortic aneurysm", "I71.9"),
        ("cholelithiasis", "K80.20"),
        ("pulmonary embolism", "I26.99"),
        ("nausea and vomiting", "R11.2"),
        ("aortic stenosis", "I35.0"),
        ("alcohol use disorder", "F10.10"),
        # type, stage, control, complication
        ("type 2 diabetes with neuropathy", "E11.40"),
        ("moderate persistent asthma with acute exacerbation", "J45.41"),
        ("chronic kidney disease stage 3a", "N18.31"),
        ("migraine with aura", "G43.109"),
        ("migraine without aura", "G43.009"),
        ("type two diabetes", "E11.9"),
        ("type II diabetes", "E11.9"),
        # side and encounter
        ("right knee pain", "M25.561"),
        ("left shoulder pain", "M25.512"),
        ("pain in both knees", "M25.569"),
        ("sprained left ankle", "S93.402A"),
        ("osteoarthritis of right hip", "M16.11"),
        ("distal radius fracture right", "S52.501A"),
        ("distal radius fracture right subsequent encounter closed fracture routine healing", "S52.501D"),
        # abbreviations
        ("HTN", "I10"),
        ("T2DM", "E11.9"),
        ("COPD", "J44.9"),
        ("COPD exacerbation", "J44.1"),
        ("GERD", "K21.9"),
        ("GORD", "K21.9"),
        ("CKD 3a", "N18.31"),
        ("UTI", "N39.0"),
        ("BPH", "N40.0"),
        ("OSA", "G47.33"),
        # patients' words
        ("sugar diabetes", "E11.9"),
        ("heart burn", "R12"),
        ("high blood pressure", "I10"),
        ("runny nose", "J34.89"),
        ("pink eye", "H10.9"),
        ("left ear ache", "H92.02"),
        ("water infection", "N39.0"),
        # British spelling, accents, endings, order
        ("diarrhoea", "R19.7"),
        ("haemorrhoids", "K64.9"),
        ("iron deficiency anaemia", "D50.9"),
        ("Sjögren syndrome", "M35.00"),
        ("disease, kidney, chronic", "N18.9"),
        ("fractured right clavicle", "S42.001A"),
        # the tables
        ("adverse effect of ibuprofen", "T39.315A"),
        ("malignant neoplasm of sigmoid colon", "C18.7"),
        # a slip of the keys
        ("hypertensoin", "I10"),
        ("diabetis type 2", "E11.9"),
        ("pnuemonia", "J18.9"),
    ],
)
def test_words_find_the_code_they_mean(american: Terminology, text: str, code: str) -> None:
    assert first(american, text) == code


def test_each_lay_phrase_leads_to_its_own_code_which_is_valid(american: Terminology) -> None:
    assert len(lay_phrases()) >= 400
    for each in lay_phrases():
        target = american.unspecified(each.code)
        assert target is not None, each
        found = american.find(target)
        assert found is not None, each
        assert found.valid, each
        best = american.search(each.phrase, 3)
        assert target in [match.code for match in best], (each, [match.code for match in best])


def test_the_clinical_words_of_each_lay_phrase_find_its_code_too(american: Terminology) -> None:
    for each in lay_phrases():
        target = american.unspecified(each.code)
        assert target in [match.code for match in american.search(each.clinical, 5)], each


def test_every_lay_phrase_names_its_source_and_stands_once() -> None:
    assert {each.source for each in lay_phrases()} == {
        "Osler's editors",
        "ICD-10-CM inclusion term",
        "ICD-10-CM description",
        "Disease Ontology",
    }
    assert len({each.phrase for each in lay_phrases()}) == len(lay_phrases())


@pytest.mark.parametrize(
    ("system", "text", "code"),
    [
        ("ICD-10", "hypertension", "I10"),
        ("ICD-10", "knee pain", "M25.5"),
        ("ICD-10", "breast cancer", "C50.9"),
        ("ICD-10", "T2DM", "E11.9"),
        ("ICD-10", "heart burn", "R12"),
        ("ICD-9-CM", "hypertension", "401.9"),
        ("ICD-9-CM", "asthma", "493.90"),
        ("ICD-9-CM", "breast cancer", "174.9"),
        ("ICD-9", "UTI", "599.0"),
    ],
)
def test_the_other_built_in_systems_are_searched_with_the_same_words(
    store: TerminologyStore, system: str, text: str, code: str
) -> None:
    assert first(store.get(system), text) == code


def test_scores_fall_from_one_and_each_code_stands_once(american: Terminology) -> None:
    matches = american.search("shortness of breath", 20)
    assert matches[0].score == 1.0
    assert [m.score for m in matches] == sorted((m.score for m in matches), reverse=True)
    assert len({m.code for m in matches}) == len(matches)
    assert all(0 < m.score <= 1 and m.matched_text for m in matches)


def test_every_match_is_a_valid_code_unless_categories_are_asked_for(american: Terminology) -> None:
    for text in ("fracture of femur", "diabetes", "poisoning by aspirin", "burn of hand", "glaucoma", "pregnancy"):
        for match in american.search(text, 20):
            found = american.find(match.code)
            assert found is not None
            assert found.valid, match
    assert american.search("type 2 diabetes mellitus", 1, billable=False)[0].code == "E11"


@pytest.mark.parametrize("text", ["", "   ", "of the with", "?!", "zzqx vvkw", "の"])
def test_words_that_mean_nothing_find_nothing(american: Terminology, text: str) -> None:
    assert american.search(text) == []


def test_very_long_text_is_searched_too(american: Terminology) -> None:
    assert american.search("patient complains of knee pain " * 200, 3)


def test_a_correct_word_is_never_taken_for_a_misspelt_one(american: Terminology) -> None:
    assert all("hypertens" in m.matched_text.lower() for m in american.search("hypertension", 3))
    assert all("hypotens" in m.matched_text.lower() for m in american.search("hypotension", 3))


def test_systems_go_by_many_names() -> None:
    names = {
        "snomed": "SNOMED-CT", "SNOMED CT": "SNOMED-CT", "icd10cm": "ICD-10-CM", "ICD-10": "ICD-10",
        "ICD-9": "ICD-9-CM", "icd-9-cm": "ICD-9-CM", "OPCS-4.10": "OPCS-410", "ACHI": "ACHI-13", "CPT": "CPT-2025",
    }  # fmt: skip
    assert {name: system_named(name) for name in names} == names
    assert [system_named(name) for name in SYSTEMS] == list(SYSTEMS)
    with pytest.raises(UnknownNameError, match="ICD-10-CM, ICD-10, ICD-9-CM"):
        system_named("READ")


def test_words_have_one_form() -> None:
    assert tokens("Fractures of the tibia") == tokens("fractured tibia")
    assert tokens("type II") == tokens("Type two") == tokens("type 2")
    assert tokens("Oedema") == tokens("edema")
    assert tokens("renal") == tokens("kidney")
    assert required_and_optional("hypertension (arterial) (benign)") == (("hypertension",), ("artery", "benign"))
    assert required_and_optional("Asthma, unspecified")[0] == ("asthma",)


@pytest.mark.parametrize(
    ("a", "b", "slips"),
    [("pain", "pain", 0), ("pian", "pain", 1), ("pan", "pain", 1), ("paain", "pain", 1), ("x", "", 1)],
)
def test_slips_of_the_keys_are_counted(a: str, b: str, slips: int) -> None:
    assert distance(a, b) == distance(b, a) == slips


def test_what_clinicians_write_leads_to_its_code(american: Terminology) -> None:
    assert len(clinical_phrases()) >= 100
    for phrase, code in clinical_phrases():
        target = american.unspecified(code)
        assert target is not None, (phrase, code)
        found = american.find(target)
        assert found is not None
        assert found.valid, (phrase, code)
        assert target in [match.code for match in american.search(phrase, 3)], phrase


def test_letters_that_name_a_type_are_no_stop_words(american: Terminology) -> None:
    assert first(american, "hepatitis A") == "B15.9"
    assert first(american, "hepatitis B") == "B19.10"
    assert first(american, "influenza A") == "J10.1"
