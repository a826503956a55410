"""Tables of scores as plain text."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from rich.console import Console
from rich.table import Table

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Column(Generic[Row]):
    """A column: its heading and how a row's cell is written."""

    heading: str
    cell: Callable[[Row], str]


def table(title: str, first: str, columns: Sequence[Column[Row]], rows: Sequence[tuple[str, Row]]) -> str:
    """Return a table of named ``rows``; ``first`` heads the column of names. Never cut, however narrow the screen."""
    grid = Table(title=title, title_justify="left", title_style="", header_style="")
    grid.add_column(first, no_wrap=True)
    for column in columns:
        grid.add_column(column.heading, justify="right", no_wrap=True)
    for name, row in rows:
        grid.add_row(name, *(column.cell(row) for column in columns))
    out = io.StringIO()
    Console(file=out, width=400, color_system=None, highlight=False, markup=False).print(grid)
    return "".join(line.rstrip() + "\n" for line in out.getvalue().splitlines())
