"""Checklists of visits: made with the transcript, anew with its correction, sealed, released and erased with it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from osler.audit.model import OPERATOR
from osler.bootstrap import Core
from osler.encounters.model import Encounter, ErasureReason, ErasureScope
from osler.kernel.engine_record import EngineRecord
from osler.kernel.errors import CorruptedError, ErasedError, NotFoundError
from osler.kernel.transactions import Transaction, joining
from osler.notes.checklist import (
    ChecklistItem,
    ChecklistName,
    ChecklistService,
    EncounterChecklist,
)
from osler.notes.model import Evidence
from osler.speech.correction import Correction, TurnCorrection
from osler.speech.model import Transcript
from osler.speech.service import SpeechService
from osler.storage.database import SqlDatabase, connection_of
from osler.storage.repositories.checklists import SqlChecklistRepository
from osler.storage.tables.notes import checklists
from osler.storage.tables.sealing import object_keys
from tests.pipeline_lab import CLOCK, ToneDetector, ToneEncoder, ToneTranscriber, chunks_of, laboratory, tones
from tests.records_lab import SAID, a_version, add_recording
from tests.scribe_practice import Clinician, Town, ok, opened_town, refused

pytestmark = pytest.mark.anyio

ENGINE = EngineRecord("by hand", "1")


def a_checklist(visit: Encounter, transcript_id: str) -> EncounterChecklist:
    words = Evidence(0, 0, len(SAID), SAID, 1.0, 2.5)
    items = (
        ChecklistItem(ChecklistName.CONSENT, False, (words,), refused=True),
        ChecklistItem(ChecklistName.IDENTITY, True, (words,)),
        *(ChecklistItem(name, False) for name in list(ChecklistName)[2:]),
    )
    return EncounterChecklist("c" * 24, visit.organization_id, visit.id, transcript_id, CLOCK.now(), items, ENGINE)


async def test_a_checklist_is_kept_sealed_and_replaced_whole(database: SqlDatabase, tmp_path: Path) -> None:
    lab = await laboratory(database, tmp_path)
    visit, other, rows = await lab.encounter(), await lab.encounter(), SqlChecklistRepository(lab.rows)
    version = a_version(await add_recording(lab, visit))
    first, second = a_checklist(visit, version.id), a_checklist(visit, "d" * 24)
    stranger = (await lab.practice())[0].id
    async with lab.database.write() as transaction:
        assert await rows.get(transaction, visit.organization_id, visit.id) is None
        await rows.save(transaction, first)
        assert await rows.get(transaction, visit.organization_id, visit.id) == first
        assert await rows.get(transaction, stranger, visit.id) is None
        [stored] = await connection_of(transaction).execute(select(checklists))
        assert SAID.encode() not in stored.sealed
        await rows.save(transaction, second)
        assert await rows.get(transaction, visit.organization_id, visit.id) == second
        connection = connection_of(transaction)
        wrapped = await connection.scalar(select(object_keys.c.wrapped).where(object_keys.c.id == stored.key_id))
        assert wrapped is None, "nobody can read any more what was replaced"
        # The sealed bytes of one encounter's row mean nothing in another's.
        moved = {**dict(stored._mapping), "id": "e" * 24, "encounter_id": other.id}
        [fresh] = await connection.execute(select(checklists))
        await connection.execute(checklists.insert().values(moved | {"key_id": fresh.key_id, "sealed": fresh.sealed}))
        with pytest.raises(CorruptedError):
            await rows.get(transaction, visit.organization_id, other.id)


async def a_visit(clinician: Clinician) -> str:
    """Return a session whose recording the pipeline heard: two words of one turn."""
    session_id = await clinician.session()
    who, organization_id = clinician.user_as_actor, clinician.organization.id
    await clinician.core.audio.upload(who, organization_id, session_id, chunks_of(tones(0, 1)), media_type="audio/wav")
    return session_id


@pytest.fixture(scope="module")
async def town(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    """A deployment that runs its jobs; tones are heard as words."""
    folder = tmp_path_factory.mktemp("checklists")
    hears = SpeechService(ToneDetector(), ToneTranscriber(), ToneEncoder())
    with_jobs = {"execute": True, "speech": lambda: hears}
    async with opened_town(folder, f"sqlite:///{folder / 'osler.db'}", core_with=with_jobs) as opened:
        yield opened


@pytest.fixture
async def clinician(town: Town) -> Clinician:
    return await town.clinician()


async def say(clinician: Clinician, session_id: str, speaker: str, text: str) -> dict[str, Any]:
    """Correct the one turn of a session's transcript."""
    version = ok(await clinician.get(f"/sessions/{session_id}/transcript"))["version"]
    turns = [{"index": 0, "text": text, "speaker": speaker}]
    return ok(await clinician.patch(f"/sessions/{session_id}/transcript", {"version": version, "turns": turns}))


