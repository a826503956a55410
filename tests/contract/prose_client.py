"""A client written from the vendor's prose guide: its spellings, envelopes, and the types of its examples."""

import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import httpx

Kinds = Mapping[str, Any]
"""Keys of an object and what each is: a type, a tuple of types, a pattern, a nested Kinds, or [Kinds] of a list."""

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
DAY = re.compile(r"\d{4}-\d\d-\d\d")
SESSION_ID = re.compile(r"\d+")
ID = re.compile(r"[0-9a-f]{24}")
TEXT = (str, type(None))

ACCOUNT: Kinds = {
    "_id": ID,
    "user_id": str,
    "ehr_provider": TEXT,
    "ehr_email": str,
    "ehr_user_id": str,
    "created_at": TIME,
    "updated_at": TIME,
    "deleted_at": TEXT,
}
SESSION: Kinds = {
    "session_id": SESSION_ID,
    "session_name": TEXT,
    "patient": {"name": str, "gender": TEXT, "dob": TEXT},
    "audio": list,
    "clinician_notes": list,
    "consult_note": (dict, type(None)),
    "duration": int,
    "created_at": TIME,
    "updated_at": TIME,
    "language_code": TEXT,
    "output_language_code": TEXT,
    "documents": (list, type(None)),
    "ehr_appt_id": TEXT,
    "ehr_provider": TEXT,
    "ehr_patient_id": TEXT,
    "consent_obtained": bool,
    "linked_sessions_for_context": list,
}
PROFILE: Kinds = {
    "id": ID,
    "first_name": TEXT,
    "last_name": TEXT,
    "birth_date": TEXT,
    "gender": TEXT,
    "ehr_patient_id": TEXT,
    "provider": TEXT,
    "phone": TEXT,
    "email": TEXT,
    "patient_sex_code": TEXT,
    "identifiers": list,
    "demographic_string": TEXT,
    "additional_context": TEXT,
    "created_at": TIME,
    "updated_at": TIME,
}
TEMPLATE: Kinds = {
    "id": str,
    "name": str,
    "structure_template": str,
    "template_category": re.compile("CONSULT_NOTE_TEMPLATE|DOCUMENT_TEMPLATE"),
    "template_html": str,
    "author_name": str,
}
DOCUMENT: Kinds = {
    "id": ID,
    "filename": str,
    "uploaded_at": TIME,
    "status": re.compile("PARSING|READY|FAILED"),
    "unstructured": bool,
}
NOTE: Kinds = {
    "status": re.compile("GENERATING|CREATED|FAILED"),
    "result": TEXT,
    "heading": TEXT,
    "brain": re.compile("LEFT|RIGHT"),
    "voice_style": re.compile("GOLDILOCKS|DETAILED|BRIEF|SUPER_DETAILED|MY_VOICE"),
    "generation_method": str,
    "template_id": TEXT,
    "ai_command_id": TEXT,
    "ai_command_text": TEXT,
    "feedback": TEXT,
    "dictation_cleanup_mode": TEXT,
}
CODE: Kinds = {"code": str, "code_name": str, "metadata": dict, "score": (int, float), "code_system": str}
PLACE: Kinds = {"start": int, "end": int}
CODES: Kinds = {
    "id": ID,
    "session_id": SESSION_ID,
    "consult_note_id": TEXT,
    "clinical_entities": [
        {
            "location_in_note": [PLACE],
            "reference_in_transcript": [{"transcript_text": str, "location_in_transcript": PLACE}],
            "reference_in_context": list,
            "primary_code": CODE,
            "similar_codes": [CODE],
        }
    ],
}
WRITTEN_DOCUMENT: Kinds = {
    "id": ID,
    "index": int,
    "session_id": SESSION_ID,
    "name": str,
    "template_id": str,
    "generation_type": str,
    "brain": re.compile("LEFT|RIGHT"),
    "voice_style": str,
    "content": str,
    "content_type": re.compile("MARKDOWN|HTML"),
}
PAGE: Kinds = {
    "sessions": [SESSION],
    "count": int,
    "total_count": int,
    "next_page": (str, int, type(None)),
    "has_next_page": bool,
}


