"""What clients send, value by value: days and times in their spellings, ids in paths, and fields named as they were."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import Annotated, Any, Final

from fastapi import Depends, Path
from pydantic import AfterValidator, BeforeValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from osler.api.scribe.errors import PROFILE_NOT_FOUND, SESSION_NOT_FOUND, Refusal, ScribeError, invalid
from osler.kernel.errors import InvalidFieldError, NotFoundError

_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.,][0-9]+)?)?(Z|[+-][0-9]{2}:?[0-9]{2})?",
    re.IGNORECASE,
)
SESSION_ID: Final = re.compile(r"[0-9]{1,32}")
_ID: Final = re.compile(r"[0-9a-f]{24}")


def read_day(text: str) -> str:
    """Return a day as it was sent, YYYY-MM-DD. Raises ValueError."""
    if not _DAY.fullmatch(text):
        raise PydanticCustomError("day", "must be a date: YYYY-MM-DD")
    try:
        date.fromisoformat(text)
    except ValueError:
        raise PydanticCustomError("day", "must be a day that there is: YYYY-MM-DD") from None
    return text


def read_time(text: str) -> datetime:
    """Return a time (ISO 8601), with or without zone, which then is UTC. Raises ValueError."""
    try:
        if not _TIME.fullmatch(text):
            raise ValueError
        read = datetime.fromisoformat(text.upper().replace(",", "."))
        return read.replace(tzinfo=UTC) if read.tzinfo is None else read.astimezone(UTC)
    except (ValueError, OverflowError):
        raise PydanticCustomError("time", "must be a time: YYYY-MM-DDTHH:MM:SS, with or without zone") from None


def _whole(value: Any) -> Any:
    """Take 39.0 for 39: JSON knows one kind of number."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _time_of_text(value: Any) -> Any:
    return read_time(value) if isinstance(value, str) else value


Day = Annotated[str, AfterValidator(read_day), WithJsonSchema({"type": "string", "format": "date"})]
SentTime = Annotated[
    datetime, BeforeValidator(_time_of_text), WithJsonSchema({"type": "string", "format": "date-time"})
]
Whole = Annotated[int, BeforeValidator(_whole)]


async def read_session_id(session_id: Annotated[str, Path(description="The id of a session: decimal digits.")]) -> str:
    """Return the id of a session in a path. Raises ScribeError for what can be none."""
    if not SESSION_ID.fullmatch(session_id):
        raise ScribeError(SESSION_NOT_FOUND)
    return session_id


async def _profile_id(patient_profile_id: Annotated[str, Path(description="The id of a patient profile.")]) -> str:
    if not is_id(patient_profile_id):
        raise ScribeError(PROFILE_NOT_FOUND)
    return patient_profile_id


def is_id(text: str) -> bool:
    """Say whether a text can be an id of a profile or document; what cannot be one is not looked for."""
    return _ID.fullmatch(text) is not None


SessionId = Annotated[str, Depends(read_session_id)]
ProfileId = Annotated[str, Depends(_profile_id)]


@contextmanager
def named_as(spelling: Mapping[str, str], missing: Mapping[str, Refusal] | None = None) -> Iterator[None]:
    """Name the core's fields as clients know them in what goes wrong inside.

    ``spelling``: from the core's names to clients'; ``missing``: what it is that a field named and is not there.
    """
    try:
        yield
    except InvalidFieldError as error:
        field = ".".join(spelling.get(part, part) for part in error.field.split("."))
        raise invalid(field, str(error).replace(error.field, field)) from None
    except NotFoundError as error:
        refusal = (missing or {}).get(error.field or "")
        if refusal is None:
            raise
        assert error.field is not None
        raise ScribeError(refusal, field=spelling.get(error.field, error.field)) from None
