"""What clients send of a session, in both spellings, and the changes of an encounter that it means.

Only what is sent changes. Null empties what is text, a list or the patient; it says nothing of consent, of
``generate_output_without_recording`` and of the note. So a session that is sent back as it was read reads the same.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Final, TypeVar

from pydantic import Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from osler.api.scribe.errors import PROFILE_NOT_FOUND, SESSION_NOT_FOUND, Refusal, ScribeError
from osler.api.scribe.sent import SESSION_ID, Day, SentTime, Whole, is_id
from osler.api.scribe.values import OURS, Given
from osler.encounters.fields import MAX_ITEMS, MAX_LINE, MAX_SECONDS, MAX_TEXT
from osler.pipeline.encounter_editing import EditedNote

Value = TypeVar("Value")

MOST_OF_NOTE: Final = 500_000
"""Characters of an edited note."""

Line = Annotated[str, Field(max_length=MAX_LINE)]
Text = Annotated[str, Field(max_length=MAX_TEXT)]
Code = Annotated[str, Field(max_length=64, pattern=r"^[A-Za-z0-9_.:/+ -]*$")]
Id = Annotated[str, Field(max_length=MAX_LINE)]
"""What can be none is answered as what is not there."""

SPELLING: Final[Mapping[str, str]] = {
    "name": "session_name",
    "birth_date": "dob",
    "ehr_appointment_id": "ehr_appt_id",
    "consent_given": "consent_obtained",
    "linked_encounter_ids": "linked_sessions_for_context",
    "encounter_id": "session_id",
}
"""From the core's names of fields to those of sessions."""

MISSING: Final[Mapping[str, Refusal]] = {
    "linked_encounter_ids": SESSION_NOT_FOUND,
    "encounter_id": SESSION_NOT_FOUND,
    "patient_profile_id": PROFILE_NOT_FOUND,
}
"""What is not there, by the field that named it."""

_SAME_NAME: Final = {
    "duration",
    "language_code",
    "output_language_code",
    "transcribe_mode",
    "ehr_patient_id",
    "recording_status",
    "session_status",
    "created_time_local",
}
"""Fields of which null says that they are to be empty, and which are called the same inside."""


class SessionCreate(Given):
    """A new session."""

    patient_profile_id: Id | None = Field(default=None, description="The profile of the patient, linked at once.")
    ehr_appt_id: Line | None = Field(default=None, description="The same as `ehr_appointment_id`.")
    ehr_appointment_id: Line | None = None

    @field_validator("ehr_appointment_id")
    @classmethod
    def _one_appointment(cls, value: str | None, info: ValidationInfo) -> str | None:
        return _agreed(value, info, "ehr_appt_id")

    def fields(self) -> dict[str, Any]:
        """Return what the encounter is made with. Raises ScribeError for what can be no profile's id."""
        if self.patient_profile_id is not None and not is_id(self.patient_profile_id):
            raise ScribeError(PROFILE_NOT_FOUND, field="patient_profile_id")
        return {
            "patient_profile_id": self.patient_profile_id,
            "ehr_appointment_id": _either(self.ehr_appointment_id, self.ehr_appt_id),
        }


class SentPatient(Given):
    """The patient of a session; only what is sent of him changes."""

    name: Line | None = None
    gender: Line | None = None
    dob: Day | None = Field(default=None, description="Date of birth.")
    demographic_details: Text | None = None


class SentConsultNote(Given):
    """The note as a person edited it."""

    result: Annotated[str, Field(max_length=MOST_OF_NOTE)] | None = Field(
        default=None, description="The edited text: it becomes the newest version, by its author."
    )
    heading: Line | None = None


class SessionUpdate(Given):
    """Changes of a session: only what is sent changes."""

    session_name: Line | None = None
    duration: Annotated[Whole, Field(ge=0, le=MAX_SECONDS)] | None = Field(default=None, description="Seconds.")
    language_code: Code | None = None
    output_language_code: Code | None = None
    transcribe_mode: Code | None = None
    patient: SentPatient | None = None
    clinician_notes: Annotated[list[Text], Field(max_length=MAX_ITEMS)] | None = None
    ehr_patient_id: Line | None = None
    ehr_appt_id: Line | None = Field(default=None, description="The same as `ehr_appointment_id`.")
    ehr_appointment_id: Line | None = None
    generate_output_without_recording: bool | None = Field(
        default=None, description="Whether a note may be made without audio."
    )
    recording_status: Code | None = None
    session_status: Code | None = None
    is_consent: bool | None = Field(default=None, description="The same as `consent_obtained`.")
    consent_obtained: bool | None = Field(
        default=None, description="From true to false withdraws consent: audio is erased after the grace period."
    )
    created_time_local: SentTime | None = None
    linked_sessions_for_context: Annotated[list[Id], Field(max_length=MAX_ITEMS)] | None = Field(
        default=None, description="Former sessions of which the note may take account."
    )
    consult_note: SentConsultNote | None = Field(default=None, json_schema_extra=OURS)

    @field_validator("ehr_appointment_id")
    @classmethod
    def _one_appointment(cls, value: str | None, info: ValidationInfo) -> str | None:
        return _agreed(value, info, "ehr_appt_id")

    @field_validator("consent_obtained")
    @classmethod
    def _one_consent(cls, value: bool | None, info: ValidationInfo) -> bool | None:
        return _agreed(value, info, "is_consent")

    def changes(self) -> dict[str, Any]:
        """Return the changes of the encounter, by the core's names. Raises ScribeError for what is no session's id."""
        sent = self.model_fields_set
        changes: dict[str, Any] = {field: getattr(self, field) for field in _SAME_NAME & sent}
        if "session_name" in sent:
            changes["name"] = self.session_name or None
        if "patient" in sent:
            changes["patient"] = None if self.patient is None else _patient(self.patient)
        if "clinician_notes" in sent:
            changes["clinician_notes"] = self.clinician_notes or []
        if "linked_sessions_for_context" in sent:
            linked = self.linked_sessions_for_context or []
            if not all(map(SESSION_ID.fullmatch, linked)):
                raise ScribeError(SESSION_NOT_FOUND, field="linked_sessions_for_context")
            changes["linked_encounter_ids"] = linked
        if {"ehr_appt_id", "ehr_appointment_id"} & sent:
            changes["ehr_appointment_id"] = _either(self.ehr_appointment_id, self.ehr_appt_id)
        consent = _either(self.consent_obtained, self.is_consent)
        if consent is not None:
            changes["consent_given"] = consent
        if self.generate_output_without_recording is not None:
            changes["generate_output_without_recording"] = self.generate_output_without_recording
        return changes

    def edited_note(self) -> EditedNote | None:
        """Return the note as it was edited; None if nothing was sent of it."""
        note = self.consult_note
        return None if note is None or note.result is None else EditedNote(note.result, note.heading)


def _patient(sent: SentPatient) -> dict[str, Any]:
    spelled = {
        "name": sent.name,
        "gender": sent.gender,
        "dob": sent.dob,
        "demographic_details": sent.demographic_details,
    }
    inside = {"dob": "birth_date"}
    return {inside.get(field, field): value for field, value in spelled.items() if field in sent.model_fields_set}


def _agreed(value: Value, info: ValidationInfo, other: str) -> Value:
    """Return ``value`` if the field's other spelling does not say something else."""
    said = info.data.get(other)
    if value is not None and said is not None and value != said:
        raise PydanticCustomError("contradiction", "says something else than {other}", {"other": other})
    return value


def _either(first: Any, second: Any) -> Any:
    return second if first is None else first
