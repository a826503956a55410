"""What Alembic runs for every command: the migrations, on the connection that :func:`migrate` hands over."""

from typing import Any, Literal

from alembic import context

from osler.storage.migrations import all_metadata
from osler.storage.tables.metadata import JSON, Time


def render(kind: str, item: Any, _context: object) -> str | Literal[False]:
    """Write our own column types by their names when Alembic writes a new revision."""
    if kind == "type" and isinstance(item, Time):
        return "Time()"
    return "JSON" if kind == "type" and item is JSON else False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=all_metadata(),
    # SQLite can change most things of a table only by building it anew.
    render_as_batch=True,
    compare_type=True,
    compare_server_default=True,
    render_item=render,
)
with context.begin_transaction():
    context.run_migrations()
