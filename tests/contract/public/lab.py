"""A deployment with everything in it that the public contract speaks of; all of it came in by uploads and requests."""

import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import delete, select, update

from osler.access import recent
from osler.access.key_text import new_key_text
from osler.access.model import ApiKey, KeyKind, Organization, ReleasePolicy, Scope, User
from osler.access.public import PublicRoute
from osler.api.app import create_app
from osler.api.scribe.app import BASE_PATH
from osler.audit.model import OPERATOR
from osler.bootstrap import Core, initialise, open_core
from osler.config import Settings
from osler.encounters.model import ErasureReason, ErasureScope, Purpose
from osler.kernel.ids import new_id
from osler.speech.service import SpeechService
from osler.storage.database import connection_of
from osler.storage.tables.audio import segments
from osler.storage.tables.release import released_documents
from osler.storage.tables.speech import segment_transcripts, transcripts
from tests.contract.public.speaking import speech, spoken
from tests.scribe_practice import Clinician, ok

ORIGIN = "192.0.2.7"
LETTER: Final = "eb5e3698a363be3746cc817f"
PAST = datetime(2001, 1, 1, tzinfo=UTC)

ALL_SCOPES = frozenset(Scope)
TEST, UNKNOWN, DISABLED, REVOKED, EXPIRED, OF_USER = "test", "unknown", "disabled", "revoked", "expired", "of a user"


@dataclass(frozen=True)
class Visit:
    """An encounter, and its readable documents by slot (``document`` is the letter)."""

    id: str
    documents: dict[str, str]

    def __getitem__(self, slot: str) -> str:
        return self.documents[slot]


@dataclass
class Clinic:
    """An organization with its clinician."""

    core: Core
    scribe: httpx.AsyncClient
    organization: Organization
    clinician: Clinician

    async def begin(self, purpose: Purpose = Purpose.CARE, **fields: Any) -> str:
        """Make a session; one that is not of care is not made by clients."""
        if purpose is Purpose.CARE:
            first = {name: fields.pop(name) for name in ("patient_profile_id",) if name in fields}
            session_id = await self.clinician.session(**first)
            if fields:
                ok(await self.clinician.patch(f"/sessions/{session_id}", fields))
            return session_id
        user = self.clinician.user
        made = await self.core.encounters.create(OPERATOR, self.organization.id, user.id, purpose=purpose, **fields)
        return made.id

    async def upload(self, encounter_id: str, *sentences: int) -> None:
        files = {"file": ("visit.wav", spoken(*sentences), "audio/wav")}
        ok(await self.clinician.post(f"/sessions/{encounter_id}/upload-audio", files=files))

    async def note(self, encounter_id: str) -> None:
        answer = await self.clinician.post(f"/sessions/{encounter_id}/consult-note", {})
        assert answer.status_code == 200, answer.text

    async def letter(self, encounter_id: str) -> None:
        asked = {"generation_method": "TEMPLATE", "template_id": LETTER, "voice_style": "GOLDILOCKS", "brain": "LEFT"}
        ok(await self.clinician.post(f"/sessions/{encounter_id}/documents", asked))

    async def author(self, encounter_id: str, text: str) -> None:
        """Have the clinician write the note himself."""
        written = {"consult_note": {"result": text, "heading": "Note"}}
        ok(await self.clinician.patch(f"/sessions/{encounter_id}", written))

    async def sign(self, encounter_id: str) -> None:
        ok(await self.clinician.post(f"/sessions/{encounter_id}/consult-note/sign-off"))

    async def erase(self, encounter_id: str, scope: ErasureScope = ErasureScope.EVERYTHING) -> None:
        await self.core.erasure.erase(
            OPERATOR, self.organization.id, encounter_id, scope=scope, reason=ErasureReason.COMMAND
        )

    async def released(self, encounter_id: str) -> Visit:
        """Return the visit as it can be read now."""
        shown = await self.core.release.of_encounter(self.organization.id, encounter_id)
        return Visit(encounter_id, {document.slot.partition(":")[0]: document.id for document in shown})

    async def heard(self, purpose: Purpose = Purpose.CARE, *sentences: int, **fields: Any) -> Visit:
        """A visit with a transcript only."""
        encounter_id = await self.begin(purpose, **fields)
        await self.upload(encounter_id, *(sentences or (3, 4)))
        return await self.released(encounter_id)

    async def whole(self, purpose: Purpose = Purpose.CARE, **fields: Any) -> Visit:
        """A visit with a transcript, a note and its codes, a letter and a checklist."""
        encounter_id = await self.begin(purpose, **fields)
        await self.upload(encounter_id)
        await self.note(encounter_id)
        await self.letter(encounter_id)
        return await self.released(encounter_id)

    # Damage: what no client can bring about

    async def lose_transcript(self, visit: Visit) -> Visit:
        """Have the text of the transcript be gone while its document stands."""
        await self._change(update(transcripts).where(transcripts.c.encounter_id == visit.id).values(sealed=None))
        return visit

    async def lose_recording(self, visit: Visit) -> Visit:
        """Have no sound belong to the transcript, as if there had never been any."""
        async with self.core.database.write() as transaction:
            for table in (segment_transcripts, segments):
                await connection_of(transaction).execute(delete(table).where(table.c.encounter_id == visit.id))
        return visit

    async def lose_blobs(self, visit: Visit) -> Visit:
        """Have the objects of the sound be gone from the store."""
        async with self.core.database.read() as transaction:
            query = select(segments.c.blob_id).where(segments.c.encounter_id == visit.id)
            names = list((await connection_of(transaction).execute(query)).scalars())
        assert names
        await self.core.vault.delete([name for name in names if name is not None])
        return visit

    async def leave_only(self, visit: Visit, *slots: str) -> Visit:
        """Have only the documents of these slots be readable."""
        await self._change(
            delete(released_documents).where(
                released_documents.c.encounter_id == visit.id, released_documents.c.slot.not_in(slots)
            )
        )
        return await self.released(visit.id)

    async def _change(self, statement: Any) -> None:
        async with self.core.database.write() as transaction:
            changed = await connection_of(transaction).execute(statement)
        assert changed.rowcount


