"""How long work tells its caller how far it is."""

from typing import Protocol


class Progress(Protocol):
    """Called now and then by long work; ``total`` is None while it is not known yet."""

    def __call__(self, what: str, done: float, total: float | None) -> None: ...


def silent(what: str, done: float, total: float | None) -> None:
    """Show nothing: the default progress."""
