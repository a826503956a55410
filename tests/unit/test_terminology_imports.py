"""Releases of licence holders: what is read from them, and that a broken one leaves nothing behind."""

import zipfile
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from osler.coding.terminology import Terminology
from osler.engines.terminology.store import TerminologyStore
from osler.kernel.errors import (
    BrokenReleaseError,
    CorruptedError,
    InvalidFieldError,
    TerminologyMissingError,
    UnknownNameError,
    UnreadableFileError,
)
from tests.terminology_lab import ACHI, BOTH, CPT, FEVER, OLD, OPCS, ROOT, SNEEZE, identifier, rf2, zipped

Change = Callable[[dict[str, str]], None]


@pytest.fixture
def store(tmp_path: Path) -> TerminologyStore:
    return TerminologyStore(tmp_path / "terminologies")


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return tmp_path / "release.zip"


def kept(store: TerminologyStore, tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "terminologies").rglob("*") if path.is_file())


def edited(files: dict[str, str], name: str, change: Callable[[str], str]) -> dict[str, str]:
    """The files, the one whose name holds ``name`` changed."""
    path = next(path for path in files if name in path)
    return {**files, path: change(files[path])}


@pytest.fixture
def snomed(store: TerminologyStore, archive: Path) -> Terminology:
    done = store.install("SNOMED", zipped(archive, rf2()))
    assert (done.system, done.version, done.effective_date) == ("SNOMED-CT", "INT 2026-01-01", date(2026, 1, 1))
    assert done.codes == 4
    assert "Affiliate" in done.licence
    return store.get("snomed ct")


def test_concepts_have_the_preferred_term_their_synonyms_and_the_fully_specified_name(snomed: Terminology) -> None:
    fever = snomed.find(FEVER)
    assert fever is not None
    assert (fever.description, fever.valid, fever.effective_date) == ("Moorland fever", True, date(2024, 1, 1))
    assert fever.notes == ("Fully specified name: Moorland fever (disorder)",)
    assert "Peat cutter's ague" in [name.text for name in snomed.synonyms(FEVER)]
    sneeze = snomed.find(SNEEZE)
    assert sneeze is not None
    assert sneeze.description == "Thistle sneezing color"
    assert "Thistle sneezing colour" not in [name.text for name in snomed.synonyms(SNEEZE)]


def test_the_british_edition_speaks_british(store: TerminologyStore, archive: Path) -> None:
    store.install("SNOMED-CT", zipped(archive, rf2(namespace="GB1000000")))
    sneeze = store.get("SNOMED-CT").find(SNEEZE)
    assert sneeze is not None
    assert sneeze.description == "Thistle sneezing colour"


def test_is_a_relationships_make_a_hierarchy_of_several_parents(snomed: Terminology) -> None:
    assert set(snomed.ancestors(BOTH)) == {FEVER, SNEEZE, ROOT}
    assert snomed.ancestors(BOTH)[-1] == ROOT
    assert snomed.children(FEVER) == (BOTH,)
    found = snomed.find(BOTH)
    assert found is not None
    assert found.hierarchy[0] == ROOT


def test_the_extended_map_gives_the_targets_that_hold_without_condition(snomed: Terminology) -> None:
    fever, sneeze = snomed.find(FEVER), snomed.find(SNEEZE)
    assert fever is not None
    assert sneeze is not None
    assert fever.maps_to == {"ICD-10": ("R50.9",)}
    assert sneeze.maps_to == {"ICD-10": ("R06.7",)}


def test_an_inactive_concept_is_found_as_not_valid_and_never_searched(snomed: Terminology) -> None:
    old = snomed.find(OLD)
    assert old is not None
    assert (old.valid, old.description) == (False, "Goblin pox")
    assert snomed.search("goblin pox") == []


def test_concepts_are_searched_by_every_term(snomed: Terminology) -> None:
    assert snomed.search("ague of a peat cutter")[0].code == FEVER
    assert snomed.search("moorland fever and thistle sneezing")[0].code == BOTH
    assert snomed.search("thistle sneezing")[0].code == SNEEZE


def test_opcs_codes_hang_below_their_headings(store: TerminologyStore, archive: Path) -> None:
    done = store.install("OPCS-410", zipped(archive, OPCS))
    assert (done.version, done.effective_date, done.codes) == ("4.10 Nov 2022 V1.0", date(2023, 4, 1), 3)
    opcs = store.get("OPCS-4.10")
    found = opcs.find("A011")
    assert found is not None
    assert (found.code, found.description, found.hierarchy, found.valid) == ("A01.1", "Total excision", ("A01",), True)
    heading = opcs.find("A01")
    assert heading is not None
    assert not heading.billable
    assert opcs.search("total excision of imaginary tissue")[0].code == "A01.1"


