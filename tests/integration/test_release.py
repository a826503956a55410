"""What outsiders may read, and when: at once or at sign-off, each thing under one stable id."""

from pathlib import Path

import pytest

from osler.access.model import ReleasePolicy
from osler.audit.model import OPERATOR
from osler.encounters.model import EncounterState, ErasureReason, ErasureScope
from osler.kernel.errors import ConflictError, ErasedError, NotFoundError
from osler.kernel.ids import new_id
from osler.notes.model import Document, TextStatus, WrittenText
from osler.release.model import ReleasedKind
from osler.storage.database import SqlDatabase
from osler.storage.repositories.notes import SqlDocumentRepository
from tests.pipeline_lab import CLIENT, CLOCK, Laboratory, laboratory, tones

pytestmark = pytest.mark.anyio


@pytest.fixture
async def lab(database: SqlDatabase, tmp_path: Path) -> Laboratory:
    """An organization that signs off."""
    lab = await laboratory(database, tmp_path)
    await lab.settle_in(ReleasePolicy.SIGN_OFF)
    await lab.begin()
    return lab


async def add_letter(lab: Laboratory, encounter_id: str, index: int = 0) -> str:
    document = Document(
        id=new_id(),
        organization_id=lab.organization.id,
        encounter_id=encounter_id,
        index=index,
        name="Letter",
        created_at=CLOCK.now(),
        status=TextStatus.CREATED,
        template="letter",
        voice_style="GOLDILOCKS",
        content=WrittenText("Dear colleague"),
    )
    async with lab.database.write() as transaction:
        await SqlDocumentRepository(lab.rows).add(transaction, document)
        await lab.release.release_document(transaction, document)
    return document.id


async def test_with_sign_off_nothing_is_readable_before_it_and_everything_after(lab: Laboratory) -> None:
    encounter = await lab.encounter()
    await lab.upload(encounter, tones(0, 1))
    note = await lab.notes.request(CLIENT, lab.organization.id, encounter.id)
    letter_id = await add_letter(lab, encounter.id)
    assert await lab.state(encounter) is EncounterState.COMPLETED
    assert await lab.release.of_encounter(lab.organization.id, encounter.id) == []
    signed = await lab.release.sign(CLIENT, lab.organization.id, encounter.id, lab.user.id)
    assert (signed.state, signed.signed_by) == (EncounterState.SIGNED, lab.user.id) and signed.signed_at
    assert await lab.encounters.get(lab.organization.id, encounter.id) == signed
    transcript = await lab.transcripts.current(lab.organization.id, encounter.id)
    assert transcript is not None
    shown = await lab.release.of_encounter(lab.organization.id, encounter.id)
    assert {(d.kind, d.slot, d.source_id) for d in shown} == {
        (ReleasedKind.TRANSCRIPT, "transcript", transcript.id),
        (ReleasedKind.DOCUMENT, "note", note.id),
        (ReleasedKind.DOCUMENT, f"document:{letter_id}", letter_id),
    }
    standing = await lab.notes.get(lab.organization.id, note.id)
    assert (standing.signed_by, standing.signed_at) == (lab.user.id, signed.signed_at)
    assert await lab.release.get(lab.organization.id, shown[0].id) == shown[0]
    actions = [entry.event.action for entry in await lab.audit.list(lab.organization.id, encounter_id=encounter.id)]
    assert actions.count("encounter.signed") == 1 and actions.count("document.released") == 3


async def test_a_newer_note_is_shown_at_the_next_sign_off_under_the_same_id(lab: Laboratory) -> None:
    encounter = await lab.encounter()
    await lab.upload(encounter, tones(0, 1))
    first = await lab.notes.request(CLIENT, lab.organization.id, encounter.id)
    await lab.release.sign(CLIENT, lab.organization.id, encounter.id, lab.user.id)
    before = {d.slot: d for d in await lab.release.of_encounter(lab.organization.id, encounter.id)}
    second = await lab.notes.request(CLIENT, lab.organization.id, encounter.id)
    assert {d.slot: d for d in await lab.release.of_encounter(lab.organization.id, encounter.id)} == before
    assert await lab.state(encounter) is EncounterState.SIGNED
    await lab.release.sign(CLIENT, lab.organization.id, encounter.id, lab.user.id)
    after = {d.slot: d for d in await lab.release.of_encounter(lab.organization.id, encounter.id)}
    assert (before["note"].source_id, after["note"].source_id) == (first.id, second.id)
    assert after["note"].id == before["note"].id and after["transcript"] == before["transcript"]


