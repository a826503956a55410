"""Notes and documents as HTML: rendered from Markdown by markdown-it (CommonMark and tables), sanitised by nh3.

What is generated is stored as Markdown and rendered whenever it is shown. A person who edits a text that he was shown
as HTML sends HTML, which is stored as it came and sanitised whenever it is shown.
"""

from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from osler.notes.model import ContentType, Document, NoteVersion, WrittenText

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

# fmt: off
TAGS: Final = frozenset((
    "h1", "h2", "h3", "h4", "h5", "h6", "p", "br", "hr", "ul", "ol", "li", "strong", "b", "em", "i", "u", "s",
    "sub", "sup", "blockquote", "pre", "code", "table", "thead", "tbody", "tr", "th", "td", "a",
))
# fmt: on
"""The elements that a text may have: none that loads, runs or embeds anything."""

ATTRIBUTES: Final = {"a": {"href"}, "ol": {"start"}}
SCHEMES: Final = frozenset({"http", "https", "mailto"})


def asked_for_html(text: NoteVersion | Document | None) -> bool:
    """Say whether whoever asked for a text wants to read it as HTML."""
    if text is None:
        return False
    by_hand = text.content is not None and text.content.content_type is ContentType.HTML
    return by_hand or text.options.get("content_type") == ContentType.HTML.value


def shown(text: NoteVersion | Document) -> str:
    """Return what a text says in the form in which it was asked for; empty if it has no content."""
    if text.content is None:
        return ""
    return "".join(shown_pieces(text)) if asked_for_html(text) else text.content.text


def shown_pieces(text: NoteVersion | Document) -> list[str]:
    """Return :func:`shown` in the pieces in which it was written, none of them empty."""
    if text.content is None:
        return []
    pieces = _pieces(text.content)
    if asked_for_html(text):
        by_hand = text.content.content_type is ContentType.HTML
        pieces = [sanitised(piece) if by_hand else markdown_html(piece) for piece in pieces]
    return [piece for piece in pieces if piece]


def _pieces(content: WrittenText) -> list[str]:
    borders = (0, *content.ends, len(content.text))
    return [content.text[start:end] for start, end in pairwise(borders) if start < end]


def markdown_html(text: str) -> str:
    """Return Markdown as sanitised HTML. HTML in the Markdown is shown as text."""
    return sanitised(_renderer().render(text))


def sanitised(html: str) -> str:
    """Return HTML without anything but :data:`TAGS`; what scripts and styles hold is left out with them."""
    import nh3

    return nh3.clean(html, tags=set(TAGS), attributes=ATTRIBUTES, url_schemes=set(SCHEMES))


@cache
def _renderer() -> "MarkdownIt":
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark", {"html": False}).enable("table")