def test_achi_codes_have_their_blocks_and_days(store: TerminologyStore, archive: Path) -> None:
    done = store.install("ACHI", zipped(archive, ACHI))
    assert (done.effective_date, done.codes) == (date(2025, 7, 1), 2)
    achi = store.get("ACHI-13")
    found, former = achi.find("9990100"), achi.find("99902-00")
    assert found is not None
    assert former is not None
    assert (found.code, found.hierarchy, found.valid) == ("99901-00", ("Block 8",), True)
    assert (former.valid, former.expiry) == (False, date(2010, 6, 30))
    block = achi.find("Block 8")
    assert block is not None
    assert block.description == "Procedures on moon"
    assert achi.search("excision moon")[0].code == "99901-01"


def test_a_comma_separated_achi_list_is_read_too(store: TerminologyStore, tmp_path: Path) -> None:
    path = tmp_path / "interven.txt"
    path.write_text(ACHI["interven.txt"].replace("\t", ","))
    assert store.install("ACHI-13", path).codes == 2


def test_cpt_codes_of_every_category_are_read_after_the_copyright_notice(
    store: TerminologyStore, archive: Path
) -> None:
    done = store.install("CPT", zipped(archive, CPT))
    assert (done.version, done.codes) == ("2025", 3)
    cpt = store.get("CPT-2025")
    assert cpt.search("imaginary patient office visit")[0].code == "99991"
    assert [name.text for name in cpt.synonyms("99991")] == ["INVENTED OFFICE VISIT 20 MIN", "INVENT VISIT"]
    measure = cpt.find("9999f")
    assert measure is not None
    assert measure.valid


def test_a_long_description_file_by_itself_is_enough_for_cpt(store: TerminologyStore, tmp_path: Path) -> None:
    path = tmp_path / "LONGULT.txt"
    path.write_text(CPT["LONGULT.txt"])
    assert store.install("CPT-2025", path).codes == 3


@pytest.mark.parametrize(
    ("system", "files", "told"),
    [
        ("SNOMED-CT", edited(rf2(), "Concept_", lambda t: t.replace(FEVER, identifier(700001)[:-1] + "3")),
         "sct2_Concept_Snapshot_INT_20260101.txt, line 3: "),
        ("SNOMED-CT", edited(rf2(), "Concept_", lambda t: t.replace("moduleId", "module", 1)),
         "sct2_Concept_Snapshot_INT_20260101.txt, line 1: the columns must be id effectiveTime"),
        ("SNOMED-CT", edited(rf2(), "Description", lambda t: t.replace("\tPeat cutter's ague\t", "\tPeat\tcutter\t")),
         "sct2_Description_Snapshot-en_INT_20260101.txt, line 5: 9 columns are needed, there are 10"),
        ("SNOMED-CT", edited(rf2(), "Description", lambda t: t.replace(SNEEZE, identifier(999999))),
         "line 6: the description is of a concept that the release does not have"),
        ("SNOMED-CT", edited(rf2(), "Relationship", lambda t: t.replace(f"{FEVER}\t{ROOT}", f"{FEVER}\t{BOTH}")),
         "go round in a circle"),
        ("SNOMED-CT", edited(rf2(), "Relationship", lambda t: t[:-30]),
         "sct2_Relationship_Snapshot_INT_20260101.txt, line 6: 10 columns are needed"),
        ("SNOMED-CT", {name: text for name, text in rf2().items() if "Concept" not in name}, "it is no RF2 release"),
        ("SNOMED-CT", edited(rf2(), "Concept_", lambda t: t.replace(ROOT, identifier(5550000))),
         "lacks the root concept"),
        ("OPCS-410", edited(OPCS, "Codes", lambda t: t.replace("A01.9\t", "A01.9 ")), "line 3: a code of OPCS-4"),
        ("OPCS-410", edited(OPCS, "Codes", lambda t: t.replace("Z94\t", "Z95\t")), "line 5: the code's heading"),
        ("OPCS-410", {"OPCS411 CodesAndTitles Nov 2025 V1.0.txt": "A01\tSomething\r\n"}, "release of OPCS-4.11"),
        ("OPCS-410", CPT, "holds 0 files of codes and titles"),
        ("ACHI-13", edited(ACHI, "interven", lambda t: t.replace("1/07/2025", "31/02/2025")),
         "interven.txt, line 3: a day must be written d/m/yyyy"),
        ("ACHI-13", edited(ACHI, "interven", lambda t: t.replace("1/07/2025", "1/07/2022")), "older than ACHI's"),
        ("ACHI-13", edited(ACHI, "interven", lambda t: t.replace("9990101", "9990100")), "line 3: the code stands"),
        ("CPT-2025", edited(CPT, "LONGULT", lambda t: t.replace("copyright 2024", "copyright 2019")), "not CPT 2025"),
        ("CPT-2025", edited(CPT, "LONGULT", lambda t: t.replace("9999F\t", "9999FX")), "LONGULT.txt, line 5: "),
        ("CPT-2025", edited(CPT, "MEDU", lambda t: t.replace("99991 ", "99992 ")), "MEDU.txt, line 2: the code has no"),
        ("CPT-2025", {"LONGULT.txt": "no codes here\r\n"}, "LONGULT.txt, line 1: there is no code of CPT"),
    ],
)  # fmt: skip
def test_a_broken_or_wrong_release_names_its_line_and_leaves_nothing(
    system: str, files: dict[str, str], told: str, store: TerminologyStore, archive: Path, tmp_path: Path
) -> None:
    with pytest.raises(BrokenReleaseError, match=r"Nothing was imported\.$") as caught:
        store.install(system, zipped(archive, files))
    assert told in str(caught.value)
    assert kept(store, tmp_path) == []
    with pytest.raises(TerminologyMissingError):
        store.get(system)


