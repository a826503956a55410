"""SNOMED CT from Release Format 2, snapshot files (SNOMED International, "Release File Specification").

Read are concepts, descriptions, inferred is-a relationships, language reference sets and the extended maps to ICD-10.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from osler.engines.terminology.release import Entry, Release
from osler.engines.terminology.release_file import ReleaseFile, day
from osler.kernel.errors import BrokenReleaseError

LICENCE: Final = "SNOMED CT Affiliate Licence (SNOMED International and its members)"
_ROOT: Final = "138875005"
_IS_A: Final = "116680003"
_NAME, _SYNONYM = "900000000000003001", "900000000000013009"
"""Types of descriptions: fully specified name, synonym."""
_PREFERRED: Final = "900000000000548007"
_AMERICAN, _BRITISH = "900000000000509007", "900000000000508004"
"""Language reference sets."""
_MAPS: Final = {
    "447562003": "ICD-10",
    "999002271000000101": "ICD-10",
    "6011000124106": "ICD-10-CM",
    "1382401000000109": "OPCS-410",
}
"""Reference sets of extended maps: international and United Kingdom ICD-10, United States ICD-10-CM, OPCS-4.10."""

_COMMON: Final = ("id", "effectiveTime", "active", "moduleId")
_CONCEPT: Final = (*_COMMON, "definitionStatusId")
_DESCRIPTION: Final = (*_COMMON, "conceptId", "languageCode", "typeId", "term", "caseSignificanceId")
_RELATIONSHIP: Final = (
    *_COMMON, "sourceId", "destinationId", "relationshipGroup", "typeId", "characteristicTypeId", "modifierId",
)  # fmt: skip
_LANGUAGE: Final = (*_COMMON, "refsetId", "referencedComponentId", "acceptabilityId")
_MAP: Final = (
    *_COMMON, "refsetId", "referencedComponentId", "mapGroup", "mapPriority", "mapRule", "mapAdvice", "mapTarget",
    "correlationId", "mapCategoryId",
)  # fmt: skip
_FILE: Final = r"x?(?:sct2|der2)_{}_(?P<namespace>[A-Z0-9]+)_(?P<day>\d{{8}})\.txt"
_COMMON_TAGS: Final = {"disorder": 1.0, "finding": 1.0, "situation": 0.98, "event": 0.97, "procedure": 0.95}
_OTHER_TAG: Final = 0.85
"""How likely concepts of a semantic tag are what a note means, beside disorders."""


def read_rf2(files: Sequence[ReleaseFile]) -> Release:
    """Read a release. Raises BrokenReleaseError, which names file and line."""
    concepts = _files(files, r"Concept_Snapshot(?:-en)?", needed="sct2_Concept_Snapshot file")
    descriptions = _files(files, r"Description_Snapshot(?:-en[A-Za-z-]*)?", needed="sct2_Description_Snapshot file")
    relationships = _files(files, r"Relationship_Snapshot", needed="sct2_Relationship_Snapshot file")
    languages = _files(files, r"cRefset_Language(?:Refset)?Snapshot(?:-en[A-Za-z-]*)?")
    maps = _files(files, r"(?:iisssccRefset_ExtendedMap|iisssciRefset_ExtendedMap)Snapshot")

    entries: dict[str, Entry] = {}
    for file, number, row in _rows(concepts, _CONCEPT):
        if not _is_identifier(row[0]):
            raise file.broken(number, "the identifier of the concept is none of SNOMED CT: its check digit is wrong")
        since = day(row[1])
        if since is None or row[2] not in ("0", "1"):
            raise file.broken(number, "effectiveTime or active is not what RF2 says")
        entries[row[0]] = Entry(row[0], "", active=row[2] == "1", effective=since)
    if _ROOT not in entries:
        raise BrokenReleaseError(
            "The release lacks the root concept of SNOMED CT: give a whole edition, not an extension alone. "
            "Nothing was imported."
        )
    newest, namespace = max((match["day"], match["namespace"]) for match in map(_matched, concepts))
    british = namespace.startswith(("GB", "AU", "IE", "NZ"))
    _name(entries, descriptions, _preferred(languages, _BRITISH if british else _AMERICAN))
    _relate(entries, relationships)
    _map(entries, maps)
    effective = day(newest)
    if effective is None:
        raise BrokenReleaseError("The names of the release's files have no date. Nothing was imported.")
    return Release(
        "SNOMED-CT", f"{namespace} {effective:%Y-%m-%d}", effective, LICENCE, "RF2 snapshot", _ordered(entries)
    )


def _files(files: Sequence[ReleaseFile], content: str, *, needed: str = "") -> list[ReleaseFile]:
    found = [file for file in files if re.fullmatch(_FILE.format(content), file.name)]
    if needed and not found:
        raise BrokenReleaseError(f"The archive has no {needed}: it is no RF2 release. Nothing was imported.")
    return found


def _matched(file: ReleaseFile) -> re.Match[str]:
    match = re.fullmatch(_FILE.format(r".*?"), file.name)
    assert match is not None, "files are found by this pattern"
    return match


def _rows(files: Iterable[ReleaseFile], head: tuple[str, ...]) -> Iterator[tuple[ReleaseFile, int, list[str]]]:
    for file in files:
        number = 0
        for number, line in file.lines():
            row = line.split("\t")
            if number == 1:
                if tuple(row) != head:
                    raise file.broken(1, f"the columns must be {' '.join(head)}")
                continue
            if len(row) != len(head):
                raise file.broken(number, f"{len(head)} columns are needed, there are {len(row)}")
            yield file, number, row
        if number < 1:
            raise file.broken(1, "the file is empty")


def _preferred(languages: Iterable[ReleaseFile], refset: str) -> tuple[dict[str, bool], bool]:
    """For each description whether it is the preferred one in the wanted dialect, and whether that was found at all."""
    wanted: dict[str, bool] = {}
    others: dict[str, bool] = {}
    for _, _, row in _rows(languages, _LANGUAGE):
        if row[2] == "1":
            (wanted if row[4] == refset else others)[row[5]] = row[6] == _PREFERRED
    return (wanted, True) if wanted else (others, bool(others))


def _name(entries: dict[str, Entry], files: Iterable[ReleaseFile], preferred: tuple[dict[str, bool], bool]) -> None:
    accepted, known = preferred
    fully: dict[str, str] = {}
    best: dict[str, str] = {}
    for file, number, row in _rows(files, _DESCRIPTION):
        if row[2] != "1" or not row[5].startswith("en"):
            continue
        entry = entries.get(row[4])
        if entry is None:
            raise file.broken(number, "the description is of a concept that the release does not have")
        if not row[7].strip():
            raise file.broken(number, "the term is empty")
        if row[6] == _NAME:
            fully.setdefault(row[4], row[7])
        elif row[6] == _SYNONYM and (not known or row[0] in accepted or not entry.active):
            entry.names.append((row[7], "synonym"))
            if accepted.get(row[0]):
                best[row[4]] = row[7]
    for code, entry in entries.items():
        name = fully.get(code, "")
        bare = re.sub(r" \([^()]*\)$", "", name)
        entry.description = best.get(code) or bare or next((text for text, _ in entry.names), "")
        entry.names = [(text, source) for text, source in entry.names if text != entry.description]
        if bare and bare != entry.description:
            entry.names.append((bare, "synonym"))
        if name != bare:
            entry.notes["notes"] = (f"Fully specified name: {name}",)
            entry.likelihood = _COMMON_TAGS.get(name[len(bare) + 2 : -1], _OTHER_TAG)


def _relate(entries: dict[str, Entry], files: Iterable[ReleaseFile]) -> None:
    parents: dict[str, list[str]] = defaultdict(list)
    for file, number, row in _rows(files, _RELATIONSHIP):
        if row[2] == "1" and row[7] == _IS_A:
            if row[4] not in entries or row[5] not in entries:
                raise file.broken(number, "the relationship is of a concept that the release does not have")
            parents[row[4]].append(row[5])
    for code, above in parents.items():
        entries[code].parents = tuple(dict.fromkeys(above))


def _map(entries: dict[str, Entry], files: Iterable[ReleaseFile]) -> None:
    """Keep the targets that hold without a further condition, in the order of groups."""
    found: dict[str, dict[str, list[tuple[int, str]]]] = defaultdict(lambda: defaultdict(list))
    for file, number, row in _rows(files, _MAP):
        system = _MAPS.get(row[4])
        if row[2] != "1" or system is None or not row[10] or row[8] not in ("TRUE", "OTHERWISE TRUE"):
            continue
        if not row[6].isdigit():
            raise file.broken(number, "mapGroup is no number")
        found[row[5]][system].append((int(row[6]), row[10]))
    for code, systems in found.items():
        if code in entries:
            entries[code].maps_to = {
                system: tuple(dict.fromkeys(target for _, target in sorted(targets)))
                for system, targets in systems.items()
            }


def _ordered(entries: dict[str, Entry]) -> list[Entry]:
    """Entries, those above before those below; a circle among them is a fault of the release."""
    order: list[Entry] = []
    left = {code: sum(parent in entries for parent in entry.parents) for code, entry in entries.items()}
    below: dict[str, list[str]] = defaultdict(list)
    for code, entry in entries.items():
        for parent in entry.parents:
            below[parent].append(code)
    ready = [code for code, count in left.items() if not count]
    while ready:
        code = ready.pop()
        order.append(entries[code])
        for child in below[code]:
            left[child] -= 1
            if not left[child]:
                ready.append(child)
    if len(order) != len(entries):
        raise BrokenReleaseError("The is-a relationships of the release go round in a circle. Nothing was imported.")
    return order


_D5: Final = (
    "0123456789", "1234067895", "2340178956", "3401289567", "4012395678",
    "5987604321", "6598710432", "7659821043", "8765932104", "9876543210",
)  # fmt: skip
_SHIFT: Final = (
    "0123456789", "1576283094", "5803796142", "8916043527", "9453126870", "4286573901", "2793806415", "7046913258",
)  # fmt: skip


def _is_identifier(text: str) -> bool:
    """Say whether a text is an SCTID: 6 to 18 digits, the last by Verhoeff's scheme (dihedral group D5)."""
    if not re.fullmatch(r"[1-9]\d{5,17}", text):
        return False
    check = 0
    for place, digit in enumerate(reversed(text)):
        check = int(_D5[check][int(_SHIFT[place % 8][int(digit)])])
    return check == 0
