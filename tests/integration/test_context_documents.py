"""Context documents on their whole way: sent, sealed, read by the job in a process of its own, listed and deleted."""

from pathlib import Path

import pytest

from osler.encounters.model import ContextDocumentStatus
from osler.storage.database import SqlDatabase
from tests.pipeline_lab import CLIENT, chunks_of, laboratory

pytestmark = pytest.mark.anyio


async def test_a_document_is_ready_with_its_text_after_its_job_ran(database: SqlDatabase, tmp_path: Path) -> None:
    lab = await laboratory(database, tmp_path)
    await lab.settle_in()
    await lab.begin()
    encounter = await lab.encounter()
    added = await lab.context.add(
        CLIENT, lab.organization.id, encounter.id, chunks_of(b"Allergic to penicillin."), filename="letter.pdf"
    )
    assert added.status is ContextDocumentStatus.PARSING
    (document,) = await lab.context.list(lab.organization.id, encounter.id)
    assert (document.id, document.status, document.text) == (
        added.id,
        ContextDocumentStatus.READY,
        "Allergic to penicillin.",
    )
