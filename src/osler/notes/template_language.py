"""The language that templates are written in: text to a plain tree and back, with exact places of what is wrong.

``[placeholder]`` is filled from the visit or left out, ``(instruction)`` steers the writer and is never shown,
``"quoted text"`` is copied; headings and list marks are kept. docs/reference/template-language.md has the grammar.
"""

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from osler.kernel.errors import InvalidFieldError

MOST_TEXT: Final = 50_000
MOST_PLACEHOLDERS: Final = 300
MOST_PLACEHOLDER: Final = 1_000
MOST_INSTRUCTION: Final = 4_000
MOST_VERBATIM: Final = 10_000
MOST_HEADING: Final = 200
MOST_PROBLEMS: Final = 100

CAPITALS: Final = 7
BOLD: Final = 8
LABEL: Final = 9
"""Levels of headings without ``#``, below those with: a line in capitals, in bold, ending with a colon."""

_INDENT: Final = re.compile(r"\ufeff?[ \t]*")
_BLANK: Final = re.compile(r"[ \t]*(?=\r?\n|\Z)")
_LINE_END: Final = re.compile(r"\r?\n")
_PARAGRAPH_END: Final = re.compile(r"\r?\n[ \t]*(?:\r?\n|\Z)|\Z")
_HEADING: Final = re.compile(r"#{1,6}(?:[ \t]+|(?=\r?\n|\Z))")
_DIVIDER: Final = re.compile(r"-{3,}[ \t]*(?=\r?\n|\Z)")
_MARK: Final = re.compile(r"(?:[-*+•–]|\d{1,3}[.)]|[A-Za-z]\))[ \t]+(?=\S)")
_ESCAPE: Final = re.compile(r"\\([!-/:-@\[-`{-~“”])")
_SPECIAL: Final = re.compile(r'\\|[][()"“”]|\r?\n')
_CLOSING_QUOTE: Final = {'"': '"', "“": "”"}
_NOT_TEXT: Final = ("Cc", "Cs", "Zl", "Zp")


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
class Problem:
    """Something wrong at a place of the text. A warning does not keep a template from being used."""

    line: int
    column: int
    message: str
    is_warning: bool = False

    def __str__(self) -> str:
        """Say it in one line, the place first."""
        return f"line {self.line}, column {self.column}: {self.message}"


@dataclass(frozen=True, slots=True)
class PlaceholderUse:
    """A placeholder with what steers it: the headings above (outermost first), its label, the instructions.

    ``label`` is the text before it on its line; ``instructions`` are those of its line, then those on lines of their
    own in its section, then its heading's.
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
                for number, part in enumerate(line.parts):
                    if part.kind is PartKind.PLACEHOLDER:
                        before = "".join(p.text for p in line.parts[:number] if p.kind is PartKind.LITERAL)
                        of_line = () if line is section.heading else _instructions(line)
                        yield PlaceholderUse(part, headings, before.strip(), (*of_line, *own, *of_heading))

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types: the text, and its sections with their lines; blank lines are left out."""
        return {"text": self.text, "sections": [_section_json(section) for section in self.sections if _says(section)]}


def lines_of(section: Section) -> tuple[Line, ...]:
    """Return the heading's line, if there is one, and the others."""
    return section.lines if section.heading is None else (section.heading, *section.lines)


def parse(text: str) -> TemplateText:
    """Return the tree of a template. Raises InvalidFieldError, which names the first place that is wrong."""
    tree, problems = read(text)
    wrong = [problem for problem in problems if not problem.is_warning]
    if wrong:
        more = f" ({len(wrong) - 1} more; osler template check shows all)" if len(wrong) > 1 else ""
        raise InvalidFieldError("template", f"The template has an error in {wrong[0]}{more}")
    return tree


def read(text: str) -> tuple[TemplateText, tuple[Problem, ...]]:
    """Return the tree, and what is wrong with the text, in its order.

    Whatever is wrong, there is a tree, and its text is the one given. What is not closed ends with its line; a quote
    that is not closed is a character like others.
    """
    if len(text) > MOST_TEXT:
        problem = Problem(1, 1, f"the template is longer than {MOST_TEXT} characters; shorten it or make two of it")
        return TemplateText(()), (problem,)
    reader = _Reader(text)
    tree = reader.read()
    return tree, tuple(sorted(reader.problems, key=lambda each: (each.line, each.column))[:MOST_PROBLEMS])


