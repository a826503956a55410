"""The two forms of a filled template, of the same words: structured in lists (LEFT), told in paragraphs (RIGHT)."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby

from osler.notes.template_filling import FilledLine, Piece
from osler.notes.template_placeholders import Target
from osler.notes.template_tree import PartKind
from osler.notes.voice import heading_in_voice
from osler.notes.writing import Brain, VoiceProfile

_BLANK = FilledLine(0, "", "", ())
_HEADING = re.compile(r"[\s*]*(?P<words>[^\s*].*?)[\s*:]*")
_LABEL = re.compile(r"(?P<words>[^:]+?)\s*:")
_ALWAYS_LISTED = frozenset({"medications"})
"""Parts that no reader wants in a paragraph."""


def arranged(
    lines: Sequence[FilledLine], brain: Brain, targets: Mapping[str, tuple[Target, ...]]
) -> tuple[FilledLine, ...]:
    """Return the lines in the form of a brain.

    Only the answers of placeholders that are alone on their line change their form. LEFT makes a list of several.
    RIGHT makes a paragraph of them, one for each problem of a plan; numbered lists and medications stay lists.
    """
    done: list[FilledLine] = []
    answers = Counter(map(_alone, lines))
    for name, group in groupby(lines, key=_alone):
        inside = list(group)
        if name is None:
            done += inside
        elif brain is Brain.LEFT:
            if _is_topic(inside[0]) and not inside[0].mark and done and done[-1].pieces and not done[-1].level:
                done.append(_BLANK)
            done += _listed(inside) if answers[name] > 1 else inside
        elif _stays_listed(inside, targets.get(name, ())):
            done += inside
        else:
            done += _paragraphs(inside, after=done[-1] if done else _BLANK)
    while done and not done[-1].pieces:
        done.pop()
    return tuple(line for number, line in enumerate(done) if line.pieces or (number and done[number - 1].pieces))


def with_headings(lines: Sequence[FilledLine], voice: VoiceProfile) -> tuple[FilledLine, ...]:
    """Return the lines with the headings and labels of a voice in place of the template's."""
    return tuple(_renamed(line, voice) for line in lines)


def _renamed(line: FilledLine, voice: VoiceProfile) -> FilledLine:
    first = line.pieces[0] if line.pieces else None
    if first is None or first.kind is not PartKind.LITERAL or (line.level and len(line.pieces) > 1):
        return line
    label = _HEADING.fullmatch(first.text) if line.level else _LABEL.match(first.text)
    if label is None:
        return line
    theirs = heading_in_voice(label["words"], voice)
    text = f"{first.text[: label.start('words')]}{theirs}{first.text[label.end('words') :]}"
    return replace(line, pieces=(replace(first, text=text), *line.pieces[1:]))


def pieces_by_section(lines: Sequence[FilledLine]) -> Iterator[tuple[str, list[FilledLine]]]:
    """Yield each heading with its own lines, the blank ones before the next heading among them."""
    inside: list[FilledLine] = []
    heading = ""
    for line in lines:
        if line.level and inside:
            yield heading, inside
            inside, heading = [], ""
        if line.level:
            heading = title(line)
        inside.append(line)
    if inside:
        yield heading, inside


def title(line: FilledLine) -> str:
    """Return the words of a heading."""
    words = " ".join("".join(piece.text for piece in line.pieces).split())
    return words.strip("*").strip().rstrip(":").strip("*").strip()


def _alone(line: FilledLine) -> str | None:
    """Return the placeholder that is alone on its line."""
    answers = [piece for piece in line.pieces if piece.placeholder]
    others = [piece for piece in line.pieces if not piece.placeholder and piece.text.strip() not in ("", "**")]
    return answers[0].placeholder if len(answers) == 1 and not others and not line.level else None


def _is_topic(line: FilledLine) -> bool:
    return len(line.pieces) == 3


def _listed(inside: Sequence[FilledLine]) -> Iterator[FilledLine]:
    for line in inside:
        yield line if line.mark or _is_topic(line) else replace(line, mark="- ")


def _stays_listed(inside: Sequence[FilledLine], targets: Sequence[Target]) -> bool:
    numbered = inside[0].mark.strip()[:1].isalnum()
    return numbered or any(target.name in _ALWAYS_LISTED for target in targets)


def _paragraphs(inside: Sequence[FilledLine], after: FilledLine) -> Iterator[FilledLine]:
    if after.pieces and not after.level:
        yield _BLANK
    pieces: list[Piece] = []
    marked = bool(inside[0].mark)
    for line in inside:
        heads = _is_topic(line) or (marked and line.mark != "- ")
        if heads and pieces:
            yield FilledLine(0, "", "", tuple(pieces))
            yield _BLANK
            pieces = []
        pieces += [Piece(PartKind.LITERAL, " ")] if pieces else []
        pieces += line.pieces
    yield FilledLine(0, "", "", tuple(pieces))
    yield _BLANK
