"""HTML of clients read as Markdown: headings, paragraphs and lists stay, everything else gives its text."""

from html.parser import HTMLParser
from typing import Final

_BLOCKS: Final = frozenset(("p", "div", "section", "article", "blockquote", "table", "tr", "ul", "ol", "pre", "hr"))
_SILENT: Final = frozenset(("script", "style", "head", "title", "template", "noscript"))


def markdown_of(html: str) -> str:
    """Return the text of HTML as Markdown, blocks parted by blank lines; scripts and styles are left out."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    return reader.text()


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._blocks: list[str] = []
        self._words = ""
        self._mark = ""
        self._silent = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _SILENT:
            self._silent += 1
        elif tag == "br":
            self._words += "\n"
        elif tag in ("td", "th"):
            self._words += " "
        elif tag == "li":
            self._end("- ")
        elif len(tag) == 2 and tag[0] == "h" and tag[1] in "123456":
            self._end(f"{'#' * int(tag[1])} ")
        elif tag in _BLOCKS and not (tag == "p" and self._mark and not self._words.strip()):
            self._end("")

    def handle_endtag(self, tag: str) -> None:
        if tag in _SILENT:
            self._silent = max(0, self._silent - 1)
        elif tag == "li" or tag in _BLOCKS or (len(tag) == 2 and tag[0] == "h"):
            self._end("")

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self._words += data

    def text(self) -> str:
        self._end("")
        joined = ""
        for block in self._blocks:
            both = block.startswith("- ") and joined.rsplit("\n", 1)[-1].startswith("- ")
            joined += f"\n{block}" if both else f"\n\n{block}"
        return joined.strip()

    def _end(self, mark: str) -> None:
        lines = [" ".join(line.split()) for line in self._words.split("\n")]
        words = "\n".join(line for line in lines if line)
        if words:
            self._blocks.append(f"{self._mark}{words}")
        self._words, self._mark = "", mark