@dataclass(slots=True)
class _Reader:
    text: str
    position: int = 0
    count: int = 0
    problems: list[Problem] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)

    def read(self) -> TemplateText:
        self.starts = [0, *(match.end() for match in _LINE_END.finditer(self.text))]
        self._check_characters()
        lines: list[tuple[int, Line]] = []
        while self.position < len(self.text):
            lines.append(self._line())
        tree = TemplateText(_sections(lines))
        self._check_whole(tree)
        return tree

    def _wrong(self, at: int, message: str, *, is_warning: bool = False) -> None:
        self.problems.append(Problem(*self._place(at), message, is_warning))

    def _place(self, at: int) -> tuple[int, int]:
        line = bisect_right(self.starts, at)
        return line, at - self.starts[line - 1] + 1

    def _check_characters(self) -> None:
        for match in re.finditer(r"[^\t\n\r -~]|\r(?!\n)", self.text):
            if unicodedata.category(match.group()) in _NOT_TEXT:
                self._wrong(match.start(), "a character that is not text; delete it")

    def _line(self) -> tuple[int, Line]:
        """Read one line; quoted text and instructions may make it go on over several of the text's."""
        text, level, mark = self.text, 0, ""
        parts: tuple[Part, ...] = ()
        indent = _take(_INDENT, text, self.position)
        start = self.position + len(indent)
        if _BLANK.match(text, start):
            self.position = start
        elif divider := _DIVIDER.match(text, start):
            level, mark, self.position = -1, divider.group(), divider.end()
        else:
            heading = _HEADING.match(text, start) if "\t" not in indent and len(indent) < 4 else None
            mark = heading.group() if heading else _take(_MARK, text, start)
            self.position = start + len(mark)
            parts = tuple(self._parts())
            if heading:
                level = heading.group().count("#")
            elif not mark and not indent.strip("\ufeff"):
                level = _level_without_mark(parts)
            if level > 0:
                self._check_heading(start, parts)
        end = _take(_LINE_END, text, self.position)
        self.position += len(end)
        return level, Line(indent, mark, parts, end)

    def _parts(self) -> Iterator[Part]:
        """Read parts up to the end of the line."""
        text, literal = self.text, self.position
        while match := _SPECIAL.search(text, self.position):
            at, sign = match.start(), match.group()
            if sign in ("\n", "\r\n"):
                break
            if sign == "\\":
                escape = _ESCAPE.match(text, at)
                self.position = escape.end() if escape else at + 1
                continue
            if sign in "])”":
                self._wrong(at, f"{sign} closes nothing; write \\{sign} for the character itself")
                self.position = at + 1
                continue
            part = self._delimited(at, sign)
            if part is None:  # a quote that is not closed
                self.position = at + 1
                continue
            if at > literal:
                yield self._literal(literal, at)
            yield part
            self.position = literal = at + len(part.source)
        stop = match.start() if match else len(text)
        self.position = stop
        if stop > literal:
            yield self._literal(literal, stop)

    def _literal(self, start: int, stop: int) -> Part:
        source = self.text[start:stop]
        return Part(PartKind.LITERAL, _ESCAPE.sub(r"\1", source), source, *self._place(start))

    def _delimited(self, at: int, sign: str) -> Part | None:
        if sign == "[":
            return self._placeholder(at)
        if sign == "(":
            return self._instruction(at)
        return self._verbatim(at, sign)

    def _placeholder(self, at: int) -> Part:
        stop = _end_of_line(self.text, at)
        end, nested = _closing(self.text, at, stop, "[", "]")
        if end is None:
            self._wrong(at, "the [ is not closed on its line; close it with ], or write \\[ for the character itself")
        elif nested is not None:
            self._wrong(nested, "a [ inside of a placeholder; close the first one before, or write \\[")
        inner, source = self._inner(at, end, stop)
        text = re.sub(r"\s+", " ", inner).strip()
        if end is not None and not text:
            self._wrong(at, "an empty placeholder; say in it what is to be filled in, or write \\[ \\] for a box")
        if len(text) > MOST_PLACEHOLDER:
            self._wrong(at, f"a placeholder longer than {MOST_PLACEHOLDER} characters; move some into an (instruction)")
        self.count += 1
        if self.count == MOST_PLACEHOLDERS + 1:
            self._wrong(at, f"more than {MOST_PLACEHOLDERS} placeholders; make two templates of it")
        return Part(PartKind.PLACEHOLDER, text, source, *self._place(at), f"p{self.count}")

    def _instruction(self, at: int) -> Part:
        end, _ = _closing(self.text, at, _end_of_paragraph(self.text, at), "(", ")")
        if end is None:
            self._wrong(
                at, "the ( is not closed in its paragraph; close it with ), or write \\( for the character itself"
            )
        inner, source = self._inner(at, end, _end_of_line(self.text, at))
        text = re.sub(r"\s+", " ", inner).strip()
        if end is not None and not text:
            self._wrong(at, "an empty instruction; delete it, or write \\(\\) for the characters themselves")
        if len(text) > MOST_INSTRUCTION:
            self._wrong(at, f"an instruction longer than {MOST_INSTRUCTION} characters; shorten it")
        return Part(PartKind.INSTRUCTION, text, source, *self._place(at))

    def _verbatim(self, at: int, sign: str) -> Part | None:
        end, _ = _closing(self.text, at, _end_of_paragraph(self.text, at), None, _CLOSING_QUOTE[sign])
        if end is None:
            closing = _CLOSING_QUOTE[sign]
            self._wrong(at, f"the {sign} is not closed in its paragraph; close it with {closing}, or write \\{sign}")
            return None
        inner, source = self._inner(at, end, end)
        if not inner.strip():
            self._wrong(at, "empty quoted text; delete it")
        if len(inner) > MOST_VERBATIM:
            self._wrong(at, f"quoted text longer than {MOST_VERBATIM} characters; divide it")
        if re.search(r"\[[^][]+\]", inner):
            message = "the brackets in this quoted text are copied, not filled; end the quote before them"
            self._wrong(at, message, is_warning=True)
        return Part(PartKind.VERBATIM, inner, source, *self._place(at))

    def _inner(self, at: int, end: int | None, stop: int) -> tuple[str, str]:
        """Return what stands between the delimiters, unescaped, and the whole as written."""
        if end is None:
            source = self.text[at:stop]
            return _ESCAPE.sub(r"\1", source[1:]), source
        return _ESCAPE.sub(r"\1", self.text[at + 1 : end]), self.text[at : end + 1]

    def _check_heading(self, at: int, parts: tuple[Part, ...]) -> None:
        if not any(part.text.strip() for part in parts if part.kind is not PartKind.INSTRUCTION):
            self._wrong(at, "a heading without words; write them behind the #")
        elif sum(len(part.text) for part in parts if part.kind is not PartKind.INSTRUCTION) > MOST_HEADING:
            self._wrong(at, f"a heading longer than {MOST_HEADING} characters; shorten it")

    def _check_whole(self, tree: TemplateText) -> None:
        if not any(line.of(PartKind.PLACEHOLDER, PartKind.VERBATIM) for s in tree.sections for line in lines_of(s)):
            self.problems.append(
                Problem(1, 1, "the template has nothing to fill in or to copy; write a [placeholder] in it")
            )
        for number, section in enumerate(tree.sections):
            below = tree.sections[number + 1 : number + 2]
            if section.heading is None or any(line.parts for line in section.lines):
                continue
            if below and below[0].level > section.level:
                continue
            if section.heading.parts:
                place = section.heading.parts[0]
                message = "a heading without content; write what belongs under it, or delete it"
                self.problems.append(Problem(place.line, place.column, message, is_warning=section.level > 6))
        for section in tree.sections:
            for line in section.lines:
                self._warn_of_line(line)

    def _warn_of_line(self, line: Line) -> None:
        if line.of(PartKind.PLACEHOLDER) and (quoted := line.of(PartKind.VERBATIM)):
            message = (
                "this quoted text is copied even if the placeholder on its line is left out; "
                "take the quotes away to have it left out too"
            )
            self.problems.append(Problem(quoted[0].line, quoted[0].column, message, is_warning=True))


