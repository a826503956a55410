"""Edits of the text in hand that change no fact: shorter, in bullet points, as paragraphs, in plain words."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

from osler.engines.grounded.asking.sightings import command
from osler.engines.grounded.reading import read
from osler.notes.model import FindingKind
from osler.speech.model import CLINICIAN, Turn

SHARE: Final = 0.55
"""How much of a text's words a shorter one keeps at most."""

_BULLET: Final = re.compile(r"^(\s*)(?:[-*•]|\d+[.)])\s+")
_HEADING: Final = re.compile(r"^(#{1,6}\s|\*\*[^*]+\*\*:?\s*$|[A-Z][A-Za-z &/]{2,40}:\s*$)")
_SENTENCE: Final = re.compile(r"(?<=[.!?])\s+(?=[A-Z0-9“\"'(])")
_ABBREVIATION: Final = re.compile(r"\b(?:Dr|Mr|Mrs|Ms|St|vs|approx|e\.g|i\.e|No|Prof)\.$")
_NUMBER: Final = r"(\d{1,2}|one|two|three|four|five|six|seven|eight|nine|ten|a single)"
_ASKED: Final = re.compile(
    rf"\b(?:in|to|as|into)? ?{_NUMBER} (sentences?|bullets?|bullet points?|lines?|points?)\b", re.IGNORECASE
)
_COUNTS: Final = {
    "one": 1, "a single": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9,
    "ten": 10,
}  # fmt: skip

_WEIGHTS: Final = {
    FindingKind.MEDICATION: 3.0,
    FindingKind.PROBLEM: 3.0,
    FindingKind.ALLERGY: 3.0,
    FindingKind.PROCEDURE: 2.0,
    FindingKind.SYMPTOM: 1.5,
    FindingKind.EXAM: 1.0,
    FindingKind.SOCIAL: 0.5,
}
_MATTERS: Final = re.compile(
    r"\b(follow|return|call|emergency|urgent|start|stop|increase|decrease|continue|prescrib\w+|order\w*|refer\w*|diagnos\w+|plan|allerg\w+)",
    re.IGNORECASE,
)
_LEADING_PAIR: Final = 3
"""The first sentence of a section says what the rest is about."""


@dataclass(frozen=True, slots=True)
class _Piece:
    """A sentence of a text, or a ``heading``; ``block`` is where it stands, ``mark`` a list mark before it."""

    text: str
    block: int
    mark: str = ""
    heading: bool = False


def edited(asked: str, text: str) -> Iterator[str]:
    """Yield the text as the command wants it, block by block; nothing is added but marks of lists."""
    pieces = _pieces(text)
    plain = command("plain").search(asked)
    if command("shorten").search(asked) or (_ASKED.search(asked) and not plain):
        pieces = _shorter(asked, pieces)
    if plain:
        pieces = [_Piece(in_plain_words(p.text), p.block, p.mark, p.heading) for p in pieces]
    if command("bullets").search(asked):
        pieces = [_Piece(p.text, p.block, p.mark if p.heading else p.mark or "- ", p.heading) for p in pieces]
    elif command("prose").search(asked):
        pieces = _as_prose(pieces)
    yield from _blocks(pieces)


def in_plain_words(text: str) -> str:
    """Return a text with the words of the trade said plainly (``data/plain_words.tsv``); all else stays as it is."""

    def said(match: re.Match[str]) -> str:
        plain = _plain_words()[" ".join(match[0].lower().split())]
        return f"{plain[:1].upper()}{plain[1:]}" if match[0][:1].isupper() and not match[0].isupper() else plain

    return _trade_words().sub(said, text)


def _pieces(text: str) -> list[_Piece]:
    pieces: list[_Piece] = []
    block = 0
    for line in text.replace("\r\n", "\n").split("\n"):
        if not line.strip():
            block += 1
            continue
        if _HEADING.match(line.strip()):
            block += 1
            pieces.append(_Piece(line.strip(), block, heading=True))
            block += 1
            continue
        bullet = _BULLET.match(line)
        mark = bullet[0] if bullet else ""
        for number, sentence in enumerate(_sentences(line[len(mark) :].strip())):
            pieces.append(_Piece(sentence, block, mark if number == 0 else ""))
        if bullet:
            block += 1
    return pieces


