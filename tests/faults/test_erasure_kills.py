"""A process is killed while it erases an encounter; the next start finishes it, and no other encounter is touched."""

import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import select

from osler.access.model import ReleasePolicy
from osler.audit.model import OPERATOR
from osler.bootstrap import Core, open_core
from osler.config import Settings
from osler.encounters.model import Encounter, EncounterState
from osler.storage.database import connection_of
from osler.storage.tables.audio import segments
from osler.storage.tables.encounters import encounters
from osler.storage.tables.erasures import erasures
from osler.storage.tables.sealing import object_keys
from tests.faults.erasing_child import INSTANTS
from tests.faults.processes import ROOT
from tests.faults.setting import Setting, set_up
from tests.pipeline_lab import tones

pytestmark = pytest.mark.anyio

MARKER = "Oswin Thistlewood keeps bees"
SOUND = tones(0, 1)


async def sound() -> AsyncIterator[bytes]:
    yield SOUND


async def visit(core: Core, setting: Setting) -> Encounter:
    """Make an encounter with two recordings."""
    encounter = await core.encounters.create(
        OPERATOR, setting.organization, setting.user, patient={"name": MARKER}, clinician_notes=[MARKER]
    )
    for _ in range(2):
        await core.audio.upload(OPERATOR, setting.organization, encounter.id, sound(), media_type="audio/wav")
    return encounter


async def keys_of(core: Core, encounter: Encounter) -> set[str]:
    async with core.database.read() as transaction:
        own = await connection_of(transaction).scalars(
            select(encounters.c.key_id).where(encounters.c.id == encounter.id)
        )
        of_sounds = select(segments.c.blob_key_id).where(segments.c.encounter_id == encounter.id)
        return {*own, *(key for key in await connection_of(transaction).scalars(of_sounds) if key)}


async def wrapped(core: Core, key_ids: set[str]) -> list[bytes | None]:
    async with core.database.read() as transaction:
        query = select(object_keys.c.wrapped).where(object_keys.c.id.in_(key_ids))
        return list(await connection_of(transaction).scalars(query))


def blobs(core: Core) -> set[str]:
    return {path.name for path in Path(core.settings.blobs_place).glob("??/*") if path.is_file()}


@pytest.mark.parametrize("instant", INSTANTS)
async def test_an_erasure_that_was_killed_on_the_way_is_finished_at_the_next_start(
    instant: str, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting = await set_up(database_url, tmp_path, monkeypatch, ReleasePolicy.AUTOMATIC)
    organization_id = setting.organization
    async with open_core(Settings(), engine="inline") as core:
        kept = await visit(core, setting)
        kept_blobs = blobs(core)
        erased = await visit(core, setting)
        key_ids, kept_keys = await keys_of(core, erased), await keys_of(core, kept)
        secrets = await wrapped(core, key_ids)
        kept_secrets = await wrapped(core, kept_keys)
    assert len(key_ids) == len(kept_keys) == 3 and len(kept_blobs) == 2
    with setting.log.open("ab") as log:
        child = subprocess.run(
            [sys.executable, "-m", "tests.faults.erasing_child", organization_id, erased.id, instant],
            cwd=ROOT,
            stdout=log,
            stderr=log,
            timeout=300,
            check=False,
        )
    assert child.returncode == -signal.SIGKILL, "it was not killed: that instant is not reached any more"

    async with open_core(Settings(), engine="inline", apply_ledger=True) as core:
        assert (await core.encounters.get(organization_id, erased.id)).state is EncounterState.ERASED
        assert await wrapped(core, key_ids) == [None, None, None]
        assert blobs(core) == kept_blobs
        async with core.database.read() as transaction:
            [account] = (await connection_of(transaction).execute(select(erasures))).all()
        assert await core.ledger.ids() == [account.id]
        assert account.finished_at is not None and account.blob_ids == []
        actions = [e.event.action for e in await core.audit.list(organization_id, encounter_id=erased.id)]
        assert actions.count("encounter.erased") == 1
        assert not (await core.audit.verify(organization_id)).broken
        assert await core.encounters.get(organization_id, kept.id) == kept
        assert sorted(map(bytes, filter(None, await wrapped(core, kept_keys)))) == sorted(
            map(bytes, filter(None, kept_secrets))
        )
        for recording in await core.audio.recordings(organization_id, kept.id):
            _, [segment] = await core.audio.segments(organization_id, kept.id, recording.id)
            assert segment.blob is not None
            assert b"".join([chunk async for chunk in core.vault.stream(segment.blob)]) == SOUND
    files = {path for place in setting.places for path in [place, *place.rglob("*")] if path.is_file()}
    held = [path.read_bytes() for path in files]
    assert not any(MARKER.encode() in content for content in held)
    if database_url.startswith("sqlite"):
        assert any(secret is not None and secret in c for secret in kept_secrets for c in held), "keys can be found"
        assert not any(secret is not None and secret in c for secret in secrets for c in held), "a key is left"
