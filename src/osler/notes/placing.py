"""Where a note's sentences stand in its text, and what each rests on: also after a person edited it."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Final

from osler.notes.model import ContentType, Evidence, NoteVersion, Sentence, Verdict, WrittenText
from osler.notes.tokens import sentences as split
from osler.notes.tokens import tokenize

_MARKUP: Final = re.compile(r"[\\`*_\[\]#|]")
_MARK: Final = re.compile(r"[ \t]*(?:>[ \t]?)*(?:[-+*][ \t]+|\d{1,9}[.)][ \t]+)?")
_HEADING: Final = re.compile(r"[ \t]{0,3}#{1,6}(?=[ \t]|\Z)[ \t]*(.*?)[ \t#]*")
_DIVIDER: Final = re.compile(r"[ \t]*([-*_])(?:[ \t]*\1){2,}[ \t]*|[ \t]*[|:\- \t]+")
# What is begun in vain ends where the next of its kind begins: else a text of such was searched to its end from each.
_TEXT_OF_HTML: Final = re.compile(
    r"<(h[1-6])\b[^<>]*>((?:(?!<h[1-6]\b).)*?)</\1\s*>|<[^<>]*>|([^<]+)", re.IGNORECASE | re.DOTALL
)
_TAG: Final = re.compile(r"<[^<>]*>")


@dataclass(frozen=True, slots=True)
class Placed:
    """A sentence of a note: ``text`` is ``note[start:end]`` (code points), as it stands there, escapes included.

    A sentence of the writer has its verdict and evidence; one of a person who edited the note has neither.
    """

    section: str
    text: str
    start: int
    end: int
    verdict: Verdict | None = None
    evidence: tuple[Evidence, ...] = ()

    @property
    def by_author(self) -> bool:
        """Whether a person wrote it."""
        return self.verdict is None


def placed(note: NoteVersion, former: Sequence[NoteVersion] = ()) -> tuple[Placed, ...]:
    """Return the sentences of a note in the order of its text.

    Of a note that a person edited, what the newest of the ``former`` versions (oldest first) that a writer wrote says
    word for word keeps its evidence; all else is the person's. A note without content has no sentences.
    """
    if note.content is None:
        return ()
    if note.content.sections:
        return tuple(sorted(_of_writer(note.content), key=lambda each: each.start))
    written = [each.content for each in former if each.content is not None and each.content.sections]
    return tuple(_of_author(note.content, written[-1] if written else None))


def _of_writer(content: WrittenText) -> Iterator[Placed]:
    start = 0
    ends = content.ends or (len(content.text),) * len(content.sections)
    for section, end in zip(content.sections, ends, strict=True):
        at = start
        for sentence in section.sentences:
            found = _find(content.text, sentence.text, ContentType.MARKDOWN, at, end)
            if found is None:  # the writer may put sentences in another order than they stand in
                found = _find(content.text, sentence.text, ContentType.MARKDOWN, start, end)
            if found is None:
                continue
            yield _placed(section.heading, content.text, found, sentence)
            at = max(at, found[1])
        start = end if content.ends else start


def _of_author(content: WrittenText, written: WrittenText | None) -> Iterator[Placed]:
    kept: list[Placed] = []
    taken = _Taken()
    for section in written.sections if written is not None else ():
        for sentence in section.sentences:
            at = 0
            while (
                found := _find(content.text, sentence.text, content.content_type, at, len(content.text))
            ) is not None:
                if _stands_alone(content.text, found) and taken.take(found):
                    kept.append(_placed(section.heading, content.text, found, sentence))
                    break
                at = found[0] + 1
    # The words of the template between the sentences are nobody's: they stood there before.
    templates = set() if written is None else {each.text for each in _others(written, _spans(_of_writer(written)))}
    theirs = [each for each in _others(content, taken.spans) if each.text not in templates]
    yield from sorted([*kept, *theirs], key=lambda each: each.start)


def _others(content: WrittenText, spans: Sequence[tuple[int, int]]) -> Iterator[Placed]:
    """Yield the sentences of a text outside of ``spans``."""
    for heading, start, end in _stretches(content):
        inside = sorted(span for span in spans if start <= span[0] < end)
        for gap_start, gap_end in zip([start, *(e for _, e in inside)], [*(s for s, _ in inside), end], strict=True):
            for first, last in _sentences(content.text, gap_start, gap_end):
                yield Placed(heading, content.text[first:last], first, last)


def _spans(found: Iterable[Placed]) -> list[tuple[int, int]]:
    return [(each.start, each.end) for each in found]


@dataclass(slots=True)
class _Taken:
    """Spans that are spoken for; no two of them overlap."""

    spans: list[tuple[int, int]] = field(default_factory=list)

    def take(self, span: tuple[int, int]) -> bool:
        if any(start < span[1] and span[0] < end for start, end in self.spans):
            return False
        self.spans.append(span)
        return True


def _placed(section: str, text: str, span: tuple[int, int], sentence: Sentence) -> Placed:
    return Placed(section, text[slice(*span)], *span, sentence.verdict, sentence.evidence)


def _find(text: str, said: str, form: ContentType, start: int, end: int) -> tuple[int, int] | None:
    """Return where a sentence stands in a text first, as it is or as the text's form escapes it."""
    found = (_at(text, each, start, end) for each in dict.fromkeys((*_escaped(said, form), said)))
    return min((span for span in found if span is not None), default=None)


