"""Spans of text (code points) and of time (seconds), half-open: start included, end excluded."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class TextSpan:
    """A piece of a text, in Unicode code points: ``text[start:end]``."""

    start: int
    end: int

    def __post_init__(self) -> None:
        if not 0 <= self.start <= self.end:
            raise ValueError(f"not a text span: {self.start}..{self.end}")

    def of(self, text: str) -> str:
        """Return the words that the span covers in ``text``."""
        return text[self.start : self.end]

    def overlaps(self, other: "TextSpan") -> bool:
        """Say whether the two spans share at least one code point."""
        return self.start < other.end and other.start < self.end


@dataclass(frozen=True, slots=True, order=True)
class TimeSpan:
    """A piece of a recording, in seconds from its start."""

    start: float
    end: float

    def __post_init__(self) -> None:
        if not 0 <= self.start <= self.end:
            raise ValueError(f"not a time span: {self.start}..{self.end}")

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return self.end - self.start
