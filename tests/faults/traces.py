"""A search of all that Osler leaves on a disk for words of the visit, as text and as sound."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

WORDS = 4
"""Words in a row that can only come from the visit."""


def assert_no_trace(
    said: str, places: Iterable[Path], *, names: Iterable[str] = (), sounds: Iterable[bytes] = ()
) -> None:
    """Assert that no file holds four words of ``said`` in a row, one of the ``names`` or a piece of ``sounds``.

    Text is looked for in UTF-8 and in UTF-16, whatever its case; folders are searched whole.
    """
    wanted = {*_phrases(said), *(name.lower() for name in names)}
    phrases = [p for text in wanted for p in (text.encode(), text.encode("utf-16-le"))]
    assert phrases, "there are no words to look for"
    any_phrase = re.compile(b"|".join(re.escape(phrase) for phrase in sorted(phrases)))
    pieces = [piece for sound in sounds for piece in _pieces(sound)]
    for path in _files(places):
        try:
            content = path.read_bytes()
        except FileNotFoundError:  # a database at work removes files of its own; what is gone holds nothing
            continue
        # What was found is not printed: it would be the visit's words.
        assert any_phrase.search(content.lower()) is None, f"words of the visit stand in {path.name}"
        assert not any(piece in content for piece in pieces), f"sound of the visit stands in {path.name}"


def _phrases(said: str) -> set[str]:
    words = re.findall(r"[a-z0-9'/]+", said.lower())
    runs = {" ".join(words[i : i + WORDS]) for i in range(len(words) - WORDS + 1)}
    return {run for run in runs if len(run) >= 15}


def _pieces(sound: bytes) -> Iterator[bytes]:
    """Yield pieces that are loud enough to be of this recording alone."""
    for at in range(0, len(sound) - 64, max(64, len(sound) // 50)):
        piece = sound[at : at + 64]
        if len(set(piece)) > 30:
            yield piece


def _files(places: Iterable[Path]) -> Iterator[Path]:
    for place in places:
        if place.is_file():
            yield place
        elif place.is_dir():
            yield from (p for p in sorted(place.rglob("*")) if p.is_file())
