"""What an EHR does with the scribe API, in words of its own, by the clients of the two descriptions."""

from typing import Any, Protocol

import httpx

from tests.contract.prose_client import ProseClient
from tests.contract.yaml_client import YamlClient


class Vendor(Protocol):
    """An EHR's own layer over its client. Days are ISO texts."""

    def sign_in(self, api_key: str, email: str, user_id: str) -> None: ...

    def create_patient(self, first_name: str, last_name: str, born: str, ehr_patient_id: str) -> str: ...

    def rename_patient(self, patient_id: str, last_name: str) -> None: ...

    def patient(self, patient_id: str) -> tuple[str, str, str]:
        """Return first name, last name and day of birth."""
        ...

    def patients_of_ehr(self, ehr_patient_id: str) -> list[str]: ...

    def delete_patients(self, *ids: str) -> None: ...

    def start_visit(self, patient_id: str | None, appointment: str) -> str: ...

    def attach(self, patient_id: str, visit_id: str) -> None: ...

    def describe_visit(
        self, visit_id: str, *, minutes: int, language: str, notes: list[str], consent: bool
    ) -> None: ...

    def visit(self, visit_id: str) -> tuple[str, int, str, list[str], bool]:
        """Return the patient's name, seconds, language, clinician's notes, consent."""
        ...

    def visits(self, page_size: int) -> list[str]: ...

    def templates(self) -> dict[str, str]:
        """Return names of templates by id."""
        ...

    def add_letter(self, visit_id: str, text: str) -> str: ...

    def letters(self, visit_id: str) -> list[str]: ...

    def remove_letters(self, visit_id: str, *ids: str) -> None: ...

    def dictate(self, visit_id: str, text: str) -> None:
        """Give the clinician's own words, as there is no recording."""
        ...

    def write_note(self, visit_id: str, template_id: str) -> str: ...

    def note(self, visit_id: str) -> tuple[str, str]:
        """Return the note's status and text."""
        ...

    def write_document(self, visit_id: str, template_id: str) -> tuple[int, str]:
        """Return the document's index and text."""
        ...

    def documents(self, visit_id: str) -> list[tuple[int, str]]:
        """Return indexes and texts of the visit's documents."""
        ...

    def codes(self, visit_id: str, system: str) -> dict[str, list[tuple[int, int]]]:
        """Return the places in the note of each code; empty while there are none."""
        ...

    def fill_in(self, visit_id: str, form: dict[str, Any]) -> dict[str, Any]:
        """Return the answers to a form by the ids of its questions."""
        ...

    def ask(self, visit_id: str, command: str, text: str) -> str: ...


