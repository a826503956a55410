"""What time it is: always UTC, always with its zone."""

from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Tells the time; tests give their own."""

    def now(self) -> datetime:
        """Return the time in UTC, with zone, in microseconds."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Return the time in UTC, with zone, in microseconds."""
        return datetime.now(UTC)