def _take(pattern: re.Pattern[str], text: str, position: int) -> str:
    match = pattern.match(text, position)
    return match.group() if match else ""


def _end_of_line(text: str, position: int) -> int:
    match = _LINE_END.search(text, position)
    return match.start() if match else len(text)


def _end_of_paragraph(text: str, position: int) -> int:
    match = _PARAGRAPH_END.search(text, position)
    return match.start() if match else len(text)


def _closing(text: str, at: int, stop: int, opening: str | None, closing: str) -> tuple[int | None, int | None]:
    """Return where what opens at ``at`` is closed before ``stop``, and where the first one inside of it opens."""
    depth, position, nested = 1, at + 1, None
    while position < stop:
        if _ESCAPE.match(text, position):
            position += 2
            continue
        sign = text[position]
        if sign == closing:
            depth -= 1
            if depth == 0:
                return position, nested
        elif sign == opening:
            depth += 1
            nested = position if nested is None else nested
        position += 1
    return None, nested


def _level_without_mark(parts: tuple[Part, ...]) -> int:
    """Return the level of a heading that has no ``#``, 0 for a line that is none."""
    if not parts or any(part.kind in (PartKind.PLACEHOLDER, PartKind.VERBATIM) for part in parts):
        return 0
    words = " ".join(part.source for part in parts if part.kind is PartKind.LITERAL).strip()
    if re.fullmatch(r"\*\*[^*]+\*\*:?", words):
        return BOLD
    if sum(map(str.isalpha, words)) >= 3 and words == words.upper() and words != words.lower():
        return CAPITALS
    return LABEL if words.endswith(":") and len(words) > 1 else 0


def _sections(lines: list[tuple[int, Line]]) -> tuple[Section, ...]:
    found: list[Section] = []
    level, heading, own = 0, None, list[Line]()
    above: list[int] = []

    def close() -> None:
        if heading is not None or own:
            found.append(Section(level, heading, tuple(own)))

    for kind, line in lines:
        if kind > 0:
            close()
            level, heading, own = kind, line, []
            above = [*(each for each in above if each < kind), kind]
        elif kind < 0:
            close()
            level, heading, own, above = 0, None, [line], []
        else:
            # Under another heading, a label is for the lines up to the next blank one.
            ends = level == LABEL and heading is not None and len(above) > 1 and line.parts
            if ends and own and not own[-1].parts and any(each.parts for each in own):
                close()
                heading, own = None, []
            own.append(line)
    close()
    return tuple(found)


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
