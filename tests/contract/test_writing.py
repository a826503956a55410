"""Notes and documents by a client of each description: written by a real worker, streamed, read again."""

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.contract.live import PATIENCE, Deployment, Tenant
from tests.contract.vendors import ProseVendor, Vendor, YamlVendor
from tests.server_lab import OslerProcess


@pytest.fixture(scope="module")
def written(deployment: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Have what is asked for written."""
    log: Path = tmp_path_factory.mktemp("worker") / "worker.log"
    with OslerProcess("worker", deployment.data, log=log, environment={}):
        yield


@pytest.mark.parametrize("kind", [YamlVendor, ProseVendor])
def test_a_vendors_client_has_a_note_and_documents_written(
    kind: type[YamlVendor] | type[ProseVendor], deployment: Deployment, clinic: Tenant, written: None
) -> None:
    with deployment.client() as http:
        vendor: Vendor = kind(http)
        vendor.sign_in(clinic.key, f"{kind.__name__}@example.org", f"writes-by-{kind.__name__}")
        visit = vendor.start_visit(None, "appointment-4")
        vendor.dictate(visit, "The patient takes metformin 500 mg twice daily for type 2 diabetes.")
        names = vendor.templates()
        soap, letter = (
            next(id for id, name in names.items() if name == want) for want in ("SOAP note", "Referral letter")
        )
        note = vendor.write_note(visit, soap)
        assert "metformin" in note and vendor.note(visit) == ("CREATED", note)
        made = [vendor.write_document(visit, letter), vendor.write_document(visit, soap)]
        assert [index for index, _ in made] == [0, 1] and all("metformin" in text for _, text in made)
        assert vendor.documents(visit) == made
        _check_errors(http, visit)
        deadline = time.monotonic() + PATIENCE
        while not (codes := vendor.codes(visit, "ICD-10-CM")) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert set(codes) == {"E11.9"} and codes["E11.9"]
        assert {note[start:end].lower() for start, end in codes["E11.9"]} == {"type 2 diabetes"}
        assert vendor.codes(visit, "SNOMED-CT") == {}


def _check_errors(http: httpx.Client, visit: str) -> None:
    """What is refused before the first byte has the form that both descriptions know."""
    unknown = http.post(f"/sessions/{visit}/consult-note", json={"template_id": "none"})
    assert (unknown.status_code, unknown.json()["detail"]["type"]) == (404, "TemplateNotFoundError")
    both = http.post(f"/sessions/{visit}/consult-note", json={"template_id": "a", "third_party_template": "# b"})
    assert both.status_code == 422 and "template_id" in both.json()["detail"]["msg"]
    nowhere = http.post("/sessions/123456789012345678/consult-note", json={})
    assert nowhere.json() == {"detail": {"msg": "Session not found", "type": "SessionNotFoundError"}}