class YamlVendor:
    """By the client that is generated from the YAML."""

    def __init__(self, http: httpx.Client) -> None:
        self.api = YamlClient(http)

    def sign_in(self, api_key: str, email: str, user_id: str) -> None:
        self.api.http.headers["Heidi-Api-Key"] = api_key
        token = self.api.getJwt(email=email, third_party_internal_id=user_id)["token"]
        del self.api.http.headers["Heidi-Api-Key"]
        self.api.http.headers["Authorization"] = f"Bearer {token}"

    def create_patient(self, first_name: str, last_name: str, born: str, ehr_patient_id: str) -> str:
        body = {
            "first_name": first_name,
            "last_name": last_name,
            "date_of_birth": born,
            "gender": "FEMALE",
            "ehr_patient_id": ehr_patient_id,
            "provider": "EHR",
        }
        patient_id: str = self.api.createPatientProfile(json=body)["id"]
        return patient_id

    def rename_patient(self, patient_id: str, last_name: str) -> None:
        self.api.updatePatientProfile(patient_profile_id=patient_id, json={"last_name": last_name})

    def patient(self, patient_id: str) -> tuple[str, str, str]:
        found = self.api.getPatientProfile(patient_profile_id=patient_id)
        return found["first_name"], found["last_name"], found["date_of_birth"]

    def patients_of_ehr(self, ehr_patient_id: str) -> list[str]:
        return [each["id"] for each in self.api.listPatientProfiles(ehr_patient_id=ehr_patient_id)["data"]]

    def delete_patients(self, *ids: str) -> None:
        self.api.batchDeletePatientProfiles(json={"patient_profile_ids": list(ids)})

    def start_visit(self, patient_id: str | None, appointment: str) -> str:
        body = {"ehr_appointment_id": appointment}
        if patient_id is not None:
            body["patient_profile_id"] = patient_id
        visit_id: str = self.api.createSession(json=body)["session_id"]
        return visit_id

    def attach(self, patient_id: str, visit_id: str) -> None:
        self.api.linkSessionToPatientProfile(patient_profile_id=patient_id, json={"session_id": visit_id})

    def describe_visit(self, visit_id: str, *, minutes: int, language: str, notes: list[str], consent: bool) -> None:
        body = {
            "duration": minutes * 60,
            "language_code": language,
            "clinician_notes": notes,
            "consent_obtained": consent,
            "ehr_appointment_id": "moved",
        }
        self.api.updateSession(session_id=visit_id, json=body)

    def visit(self, visit_id: str) -> tuple[str, int, str, list[str], bool]:
        found = self.api.getSession(session_id=visit_id)
        return (
            found["patient"]["name"],
            found["duration"],
            found["language_code"],
            found["clinician_notes"],
            found["consent_obtained"],
        )

    def visits(self, page_size: int) -> list[str]:
        page = self.api.listLinkedUserSessions(page_size=page_size)
        assert page["count"] == len(page["data"])
        return [each["session_id"] for each in page["data"]]

    def templates(self) -> dict[str, str]:
        return {each["id"]: each["name"] for each in self.api.listTemplates()["data"]}

    def add_letter(self, visit_id: str, text: str) -> str:
        added = self.api.uploadContextDocument(
            session_id=visit_id,
            files={"file": ("letter.txt", text.encode(), "text/plain")},
            data={"unstructured": "true"},
        )
        letter_id: str = added["id"]
        return letter_id

    def letters(self, visit_id: str) -> list[str]:
        return [each["id"] for each in self.api.listContextDocuments(session_id=visit_id)["data"]]

    def remove_letters(self, visit_id: str, *ids: str) -> None:
        self.api.deleteContextDocuments(session_id=visit_id, ids=list(ids))

    def dictate(self, visit_id: str, text: str) -> None:
        body = {"clinician_notes": [text], "generate_output_without_recording": True}
        self.api.updateSession(session_id=visit_id, json=body)

    def write_note(self, visit_id: str, template_id: str) -> str:
        body = {
            "generation_method": "TEMPLATE",
            "template_id": template_id,
            "addition": "",
            "voice_style": "GOLDILOCKS",
            "brain": "LEFT",
            "content_type": "MARKDOWN",
        }
        return "".join(each["data"] for each in self.api.generateConsultNote(session_id=visit_id, json=body))

    def note(self, visit_id: str) -> tuple[str, str]:
        note = self.api.getSession(session_id=visit_id)["consult_note"]
        return note["status"], note["result"]

    def write_document(self, visit_id: str, template_id: str) -> tuple[int, str]:
        body = {
            "generation_method": "TEMPLATE",
            "template_id": template_id,
            "voice_style": "DETAILED",
            "brain": "RIGHT",
            "content_type": "MARKDOWN",
        }
        made = self.api.generateDocument(session_id=visit_id, json=body)
        return made["index"], made["content"]

    def documents(self, visit_id: str) -> list[tuple[int, str]]:
        found = self.api.listSessionDocuments(session_id=visit_id)["data"]
        return [(each["index"], each["content"]) for each in found]

    def codes(self, visit_id: str, system: str) -> dict[str, list[tuple[int, int]]]:
        told = self.api.getSessionClinicalCodes(session_id=visit_id, coding_system=system)
        return {
            each["primary_code"]["code"]: [
                (place["start"], place["end"]) for place in each["references"] if place["source"] == "CONSULT_NOTE"
            ]
            for each in told["entities"]
        }

    def fill_in(self, visit_id: str, form: dict[str, Any]) -> dict[str, Any]:
        body = {"template": form, "content_type": "MARKDOWN"}
        told = self.api.generateCustomTemplateConsultNote(session_id=visit_id, json=body)["template"]
        return {each["questionId"]: each["answer"] for each in told["questions"]}

    def ask(self, visit_id: str, command: str, text: str) -> str:
        body = {"ai_command_text": command, "content": text, "content_type": "MARKDOWN"}
        return "".join(each["data"] for each in self.api.askHeidi(session_id=visit_id, json=body))


