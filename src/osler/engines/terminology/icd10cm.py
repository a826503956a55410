"""ICD-10-CM from its official files: tabular list (XML), order of codes, neoplasm and drug tables, external causes."""

import re
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Final
from xml.etree.ElementTree import Element  # type only: files are parsed by defusedxml

from defusedxml.ElementTree import parse

from osler.engines.terminology.release import Entry, Release

_NOTES: Final = {
    "inclusionTerm": "inclusion_terms",
    "includes": "includes",
    "excludes1": "excludes1",
    "excludes2": "excludes2",
    "useAdditionalCode": "use_additional",
    "codeFirst": "code_first",
    "codeAlso": "code_also",
    "notes": "notes",
}
_NEOPLASM: Final = {
    "2": ("malignant neoplasm of {}", "cancer of {}"),
    "3": ("secondary malignant neoplasm of {}", "metastasis to {}"),
    "4": ("carcinoma in situ of {}",),
    "5": ("benign neoplasm of {}",),
    "6": ("neoplasm of uncertain behavior of {}",),
    "7": ("neoplasm of unspecified behavior of {}", "mass tumor of {}"),
}
_DRUG: Final = {
    "2": "accidental poisoning by {}",
    "3": "intentional self-harm poisoning by {}",
    "4": "poisoning by {}, assault",
    "5": "poisoning by {}, undetermined",
    "6": "adverse effect of {}",
    "7": "underdosing of {}",
}


def read_icd10cm(
    tabular: Path, order: Path, *, neoplasms: Path, drugs: Path, external_causes: Path, effective: date
) -> Release:
    """Read a release of ICD-10-CM (CDC/NCHS and CMS, public domain).

    ``order`` lists every code, those with a seventh character too; a code that the tabular list does not account for is
    a ValueError, as is one that it makes up. The three tables give names: "cancer of X", "adverse effect of Y".
    """
    root = parse(tabular).getroot()
    entries: list[Entry] = []
    for chapter in root.iter("chapter"):
        number, title = _text(chapter, "name"), _text(chapter, "desc")
        top = Entry(f"Chapter {number}", title, billable=False, notes=_notes(chapter))
        entries.append(top)
        for section in chapter.iter("section"):
            block = Entry(section.attrib["id"], _text(section, "desc"), (top.code,), False, notes=_notes(section))
            diagnoses = section.findall("diag")
            if not diagnoses:
                continue
            if [_text(d, "name") for d in diagnoses] == [block.code]:
                diagnoses[0].attrib["notes_of"] = "section"
                entries += _diagnosis(diagnoses[0], top.code, {}, block.notes)
                continue
            entries.append(block)
            for diagnosis in diagnoses:
                entries += _diagnosis(diagnosis, block.code, {}, {})
    _check(entries, order)
    by_key = {e.code.replace(".", ""): e for e in entries}
    _add_names(by_key, _neoplasm_names(neoplasms), "neoplasm-table")
    _add_names(by_key, _drug_names(drugs), "drug-table")
    _add_names(by_key, _external_names(external_causes), "external-cause-index")
    version = f"FY{_text(root, 'version')} ({effective:%B %Y})"
    licence = "public domain (United States government: CDC/NCHS and CMS)"
    return Release("ICD-10-CM", version, effective, licence, "ICD-10-CM tabular list and tables", entries)


def _diagnosis(
    node: Element, parent: str, seventh: Mapping[str, str], notes: dict[str, tuple[str, ...]]
) -> Iterator[Entry]:
    definition = node.find("sevenChrDef")
    if definition is not None:
        seventh = {e.attrib["char"]: " ".join((e.text or "").split()) for e in definition.findall("extension")}
    below = node.findall("diag")
    code = _text(node, "name")
    own = {kind: (*notes.get(kind, ()), *texts) for kind, texts in {**notes, **_notes(node)}.items()}
    own = own if notes else _notes(node)
    entry = Entry(code, _text(node, "desc"), (parent,), billable=not below and not seventh, notes=own)
    entry.names = [(text, "inclusion") for kind in ("inclusion_terms", "includes") for text in own.get(kind, ())]
    entry.seventh = {} if below else seventh
    yield entry
    for child in below:
        yield from _diagnosis(child, code, seventh, {})


def _notes(node: Element) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for tag, kind in _NOTES.items():
        texts = tuple(_flat(note) for group in node.findall(tag) for note in group.findall("note"))
        if texts:
            found[kind] = texts
    return found


def _check(entries: list[Entry], order: Path) -> None:
    """Keep the seventh characters that are listed (no later encounters after a death), and miss no code."""
    listed = {line.strip() for line in order.read_text(encoding="utf-8").splitlines()}
    listed = {code for code in listed if re.fullmatch(r"[A-Z][0-9A-Z]{2,6}", code)}
    made: set[str] = set()
    for entry in entries:
        key = entry.code.replace(".", "")
        if "-" in key or " " in key:
            continue
        entry.seventh = {char: text for char, text in entry.seventh.items() if f"{key:X<6}{char}" in listed}
        made |= {key, *(f"{key:X<6}{char}" for char in entry.seventh)}
    if made != listed:
        some = sorted(made ^ listed)[:10]
        raise ValueError(f"the tabular list and the list of codes differ in {len(made ^ listed)} codes: {some}")


def _add_names(by_key: dict[str, Entry], names: Iterator[tuple[str, str]], source: str) -> None:
    for code, name in names:
        key = code.replace(".", "").rstrip("-")
        entry = by_key.get(key) or by_key.get(key.rstrip("X"))
        while entry is None and len(key) > 3:
            key = key[:-1]
            entry = by_key.get(key) or by_key.get(key.rstrip("X"))
        if entry is not None and (name, source) not in entry.names:
            entry.names.append((name, source))


def _terms(node: Element, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Element]]:
    title = node.find("title")
    here = (*path, _flat(title) if title is not None else "")
    yield here, node
    for term in node.findall("term"):
        yield from _terms(term, here)


def _neoplasm_names(path: Path) -> Iterator[tuple[str, str]]:
    for main in parse(path).getroot().iter("mainTerm"):
        for titles, node in _terms(main):
            site = " ".join(titles[1:]) or "unspecified site"
            for cell in node.findall("cell"):
                code = (cell.text or "").strip()
                for form in _NEOPLASM.get(cell.attrib["col"], ()) if code[:1].isalpha() else ():
                    yield code, form.format(re.sub(r"\s*(NEC|\*)", "", site))


def _drug_names(path: Path) -> Iterator[tuple[str, str]]:
    for main in parse(path).getroot().iter("mainTerm"):
        for titles, node in _terms(main):
            substance = " ".join(titles)
            for cell in node.findall("cell"):
                code = (cell.text or "").strip()
                if code[:1].isalpha() and cell.attrib["col"] in _DRUG:
                    yield code, _DRUG[cell.attrib["col"]].format(re.sub(r"\s*NEC", "", substance))


def _external_names(path: Path) -> Iterator[tuple[str, str]]:
    for main in parse(path).getroot().iter("mainTerm"):
        for titles, node in _terms(main):
            code = _text(node, "code")
            if code:
                yield code, re.sub(r"\s*NEC\b", "", " ".join(titles))


def _text(node: Element, tag: str) -> str:
    found = node.find(tag)
    return "" if found is None else _flat(found)


def _flat(node: Element) -> str:
    return " ".join(" ".join(node.itertext()).split())
