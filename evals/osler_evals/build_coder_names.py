"""Builds the coder's list of names: ICD-10-CM titles and inclusion terms, and the Disease Ontology's names.

``python -m osler_evals.build_coder_names --data ../shared/data`` needs the package simple-icd-10-cm (tabular list of
April 2026) and writes ``names.tsv.gz`` (words, code, source) beside the coder.
"""

import argparse
import csv
import gzip
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from osler.engines.coder import vocabulary
from osler.engines.coder.vocabulary import bag

_OUT: Final = Path(vocabulary.__file__).parent / "data" / "names.tsv.gz"
_CHAPTERS: Final = frozenset("ABCDEFGHIJKLMNOQRST")
_BRACKETS: Final = re.compile(r"\s*[(\[][^)\]]*[)\]]")
_SIDES: Final = re.compile(r",?\s*\b(right|left|bilateral|unspecified (side|eye|ear|limb))\b( side)?", re.IGNORECASE)
_RESIDUAL: Final = re.compile(r"^other\b|\bother\b|elsewhere classified|^unspecified$|\bnot specified\b", re.IGNORECASE)
_TOO_GENERAL: Final = bag(
    "disease disorder syndrome death axis injury finding symptom infection other history state bite lesion "
    "condition complication exposure examination birth accident"
)
"""Names that would be found everywhere and mean little."""
_LONGEST: Final = 6
"""Words of the longest name: nobody says a longer one in the words of the tabular list."""


def main() -> None:
    """Write the file and say how many names there are."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("-o", type=Path, default=_OUT)
    options = parser.parse_args()
    seen: set[tuple[str, str]] = set()
    lines: list[str] = [
        "# Sources: icd: ICD-10-CM tabular list, April 2026 (CDC/NCHS, public domain); disease-ontology: Human Disease "
        "Ontology (CC0)."
    ]
    for name, code, source in (
        *_of_icd(),
        *_of_disease_ontology(options.data / "disease-ontology"),
    ):
        words = bag(name)
        key = " ".join(sorted(words))
        general = words <= _TOO_GENERAL
        if 0 < len(words) <= _LONGEST and len(key) > 3 and not general and (key, code) not in seen:
            seen.add((key, code))
            lines.append(f"{key}\t{code}\t{source}")
    options.o.write_bytes(gzip.compress("\n".join(lines).encode(), 9, mtime=0))
    print(f"{len(lines) - 1} names in {options.o.stat().st_size} bytes")


def _of_icd() -> Iterator[tuple[str, str, str]]:
    import simple_icd_10_cm as tabular

    codes: list[str] = [c for c in tabular.get_all_codes(with_dots=True) if tabular.is_category_or_subcategory(c)]
    later: list[tuple[str, str, str]] = []
    for code in codes:
        if code[0] not in _CHAPTERS or len(code.replace(".", "")) > (6 if code[0] not in "ST" else 5):
            continue
        title: str = tabular.get_description(code)
        named = tabular.get_parent(code) if _is_one_of_sides(tabular, code) else code
        for name in _variants(title):
            yield name, named, "icd"
        for term in tabular.get_inclusion_term(code):
            later += [(name, named, "icd") for name in _variants(term)]
    yield from later


def _is_one_of_sides(tabular: Any, code: str) -> bool:
    """Say whether a code stands for "unspecified side" beside codes of the sides: the code above has the name."""
    if "unspecified" not in tabular.get_description(code).lower() or len(code) <= 4:
        return False
    return any(
        re.search(r"\b(right|left)\b", tabular.get_description(c))
        for c in tabular.get_children(tabular.get_parent(code))
    )


def _variants(title: str) -> Iterator[str]:
    """Yield the ways to say a title without what only the book says."""
    if _RESIDUAL.search(title):
        return
    plain = _BRACKETS.sub("", title)
    plain = re.split(r",? without\b|,? not intractable", plain)[0]
    plain = re.sub(r"\b(unspecified|NOS|uncomplicated|initial encounter)\b", "", plain, flags=re.IGNORECASE)
    sideless = _SIDES.sub("", plain)
    if sideless != plain:
        return  # the code above, without the side, has the name
    plain = plain.strip(" ,")
    if not plain:
        return
    yield plain
    if "alignant neoplasm" in plain:
        yield re.sub("malignant neoplasm", "cancer", plain, flags=re.IGNORECASE)


def _of_disease_ontology(folder: Path) -> Iterator[tuple[str, str, str]]:
    import simple_icd_10_cm as tabular

    with (folder / "ICD10inDO.tsv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            codes = re.findall(r"ICD10CM:([A-Z][0-9][0-9A-Z.]*)", row["xrefs"])
            if len(codes) == 1 and tabular.is_valid_item(codes[0]):
                yield row["label"], codes[0], "disease-ontology"


if __name__ == "__main__":
    main()
