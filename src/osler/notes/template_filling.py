"""Filling a template: answers go where placeholders stand, and whatever was not answered leaves no trace.

Nothing is written but the author's literals and quoted text, the answers, and the joints between several of them.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from osler.notes.template_tree import Line, PartKind, Section, TemplateText


class Topic(str):
    """A text of an answer that heads those after it, as a problem does its plan."""

    __slots__ = ()


Answer = str | Sequence[str] | None
"""A text, several (each a line or list item of its own where the template has room for it), or nothing."""

_REMOVED: Final = "\0"
_LEAD: Final = re.compile(r".*:(?=\s|\Z)\s*", re.DOTALL)
_CLAUSE: Final = re.compile(r"(?=[,;|·.](?:\s|\Z))")
_FINAL: Final = re.compile(r"[.!?]\s*\Z")
_NUMBER: Final = re.compile(r"(\d+)([.)]\s+)")


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of the filled text and where it comes from: ``placeholder`` is the id of the one that it answers.

    ``answer`` counts the texts given for that placeholder from 0. A joint between two answers is a literal.
    """

    kind: PartKind
    text: str
    placeholder: str = ""
    answer: int = 0


@dataclass(frozen=True, slots=True)
class FilledLine:
    """A line of the filled template. ``level`` is that of a heading, 0 for none; a blank line has no pieces."""

    level: int
    indent: str
    mark: str
    pieces: tuple[Piece, ...]

    @property
    def text(self) -> str:
        """The line, without its end."""
        return f"{self.indent}{self.mark}{''.join(piece.text for piece in self.pieces)}"


@dataclass(frozen=True, slots=True)
class Span:
    """Where an answer stands in :attr:`Filled.text`: ``start`` to ``end`` in code points."""

    placeholder: str
    answer: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Filled:
    """A filled template: no blank line at either end, never two in a row."""

    lines: tuple[FilledLine, ...]

    @property
    def text(self) -> str:
        """The whole text; ends with a line end unless it is empty."""
        return "".join(f"{line.text}\n" for line in self.lines)

    @property
    def spans(self) -> tuple[Span, ...]:
        """Where the answers stand in the text."""
        found: list[Span] = []
        at = 0
        for line in self.lines:
            at += len(line.indent) + len(line.mark)
            for piece in line.pieces:
                if piece.placeholder:
                    found.append(Span(piece.placeholder, piece.answer, at, at + len(piece.text)))
                at += len(piece.text)
            at += 1
        return tuple(found)

    @property
    def answered(self) -> frozenset[str]:
        """The placeholders that were filled; none: the text would be the same for any visit."""
        return frozenset(span.placeholder for span in self.spans)


def fill(template: TemplateText, answers: Mapping[str, Answer]) -> Filled:
    """Fill the placeholders (by id) with their answers.

    - A placeholder without answer is left out, with the words of its clause (to the nearest comma, semicolon or full
      stop); a line none of whose placeholders has an answer is left out but for its quoted text.
    - A line of literals only stands if its section has an answer or quoted text, or has no placeholder at all.
    - A heading stands if anything stands under it.
    - A placeholder alone on its line gives a line, with the list mark, to each of its answers; those under a
      :class:`Topic` become a list below it. Elsewhere they are joined. Numbered lists are numbered anew.

    White space around answers is taken away; line ends within them make several of one. Ids that no placeholder has
    are not read.
    """
    given = {name: _texts(answer) for name, answer in answers.items()}
    sections = template.sections
    shown = [_stands_alone(section, given) for section in sections]
    for number in range(len(sections) - 1, -1, -1):
        below = range(number + 1, _end_below(sections, number))
        if sections[number].heading is None or shown[number]:
            continue
        silent = not any(_asks(sections[each]) for each in (number, *below)) and _has_literals(sections[number])
        shown[number] = silent or any(shown[each] for each in below)
    lines: list[FilledLine] = []
    for number, section in enumerate(sections):
        if section.heading is not None and not shown[number]:
            lines.append(FilledLine(0, "", "", ()))
            continue
        lines.extend(_filled_section(section, given, _literals_stand(section, given)))
    return Filled(_without_gaps(lines))


def _texts(answer: Answer) -> tuple[str, ...]:
    texts = () if answer is None else (answer,) if isinstance(answer, str) else answer
    return tuple(
        Topic(line) if isinstance(text, Topic) else line
        for text in texts
        for each in text.splitlines()
        if (line := each.strip().strip(_REMOVED).strip())
    )


