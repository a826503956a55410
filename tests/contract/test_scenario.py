"""One scenario, by a client of each description, against one server. Neither client knows of the other."""

from collections.abc import Callable, Iterator

import httpx
import pytest

from tests.contract.live import Deployment, Tenant
from tests.contract.vendors import ProseVendor, Vendor, YamlVendor

VENDORS: dict[str, Callable[[httpx.Client], Vendor]] = {"yaml": YamlVendor, "prose": ProseVendor}


@pytest.fixture(params=sorted(VENDORS))
def vendor(request: pytest.FixtureRequest, deployment: Deployment, clinic: Tenant) -> Iterator[Vendor]:
    with deployment.client() as http:
        vendor = VENDORS[request.param](http)
        vendor.sign_in(clinic.key, f"{request.param}@example.org", f"user-of-{request.param}")
        # The YAML has no route for it, and its list of sessions needs it.
        linked = http.post("/users/linked-account", json={"kinde_user_id": f"account-of-{request.param}"})
        assert linked.status_code in (200, 409)
        yield vendor


def test_a_vendors_client_goes_through_a_visit(vendor: Vendor) -> None:
    patient = vendor.create_patient("Ada", "Quill", "1951-02-03", "mrn-1")
    assert vendor.patient(patient) == ("Ada", "Quill", "1951-02-03")
    vendor.rename_patient(patient, "Quillfeather")
    assert vendor.patient(patient) == ("Ada", "Quillfeather", "1951-02-03")
    assert patient in vendor.patients_of_ehr("mrn-1") and vendor.patients_of_ehr("mrn-none") == []

    visit = vendor.start_visit(patient, "appointment-1")
    vendor.describe_visit(visit, minutes=12, language="en", notes=["walks with a cane"], consent=True)
    assert vendor.visit(visit) == ("Ada Quillfeather", 720, "en", ["walks with a cane"], True)

    walk_in = vendor.start_visit(None, "appointment-2")
    assert vendor.visit(walk_in)[0] == ""
    vendor.attach(patient, walk_in)
    assert vendor.visit(walk_in)[0] == "Ada Quillfeather"
    assert {visit, walk_in} <= set(vendor.visits(200))

    vendor.delete_patients(patient)
    assert vendor.patients_of_ehr("mrn-1") == []
    assert vendor.visit(visit)[0] == "Ada Quillfeather"


def test_a_vendors_client_attaches_context(vendor: Vendor) -> None:
    visit = vendor.start_visit(None, "appointment-3")
    letters = [vendor.add_letter(visit, f"Referral number {number}.") for number in range(3)]
    assert vendor.letters(visit) == letters
    vendor.remove_letters(visit, *letters[:2])
    assert vendor.letters(visit) == letters[2:]


def test_a_vendors_client_finds_templates(vendor: Vendor) -> None:
    names = vendor.templates()
    assert len(names) >= 12 and all(names.values())


FORM = {
    "name": "Intake",
    "questions": [
        {
            "questionId": "cough",
            "question": "Does the patient have a cough?",
            "answerType": "SingleResponse",
            "answerOptions": [{"value": "Yes"}, {"value": "No"}],
        },
        {
            "questionId": "symptoms",
            "question": "Symptoms",
            "answerType": "MultipleResponse",
            "answerOptions": [{"value": "Cough"}, {"value": "Chest pain"}, {"value": "Rash"}],
        },
        {"questionId": "job", "question": "Occupation", "answerType": "TextArea"},
        {
            "questionId": "surgery",
            "question": "Date of the hernia surgery",
            "answerType": "DateResponse",
            "dateFormat": "DD/MM/YYYY",
        },
    ],
}


def test_a_vendors_client_has_a_form_answered_and_asks(vendor: Vendor) -> None:
    visit = vendor.start_visit(None, "appointment-6")
    vendor.dictate(visit, "She has a cough. She denies chest pain. Hernia surgery was on the third of March 2021.")
    assert vendor.fill_in(visit, FORM) == {
        "cough": "Yes",
        "symptoms": ["Cough"],
        "job": None,
        "surgery": "03/03/2021",
    }
    assert "denies chest pain" in vendor.ask(visit, "Did she mention chest pain?", "")
    assert vendor.ask(visit, "Does she smoke?", "").startswith("The visit does not say")
    text = "She has hypertension. She likes the weather."
    assert (
        vendor.ask(visit, "In plain words, please", text) == f"{text.replace('hypertension', 'high blood pressure')}\n"
    )