def test_a_failed_import_keeps_the_release_that_was_there(store: TerminologyStore, archive: Path) -> None:
    store.install("SNOMED-CT", zipped(archive, rf2()))
    broken = edited(rf2("20270101"), "Relationship", lambda t: t + "half a li")
    with pytest.raises(BrokenReleaseError):
        store.install("SNOMED-CT", zipped(archive, broken))
    assert [each.version for each in store.installed() if each.system == "SNOMED-CT"] == ["INT 2026-01-01"]
    assert store.get("SNOMED-CT").find(FEVER) is not None


def test_releases_stand_side_by_side_and_the_newest_effective_one_is_used(
    store: TerminologyStore, archive: Path
) -> None:
    for day in ("20260101", "20250101", "29990101"):
        store.install("SNOMED-CT", zipped(archive, rf2(day)))
    versions = [each.version for each in store.installed() if each.system == "SNOMED-CT"]
    assert versions == ["INT 2026-01-01", "INT 2025-01-01", "INT 2999-01-01"]
    assert store.get("SNOMED").version == "INT 2026-01-01"


def test_the_same_release_again_replaces_itself(store: TerminologyStore, archive: Path, tmp_path: Path) -> None:
    store.install("SNOMED-CT", zipped(archive, rf2()))
    store.get("SNOMED-CT")
    again = edited(rf2(), "Description", lambda t: t.replace("Peat cutter's ague", "Bog cutter's ague"))
    store.install("SNOMED-CT", zipped(archive, again))
    assert len(kept(store, tmp_path)) == 1
    assert store.get("SNOMED-CT").search("bog cutter")[0].code == FEVER


def test_a_damaged_archive_is_refused(store: TerminologyStore, archive: Path) -> None:
    whole = zipped(archive, rf2()).read_bytes()
    archive.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BrokenReleaseError, match="damaged or cut off"):
        store.install("SNOMED-CT", archive)
    with zipfile.ZipFile(zipped(archive, rf2())) as opened:
        info = next(i for i in opened.infolist() if "Concept_" in i.filename)
    torn = bytearray(archive.read_bytes())
    start = info.header_offset + 30 + len(info.filename) + 20
    torn[start : start + 40] = bytes(40)
    archive.write_bytes(torn)
    with pytest.raises(BrokenReleaseError, match="the archive is damaged here"):
        store.install("SNOMED-CT", archive)


def test_a_damaged_index_says_what_to_do(store: TerminologyStore, archive: Path, tmp_path: Path) -> None:
    store.install("SNOMED-CT", zipped(archive, rf2()))
    index = next((tmp_path / "terminologies").rglob("*.npz"))
    index.write_bytes(index.read_bytes()[:500])
    with pytest.raises(CorruptedError, match="import the release again"):
        store.get("SNOMED-CT")
    assert store.get("ICD-10-CM").find("I10") is not None


def test_an_archive_that_would_unpack_without_end_is_refused_unread(store: TerminologyStore, archive: Path) -> None:
    bomb = {"Snapshot/sct2_Concept_Snapshot_INT_20260101.txt": "0" * 30_000_000}
    with pytest.raises(BrokenReleaseError, match="far more than a release holds"):
        store.install("SNOMED-CT", zipped(archive, bomb))


def test_what_is_no_file_or_no_system_is_told_apart(store: TerminologyStore, tmp_path: Path) -> None:
    with pytest.raises(UnreadableFileError):
        store.install("SNOMED-CT", tmp_path / "absent.zip")
    with pytest.raises(UnreadableFileError):
        store.install("SNOMED-CT", tmp_path)
    with pytest.raises(UnknownNameError):
        store.install("READ-CODES", tmp_path)
    with pytest.raises(InvalidFieldError, match="comes with Osler"):
        store.install("ICD-10-CM", tmp_path)


def test_a_licensed_system_that_is_missing_says_whose_it_is_and_how_it_is_installed(store: TerminologyStore) -> None:
    with pytest.raises(TerminologyMissingError, match="osler codes import --system CPT-2025 FILE") as caught:
        store.get("CPT-2025")
    assert "American Medical Association" in str(caught.value)