def _end_below(sections: tuple[Section, ...], number: int) -> int:
    end = number + 1
    while end < len(sections) and sections[end].level > sections[number].level:
        end += 1
    return end


def _asks(section: Section) -> bool:
    return any(line.of(PartKind.PLACEHOLDER) for line in section.lines)


def _has_literals(section: Section) -> bool:
    return any(part.text.strip() for line in section.lines for part in line.of(PartKind.LITERAL))


def _stands_alone(section: Section, given: Mapping[str, tuple[str, ...]]) -> bool:
    """Whether a section's own lines hold an answer or quoted text."""
    return any(
        part.kind is PartKind.VERBATIM or (part.kind is PartKind.PLACEHOLDER and bool(given.get(part.id)))
        for line in section.lines
        for part in line.parts
    )


def _literals_stand(section: Section, given: Mapping[str, tuple[str, ...]]) -> bool:
    return not _asks(section) or _stands_alone(section, given)


def _filled_section(
    section: Section, given: Mapping[str, tuple[str, ...]], literals_stand: bool
) -> Iterator[FilledLine]:
    if section.heading is not None:
        yield from (replace(filled, level=section.level) for filled in _filled_line(section.heading, given))
    numbers: dict[str, int] = {}
    for line in section.lines:
        if not line.parts:
            yield FilledLine(0, "", "", ())
            continue
        if not literals_stand and not line.of(PartKind.PLACEHOLDER, PartKind.VERBATIM):
            continue
        number = _NUMBER.fullmatch(line.mark)
        if number and (int(number.group(1)) <= 1 or line.indent not in numbers):
            numbers[line.indent] = int(number.group(1))
        for filled in _filled_line(line, given):
            if number and filled.mark == line.mark:
                filled = replace(filled, mark=f"{numbers[line.indent]}{number.group(2)}")
                numbers[line.indent] += 1
            yield filled


def _filled_line(line: Line, given: Mapping[str, tuple[str, ...]]) -> Iterator[FilledLine]:
    """Yield no line, one, or one for each answer of a placeholder that is alone."""
    parts = [part for part in line.parts if part.kind is not PartKind.INSTRUCTION]
    asked = [part for part in parts if part.kind is PartKind.PLACEHOLDER]
    said = [part for part in parts if part.text.strip()]
    if len(asked) == 1 and len(said) == 1:
        yield from _lines_of_answers(line, asked[0].id, given.get(asked[0].id, ()))
        return
    pieces = [piece for part in line.parts for piece in _pieces_of(part.kind, part.text, part.id, given)]
    if asked:
        if any(piece.placeholder and piece.text != _REMOVED for piece in pieces):
            pieces = _kept_clauses(pieces)
        else:
            pieces = [each for piece in pieces if piece.kind is PartKind.VERBATIM for each in (piece, _literal(" "))]
    tidied = _tidied(pieces)
    if tidied:
        yield FilledLine(0, line.indent, line.mark, tidied)


def _lines_of_answers(line: Line, name: str, texts: tuple[str, ...]) -> Iterator[FilledLine]:
    under_topic = False
    for number, text in enumerate(texts):
        piece = Piece(PartKind.PLACEHOLDER, str(text), name, number)
        if isinstance(text, Topic):
            if number and not line.mark:
                yield FilledLine(0, "", "", ())
            pieces = (piece,) if line.mark else (_literal("**"), piece, _literal("**"))
            yield FilledLine(0, line.indent, line.mark, pieces)
            under_topic = True
        elif under_topic:
            yield FilledLine(0, line.indent + " " * len(line.mark), "- ", (piece,))
        else:
            yield FilledLine(0, line.indent, line.mark, (piece,))


def _literal(text: str) -> Piece:
    return Piece(PartKind.LITERAL, text)


def _pieces_of(kind: PartKind, text: str, name: str, given: Mapping[str, tuple[str, ...]]) -> Iterator[Piece]:
    """Yield what a part becomes; what is not shown leaves a mark, at which white space is put right."""
    if kind is PartKind.LITERAL:
        yield _literal(text.replace(_REMOVED, ""))
    elif kind is PartKind.VERBATIM:
        yield Piece(kind, text)
    elif kind is PartKind.INSTRUCTION:
        yield _literal(_REMOVED)
    else:
        texts = given.get(name, ())
        if not texts:
            yield Piece(kind, _REMOVED, name)
        for number, each in enumerate(texts):
            if number:
                joint = _joint(texts[number - 1])
                yield Piece(PartKind.LITERAL, joint, answer=number)
            yield Piece(kind, str(each), name, number)


