"""The marks of list paragraphs in docx: bullets, and numbers that are counted along (ISO/IEC 29500-1, 17.9)."""

import re
from typing import Final
from xml.etree.ElementTree import Element

from osler.engines.documents.xml_names import attribute, child, children

_BULLET: Final = "- "
_INDENT: Final = "  "
_LEVELS: Final = 9
_ROMAN: Final = ((10, "x"), (9, "ix"), (5, "v"), (4, "iv"), (1, "i"))


class Numbering:
    """Knows the lists of a document, and counts their paragraphs."""

    def __init__(self, numbering: Element | None, styles: Element | None) -> None:
        self._levels: dict[str, dict[int, Element]] = {}
        self._styles: dict[str, Element] = {}
        self._counts: dict[str, list[int]] = {}
        if numbering is not None:
            abstract = {attribute(each, "abstractNumId"): _levels(each) for each in children(numbering, "abstractNum")}
            for each in children(numbering, "num"):
                link = child(each, "abstractNumId")
                if link is not None:
                    self._levels[attribute(each, "numId")] = abstract.get(attribute(link, "val"), {})
        if styles is not None:
            self._styles = {attribute(style, "styleId"): style for style in children(styles, "style")}

    def mark(self, properties: Element | None) -> str:
        """Return what stands before a list paragraph's text, with the blank after it; empty for any other paragraph."""
        found = self._list_of(properties)
        if found is None:
            return ""
        list_id, level = found
        levels = self._levels.get(list_id, {})
        indent = _INDENT * level
        form = _form(levels.get(level))
        if form in ("bullet", "none", ""):
            return indent + (_BULLET if form == "bullet" else "")
        counts = self._counts.setdefault(list_id, [0] * _LEVELS)
        counts[level] = counts[level] + 1 if counts[level] else _start(levels.get(level))
        counts[level + 1 :] = [0] * (_LEVELS - level - 1)

        def number(match: "re.Match[str]") -> str:
            which = int(match[1]) - 1
            if not 0 <= which < _LEVELS:
                return ""
            return _written(counts[which] or 1, _form(levels.get(which)))

        text = child(levels.get(level), "lvlText")
        pattern = attribute(text, "val") if text is not None else f"%{level + 1}."
        return indent + re.sub(r"%(\d)", number, pattern) + " "

    def _list_of(self, properties: Element | None) -> tuple[str, int] | None:
        """Return list and level of a paragraph, from itself or from its style; None if it is in no list."""
        level: int | None = None
        for _ in range(20):  # styles are based on each other, in circles if the file is forged
            link = child(properties, "numPr")
            given, chosen = child(link, "numId"), child(link, "ilvl")
            if chosen is not None and level is None:
                level = _number(attribute(chosen, "val"))
            if given is not None:
                list_id = attribute(given, "val")
                return None if list_id == "0" else (list_id, min(max(level or 0, 0), _LEVELS - 1))
            name = child(properties, "pStyle")
            style = self._styles.get(attribute(name, "val")) if name is not None else None
            if style is None:
                return None
            based = child(style, "basedOn")
            properties = child(style, "pPr")
            if child(child(properties, "numPr"), "numId") is None and based is not None:
                properties = Element("pPr")
                properties.append(Element("pStyle", {"val": attribute(based, "val")}))
        return None


def _levels(abstract: Element) -> dict[int, Element]:
    return {_number(attribute(level, "ilvl")): level for level in children(abstract, "lvl")}


def _form(level: Element | None) -> str:
    form = child(level, "numFmt")
    return attribute(form, "val") if form is not None else ""


def _start(level: Element | None) -> int:
    start = child(level, "start")
    return _number(attribute(start, "val"), 1) if start is not None else 1


def _number(text: str, otherwise: int = 0) -> int:
    return int(text) if re.fullmatch(r"\d{1,6}", text) else otherwise


def _written(number: int, form: str) -> str:
    """Write a number in letters or Roman digits where the list does; beyond 26 or 39 in Arabic ones."""
    if form in ("lowerLetter", "upperLetter") and 1 <= number <= 26:
        letter = chr(ord("a") + number - 1)
        return letter if form == "lowerLetter" else letter.upper()
    if form in ("lowerRoman", "upperRoman") and 1 <= number <= 39:
        rest, digits = number, ""
        for value, sign in _ROMAN:
            while rest >= value:
                digits, rest = digits + sign, rest - value
        return digits if form == "lowerRoman" else digits.upper()
    return str(number)
