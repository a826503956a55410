"""A deployment that hears tones as words, whose record is read from outside."""

import secrets
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from osler.access.model import Organization, ReleasePolicy, User
from osler.audio.service import RecordingTimes
from osler.audit.model import OPERATOR
from osler.bootstrap import Core, initialise, open_core
from osler.coding.model import CodeSet, CodingStatus
from osler.config import Settings
from osler.encounters.model import Encounter, ErasureReason, ErasureScope
from osler.kernel.ids import derived_id
from osler.notes.service import NoteService
from osler.release.model import ReleasedKind
from osler.release.reading import (
    LookupRefusedError,
    PublicDocumentSummary,
    PublicEncounter,
    PublicReadingService,
)
from osler.speech.service import SpeechService
from osler.storage.repositories.coding import SqlCodeSetRepository
from osler.storage.repositories.sealed import SealedRows
from tests.pipeline_lab import CLIENT, PlainWriter, ToneDetector, ToneEncoder, ToneTranscriber, chunks_of, tones


@dataclass
class Practice:
    """A deployment that hears tones as words, with an organization and its clinician."""

    core: Core
    organization: Organization
    user: User

    @property
    def reading(self) -> PublicReadingService:
        return self.core.public.reading

    async def visit(self, *, said: tuple[int, ...] = (), note: bool = False, **fields: Any) -> Encounter:
        encounter = await self.core.encounters.create(CLIENT, self.organization.id, self.user.id, **fields)
        if said:
            await self.upload(encounter, *said)
        if note:
            await self.core.notes.request(CLIENT, self.organization.id, encounter.id)
        return encounter

    async def upload(self, encounter: Encounter, *said: int, started_at: datetime | None = None) -> None:
        await self.core.audio.upload(
            CLIENT,
            encounter.organization_id,
            encounter.id,
            chunks_of(tones(*said)),
            media_type="audio/wav",
            times=lambda: RecordingTimes(started_at),
        )

    async def shown(self, encounter: Encounter) -> PublicEncounter:
        return await self.reading.encounter(self.organization.id, encounter.id)

    async def document(self, encounter: Encounter, kind: ReleasedKind) -> PublicDocumentSummary:
        [document] = [document for document in (await self.shown(encounter)).documents if document.kind is kind]
        return document

    async def page(self, *, limit: int = 50, offset: int = 0, newest_first: bool = True, **more: Any) -> list[str]:
        page = await self.reading.page(
            self.organization.id, limit=limit, offset=offset, newest_first=newest_first, **more
        )
        return [encounter.id for encounter in page.items]

    async def coded(self, encounter: Encounter, note_id: str) -> None:
        """Have the visit coded, as the pipeline stores it."""
        codes = CodeSet(
            id=derived_id("codes of a test", encounter.id),
            organization_id=encounter.organization_id,
            encounter_id=encounter.id,
            coding_system="ICD10CM",
            created_at=datetime.now(UTC),
            status=CodingStatus.READY,
            note_id=note_id,
            entities=({"code": "R07.9"},),
        )
        rows = SqlCodeSetRepository(SealedRows(self.core.keyring, self.core.clock))
        async with self.core.database.write() as transaction:
            await self.core.encounters.content_allowed(transaction, encounter.organization_id, encounter.id)
            await rows.save(transaction, codes)
            await self.core.release.release_billing(transaction, codes)

    async def erase(self, encounter: Encounter, scope: ErasureScope) -> None:
        await self.core.erasure.erase(
            OPERATOR, encounter.organization_id, encounter.id, scope=scope, reason=ErasureReason.COMMAND
        )

    async def practice(self, release: ReleasePolicy = ReleasePolicy.AUTOMATIC) -> "Practice":
        """Return another organization of the same deployment."""
        return await settled(self.core, release)


async def settled(core: Core, release: ReleasePolicy = ReleasePolicy.AUTOMATIC) -> Practice:
    """Make an organization and its clinician."""
    organization = await core.access.create_organization(OPERATOR, "Practice", f"practice-{secrets.token_hex(4)}")
    organization = await core.access.update_organization(OPERATOR, organization.id, release=release)
    user = await core.access.create_user(OPERATOR, organization.id, f"{secrets.token_hex(4)}@clinic.example", "ehr-1")
    return Practice(core, organization, user)


@asynccontextmanager
async def opened(folder: Path, database_url: str) -> AsyncIterator[Core]:
    settings = Settings(data=folder / "data", database=SecretStr(database_url), coding_system="none")
    await initialise(settings)
    async with open_core(
        settings,
        execute=True,
        engine="inline",
        speech=lambda: SpeechService(ToneDetector(), ToneTranscriber(), ToneEncoder()),
        notes=lambda: NoteService(PlainWriter()),
    ) as core:
        yield core


async def refused(reading: Awaitable[object]) -> str:
    with pytest.raises(LookupRefusedError) as caught:
        await reading
    return caught.value.reason.value
