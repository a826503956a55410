"""Values as the scribe API writes them: times, marks of what is ours, the base of its models."""

from datetime import UTC, datetime
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, PlainSerializer, WithJsonSchema

OURS: Final[dict[str, Any]] = {"x-osler": True}
"""Marks a key or route that neither of the two descriptions has: ``Field(json_schema_extra=OURS)``."""


def written(at: datetime) -> str:
    """Return a time in UTC with microseconds and ``Z`` (RFC 3339)."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


Time = Annotated[
    datetime, PlainSerializer(written, return_type=str), WithJsonSchema({"type": "string", "format": "date-time"})
]
"""A time in an answer."""


class Given(BaseModel):
    """Base of bodies that clients send: unknown keys are tolerated, types are not guessed."""

    model_config = ConfigDict(extra="ignore", strict=True, hide_input_in_errors=True)


class Answered(BaseModel):
    """Base of answers."""

    model_config = ConfigDict(extra="forbid")