async def found(clinician: Clinician, session_id: str) -> dict[str, list[str]]:
    """Return the quotes of the items that are found, by item."""
    told = ok(await clinician.get(f"/sessions/{session_id}/checklist"))
    assert [item["name"] for item in told["items"]] == [name.name for name in ChecklistName]
    return {item["name"]: [each["quote"] for each in item["evidence"]] for item in told["items"] if item["found"]}


async def summaries(clinician: Clinician, session_id: str) -> list[str]:
    """Return the slots of what outsiders can read of it."""
    released = await clinician.core.release.of_encounter(clinician.organization.id, session_id)
    return sorted(document.slot for document in released)


async def test_a_checklist_comes_with_the_transcript_and_anew_with_its_correction(
    town: Town, clinician: Clinician
) -> None:
    session_id = await a_visit(clinician)
    first = ok(await clinician.get(f"/sessions/{session_id}/checklist"))
    assert not any(item["found"] or item["evidence"] or item["refused"] for item in first["items"])
    assert await summaries(clinician, session_id) == ["checklist", "transcript"]

    told = await say(clinician, session_id, "Clinician", "I will see you again in two weeks.")
    assert await found(clinician, session_id) == {"FOLLOW_UP_GIVEN": ["I will see you again in two weeks."]}
    second = ok(await clinician.get(f"/sessions/{session_id}/checklist"))
    assert (second["checklist_id"], told["version"]) == (first["checklist_id"], 2)
    assert second["transcript_id"] != first["transcript_id"]
    [piece] = second["items"][-1]["evidence"]
    assert (piece["kind"], piece["turn"], piece["start"]) == ("TRANSCRIPT", 0, 0)
    assert piece["audio_start"] is not None and piece["audio_start"] < piece["audio_end"]

    await say(clinician, session_id, "Clinician", "Take care.")
    assert await found(clinician, session_id) == {}, "what is not said any more is not found any more"
    reads = await clinician.traces("checklist.read")
    assert {each["encounter"] for each in reads} == {session_id} and len(reads) == 4


async def test_outsiders_see_that_there_is_a_checklist_once_the_note_is_signed(town: Town) -> None:
    clinician = await town.clinician(await town.practice(release="sign-off"))
    session_id = await a_visit(clinician)
    assert await summaries(clinician, session_id) == []
    text = "I have had a cough for two weeks. I am allergic to penicillin."
    await say(clinician, session_id, "Patient", text)
    ok(await clinician.post(f"/sessions/{session_id}/consult-note", {}))
    await clinician.core.release.sign(clinician.user_as_actor, clinician.organization.id, session_id, clinician.user.id)
    assert {"checklist", "note", "transcript"} <= set(await summaries(clinician, session_id))


