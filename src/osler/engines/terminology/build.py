"""Builds the index files that come with Osler: ``python -m osler.engines.terminology.build --data DIR``."""

import argparse
import csv
import re
from datetime import date
from importlib import metadata
from pathlib import Path
from typing import Final

from osler.engines.terminology import icd9cm
from osler.engines.terminology.icd9cm import read_icd9cm
from osler.engines.terminology.icd10cm import read_icd10cm
from osler.engines.terminology.lexicon import clinical_phrases, lay_phrases
from osler.engines.terminology.release import Release
from osler.engines.terminology.writing import key, write_index

DATA: Final = Path(__file__).parent / "data"


def icd10cm(data: Path) -> Release:
    """ICD-10-CM of April 2026 with names from its tables, the Disease Ontology and the lay lexicon."""
    wheel, tables = "simple-icd-10-cm", data / "icd10cm"
    release = read_icd10cm(
        of_wheel(wheel, "simple_icd_10_cm/data/icd10c-tabular-April-1-2026.xml"),
        of_wheel(wheel, "simple_icd_10_cm/data/code-list-April-2026.txt"),
        neoplasms=tables / "icd10cm-neoplasm-April-1-2026-XML.xml",
        drugs=tables / "icd10cm-drug-April-1-2026-XML.xml",
        external_causes=tables / "icd10cm-eindex-April-1-2026-XML.xml",
        effective=date(2026, 4, 1),
    )
    entries = {key(entry.code): entry for entry in release.entries}
    for name, code in _disease_ontology(data / "disease-ontology" / "ICD10inDO.tsv"):
        if key(code) in entries:
            entries[key(code)].names.append((name, "disease-ontology"))
    for phrase in lay_phrases():
        entries[key(phrase.code)].names.append((phrase.phrase, "lay"))
    for text, code in clinical_phrases():
        entries[key(code)].names.append((text, "clinical"))
    return release


def of_wheel(distribution: str, path: str) -> Path:
    """Return a data file of an installed distribution. Raises metadata.PackageNotFoundError."""
    return Path(str(metadata.distribution(distribution).locate_file(path)))


def _disease_ontology(path: Path) -> list[tuple[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    return [
        (row["label"], code)
        for row in rows
        if not row["label"].startswith("obsolete")
        for code in re.findall(r"ICD10CM:([A-Z0-9.]+)", row["xrefs"])
    ]


def main() -> None:
    """Write the index files into the package."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with icd10cm/ and disease-ontology/")
    parser.add_argument("--into", type=Path, default=DATA, help="folder of the index files")
    options = parser.parse_args()
    for release in (icd10cm(options.data), read_icd9cm(of_wheel(icd9cm.WHEEL, icd9cm.WHEEL_FILE))):
        write_index(release, options.into / f"{release.system.lower()}.npz", compress=True)


if __name__ == "__main__":
    main()
