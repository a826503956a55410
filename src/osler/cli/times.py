"""Times as an operator types them."""

from datetime import UTC, datetime

import typer


def utc_time(text: str, option: str) -> datetime:
    """Return the moment that ``text`` says in ISO 8601, in UTC; without a zone it is UTC.

    Raises typer.BadParameter, which names ``option``.
    """
    try:
        time = datetime.fromisoformat(text)
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        raise typer.BadParameter(f"{option} is no ISO 8601 time; write it as 2027-01-31T12:00:00Z") from None