def _sentences(text: str) -> list[str]:
    found: list[str] = []
    for part in _SENTENCE.split(text):
        if found and _ABBREVIATION.search(found[-1]):
            found[-1] = f"{found[-1]} {part}"
        elif part:
            found.append(part)
    return found


def _shorter(asked: str, pieces: Sequence[_Piece]) -> list[_Piece]:
    """Leave out the sentences that matter least; headings without sentences go with them."""
    said = [n for n, piece in enumerate(pieces) if not piece.heading]
    if not said:
        return list(pieces)
    ranked = sorted(said, key=lambda n: (-_worth(pieces, n), n))
    match = _ASKED.search(asked)
    if match:
        count = _COUNTS.get(match[1].lower()) or int(match[1])
        kept = set(ranked[: max(1, count)])
    else:
        room = SHARE * sum(len(pieces[n].text.split()) for n in said)
        kept = {ranked[0]}
        room -= len(pieces[ranked[0]].text.split())
        for n in ranked[1:]:
            words = len(pieces[n].text.split())
            if words <= room:
                kept.add(n)
                room -= words
    marks: dict[int, str] = {}
    for piece in pieces:
        marks.setdefault(piece.block, piece.mark)
    shown: list[_Piece] = []
    for n, piece in enumerate(pieces):
        if piece.heading:
            until = next((k for k in range(n + 1, len(pieces)) if pieces[k].heading), len(pieces))
            shown += [piece] if any(k in kept for k in range(n, until)) else []
        elif n in kept:
            # Where the sentence that it stood behind is gone, it takes over the mark of the list.
            leads = not shown or shown[-1].heading or shown[-1].block != piece.block
            shown.append(_Piece(piece.text, piece.block, marks[piece.block] if leads else piece.mark))
    return shown


def _worth(pieces: Sequence[_Piece], n: int) -> float:
    """Return how much a sentence matters: names, numbers, what is to be done, and whether it opens a section."""
    text = pieces[n].text
    reading = read(0, Turn(CLINICIAN, text))
    worth = sum(_WEIGHTS.get(mention.term.kind, 0.0) for mention in reading.mentions)
    worth += 1.5 * len(re.findall(r"\b\d", text)) ** 0.5 + (2.5 if _MATTERS.search(text) else 0.0)
    worth += _LEADING_PAIR if n == 0 or pieces[n - 1].heading else 0.0
    return float(worth) / (6 + len(text.split()))


def _as_prose(pieces: Sequence[_Piece]) -> list[_Piece]:
    """Join the points under each heading to one paragraph."""
    joined = []
    block = 0
    for piece in pieces:
        block += 1 if piece.heading else 0
        text = piece.text if piece.heading or re.search(r"[.!?:;]\W*$", piece.text) else f"{piece.text}."
        joined.append(_Piece(text, 2 * block + (not piece.heading), "", piece.heading))
    return joined


def _blocks(pieces: Sequence[_Piece]) -> Iterator[str]:
    """Yield the pieces as Markdown, a block at a time, each with the line ends behind it."""
    blocks: list[list[_Piece]] = []
    for piece in pieces:
        last = blocks[-1][-1] if blocks else None
        new_list_item = bool(piece.mark)
        if (
            last is not None
            and not piece.heading
            and not last.heading
            and last.block == piece.block
            and not new_list_item
        ):
            blocks[-1].append(piece)
        else:
            blocks.append([piece])
    for number, block in enumerate(blocks):
        text = " ".join(piece.text for piece in block)
        following = blocks[number + 1] if number + 1 < len(blocks) else None
        listed = bool(block[0].mark) and following is not None and bool(following[0].mark)
        yield f"{block[0].mark}{text}\n" + ("" if listed or following is None else "\n")


@cache
def _plain_words() -> Mapping[str, str]:
    rows = files("osler.engines.grounded").joinpath("data", "plain_words.tsv").read_text("utf-8").splitlines()
    pairs = (row.split("\t") for row in rows if row and not row.startswith("#"))
    return {surface: plain for plain, surfaces in pairs for surface in surfaces.split("|")}


@cache
def _trade_words() -> re.Pattern[str]:
    surfaces = sorted(_plain_words(), key=len, reverse=True)
    return re.compile(
        r"(?<![\w-])(?:" + "|".join(r"\s+".join(map(re.escape, s.split())) for s in surfaces) + r")(?![\w-])",
        re.IGNORECASE,
    )