def _at(text: str, each: str, start: int, end: int) -> tuple[int, int] | None:
    at = text.find(each, start, end)
    return (at, at + len(each)) if at >= 0 and each else None


def _escaped(said: str, form: ContentType) -> Iterator[str]:
    if form is ContentType.HTML:
        yield escape(said, quote=False)
        yield escape(said)
        return
    text = said.replace("&", "&amp;").replace("<", "&lt;")
    text = _MARKUP.sub(lambda mark: f"\\{mark.group()}", text)
    # What would begin a list is escaped at the beginning of a line only.
    yield re.sub(r"\A([-+>~])", r"\\\1", re.sub(r"\A(\d+)([.)])", r"\1\\\2", text))
    yield text


def _stands_alone(text: str, span: tuple[int, int]) -> bool:
    """Whether a sentence that was found is one there too, and not the middle of another."""
    before, after = text[: span[0]].rstrip(" \t*_\\("), text[span[1] :].lstrip(" \t*_)")
    begins = not before or before[-1] in ".!?:;>\n-+" or before[-1].isdigit() or before.endswith("|")
    ends = text[span[1] - 1] in ".!?" or not after or after[0] in ".\n<|"
    return (begins or _MARK.fullmatch(before.rpartition("\n")[2]) is not None) and ends


def _stretches(content: WrittenText) -> Iterator[tuple[str, int, int]]:
    """Yield what a text says line by line, with the heading above: (heading, start, end); headings are not yielded."""
    heading = ""
    if content.content_type is ContentType.HTML:
        for match in _TEXT_OF_HTML.finditer(content.text):
            if match.group(1):
                heading = " ".join(_TAG.sub("", match.group(2)).split())
            elif match.group(3) and match.group(3).strip():
                yield heading, match.start(), match.end()
        return
    at = 0
    for line in content.text.splitlines(keepends=True):
        words = line.rstrip("\r\n")
        title = _HEADING.fullmatch(words)
        if title is not None:
            heading = title.group(1).strip("*").strip()
        elif words.strip() and not _DIVIDER.fullmatch(words):
            mark = _MARK.match(words)
            yield heading, at + (mark.end() if mark else 0), at + len(words)
        at += len(line)


def _sentences(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield the sentences of a stretch; what has no letter or digit is none."""
    stretch = text[start:end]
    tokens = tokenize(stretch)
    for first, last in split(stretch, tokens):
        span = (start + tokens[first].start, start + tokens[last - 1].end)
        if any(character.isalnum() for character in text[slice(*span)]):
            yield span
