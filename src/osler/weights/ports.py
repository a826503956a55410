"""What the store asks of a source of weights, and what a source writes to."""

from typing import Protocol

from osler.kernel.progress import Progress
from osler.weights.model import WeightsFile


class Sink(Protocol):
    """Takes the bytes of one file; may already hold the beginning of it from an earlier, broken attempt."""

    @property
    def received(self) -> int:
        """How many bytes it holds."""
        ...

    def write(self, chunk: bytes) -> None:
        """Append bytes. Raises OutputError when the store has no room or may not be written."""
        ...

    def restart(self) -> None:
        """Forget what it holds."""
        ...


class Source(Protocol):
    """A place that weights come from. It promises nothing about the bytes: the store checks every digest."""

    @property
    def label(self) -> str:
        """What to call it in front of a user: no path, no credentials."""
        ...

    def fetch(self, file: WeightsFile, sink: Sink, progress: Progress) -> None:
        """Write the whole file to ``sink``, continuing after ``sink.received`` bytes where the source can.

        ``progress`` is for work that brings no bytes of the file yet. Raises SourceUnavailableError when the source has
        no such file or breaks off; what the sink then holds is kept for the next attempt.
        """
        ...