async def test_signing_is_refused_when_there_is_nothing_to_sign(database: SqlDatabase, tmp_path: Path) -> None:
    lab = await laboratory(database, tmp_path)
    await lab.settle_in(ReleasePolicy.SIGN_OFF)
    encounter = await lab.encounter()
    with pytest.raises(ConflictError):
        await lab.release.sign(CLIENT, lab.organization.id, encounter.id, lab.user.id)
    await lab.upload(encounter, tones(0))
    await lab.notes.request(CLIENT, lab.organization.id, encounter.id)
    with pytest.raises(ConflictError):  # it is still being written
        await lab.release.sign(CLIENT, lab.organization.id, encounter.id, lab.user.id)
    await lab.begin()
    await lab.release.sign(CLIENT, lab.organization.id, encounter.id, lab.user.id)
    with pytest.raises(ConflictError):  # signed already
        await lab.release.sign(CLIENT, lab.organization.id, encounter.id, lab.user.id)
    await lab.notes.request(CLIENT, lab.organization.id, encounter.id)
    await lab.begin(execute=False)
    await lab.notes.request(CLIENT, lab.organization.id, encounter.id)
    with pytest.raises(ConflictError):  # one could be signed, but a newer one is being written
        await lab.release.sign(CLIENT, lab.organization.id, encounter.id, lab.user.id)
    await lab.erasure.erase(
        OPERATOR, lab.organization.id, encounter.id, scope=ErasureScope.EVERYTHING, reason=ErasureReason.COMMAND
    )
    with pytest.raises(ErasedError):
        await lab.release.sign(CLIENT, lab.organization.id, encounter.id, lab.user.id)
    assert await lab.release.of_encounter(lab.organization.id, encounter.id) == []


async def test_another_organization_neither_signs_nor_reads(lab: Laboratory) -> None:
    encounter = await lab.encounter()
    await lab.upload(encounter, tones(0))
    await lab.notes.request(CLIENT, lab.organization.id, encounter.id)
    other, stranger = await lab.practice()
    with pytest.raises(NotFoundError):
        await lab.release.sign(CLIENT, other.id, encounter.id, stranger.id)
    await lab.release.sign(CLIENT, lab.organization.id, encounter.id, lab.user.id)
    (document, *_) = await lab.release.of_encounter(lab.organization.id, encounter.id)
    assert await lab.release.of_encounter(other.id, encounter.id) == []
    with pytest.raises(NotFoundError):
        await lab.release.get(other.id, document.id)


async def test_a_note_that_failed_does_not_hide_the_written_one_before_it(lab: Laboratory) -> None:
    def fail() -> None:
        raise RuntimeError

    encounter = await lab.encounter()
    await lab.upload(encounter, tones(0))
    first = await lab.notes.request(CLIENT, lab.organization.id, encounter.id)
    lab.writer.during = fail
    await lab.notes.request(CLIENT, lab.organization.id, encounter.id)
    with pytest.raises(ConflictError, match="confirm"):
        await lab.release.sign(CLIENT, lab.organization.id, encounter.id, lab.user.id)
    await lab.release.sign(CLIENT, lab.organization.id, encounter.id, lab.user.id, confirmed=True)
    shown = {d.slot: d.source_id for d in await lab.release.of_encounter(lab.organization.id, encounter.id)}
    assert shown["note"] == first.id


async def test_released_documents_of_many_encounters_come_in_order_of_creation(lab: Laboratory) -> None:
    ids = []
    for _ in range(3):
        encounter = await lab.encounter()
        await lab.upload(encounter, tones(0))
        await lab.notes.request(CLIENT, lab.organization.id, encounter.id)
        await lab.release.sign(CLIENT, lab.organization.id, encounter.id, lab.user.id)
        ids.append(encounter.id)
    found = await lab.release.of_encounters(lab.organization.id, ids[1:])
    assert [d.encounter_id for d in found] == [ids[1], ids[1], ids[2], ids[2]]
    assert await lab.release.of_encounters(lab.organization.id, []) == []