@dataclass
class Lab:
    """An opened deployment, its door, and ways to bring its faults about."""

    core: Core
    http: httpx.AsyncClient
    scribe: httpx.AsyncClient
    folder: Path
    keys: dict[tuple[str, frozenset[str], frozenset[Scope]], str] = field(default_factory=dict)
    offset: float = 0.0

    async def clinic(self, name: str = "Clinic", *, allowed: bool = True, **policies: Any) -> Clinic:
        """Make an organization that the public API serves, with a clinician."""
        access = self.core.access
        organization = await access.create_organization(OPERATOR, name)
        organization = await access.update_organization(OPERATOR, organization.id, public_api=allowed, **policies)
        _, key = await access.create_key(OPERATOR, organization.id, KeyKind.TENANT)
        who = {"email": "quill@clinic.example", "third_party_internal_id": "quill"}
        token = ok(await self.scribe.get("/jwt", params=who, headers={"Heidi-Api-Key": key}))["token"]
        (user,) = await access.users(organization.id)
        return Clinic(
            self.core, self.scribe, organization, Clinician(self.core, self.scribe, organization, user, token)
        )

    async def open_all(self) -> None:
        """Switch the API and every route on."""
        await self.core.public.access.switch_api(OPERATOR, True)
        for route in PublicRoute:
            await self.core.public.access.switch_route(OPERATOR, route, True)

    async def key(self, clinic: Clinic, states: Iterable[str] = (), scopes: Iterable[Scope] = ALL_SCOPES) -> str:
        """Return the text of a key in these states, the same one each time."""
        wanted, carried = frozenset(states), frozenset(scopes)
        name = (clinic.organization.id, wanted, carried)
        if name not in self.keys:
            self.keys[name] = await self._new_key(clinic, wanted, carried)
        return self.keys[name]

    async def _new_key(self, clinic: Clinic, states: frozenset[str], scopes: frozenset[Scope]) -> str:
        if UNKNOWN in states:
            return new_key_text(KeyKind.PUBLIC, test=TEST in states)
        key, text = await self.make_key(
            clinic,
            scopes=scopes,
            test=TEST in states,
            expires_at=PAST if EXPIRED in states else None,
            user=clinic.clinician.user if OF_USER in states else None,
        )
        if DISABLED in states:
            await self.core.access.disable_key(OPERATOR, key.id)
        if REVOKED in states:
            await self.core.access.revoke_key(OPERATOR, key.id)
        return text

    async def make_key(
        self, clinic: Clinic, *, scopes: Iterable[Scope] = ALL_SCOPES, user: User | None = None, **more: Any
    ) -> tuple[ApiKey, str]:
        """Make a key of its own."""
        return await self.core.access.create_key(
            OPERATOR,
            clinic.organization.id,
            KeyKind.PUBLIC,
            scopes=frozenset(scopes),
            user_id=None if user is None else user.id,
            **more,
        )

    async def get(self, url: str, key: str | None, **more: Any) -> httpx.Response:
        """Ask the public API."""
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        return await self.http.get(url, headers={**headers, **more.pop("headers", {})}, **more)

    def a_moment_later(self) -> None:
        """Have nothing be remembered that was read of the database until now."""
        self.offset += 2 * recent.FRESH


def settings_of(folder: Path, database: str | None = None, **more: Any) -> Settings:
    """Return the settings of a deployment in this folder, on SQLite unless a URL is given, without a limit of requests.

    What else is given stands as it is.
    """
    return Settings(
        data=folder / "data",
        database=SecretStr(database or f"sqlite:///{folder / 'data' / 'osler.db'}"),
        public_requests_per_minute=more.pop("public_requests_per_minute", 0),
        **more,
    )


@asynccontextmanager
async def opened_lab(folder: Path, *, hears: Callable[[], SpeechService] = speech, **more: Any) -> AsyncIterator[Lab]:
    """Make a deployment, or open the one that is there, and open both of its doors; its jobs run at once."""
    settings = settings_of(folder, **more)
    await initialise(settings)
    async with open_core(settings, execute=True, engine="inline", speech=hears) as core:
        app = create_app(core)
        with pytest.MonkeyPatch.context() as patch:
            # A failure of the server is an answer here, as it is in real life.
            transport = httpx.ASGITransport(app, client=(ORIGIN, 4711), raise_app_exceptions=False)
            async with (
                httpx.AsyncClient(transport=transport, base_url="http://osler", timeout=60) as http,
                httpx.AsyncClient(transport=transport, base_url=f"http://osler{BASE_PATH}", timeout=60) as scribe,
            ):
                lab = Lab(core, http, scribe, folder)
                patch.setattr(recent, "monotonic", lambda: time.monotonic() + lab.offset)
                yield lab


@asynccontextmanager
async def second_door(folder: Path, **more: Any) -> AsyncIterator[httpx.AsyncClient]:
    """Open a door of another process on the same deployment, with other settings."""
    async with open_core(settings_of(folder, **more), engine="inline", speech=speech) as core:
        transport = httpx.ASGITransport(create_app(core), client=(ORIGIN, 4711), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://osler", timeout=60) as http:
            yield http


NOBODYS_ENCOUNTER = "100000000000000000"
NOBODYS_DOCUMENT = new_id()
SIGN_OFF = ReleasePolicy.SIGN_OFF
