"""The language that templates are written in: text to a plain tree and back, with exact places of what is wrong.

``[placeholder]`` is filled from the visit or left out, ``(instruction)`` steers the writer and is never shown,
``"quoted text"`` is copied; headings and list marks are kept. docs/reference/template-language.md has the grammar.
"""

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from osler.kernel.errors import InvalidFieldError
from osler.notes.template_tree import BOLD, CAPITALS, LABEL, Line, Part, PartKind, Section, TemplateText, lines_of

MOST_TEXT: Final = 50_000
MOST_PLACEHOLDERS: Final = 300
MOST_PLACEHOLDER: Final = 1_000
MOST_INSTRUCTION: Final = 4_000
MOST_VERBATIM: Final = 10_000
MOST_HEADING: Final = 200
MOST_PROBLEMS: Final = 100

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
    line_end: int = -1
    paragraph_end: int = -1

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

    @property
    def _is_hopeless(self) -> bool:
        """So much is wrong that what is not closed is no longer looked for far away, which would take long."""
        return len(self.problems) >= MOST_PROBLEMS

    def _end_of_line(self, at: int) -> int:
        if at >= self.line_end:
            match = _LINE_END.search(self.text, at)
            self.line_end = match.start() if match else len(self.text)
        return self.line_end

    def _end_of_paragraph(self, at: int) -> int:
        if self._is_hopeless:
            return self._end_of_line(at)
        if at >= self.paragraph_end:
            match = _PARAGRAPH_END.search(self.text, at)
            self.paragraph_end = match.start() if match else len(self.text)
        return self.paragraph_end

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
        stop = self._end_of_line(at)
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
        end, _ = _closing(self.text, at, self._end_of_paragraph(at), "(", ")")
        if end is None:
            self._wrong(
                at, "the ( is not closed in its paragraph; close it with ), or write \\( for the character itself"
            )
        inner, source = self._inner(at, end, self._end_of_line(at))
        text = re.sub(r"\s+", " ", inner).strip()
        if end is not None and not text:
            self._wrong(at, "an empty instruction; delete it, or write \\(\\) for the characters themselves")
        if len(text) > MOST_INSTRUCTION:
            self._wrong(at, f"an instruction longer than {MOST_INSTRUCTION} characters; shorten it")
        return Part(PartKind.INSTRUCTION, text, source, *self._place(at))

    def _verbatim(self, at: int, sign: str) -> Part | None:
        closing = _CLOSING_QUOTE[sign]
        stop = at if self._is_hopeless else self._end_of_paragraph(at)
        end, _ = _closing(self.text, at, stop, None, closing)
        if end is None:
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


def _closing(text: str, at: int, stop: int, opening: str | None, closing: str) -> tuple[int | None, int | None]:
    """Return where what opens at ``at`` is closed before ``stop``, and where the first one inside of it opens."""
    depth, position, nested = 1, at + 1, None
    while position < stop:
        sign = text[position]
        if sign == "\\" and _ESCAPE.match(text, position):
            position += 2
            continue
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