def _joint(before: str) -> str:
    """Return what stands between two answers on one line."""
    if before.endswith((".", "!", "?", ";", ":", ",")):
        return " "
    return ": " if isinstance(before, Topic) else "; "


def _kept_clauses(pieces: list[Piece]) -> list[Piece]:
    """Leave out the clauses in which placeholders stand and none has an answer."""
    lead: list[Piece] = []
    first = pieces[0]
    if first.kind is PartKind.LITERAL and (match := _LEAD.match(first.text)):
        lead, pieces = [_literal(match.group())], [_literal(first.text[match.end() :]), *pieces[1:]]
    final = ""
    if pieces[-1].kind is PartKind.LITERAL and (match := _FINAL.search(pieces[-1].text)):
        final = match.group().strip()
        pieces = [*pieces[:-1], _literal(pieces[-1].text[: match.start()])]
    clauses: list[list[Piece]] = [[]]
    for piece in pieces:
        if piece.kind is not PartKind.LITERAL or piece.answer:
            clauses[-1].append(piece)
            continue
        begin, *others = _CLAUSE.split(piece.text)
        clauses[-1].append(_literal(begin))
        clauses.extend([_literal(other)] for other in others)
    kept: list[Piece] = []
    stands = True
    for number, clause in enumerate(clauses):
        asked = [piece for piece in clause if piece.placeholder]
        if asked or not number:
            stands = not asked or any(piece.text != _REMOVED for piece in asked)
        if not stands:
            clause = [each for piece in clause if piece.kind is PartKind.VERBATIM for each in (_literal(" "), piece)]
        elif number and not any(piece.text.strip(f" \t{_REMOVED}") for piece in kept):
            clause = [_literal(clause[0].text[1:].lstrip()), *clause[1:]]  # nothing is left to be separated from
            if _LEAD.match(clause[0].text):
                lead = []  # the clause has a label of its own
        kept.extend(clause)
    return [*lead, *kept, _literal(final)] if final else [*lead, *kept]


def _tidied(pieces: list[Piece]) -> tuple[Piece, ...]:
    """Join literals, put white space right where something was taken out, and leave none at either end."""
    joined: list[Piece] = []
    for piece in pieces:
        if piece.text == _REMOVED:
            piece = _literal(_REMOVED)
        if piece.kind is PartKind.LITERAL and joined and joined[-1].kind is PartKind.LITERAL:
            joined[-1] = _literal(joined[-1].text + piece.text)
        else:
            joined.append(piece)
    done: list[Piece] = []
    for number, piece in enumerate(joined):
        if piece.kind is PartKind.LITERAL:
            text = _closed(piece.text)
            if done and done[-1].placeholder and done[-1].text.endswith((".", "!", "?", ";", ",")):
                text = re.sub(r"\A[.,;]", "", text)
            if not done:
                text = text.lstrip()
            if number == len(joined) - 1:
                text = text.rstrip()
            piece = _literal(text)
        if piece.text:
            done.append(piece)
    while done and done[-1].kind is PartKind.LITERAL and not done[-1].text.strip():
        done.pop()
    return tuple(done)


def _closed(text: str) -> str:
    """Close the gap that a removed part leaves: one space, or none before punctuation."""

    def gap(match: re.Match[str]) -> str:
        return " " if match.group().strip(_REMOVED) else ""

    text = re.sub(rf"(?<![ \t])[ \t]*{_REMOVED}[ \t{_REMOVED}]*(?=[,.;:!?](?:\s|\Z))", "", text)
    return re.sub(rf"(?<![ \t])[ \t]*{_REMOVED}[ \t{_REMOVED}]*", gap, text)


def _without_gaps(lines: list[FilledLine]) -> tuple[FilledLine, ...]:
    kept: list[FilledLine] = []
    for line in lines:
        if line.pieces or (kept and kept[-1].pieces):
            kept.append(line)
    while kept and not kept[-1].pieces:
        kept.pop()
    return tuple(kept)
