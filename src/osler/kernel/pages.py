"""One page of a list, and where the next one starts."""

from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a list ordered by time of creation, then id: what follows it is the next page."""

    created_at: datetime
    id: str


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """Items of one page; ``following`` is the position of its last item if more come after it, else None.

    ``damaged`` are ids of what stands on this page too and cannot be opened: one damaged row does not hide the others.
    """

    items: tuple[Item, ...]
    following: Position | None = None
    damaged: tuple[str, ...] = ()