def check(value: Any, kinds: Any, place: str = "answer") -> None:
    """Hold a value against what the prose says of it."""
    if isinstance(kinds, Mapping):
        assert isinstance(value, dict), f"{place} is to be an object"
        for key, kind in kinds.items():
            assert key in value, f"{place} lacks {key}"
            check(value[key], kind, f"{place}.{key}")
    elif isinstance(kinds, list):
        assert isinstance(value, list), f"{place} is to be a list"
        for each in value:
            check(each, kinds[0], f"{place}[]")
    elif isinstance(kinds, re.Pattern):
        assert isinstance(value, str) and kinds.fullmatch(value), f"{place} is to look like {kinds.pattern}"
    else:
        accepted = kinds if isinstance(kinds, tuple) else (kinds,)
        # A bool is an int in Python, not in JSON.
        assert type(value) in accepted, f"{place} is to be {accepted}, not {type(value)}"


class ProseClient:
    """What the guide's reader writes by hand."""

    def __init__(self, http: httpx.Client) -> None:
        self.http = http

    def exchange(self, api_key: str, email: str, third_party_internal_id: str) -> str:
        """Get a token, and use it from then on; the key goes along with every request, as the guide's examples do."""
        params = {"email": email, "third_party_internal_id": third_party_internal_id}
        answer = self._read(self.http.get("/jwt", params=params, headers={"Heidi-Api-Key": api_key}))
        check(answer, {"token": str, "expiration_time": str})
        datetime.fromisoformat(answer["expiration_time"])
        self.http.headers.update({"Heidi-Api-Key": api_key, "Authorization": f"Bearer {answer['token']}"})
        token: str = answer["token"]
        return token

    def link_account(self, kinde_user_id: str) -> Any:
        answer = self._read(self.http.post("/users/linked-account", json={"kinde_user_id": kinde_user_id}))
        check(answer, {"account": ACCOUNT})
        return answer["account"]

    def unlink_account(self) -> None:
        assert self._read(self.http.delete("/users/linked-account:unlink")) == {"is_success": True}

    def account_access(self) -> Any:
        answer = self._read(self.http.get("/users/linked-account/access"))
        check(answer, {"is_valid": bool, "is_linked": bool, "account": (dict, type(None))})
        return answer

    def templates(self) -> list[Any]:
        answer = self._read(self.http.get("/templates/consult-note-templates"))
        check(answer, {"templates": [TEMPLATE]})
        templates: list[Any] = answer["templates"]
        return templates

    def create_profile(self, **fields: Any) -> Any:
        return self._profile(self.http.post("/patient-profiles", json=fields))

    def profile(self, profile_id: str) -> Any:
        return self._profile(self.http.get(f"/patient-profiles/{profile_id}"))

    def change_profile(self, profile_id: str, **fields: Any) -> Any:
        return self._profile(self.http.patch(f"/patient-profiles/{profile_id}", json=fields))

    def profiles(self, **filters: str) -> list[Any]:
        answer = self._read(self.http.get("/patient-profiles", params=filters))
        check(answer, {"data": [PROFILE]})
        profiles: list[Any] = answer["data"]
        return profiles

    def delete_profiles(self, *ids: str) -> Any:
        return self._read(self.http.post("/patient-profiles:batch-delete", json={"patient_profile_ids": list(ids)}))

    def link_session(self, profile_id: str, session_id: str) -> None:
        self._read(self.http.post(f"/patient-profiles/{profile_id}/sessions", json={"session_id": session_id}))

    def create_session(self, **fields: Any) -> str:
        answer = self._read(self.http.post("/sessions", json=fields))
        check(answer, {"session_id": SESSION_ID})
        session_id: str = answer["session_id"]
        return session_id

    def session(self, session_id: str) -> Any:
        return self._session(self.http.get(f"/sessions/{session_id}"))

    def change_session(self, session_id: str, **fields: Any) -> Any:
        return self._session(self.http.patch(f"/sessions/{session_id}", json=fields))

    def linked_user_sessions(self, page_size: int) -> list[Any]:
        """Return all sessions, page by page."""
        found: list[Any] = []
        query: dict[str, Any] = {"page_size": page_size}
        while True:
            page = self._read(self.http.get("/sessions/linked-user", params=query))
            check(page, PAGE)
            assert page["count"] == len(page["sessions"]) <= page_size
            found += page["sessions"]
            if not page["has_next_page"]:
                return found
            query["page"] = page["next_page"]

    def add_context_document(self, session_id: str, filename: str, content: bytes, media_type: str) -> Any:
        answer = self._read(
            self.http.post(
                f"/sessions/{session_id}/context-documents",
                files={"context_documents": (filename, content, media_type)},
                data={"meta_data": '{"source": "referral"}'},
            )
        )
        check(answer, DOCUMENT)
        return answer

    def context_documents(self, session_id: str) -> list[Any]:
        answer = self._read(self.http.get(f"/sessions/{session_id}/context-documents"))
        check(answer, {"data": [DOCUMENT]})
        documents: list[Any] = answer["data"]
        return documents

    def delete_context_documents(self, session_id: str, *ids: str) -> None:
        answer = self.http.delete(f"/sessions/{session_id}/context-documents", params={"ids": list(ids)})
        assert answer.status_code == 204 and not answer.content, answer.text

    def consult_note(self, session_id: str, *, events: bool = False, **asked: Any) -> str:
        """Have a note written, read it line by line (or event by event), and return it whole."""
        return self._streamed(f"/sessions/{session_id}/consult-note", asked, events=events)

    def ask(self, session_id: str, command: str, text: str, *, events: bool = False) -> str:
        """Ask about a session, and return the whole answer."""
        asked = {"ai_command_text": command, "content": text, "content_type": "MARKDOWN"}
        return self._streamed(f"/sessions/{session_id}/ask-ai", asked, events=events)

    def fill_in(self, session_id: str, form: Any) -> list[Any]:
        """Send a form as it is, and return its answers."""
        where = f"/sessions/{session_id}/client-customised-template/response"
        answer = self._read(self.http.post(where, json=form))
        assert len(answer["questions"]) == len(form["questions"])
        for sent, told in zip(form["questions"], answer["questions"], strict=True):
            assert sent.items() <= told.items() and "answer" in told
        answers: list[Any] = answer["questionAnswers"]
        return answers

    def _streamed(self, path: str, asked: Any, *, events: bool) -> str:
        headers = {"Accept": "text/event-stream"} if events else {}
        said = ""
        with self.http.stream("POST", path, json=asked, headers=headers) as answer:
            assert answer.status_code == 200, answer.read()
            expected = "text/event-stream" if events else "application/x-ndjson"
            assert answer.headers["content-type"].startswith(expected)
            for line in answer.iter_lines():
                if events and (not line or line.startswith(":")):
                    continue
                said += json.loads(line.removeprefix("data: ") if events else line)["data"]
        return said

    def written_note(self, session_id: str) -> Any:
        note = self.session(session_id)["consult_note"]
        check(note, NOTE)
        return note

    def write_document(self, session_id: str, **asked: str) -> Any:
        document = self._read(self.http.post(f"/sessions/{session_id}/documents", json=asked))
        check(document, WRITTEN_DOCUMENT)
        return document

    def documents(self, session_id: str) -> list[Any]:
        answer = self._read(self.http.get(f"/sessions/{session_id}/documents"))
        check(answer, {"documents": [WRITTEN_DOCUMENT]})
        documents: list[Any] = answer["documents"]
        return documents

    def clinical_codes(self, session_id: str, coding_system: str) -> Any:
        where = f"/sessions/{session_id}/clinical-codes"
        answer = self._read(self.http.get(where, params={"coding_system": coding_system}))
        check(answer, CODES)
        return answer

    def _profile(self, answer: httpx.Response) -> Any:
        profile = self._read(answer)
        check(profile, {"data": PROFILE})
        return profile["data"]

    def _session(self, answer: httpx.Response) -> Any:
        session = self._read(answer)
        check(session, {"session": SESSION})
        return session["session"]

    def _read(self, answer: httpx.Response) -> Any:
        assert answer.status_code == 200, f"{answer.status_code} {answer.text}"
        return answer.json()