class ProseVendor:
    """By the client that was written from the prose."""

    def __init__(self, http: httpx.Client) -> None:
        self.api = ProseClient(http)

    def sign_in(self, api_key: str, email: str, user_id: str) -> None:
        self.api.exchange(api_key, email, user_id)

    def create_patient(self, first_name: str, last_name: str, born: str, ehr_patient_id: str) -> str:
        made = self.api.create_profile(
            first_name=first_name,
            last_name=last_name,
            birth_date=born,
            gender="FEMALE",
            ehr_patient_id=ehr_patient_id,
            provider="EHR",
        )
        patient_id: str = made["id"]
        return patient_id

    def rename_patient(self, patient_id: str, last_name: str) -> None:
        self.api.change_profile(patient_id, last_name=last_name)

    def patient(self, patient_id: str) -> tuple[str, str, str]:
        found = self.api.profile(patient_id)
        return found["first_name"], found["last_name"], found["birth_date"]

    def patients_of_ehr(self, ehr_patient_id: str) -> list[str]:
        return [each["id"] for each in self.api.profiles(ehr_patient_id=ehr_patient_id, provider="EHR")]

    def delete_patients(self, *ids: str) -> None:
        self.api.delete_profiles(*ids)

    def start_visit(self, patient_id: str | None, appointment: str) -> str:
        fields = {} if patient_id is None else {"patient_profile_id": patient_id}
        return self.api.create_session(ehr_appointment_id=appointment, something_of_the_vendor=[1], **fields)

    def attach(self, patient_id: str, visit_id: str) -> None:
        self.api.link_session(patient_id, visit_id)

    def describe_visit(self, visit_id: str, *, minutes: int, language: str, notes: list[str], consent: bool) -> None:
        self.api.change_session(
            visit_id,
            duration=minutes * 60,
            language_code=language,
            clinician_notes=notes,
            is_consent=consent,
            ehr_appt_id="moved",
        )

    def visit(self, visit_id: str) -> tuple[str, int, str, list[str], bool]:
        found = self.api.session(visit_id)
        return (
            found["patient"]["name"],
            found["duration"],
            found["language_code"],
            found["clinician_notes"],
            found["consent_obtained"],
        )

    def visits(self, page_size: int) -> list[str]:
        return [each["session_id"] for each in self.api.linked_user_sessions(page_size)]

    def templates(self) -> dict[str, str]:
        return {each["id"]: each["name"] for each in self.api.templates()}

    def add_letter(self, visit_id: str, text: str) -> str:
        letter_id: str = self.api.add_context_document(visit_id, "letter.txt", text.encode(), "text/plain")["id"]
        return letter_id

    def letters(self, visit_id: str) -> list[str]:
        return [each["id"] for each in self.api.context_documents(visit_id)]

    def remove_letters(self, visit_id: str, *ids: str) -> None:
        self.api.delete_context_documents(visit_id, *ids)

    def dictate(self, visit_id: str, text: str) -> None:
        self.api.change_session(visit_id, clinician_notes=[text], generate_output_without_recording=True)

    def write_note(self, visit_id: str, template_id: str) -> str:
        style = {"voice_style": "BRIEF", "brain": "LEFT"}
        asked: dict[str, Any] = {"generation_method": "TEMPLATE", "template_id": template_id, **style}
        lines = self.api.consult_note(visit_id, **asked)
        events = self.api.consult_note(visit_id, events=True, **asked)
        assert lines == events
        return events

    def note(self, visit_id: str) -> tuple[str, str]:
        note = self.api.written_note(visit_id)
        return note["status"], note["result"]

    def write_document(self, visit_id: str, template_id: str) -> tuple[int, str]:
        made = self.api.write_document(
            visit_id,
            generation_method="TEMPLATE",
            template_id=template_id,
            voice_style="GOLDILOCKS",
            brain="LEFT",
            content_type="MARKDOWN",
            document_tab_type="letter",
        )
        return made["index"], made["content"]

    def documents(self, visit_id: str) -> list[tuple[int, str]]:
        return [(each["index"], each["content"]) for each in self.api.documents(visit_id)]

    def codes(self, visit_id: str, system: str) -> dict[str, list[tuple[int, int]]]:
        return {
            each["primary_code"]["code"]: [(place["start"], place["end"]) for place in each["location_in_note"]]
            for each in self.api.clinical_codes(visit_id, system)["clinical_entities"]
        }

    def fill_in(self, visit_id: str, form: dict[str, Any]) -> dict[str, Any]:
        return {each["questionId"]: each["answer"] for each in self.api.fill_in(visit_id, form)}

    def ask(self, visit_id: str, command: str, text: str) -> str:
        lines, events = (self.api.ask(visit_id, command, text, events=events) for events in (False, True))
        assert lines == events
        return events
