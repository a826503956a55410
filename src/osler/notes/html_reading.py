"""HTML of clients read as Markdown: headings, paragraphs and lists stay, everything else gives its text."""

import re
from collections.abc import Iterator
from html import unescape
from typing import Final

_BLOCKS: Final = frozenset(("p", "div", "section", "article", "blockquote", "table", "tr", "ul", "ol", "pre", "hr"))
_SILENT: Final = frozenset(("script", "style", "head", "title", "template", "noscript"))
_RAW: Final = frozenset(("script", "style"))
"""What holds no tags but its own end (HTML, 13.2.5.4)."""

_TAG: Final = re.compile(r"""<(/?)([A-Za-z][^\s/>]*+)(?>=\s*+"[^"]*"|=\s*+'[^']*'|[^>])*+>""")
_BEGUN: Final = re.compile("</?[A-Za-z]")
_TAG_WITHOUT_QUOTES: Final = re.compile(r"<(/?)([A-Za-z][^\s/>]*+)[^>]*+>")
_NO_TEXT: Final = re.compile(r"<[!?/][^>]*+>")


def markdown_of(html: str) -> str:
    """Return the text of HTML as Markdown, blocks parted by blank lines; scripts and styles are left out.

    Takes a time that grows with the text, whatever that is. What was begun and not ended is text, as far as it is not
    a script or style.
    """
    reader = _Reader()
    for tag, text in _pieces(html):
        if text:
            reader.say(unescape(text))
        elif tag.startswith("/"):
            reader.end(tag[1:])
        else:
            reader.begin(tag)
    return reader.text()


def _pieces(html: str) -> Iterator[tuple[str, str]]:
    """Yield tags, those that end something with a slash before their name, and what stands between: (tag, text).

    The parser of the standard library looks through all that is left of a text for each end that it misses. Here what
    was missed once is not looked for again.
    """
    last = html.rfind(">")
    tags, comments = _TAG, True
    said = at = 0  # from ``said`` on nothing was yielded yet; what stands before ``at`` was looked at
    while 0 <= (begun := html.find("<", at)) < last:
        at = begun + 1
        if comments and html.startswith("<!--", begun):
            closed = html.find("-->", begun + 4)
            comments = closed >= 0
            if comments:
                yield "", html[said:begun]
                said = at = closed + 3
            continue
        tag = tags.match(html, begun)
        if tag is None and tags is _TAG and _BEGUN.match(html, begun):
            # To the last, each > is inside of quotes, as far as it can be told: from here on quotes are none.
            tags = _TAG_WITHOUT_QUOTES
            tag = tags.match(html, begun)
        found = tag or (None if html.startswith("<!--", begun) else _NO_TEXT.match(html, begun))
        if found is None:
            continue
        yield "", html[said:begun]
        said = at = found.end()
        if tag is None:
            continue
        name = tag.group(2).lower()
        yield f"{tag.group(1)}{name}", ""
        if name in _RAW and not tag.group(1):
            ending = re.compile(rf"</{name}(?=[\s/>])", re.IGNORECASE).search(html, at)
            if ending is None:
                return
            said = at = ending.start()
    yield "", html[said:]


class _Reader:
    def __init__(self) -> None:
        self._blocks: list[str] = []
        self._words: list[str] = []
        self._has_words = False
        self._mark = ""
        self._silent = 0

    def begin(self, tag: str) -> None:
        if tag in _SILENT:
            self._silent += 1
        elif tag == "br":
            self._words.append("\n")
        elif tag in ("td", "th"):
            self._words.append(" ")
        elif tag == "li":
            self._end("- ")
        elif len(tag) == 2 and tag[0] == "h" and tag[1] in "123456":
            self._end(f"{'#' * int(tag[1])} ")
        elif tag in _BLOCKS and not (tag == "p" and self._mark and not self._has_words):
            self._end("")

    def end(self, tag: str) -> None:
        if tag in _SILENT:
            self._silent = max(0, self._silent - 1)
        elif tag == "li" or tag in _BLOCKS or (len(tag) == 2 and tag[0] == "h"):
            self._end("")

    def say(self, text: str) -> None:
        if not self._silent:
            self._words.append(text)
            self._has_words = self._has_words or not text.isspace()

    def text(self) -> str:
        self._end("")
        parts: list[str] = []
        before = ""
        for block in self._blocks:
            both = block.startswith("- ") and before.startswith("- ")
            parts += ("\n" if both else "\n\n", block)
            before = block.rpartition("\n")[2]
        return "".join(parts).strip()

    def _end(self, mark: str) -> None:
        lines = [" ".join(line.split()) for line in "".join(self._words).split("\n")]
        words = "\n".join(line for line in lines if line)
        if words:
            self._blocks.append(f"{self._mark}{words}")
        self._words, self._has_words, self._mark = [], False, mark
