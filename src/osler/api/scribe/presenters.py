"""From encounters to the scribe API's sessions: each made once, then shown to both kinds of readers.

Clients of the prose read what stands under ``session``, where nothing is null or an empty list as in its examples.
Clients of the YAML read the top level, where its types leave no room for null: what is not known is empty there.
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any, Final

from osler.audio.model import AudioRecording, RecordingState
from osler.encounters.model import ContextDocument, Encounter, EncounterPatient, PatientProfile
from osler.notes.html import asked_for_html, shown
from osler.notes.model import ContentType, Document, EncounterOverview, NoteVersion, TextStatus
from osler.notes.records import ERASED
from osler.pipeline.composing import VOICE_NOTES

Json = dict[str, Any]

AUDIO_STATUS: Final[Mapping[RecordingState, str]] = {
    RecordingState.OPEN: "INITIALIZED",
    RecordingState.FINISHED: "INITIALIZED",
    RecordingState.COMPLETE: "COMPLETE",
    RecordingState.FAILED: "FAILED",
    RecordingState.ERASED: "ERASED",
}

FAILURES: Final[Mapping[str, str]] = {
    "NoSpeechError": "No speech was heard in the recording; record again, or write the note by hand.",
    "EmptyAudioError": "The recording holds no sound; record again, or write the note by hand.",
    "NoClinicalContentError": "Nothing here is what the template asks for; choose another one, or write it by hand.",
    "NotAudioError": "The recording cannot be decoded; send it again in another format.",
    ERASED: "This note was erased for good; have a new one written.",
}
"""What to do about a note that could not be written, by the code of its failure."""

OTHER_FAILURE: Final = "The note could not be written; ask for it again, or have the operator retry it."

YAML_SESSION: Final[Mapping[str, Any]] = {
    "session_id": "",
    "patient": {},
    "duration": 0,
    "language_code": "",
    "output_language_code": "",
    "clinician_notes": [],
    "consent_obtained": False,
    "linked_sessions_for_context": [],
    "consult_note": {},
    "documents": [],
    "created_at": "",
    "updated_at": "",
}
"""The YAML's fields of a session but ``audio``, each with what stands there while it is unknown."""

YAML_PROFILE: Final = ("first_name", "last_name", "gender", "ehr_patient_id", "provider")
"""The texts of the YAML's patient profile. Its date has no empty form: an unknown one is left out."""


def moment(at: datetime) -> str:
    """Return RFC 3339 in UTC with microseconds and ``Z``."""
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def session(overview: EncounterOverview) -> Json:
    """Return what the prose calls a session. Keys of ours come last; the contract's document marks them."""
    encounter = overview.encounter
    return {
        "session_id": encounter.id,
        "session_name": encounter.name or "",
        "patient": _patient(encounter.patient or EncounterPatient()),
        "audio": [audio(recording) for recording in overview.recordings],
        "clinician_notes": list(encounter.clinician_notes),
        "consult_note": None if overview.note is None else consult_note(overview.note),
        "duration": _duration(overview),
        "created_at": moment(encounter.created_at),
        "updated_at": moment(encounter.updated_at),
        "language_code": encounter.language_code,
        "output_language_code": encounter.output_language_code,
        "documents": [document(each) for each in overview.documents if each.status is TextStatus.CREATED] or None,
        "ehr_appt_id": encounter.ehr_appointment_id,
        "ehr_provider": encounter.ehr_provider,
        "ehr_patient_id": encounter.ehr_patient_id,
        "consent_obtained": encounter.consent.given is True,
        "linked_sessions_for_context": list(encounter.linked_encounter_ids),
        **_ours(encounter),
    }


def yaml_session(told: Json) -> Json:
    """Return the YAML's ``Session`` of what :func:`session` returned."""
    shown = {field: empty if told[field] is None else told[field] for field, empty in YAML_SESSION.items()}
    seconds = sum(recording["duration"] for recording in told["audio"])
    return {**shown, "audio": {"count": len(told["audio"]), "duration": seconds, "recordings": told["audio"]}}


def session_answer(overview: EncounterOverview) -> Json:
    """Return a single session for both readers: under ``session``, and beside it at the top level."""
    told = session(overview)
    return {"session": told, **yaml_session(told)}


def audio(recording: AudioRecording) -> Json:
    """Return one recording as sessions list it. ``duration`` (seconds, 0 until it is decoded) is ours."""
    return {
        "id": recording.id,
        "index": recording.index,
        "status": AUDIO_STATUS[recording.state],
        "created_at": moment(recording.created_at),
        "access_url": None,
        "expiry": 0,
        "duration": round(recording.duration or 0.0, 3),
    }


def uploaded_audio(recording: AudioRecording, access_url: str | None, expiry: int) -> Json:
    """Return a recording that was just taken in."""
    return {
        "id": recording.id,
        "index": recording.index,
        "status": "INITIALIZED",
        "created_at": moment(recording.created_at),
        "access_url": access_url,
        "expiry": expiry if access_url is not None else 0,
    }


