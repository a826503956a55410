"""Spans of time in seconds, half-open: start included, end excluded."""

from dataclasses import dataclass


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
