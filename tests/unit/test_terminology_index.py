"""Codes of the built-in terminologies: description, hierarchy, notes, seventh characters, excludes, validity."""

from datetime import date
from pathlib import Path

import pytest

from osler.coding.terminology import Code, Laterality, Terminology
from osler.engines.terminology.excludes import names_code, references
from osler.engines.terminology.store import TerminologyStore


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> TerminologyStore:
    return TerminologyStore(Path(tmp_path_factory.mktemp("terminologies")))


@pytest.fixture(scope="module")
def american(store: TerminologyStore) -> Terminology:
    return store.get("ICD-10-CM")


def found(terminology: Terminology, code: str) -> Code:
    result = terminology.find(code)
    assert result is not None
    return result


def test_the_release_of_april_2026_is_whole(store: TerminologyStore) -> None:
    about = store.installed()[0]
    assert (about.system, about.effective_date) == ("ICD-10-CM", date(2026, 4, 1))
    assert about.codes == 74_719
    assert "public domain" in about.licence


@pytest.mark.parametrize("written", ["E11.9", "e11.9", "E119", " E11.9 ", "e11 9"])
def test_a_code_is_found_however_it_is_written(american: Terminology, written: str) -> None:
    code = found(american, written)
    assert (code.code, code.description) == ("E11.9", "Type 2 diabetes mellitus without complications")
    assert code.hierarchy == ("Chapter 4", "E08-E13", "E11")
    assert code.valid
    assert code.billable


@pytest.mark.parametrize("written", ["", "E11.99", "nope", "S52.501Z", "S52.5011A", "é", "E" * 500])
def test_what_is_no_code_is_not_found(american: Terminology, written: str) -> None:
    assert american.find(written) is None
    assert american.children(written) == ()
    assert american.ancestors(written) == ()
    assert american.synonyms(written) == ()
    assert american.unspecified(written) is None
    assert not american.excludes1(written, "E11.9")


def test_a_category_is_no_billable_code_and_has_one_that_stands_for_it(american: Terminology) -> None:
    category = found(american, "E11")
    assert not category.billable
    assert not category.valid
    assert american.unspecified("E11") == "E11.9"
    assert american.unspecified("E11.9") == "E11.9"
    assert american.unspecified("M25.56") == "M25.569"
    assert american.unspecified("G43.1") == "G43.109"
    assert american.unspecified("F19.2") == "F19.20"
    assert american.unspecified("E08-E13") is None


def test_a_code_that_needs_a_seventh_character_gets_it(american: Terminology) -> None:
    base, whole = found(american, "S52.501"), found(american, "S52.501A")
    assert not base.billable
    assert base.seventh_characters["D"] == "subsequent encounter for closed fracture with routine healing"
    assert whole.valid
    assert whole.description.endswith("right radius, initial encounter for closed fracture")
    assert whole.hierarchy[-1] == "S52.501"
    assert american.children("S52.501")[0] == "S52.501A"
    assert american.unspecified("S52.501") == "S52.501A"
    assert found(american, "S01.00XA").code == "S01.00XA"
    assert american.ancestors("S01.00XA")[:2] == ("S01.00", "S01.0")
    assert american.unspecified("H40.111") == "H40.1110"


def test_a_death_has_no_later_encounter(american: Terminology) -> None:
    assert american.find("S06.1X7A") is not None
    assert american.find("S06.1X7D") is None


def test_notes_reach_down_from_the_codes_above(american: Terminology) -> None:
    code = found(american, "E11.9")
    assert "type 1 diabetes mellitus (E10.-)" in code.excludes1
    assert "insulin (Z79.4)" in code.use_additional
    assert code.inclusion_terms == ()
    assert "Lumbago NOS" in found(american, "M54.50").inclusion_terms
    assert found(american, "F02.80").code_first


def test_sides_are_told(american: Terminology) -> None:
    sides = {code: found(american, code).laterality for code in ("M25.561", "M25.562", "M25.569", "H40.113", "I10")}
    assert sides == {
        "M25.561": Laterality.RIGHT, "M25.562": Laterality.LEFT, "M25.569": Laterality.UNSPECIFIED,
        "H40.113": Laterality.BILATERAL, "I10": None,
    }  # fmt: skip


def test_synonyms_name_their_source(american: Terminology) -> None:
    names = {name.text: name.source for name in american.synonyms("I10")}
    assert names["high blood pressure"] == "inclusion"
    assert names["essential hypertension"] == "disease-ontology"
    assert {name.source for name in american.synonyms("E11")} >= {"inclusion", "lay"}
    assert "adverse effect of Ibuprofen" in [name.text for name in american.synonyms("T39.315A")]


@pytest.mark.parametrize(
    ("a", "b", "excluded"),
    [
        ("E11.9", "E10.9", True),
        ("E10.9", "E11.9", True),
        ("E11.9", "O24.419", True),
        ("M54.50", "S39.012A", True),
        ("J18.9", "I10", False),
        ("E11.9", "E11.9", False),
        ("E11.9", "E11", False),
        ("I10", "N18.9", False),
    ],
)
def test_codes_that_are_never_used_together_are_told(american: Terminology, a: str, b: str, excluded: bool) -> None:
    assert american.excludes1(a, b) is excluded


def test_references_in_notes_are_read() -> None:
    assert references("type 1 diabetes mellitus (E10.-)") == (("E10", "E10"),)
    assert references("lumbago (M51.2-, M54.4)") == (("M512", "M512"), ("M544", "M544"))
    assert names_code("with complications (E11.0-E11.8)", "E1165")
    assert not names_code("with complications (E11.0-E11.8)", "E119")
    assert names_code("injury (S00-T88)", "S93402A")
    assert not names_code("arterial (benign) hypertension", "I10")


def test_icd_10_and_icd_9_cm_have_their_hierarchies(store: TerminologyStore) -> None:
    who, old = store.get("ICD-10"), store.get("ICD-9-CM")
    assert found(who, "E11.9").hierarchy == ("Chapter IV", "E10-E14", "E11")
    assert found(old, "250.00").valid
    assert found(old, "25000").hierarchy == ("240-279", "249-259", "250", "250.0")
    assert "World Health Organization" in who.licence
    assert who.version == "2019"
    assert old.version.startswith("32")


def test_the_index_made_on_this_machine_is_made_once(tmp_path: Path) -> None:
    TerminologyStore(tmp_path).get("ICD-10")
    made = [(path, path.stat().st_mtime_ns) for path in (tmp_path / "icd-10").iterdir()]
    TerminologyStore(tmp_path).get("ICD-10")
    assert [(path, path.stat().st_mtime_ns) for path in (tmp_path / "icd-10").iterdir()] == made
    assert len(made) == 1
