"""Sessions as answers describe them. The presenters make them; a test holds the two together."""

from typing import Any, Final, Literal

from pydantic import Field
from pydantic.config import JsonValue

from osler.api.scribe.values import OURS, Answered, Time

DAY: Final[dict[str, JsonValue]] = {"format": "date"}


class ToldPatient(Answered):
    """The patient of a session."""

    name: str
    gender: str | None
    dob: str | None = Field(json_schema_extra=DAY)
    demographic_details: str = Field(default="", description="Left out while nothing is known.")


class ToldAudio(Answered):
    """One recording of a session."""

    id: str
    index: int
    status: Literal["INITIALIZED", "COMPLETE", "FAILED", "ERASED"]
    created_at: Time
    access_url: str | None
    expiry: int
    duration: float = Field(description="Seconds; 0 until it is known.", json_schema_extra=OURS)


class NoteFailure(Answered):
    """Why a note could not be written, and what to do."""

    type: str
    msg: str


class ToldConsultNote(Answered):
    """The current note of a session."""

    status: Literal["GENERATING", "CREATED", "FAILED"]
    result: str | None
    heading: str | None
    brain: str
    voice_style: str
    generation_method: str
    template_id: str | None
    ai_command_id: str | None
    ai_command_text: str | None
    feedback: str | None
    dictation_cleanup_mode: str | None
    version: int = Field(description="Counts from 1.", json_schema_extra=OURS)
    content_type: Literal["MARKDOWN", "HTML"] = Field(description="The form of `result`.", json_schema_extra=OURS)
    stale: bool = Field(description="Whether what it rests on has changed since.", json_schema_extra=OURS)
    signed_at: Time | None = Field(json_schema_extra=OURS)
    voice_notes: int | None = Field(
        default=None,
        description="Of a note in the style MY_VOICE: how many of the user's own notes it was learned from. 0: there "
        "are none yet, and it is written as GOLDILOCKS.",
        json_schema_extra=OURS,
    )
    failure: NoteFailure | None = Field(
        default=None, description="Beside the status FAILED: why, and what to do.", json_schema_extra=OURS
    )


class ToldDocument(Answered):
    """A generated document of a session."""

    id: str
    index: int
    session_id: str
    name: str
    template_id: str
    generation_type: str
    brain: str
    voice_style: str
    content: str
    content_type: Literal["MARKDOWN", "HTML"]


class ToldSession(Answered):
    """A session in full."""

    session_id: str
    session_name: str
    patient: ToldPatient
    audio: list[ToldAudio]
    clinician_notes: list[str]
    consult_note: ToldConsultNote | None = Field(description="Null before there is one.")
    duration: int = Field(description="Seconds: the client's word, else what was recorded.")
    created_at: Time
    updated_at: Time
    language_code: str | None
    output_language_code: str | None
    documents: list[ToldDocument] | None
    ehr_appt_id: str | None
    ehr_provider: str | None
    ehr_patient_id: str | None
    consent_obtained: bool
    linked_sessions_for_context: list[str]
    patient_profile_id: str | None = Field(json_schema_extra=OURS)
    transcribe_mode: str | None = Field(json_schema_extra=OURS)
    recording_status: str | None = Field(json_schema_extra=OURS)
    session_status: str | None = Field(json_schema_extra=OURS)
    generate_output_without_recording: bool = Field(json_schema_extra=OURS)
    created_time_local: Time | None = Field(json_schema_extra=OURS)


class AllAudio(Answered):
    """The recordings of a session as one object."""

    count: int
    duration: float = Field(description="Seconds of all together.")
    recordings: list[ToldAudio]


class Session(Answered):
    """A session without nulls: what is not known is empty."""

    session_id: str
    patient: ToldPatient
    duration: int
    language_code: str
    output_language_code: str
    clinician_notes: list[str]
    consent_obtained: bool
    linked_sessions_for_context: list[str]
    consult_note: ToldConsultNote | dict[str, Any] = Field(description="Without any key before there is one.")
    documents: list[ToldDocument]
    audio: AllAudio
    created_at: Time
    updated_at: Time


class SessionAnswer(Session):
    """A session, under `session` and at the top level."""

    session: ToldSession


class SessionCreated(Answered):
    """The id of a new session."""

    session_id: str


class SessionPage(Answered):
    """One page of sessions, newest first."""

    sessions: list[ToldSession]
    count: int = Field(description="Sessions on this page.")
    total_count: int = Field(description="Sessions on all pages.")
    next_page: str | None = Field(description="What to ask for as `page`; null on the last one.")
    has_next_page: bool
    data: list[Session]
    has_next: bool
    has_previous: bool
    damaged_sessions: list[str] = Field(
        default_factory=list,
        description="Sessions of this page that are damaged and cannot be shown; left out where there are none.",
        json_schema_extra=OURS,
    )
