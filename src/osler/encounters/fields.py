"""Which fields of an encounter or a patient profile a caller may set, and what each may hold.

An error names the field and never quotes its value.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields as dataclass_fields
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any, Final

from osler.encounters.model import EncounterPatient, Purpose
from osler.kernel.errors import InvalidFieldError

Reader = Callable[[str, Any], Any]
"""Takes a field's name and a value; returns the value as it is stored. Raises InvalidFieldError."""

MAX_TEXT: Final = 100_000
"""Characters of a long text: one clinician's note, demographic details, additional context."""

MAX_LINE: Final = 1_000
"""Characters of a name or an id of the EHR."""

MAX_ITEMS: Final = 200
"""Clinician's notes, linked encounters, identifiers."""

MAX_SECONDS: Final = 2**31 - 1
"""What the column of ``duration`` holds; 68 years."""

_CODE: Final = re.compile(r"[A-Za-z0-9_.:/+ -]{1,64}")
"""Languages, modes, statuses. They are not sealed, so they hold no free text."""

_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")

_ID: Final = re.compile(r"[0-9A-Za-z_-]{1,64}")


def read_fields(readers: Mapping[str, Reader], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``values`` as they are stored. Raises InvalidFieldError, also for a field that is none."""
    for field in values:
        if field not in readers:
            raise InvalidFieldError(field, "there is no such field, or it cannot be set")
    return {field: readers[field](field, value) for field, value in values.items()}


def merged_patient(standing: EncounterPatient | None, sent: Mapping[str, Any] | None) -> EncounterPatient | None:
    """Return the patient after a change: only what was sent of him changes; None takes all away."""
    if sent is None:
        return None
    merged = replace(standing or EncounterPatient(), **sent)
    return standing if merged == (standing or EncounterPatient()) else merged


def _text(limit: int) -> Reader:
    def read(field: str, value: Any) -> str | None:
        if value is None:
            return None
        if not isinstance(value, str):
            raise InvalidFieldError(field, f"{field} must be a text")
        if len(value) > limit:
            raise InvalidFieldError(field, f"{field} is longer than {limit} characters")
        try:
            value.encode()
        except UnicodeEncodeError:
            raise InvalidFieldError(field, f"{field} holds characters that are no Unicode text") from None
        return value

    return read


_long_text: Final = _text(MAX_TEXT)
_line: Final = _text(MAX_LINE)


def _code(field: str, value: Any) -> str | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str) or not _CODE.fullmatch(value):
        raise InvalidFieldError(field, f"{field} must be a code of at most 64 letters, digits and - _ . : / +")
    return value


def _flag(field: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise InvalidFieldError(field, f"{field} must be true or false")
    return value


def _flag_or_none(field: str, value: Any) -> bool | None:
    return None if value is None else _flag(field, value)


def _seconds(field: str, value: Any) -> int | None:
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_SECONDS:
        raise InvalidFieldError(field, f"{field} must be a whole number of seconds, 0 or more")
    return value


def _time(field: str, value: Any) -> datetime | None:
    if value is None:
        return None
    if not isinstance(value, datetime):
        raise InvalidFieldError(field, f"{field} must be a time")
    try:
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except (OverflowError, ValueError):
        raise InvalidFieldError(field, f"{field} is too far from today") from None


def _date(field: str, value: Any) -> date | None:
    if isinstance(value, str):
        try:
            # The standard's other ways to write a date, such as 20260102 or 2026-W01-5, are more likely mistakes.
            value = date.fromisoformat(value) if _DAY.fullmatch(value) else None
        except ValueError:
            value = None
        if value is None:
            raise InvalidFieldError(field, f"{field} must be a date: YYYY-MM-DD") from None
    if value is not None and (not isinstance(value, date) or isinstance(value, datetime)):
        raise InvalidFieldError(field, f"{field} must be a date: YYYY-MM-DD")
    return value


def _id(field: str, value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not _ID.fullmatch(value):
        raise InvalidFieldError(field, f"{field} must be an id that Osler gave")
    return value


def _list_of(read: Reader) -> Reader:
    def read_all(field: str, value: Any) -> tuple[Any, ...]:
        if value is None:
            return ()
        if not isinstance(value, Sequence) or isinstance(value, str | bytes):
            raise InvalidFieldError(field, f"{field} must be a list")
        if len(value) > MAX_ITEMS:
            raise InvalidFieldError(field, f"{field} has more than {MAX_ITEMS} items")
        items = tuple(read(field, item) for item in value)
        if None in items:
            raise InvalidFieldError(field, f"{field} has an empty item")
        return items

    return read_all


def _purpose(field: str, value: Any) -> Purpose:
    try:
        return Purpose(value)
    except ValueError:
        raise InvalidFieldError(field, f"{field} must be one of {', '.join(Purpose)}") from None


def _patient(field: str, value: Any) -> dict[str, Any] | None:
    if value is None:
        return None
    if isinstance(value, EncounterPatient):
        value = {each.name: getattr(value, each.name) for each in dataclass_fields(EncounterPatient)}
    if not isinstance(value, Mapping):
        raise InvalidFieldError(field, f"{field} must be an object")
    read: dict[str, Any] = {}
    for name, item in value.items():
        if name not in PATIENT_FIELDS:
            raise InvalidFieldError(f"{field}.{name}", f"there is no such field of {field}")
        read[name] = PATIENT_FIELDS[name](f"{field}.{name}", item)
    if "name" in read:
        read["name"] = read["name"] or ""
    return read


def _identifier(field: str, value: Any) -> Mapping[str, Any]:
    """One identifier of a patient, in the EHR's own shape: an object of texts, numbers, booleans and nulls."""
    if not isinstance(value, Mapping) or len(value) > MAX_ITEMS:
        raise InvalidFieldError(field, f"{field} must be a list of objects")
    for name, item in value.items():
        _line(field, name)
        if isinstance(item, str):
            _line(field, item)
        elif item is not None and not isinstance(item, int | float):
            raise InvalidFieldError(field, f"{field} must hold texts, numbers, true, false or null")
        elif isinstance(item, float) and not -1e300 < item < 1e300:
            raise InvalidFieldError(field, f"{field} holds a number that is none")
    return dict(value)


PATIENT_FIELDS: Final[Mapping[str, Reader]] = {
    "name": _line,
    "gender": _line,
    "birth_date": _date,
    "demographic_details": _long_text,
}

ENCOUNTER_FIELDS: Final[Mapping[str, Reader]] = {
    "name": _line,
    "patient": _patient,
    "patient_profile_id": _id,
    "clinician_notes": _list_of(_long_text),
    "ehr_appointment_id": _line,
    "ehr_patient_id": _line,
    "ehr_provider": _line,
    "consent_given": _flag_or_none,
    "duration": _seconds,
    "language_code": _code,
    "output_language_code": _code,
    "transcribe_mode": _code,
    "recording_status": _code,
    "session_status": _code,
    "created_time_local": _time,
    "generate_output_without_recording": _flag,
    "linked_encounter_ids": _list_of(_id),
    "purpose": _purpose,
}
"""``patient`` takes a mapping of which only what is sent changes; ``consent_given`` None says nothing."""

PROFILE_FIELDS: Final[Mapping[str, Reader]] = {
    "first_name": _line,
    "last_name": _line,
    "birth_date": _date,
    "gender": _line,
    "ehr_patient_id": _line,
    "provider": _line,
    "phone": _line,
    "email": _line,
    "patient_sex_code": _line,
    "identifiers": _list_of(_identifier),
    "demographic_string": _long_text,
    "additional_context": _long_text,
}