def consult_note(note: NoteVersion) -> Json:
    """Return the current note. ``failure`` is ours: what a FAILED note's reader can do."""
    failed = note.status is TextStatus.FAILED or (note.status is TextStatus.CREATED and note.content is None)
    told: Json = {
        "status": "FAILED" if failed else note.status.name,
        "result": shown(note) if note.content is not None and not failed else None,
        "heading": note.content.heading if note.content is not None else None,
        "brain": note.options.get("brain", "LEFT"),
        "voice_style": note.voice_style,
        "generation_method": note.options.get("generation_method", "TEMPLATE"),
        "template_id": note.options.get("template_id"),
        "ai_command_id": note.options.get("ai_command_id"),
        "ai_command_text": note.options.get("ai_command_text"),
        "feedback": note.options.get("feedback"),
        "dictation_cleanup_mode": note.options.get("dictation_cleanup_mode"),
        "version": note.version,
        "content_type": (ContentType.HTML if asked_for_html(note) else ContentType.MARKDOWN).value,
        "stale": note.stale,
        "signed_at": None if note.signed_at is None else moment(note.signed_at),
    }
    if failed:
        told["failure"] = failure_of(note)
    if VOICE_NOTES in note.options:
        told["voice_notes"] = int(note.options[VOICE_NOTES])
    return told


def failure_of(text: NoteVersion | Document) -> dict[str, str]:
    """Return why a text could not be written and what its reader can do; one without content was erased."""
    code = text.failure or "" if text.status is TextStatus.FAILED else ERASED
    return {"type": code or "WritingFailedError", "msg": FAILURES.get(code, OTHER_FAILURE)}


def document(written: Document) -> Json:
    """Return one generated document; ``content`` is empty until it is written."""
    return {
        "id": written.id,
        "index": written.index,
        "session_id": written.encounter_id,
        "name": written.name,
        "template_id": written.options.get("template_id", written.template),
        "generation_type": written.options.get("generation_method", "TEMPLATE"),
        "brain": written.options.get("brain", "LEFT"),
        "voice_style": written.voice_style,
        "content": shown(written),
        "content_type": (ContentType.HTML if asked_for_html(written) else ContentType.MARKDOWN).value,
    }


def profile(known: PatientProfile) -> Json:
    """Return a patient profile with both names of the birth date; what is not known is null."""
    return {
        "id": known.id,
        "first_name": known.first_name,
        "last_name": known.last_name,
        "date_of_birth": _day(known.birth_date),
        "birth_date": _day(known.birth_date),
        "gender": known.gender,
        "ehr_patient_id": known.ehr_patient_id,
        "provider": known.provider,
        "phone": known.phone,
        "email": known.email,
        "patient_sex_code": known.patient_sex_code,
        "identifiers": [dict(identifier) for identifier in known.identifiers],
        "demographic_string": known.demographic_string,
        "additional_context": known.additional_context,
        "created_at": moment(known.created_at),
        "updated_at": moment(known.updated_at),
    }


def yaml_profile(told: Json) -> Json:
    """Return the YAML's ``PatientProfile`` of what :func:`profile` returned, and the prose's other fields with it."""
    shown = {field: "" if value is None and field in YAML_PROFILE else value for field, value in told.items()}
    if shown["date_of_birth"] is None:
        del shown["date_of_birth"]
    return shown


def profile_answer(known: PatientProfile) -> Json:
    """Return a single profile for both readers: at the top level, and again under ``data``."""
    told = profile(known)
    return {**yaml_profile(told), "data": told}


def context_document(stored: ContextDocument) -> Json:
    """Return a context document. ``reason`` is ours: why a FAILED one could not be read, and what to do."""
    told: Json = {
        "id": stored.id,
        "filename": stored.filename,
        "uploaded_at": moment(stored.uploaded_at),
        "status": stored.status.value,
        "unstructured": stored.unstructured,
    }
    return told if stored.reason is None else {**told, "reason": stored.reason}


def _patient(patient: EncounterPatient) -> Json:
    told: Json = {"name": patient.name, "gender": patient.gender, "dob": _day(patient.birth_date)}
    # Left out while it is unknown, as in the prose's examples.
    if patient.demographic_details is not None:
        told["demographic_details"] = patient.demographic_details
    return told


def _day(day: date | None) -> str | None:
    return None if day is None else day.isoformat()


def _duration(overview: EncounterOverview) -> int:
    """Return the client's word for how long it took, in seconds; without one, how much was recorded."""
    if overview.encounter.duration is not None:
        return overview.encounter.duration
    return round(sum(recording.duration or 0.0 for recording in overview.recordings))


def _ours(encounter: Encounter) -> Json:
    """What a client can set or link and would otherwise never see again."""
    local = encounter.created_time_local
    return {
        "patient_profile_id": encounter.patient_profile_id,
        "transcribe_mode": encounter.transcribe_mode,
        "recording_status": encounter.recording_status,
        "session_status": encounter.session_status,
        "generate_output_without_recording": encounter.generate_output_without_recording,
        "created_time_local": None if local is None else moment(local),
    }
