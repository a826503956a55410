"""``osler codes``: what its user sees, its exit codes, and what an import leaves behind."""

import json
from pathlib import Path
from typing import Any

import pytest

from osler.cli import exits
from osler.kernel import errors
from tests.integration.cli import Finished, osler
from tests.terminology_lab import FEVER, SNEEZE, rf2, zipped


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty data folder."""
    monkeypatch.setenv("OSLER_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def told(finished: Finished) -> Any:
    assert finished.code == 0, finished.err
    return json.loads(finished.out)


def refused(finished: Finished, error: type[errors.OslerError]) -> str:
    assert finished.code == exits.CODES[error], finished.err
    assert finished.is_one_clear_line()
    assert finished.out == ""
    return finished.err


def test_codes_are_found_by_words_and_shown_as_a_table_or_as_json() -> None:
    table = osler("codes", "search", "high", "blood", "pressure")
    assert table.code == 0
    assert table.out.splitlines()[1].startswith("I10")
    data = told(osler("codes", "search", "sugar diabetes", "--system", "icd10cm", "-n", "3", "--json"))
    assert data["coding_system"] == "ICD-10-CM"
    assert len(data["matches"]) == 3
    assert data["matches"][0] | {"score": 0} == {
        "code": "E11.9",
        "description": "Type 2 diabetes mellitus without complications",
        "score": 0,
        "matched_text": "sugar diabetes",
        "valid": True,
    }
    assert "No code" in osler("codes", "search", "zzqx").out


def test_a_code_is_shown_with_its_hierarchy_notes_and_seventh_characters(tmp_path: Path) -> None:
    shown = osler("codes", "show", "s52501a").out
    assert "S52.501A  Unspecified fracture of the lower end of right radius, initial encounter" in shown
    assert "S50-S59" in shown
    assert "traumatic amputation of forearm (S58.-)" in shown
    assert "  S  sequela" in shown
    out = tmp_path / "code.json"
    assert osler("codes", "show", "E11", "--json", "-o", out).code == 0
    data = json.loads(out.read_text())
    assert (data["valid"], data["billable"]) == (False, False)
    assert {"code": "E08-E13", "description": "Diabetes mellitus (E08-E13)"} in data["hierarchy"]
    assert "E11.9" in data["children"]
    assert "type 1 diabetes mellitus (E10.-)" in data["excludes1"]


def test_what_does_not_exist_is_one_line_and_an_exit_code(tmp_path: Path) -> None:
    assert "osler codes search" in refused(osler("codes", "show", "E11.99"), errors.NotFoundError)
    assert "ICD-10-CM, ICD-10" in refused(osler("codes", "search", "x", "-s", "READ"), errors.UnknownNameError)
    line = refused(osler("codes", "search", "x", "--system", "OPCS-410"), errors.TerminologyMissingError)
    assert "osler codes import --system OPCS-410 FILE" in line
    absent = osler("codes", "import", "--system", "SNOMED", tmp_path / "absent.zip")
    assert "absent" not in refused(absent, errors.UnreadableFileError)


def test_a_release_is_imported_searched_shown_and_listed(tmp_path: Path, data: Path) -> None:
    done = told(osler("codes", "import", "--system", "SNOMED", zipped(tmp_path / "r.zip", rf2()), "--json"))
    assert (done["system"], done["version"], done["codes"]) == ("SNOMED-CT", "INT 2026-01-01", 4)
    assert done["in_use"] == done["version"]
    matches = told(osler("codes", "search", "peat cutters ague", "-s", "SNOMED-CT", "--json"))["matches"]
    assert matches[0]["code"] == FEVER
    shown = osler("codes", "show", SNEEZE, "-s", "SNOMED-CT").out
    assert "Maps to ICD-10: R06.7" in shown
    earlier = osler("codes", "import", "--system", "SNOMED-CT", zipped(tmp_path / "e.zip", rf2("20250101")))
    assert "In use is still INT 2026-01-01" in earlier.out
    systems = {each["system"]: each for each in told(osler("codes", "systems", "--json"))["systems"]}
    assert [r["version"] for r in systems["SNOMED-CT"]["releases"]] == ["INT 2026-01-01", "INT 2025-01-01"]
    assert systems["ICD-10-CM"]["releases"][0]["effective_date"] == "2026-04-01"
    assert systems["CPT-2025"] == {"system": "CPT-2025", "licensed": True, "releases": []}
    assert sorted(p.suffix for p in (data / "terminologies" / "snomed-ct").iterdir()) == [".npz", ".npz"]


def test_a_broken_release_names_its_line_and_changes_nothing(tmp_path: Path, data: Path) -> None:
    files = {name: text.replace("\tPeat cutter's ague\t", "\tPeat\tcutter\t") for name, text in rf2().items()}
    line = refused(
        osler("codes", "import", "--system", "SNOMED-CT", zipped(tmp_path / "secret name.zip", files)),
        errors.BrokenReleaseError,
    )
    assert "sct2_Description_Snapshot-en_INT_20260101.txt, line 5: 9 columns are needed, there are 10" in line
    assert "secret" not in line
    assert "ague" not in line
    assert not list(data.rglob("*.npz"))