async def test_no_checklist_before_the_transcript_nor_of_what_was_erased(town: Town, clinician: Clinician) -> None:
    empty = await clinician.session()
    refused(await clinician.get(f"/sessions/{empty}/checklist"), 404, "ChecklistNotFoundError")
    session_id = await a_visit(clinician)
    stranger = await town.clinician()
    refused(await stranger.get(f"/sessions/{session_id}/checklist"), 404, "SessionNotFoundError")
    core, ids = clinician.core, (clinician.organization.id, session_id)
    await core.erasure.erase(OPERATOR, *ids, scope=ErasureScope.AUDIO_AND_UNSIGNED, reason=ErasureReason.COMMAND)
    refused(await clinician.get(f"/sessions/{session_id}/checklist"), 404, "ChecklistNotFoundError")
    assert await summaries(clinician, session_id) == []
    await core.erasure.erase(OPERATOR, *ids, scope=ErasureScope.EVERYTHING, reason=ErasureReason.COMMAND)
    assert (await clinician.get(f"/sessions/{session_id}/checklist")).status_code == 410
    with pytest.raises(ErasedError):
        await core.checklists.get(*ids)


class Broken:
    """A reader that fails, or that works; ``during`` is called in each reading."""

    record = ENGINE

    def __init__(self) -> None:
        self.fails = True
        self.read_of: list[str] = []

    def read(self, transcript: Transcript) -> tuple[ChecklistItem, ...]:
        self.read_of.append(transcript.turns[0].text)
        if self.fails:
            raise ValueError(transcript.turns[0].text)
        return tuple(ChecklistItem(name, False) for name in ChecklistName)


@pytest.fixture
def broken(town: Town, monkeypatch: pytest.MonkeyPatch) -> Broken:
    reader = Broken()
    monkeypatch.setattr(town.core.checklists, "_load_reader", lambda: reader)
    return reader


async def test_a_checklist_that_fails_takes_nothing_with_it(
    town: Town, clinician: Clinician, broken: Broken, caplog: pytest.LogCaptureFixture
) -> None:
    session_id = await a_visit(clinician)
    assert ok(await clinician.get(f"/sessions/{session_id}/transcript"))["version"] == 1
    refused(await clinician.get(f"/sessions/{session_id}/checklist"), 404, "ChecklistNotFoundError")
    assert await summaries(clinician, session_id) == ["transcript"]
    assert "the checklist of a transcript could not be made" in caplog.text
    broken.fails = False
    await say(clinician, session_id, "Clinician", "Take care.")
    assert await found(clinician, session_id) == {}
    broken.fails = True
    await say(clinician, session_id, "Clinician", "Take good care.")
    refused(await clinician.get(f"/sessions/{session_id}/checklist"), 404, "ChecklistNotFoundError")


async def test_the_checklist_is_of_the_correction_that_came_last(
    town: Town, clinician: Clinician, broken: Broken
) -> None:
    broken.fails = False
    session_id = await a_visit(clinician)
    core, ids = clinician.core, (clinician.organization.id, session_id)
    effects: list[str] = []

    async def correct(text: str) -> None:
        async def took_effect(transaction: Transaction) -> None:
            effects.append(text)

        with joining(took_effect):
            await core.transcript_editing.correct(
                clinician.user_as_actor,
                *ids,
                Correction({}, [TurnCorrection(0, text, None)]),
                user_id=clinician.user.id,
            )

    texts = [f"Correction {number}." for number in range(3)]
    await asyncio.gather(*map(correct, texts))
    assert sorted(effects) == texts  # each once, in the transaction that stored it
    checklist, version = await core.checklists.get(*ids), await core.transcripts.current(*ids)
    assert version is not None and version.version == 4
    assert checklist.transcript_id == version.id and checklist.created_at == version.created_at


async def test_a_checklist_of_no_encounter_is_not_found(town: Town, clinician: Clinician) -> None:
    core: Core = town.core
    assert isinstance(core.checklists, ChecklistService)
    with pytest.raises(NotFoundError):
        await core.checklists.get(clinician.organization.id, "100000000000000000")
