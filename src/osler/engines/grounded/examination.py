"""Follows whether the clinician is examining: what they then call swollen is a sign, not a complaint."""

from collections.abc import Mapping, Sequence
from functools import cache

from osler.engines.grounded.lexicon import indexed, phrases_in, table
from osler.engines.grounded.reading import Reading


class Examination:
    """The state of one visit; feed it every sentence in order."""

    def __init__(self) -> None:
        self._open = False

    @property
    def under_way(self) -> bool:
        """Say whether the examination has begun and nothing has ended it yet."""
        return self._open

    def begin(self) -> None:
        """Take the examination for begun: a sign was reported that nobody tells otherwise."""
        self._open = True

    def follow(self, reading: Reading, sentence: int) -> bool:
        """Return whether this sentence reports the examination."""
        if not reading.by_clinician:
            return False
        start, end = reading.sentences[sentence]
        words = reading.words[start:end]
        if phrases_in(words, _phrases("closes")):
            self._open = False
        if phrases_in(words, _phrases("opens")):
            self._open = True
        if reading.asks[sentence]:
            return False
        return bool(phrases_in(words, _phrases("surely"))) or (self._open and bool(phrases_in(words, _phrases("cues"))))


@cache
def _phrases(name: str) -> Mapping[str, Sequence[tuple[str, ...]]]:
    return indexed(table("actions")["exam"][name])
