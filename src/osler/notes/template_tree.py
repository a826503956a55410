"""A parsed template as a plain tree: sections, lines, and parts that know where they stand in the text."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

CAPITALS: Final = 7
BOLD: Final = 8
LABEL: Final = 9
"""Levels of headings without ``#``, below those with: a line in capitals, in bold, ending with a colon."""


class PartKind(StrEnum):
    """What a piece of a line is."""

    LITERAL = "literal"
    PLACEHOLDER = "placeholder"
    INSTRUCTION = "instruction"
    VERBATIM = "verbatim"


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a line. ``text`` is what it says, without delimiters and escapes; ``source`` what its author wrote.

    ``id`` is that of a placeholder (``p1``, ``p2`` ... in the order of the text), else empty. ``line`` and ``column``
    count from 1, in code points.
    """

    kind: PartKind
    text: str
    source: str
    line: int
    column: int
    id: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """A line: indentation, list mark, parts, line end. A blank line has no parts; a divider (``---``) neither."""

    indent: str
    mark: str
    """The list mark as written, with the white space behind it; empty for none."""
    parts: tuple[Part, ...]
    end: str

    @property
    def source(self) -> str:
        """The line as its author wrote it."""
        return f"{self.indent}{self.mark}{''.join(part.source for part in self.parts)}{self.end}"

    def of(self, *kinds: PartKind) -> tuple[Part, ...]:
        """Return the parts of these kinds."""
        return tuple(part for part in self.parts if part.kind in kinds)


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and the lines up to the next one.

    ``level``: 1 to 6 as many ``#`` as there are, or CAPITALS, BOLD, LABEL. 0 and no heading: the text before the first
    one. A section without heading further down goes on with what a divider or a blank line under a label closed.
    What follows with a higher level is below it.
    """

    level: int
    heading: Line | None
    lines: tuple[Line, ...]

    @property
    def title(self) -> str:
        """The heading's own words, without marks, placeholders and instructions; empty without a heading."""
        if self.heading is None:
            return ""
        words = "".join(part.text for part in self.heading.of(PartKind.LITERAL, PartKind.VERBATIM))
        return re.sub(r"\s+", " ", words.strip().strip("*").strip().rstrip(":").strip("*").strip())


@dataclass(frozen=True, slots=True)
class PlaceholderUse:
    """A placeholder with what steers it: the headings above (outermost first), its label, the instructions.

    ``label`` is the text before it on its line, from the placeholder before; ``instructions`` are those of its line,
    then those on lines of their own in its section, then its heading's.
    """

    part: Part
    headings: tuple[str, ...]
    label: str
    instructions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TemplateText:
    """A parsed template: its sections in order, flat; see :class:`Section` for which is below which."""

    sections: tuple[Section, ...]

    @property
    def text(self) -> str:
        """The text as its author wrote it, rebuilt from the tree."""
        return "".join(line.source for section in self.sections for line in lines_of(section))

    @property
    def placeholders(self) -> tuple[Part, ...]:
        """All placeholders in order."""
        return tuple(p for s in self.sections for line in lines_of(s) for p in line.of(PartKind.PLACEHOLDER))

    def uses(self) -> Iterator[PlaceholderUse]:
        """Yield all placeholders in order, each with what steers it."""
        above: list[Section] = []
        for section in self.sections:
            while above and above[-1].level >= section.level:
                above.pop()
            above.append(section)
            headings = tuple(each.title for each in above if each.title)
            of_heading = _instructions(section.heading) if section.heading else ()
            own = tuple(text for line in section.lines if _steers_all(line) for text in _instructions(line))
            for line in lines_of(section):
                label = ""
                of_line = () if line is section.heading else _instructions(line)
                for part in line.parts:
                    if part.kind is PartKind.PLACEHOLDER:
                        yield PlaceholderUse(part, headings, label.strip(), (*of_line, *own, *of_heading))
                        label = ""
                    elif part.kind is PartKind.LITERAL:
                        label += part.text

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types: the text, and its sections with their lines; blank lines are left out."""
        return {"text": self.text, "sections": [_section_json(section) for section in self.sections if _says(section)]}


def lines_of(section: Section) -> tuple[Line, ...]:
    """Return the heading's line, if there is one, and the others."""
    return section.lines if section.heading is None else (section.heading, *section.lines)


def _instructions(line: Line) -> tuple[str, ...]:
    return tuple(part.text for part in line.of(PartKind.INSTRUCTION))


def _steers_all(line: Line) -> bool:
    return bool(line.parts) and not any(
        part.text.strip() for part in line.parts if part.kind is not PartKind.INSTRUCTION
    )


def _says(section: Section) -> bool:
    return section.heading is not None or any(line.parts for line in section.lines)


def _section_json(section: Section) -> dict[str, Any]:
    heading = None if section.heading is None else section.title
    return {
        "heading": heading,
        "level": section.level,
        "heading_parts": [] if section.heading is None else [_part_json(part) for part in section.heading.parts],
        "lines": [
            {
                "indent": len(line.indent.expandtabs(4)),
                "mark": line.mark.strip(),
                "parts": [_part_json(part) for part in line.parts],
            }
            for line in section.lines
            if line.parts
        ],
    }


def _part_json(part: Part) -> dict[str, str]:
    data = {"type": part.kind.value, "text": part.text}
    return {**data, "id": part.id} if part.id else data
