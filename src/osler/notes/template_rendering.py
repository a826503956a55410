"""Templates as HTML: as their author wrote them, and filled; a filled one also as markdown."""

import re
from collections.abc import Iterable, Iterator
from html import escape
from itertools import groupby

from osler.notes.template_filling import Filled, FilledLine, Piece
from osler.notes.template_tree import BOLD, CAPITALS, LABEL, Part, PartKind, TemplateText, lines_of

_HEADING_ELEMENT = {CAPITALS: 2, BOLD: 3, LABEL: 4}
_SHOWN = {PartKind.PLACEHOLDER: "<mark>[{}]</mark>", PartKind.INSTRUCTION: "<em>({})</em>"}

HtmlLine = tuple[int, str, str, str]
"""Level of a heading or 0, indentation, list mark, the line as HTML (empty for a blank one)."""


def template_html(template: TemplateText) -> str:
    """Return a template as an HTML fragment that shows its language: escaped; headings, lists, paragraphs."""
    return _html(
        (
            section.level if line is section.heading else 0,
            line.indent,
            line.mark.strip() if line.parts else "",
            _strong("".join(_part_html(part) for part in line.parts), heading=line is section.heading),
        )
        for section in template.sections
        for line in lines_of(section)
    )


def filled_html(filled: Filled) -> str:
    """Return a filled template as an HTML fragment: everything escaped; headings, lists, paragraphs."""
    return _html(
        (line.level, line.indent, line.mark.strip(), _strong(_pieces_html(line.pieces), heading=line.level > 0))
        for line in filled.lines
    )


def filled_markdown(filled: Filled) -> str:
    """Return a filled template as markdown: the author's as written, answers escaped, so that none makes markup."""
    return "".join(f"{_line_markdown(line)}\n" for line in filled.lines)


def _line_markdown(line: FilledLine) -> str:
    pieces = (_piece_markdown(piece, begins=not number and not line.mark) for number, piece in enumerate(line.pieces))
    return f"{line.indent}{line.mark}{''.join(pieces)}"


def _part_html(part: Part) -> str:
    text = escape(part.text)
    if part.kind is PartKind.VERBATIM:
        return f"<q>{text}</q>"
    return _SHOWN.get(part.kind, "{}").format(text)


def _pieces_html(pieces: tuple[Piece, ...]) -> str:
    # Two stars make strong letters only in what the author wrote.
    return "".join(escape(piece.text).replace("*", "&#42;" if piece.placeholder else "*") for piece in pieces)


def _strong(html: str, *, heading: bool) -> str:
    return re.sub(r"\*\*(\S(?:[^*]*\S)?)\*\*", r"\1" if heading else r"<strong>\1</strong>", html)


def _html(lines: Iterable[HtmlLine]) -> str:
    blocks: list[str] = []
    for kind, group in groupby(lines, key=_kind):
        if kind == "heading":
            for level, _, _, html in group:
                element = f"h{_HEADING_ELEMENT.get(level, level)}"
                blocks.append(f"<{element}>{html.strip().rstrip(':') if level > 6 else html.strip()}</{element}>")
        elif kind == "list":
            blocks.append("".join(_list([(len(i.expandtabs(4)), mark, html) for _, i, mark, html in group])))
        elif kind == "paragraph":
            blocks.append(f"<p>{'<br>'.join(html.strip().replace(chr(10), '<br>') for *_, html in group)}</p>")
    return "".join(f"{block}\n" for block in blocks)


def _kind(line: HtmlLine) -> str:
    level, _, mark, html = line
    if not html.strip():
        return "blank"
    return "heading" if level else "list" if mark else "paragraph"


def _list(items: list[tuple[int, str, str]]) -> Iterator[str]:
    """Yield a list with those below its items inside of them, by indentation."""
    open_lists: list[tuple[int, str]] = []
    for indent, mark, html in items:
        element = "ul" if len(mark) == 1 else "ol"
        while open_lists and open_lists[-1][0] > indent:
            yield f"</li></{open_lists.pop()[1]}>"
        if open_lists and open_lists[-1][0] == indent and open_lists[-1][1] != element:
            yield f"</li></{open_lists.pop()[1]}>"
        if open_lists and open_lists[-1][0] == indent:
            yield "</li>"
        else:
            open_lists.append((indent, element))
            yield f"<{element}>"
        yield f"<li>{html.strip()}"
    while open_lists:
        yield f"</li></{open_lists.pop()[1]}>"


def _piece_markdown(piece: Piece, *, begins: bool) -> str:
    if not piece.placeholder:
        return piece.text
    text = piece.text.replace("&", "&amp;").replace("<", "&lt;")
    text = re.sub(r"([\\`*_\[\]#|])", r"\\\1", text)
    return re.sub(r"\A([-+>~]|\d+(?=[.)]))", _escaped_begin, text) if begins else text


def _escaped_begin(match: re.Match[str]) -> str:
    return f"\\{match.group()}" if not match.group().isdigit() else f"{match.group()}\\"
