"""Extracts names of therapeutic drugs from the ICD-10-CM drug table: ``python -m osler_evals.extract_drug_names``."""

import argparse
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

HEADER = """\
# Names of drugs and other therapeutic substances, one lower-case word per line; written by
# osler_evals.extract_drug_names. Kept: single-word main terms with a poisoning code T36-T50 and an adverse-effect code.
# Source: ICD-10-CM Table of Drugs and Chemicals, April 2026 (CDC/NCHS and CMS). Public domain.
"""


def drug_names(table: Path) -> list[str]:
    """Return the sorted names; ``table`` is the XML file of the drug table."""
    names = set()
    for term in ElementTree.parse(table).getroot().iter("mainTerm"):
        codes = {cell.get("col"): cell.text or "" for cell in term.findall("cell")}
        name = (term.findtext("title") or "").strip().lower()
        therapeutic = re.match(r"T(3[6-9]|4\d|50)", codes.get("2", "")) and codes.get("6", "--").startswith("T")
        if therapeutic and re.fullmatch(r"[a-z]{5,}", name):
            names.add(name)
    return sorted(names)


def main() -> None:
    """Write the data file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds icd10cm/")
    parser.add_argument("-o", "--output", type=Path, default=Path("src/osler/speech/data/icd10cm_drug_names.txt"))
    arguments = parser.parse_args()
    (table,) = sorted((arguments.data / "icd10cm").glob("icd10cm-drug-*.xml"))
    names = drug_names(table)
    arguments.output.write_text(HEADER + "".join(f"{name}\n" for name in names), "utf-8")
    print(f"{len(names)} names")


if __name__ == "__main__":
    main()
