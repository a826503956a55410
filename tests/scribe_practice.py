"""Practices and their clinicians at the scribe API, on a core in the test's own process."""

import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from osler.access.model import KeyKind, Organization, User
from osler.api.app import create_app
from osler.api.scribe.app import BASE_PATH
from osler.audit.model import OPERATOR, Actor, ActorKind
from osler.bootstrap import Core, initialise, open_core
from osler.config import Settings
from tests.servers.postgresql import PostgresqlServer

NOBODYS_SESSION = "100000000000000000"
NOBODYS_ID = "0123456789abcdef01234567"


@dataclass
class Practice:
    """An organization and its key."""

    organization: Organization
    key: str


@dataclass
class Clinician:
    """A user with a token, and the calls that he makes."""

    core: Core
    http: httpx.AsyncClient
    organization: Organization
    user: User
    token: str

    @property
    def user_as_actor(self) -> Actor:
        return Actor(ActorKind.USER, self.user.id, "192.0.2.7")

    async def call(self, method: str, path: str, **more: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.token}", **more.pop("headers", {})}
        return await self.http.request(method, path, headers=headers, **more)

    async def get(self, path: str, **query: Any) -> httpx.Response:
        return await self.call("GET", path, params=query)

    async def post(self, path: str, json: Any = None, **more: Any) -> httpx.Response:
        return await self.call("POST", path, **more, **({} if json is None else {"json": json}))

    async def patch(self, path: str, json: Any) -> httpx.Response:
        return await self.call("PATCH", path, json=json)

    async def session(self, **fields: Any) -> str:
        """Make a session and return its id."""
        session_id: str = ok(await self.post("/sessions", fields))["session_id"]
        return session_id

    async def told(self, session_id: str) -> dict[str, Any]:
        """Return a session as the prose shows it."""
        session: dict[str, Any] = ok(await self.get(f"/sessions/{session_id}"))["session"]
        return session

    async def profile(self, **fields: Any) -> dict[str, Any]:
        """Make a patient profile and return it as the prose shows it."""
        profile: dict[str, Any] = ok(await self.post("/patient-profiles", fields))["data"]
        return profile

    async def link(self, account: str = "account-1") -> None:
        ok(await self.post("/users/linked-account", {"kinde_user_id": account}))

    async def traces(self, action: str) -> list[dict[str, str]]:
        """Return what the audit trail says of such acts of this user, oldest first: subject and detail."""
        entries = await self.core.audit.list(self.organization.id, action=action, limit=1000)
        mine = [entry.event for entry in reversed(entries) if entry.event.actor.id == self.user.id]
        return [{**event.subject, **event.detail} for event in mine]


@dataclass
class Town:
    """A deployment with its door open."""

    core: Core
    http: httpx.AsyncClient

    async def practice(self, **policies: Any) -> Practice:
        organization = await self.core.access.create_organization(OPERATOR, "Practice")
        if policies:
            organization = await self.core.access.update_organization(OPERATOR, organization.id, **policies)
        _, key = await self.core.access.create_key(OPERATOR, organization.id, KeyKind.TENANT)
        return Practice(organization, key)

    async def clinician(self, practice: Practice | None = None, name: str = "quill") -> Clinician:
        """Exchange the key of a practice (a new one unless given) for a token."""
        practice = practice or await self.practice()
        answer = await self.http.get(
            "/jwt",
            params={"email": f"{name}@clinic.example", "third_party_internal_id": name},
            headers={"Heidi-Api-Key": practice.key},
        )
        users = await self.core.access.users(practice.organization.id)
        (user,) = [user for user in users if user.third_party_id == name]
        return Clinician(self.core, self.http, practice.organization, user, ok(answer)["token"])


@asynccontextmanager
async def opened_town(
    folder: Path, database_url: str, *, core_with: Mapping[str, Any] | None = None, **more: Any
) -> AsyncIterator[Town]:
    """Make a deployment with ``more`` settings and open its door; jobs are queued and not run.

    ``core_with`` opens the core otherwise: ``execute``, engines.
    """
    settings = Settings(data=folder / "data", database=SecretStr(database_url), **more)
    await initialise(settings)
    async with open_core(settings, engine="inline", **(core_with or {})) as core:
        # A failure of the server is an answer here, as it is in real life.
        transport = httpx.ASGITransport(create_app(core), client=("192.0.2.7", 4711), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url=f"http://osler{BASE_PATH}", timeout=60) as http:
            yield Town(core, http)


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.services)])
async def shared_town(
    anyio_backend: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Town]:
    """One deployment for the tests of a module, on each database; each test has practices of its own."""
    folder = tmp_path_factory.mktemp("town")
    if request.param == "sqlite":
        async with opened_town(folder, f"sqlite:///{folder / 'osler.db'}") as town:
            yield town
        return
    server: PostgresqlServer = request.getfixturevalue("postgresql_server")
    name = f"town_{secrets.token_hex(6)}"
    async with opened_town(folder, server.create_database(name)) as town:
        yield town
    server.drop_database(name)


@pytest.fixture
async def clinician(shared_town: Town) -> Clinician:
    """A clinician of a practice of his own."""
    return await shared_town.clinician()


def ok(answer: httpx.Response) -> dict[str, Any]:
    """Return the JSON of an answer that must be a success."""
    assert answer.status_code == 200, f"{answer.status_code}: {answer.text[:1000]}"
    body: dict[str, Any] = answer.json()
    return body


def refused(answer: httpx.Response, status: int, kind: str | None = None, field: str | None = None) -> Any:
    """Make sure that an answer is the contract's error, of that type and naming that field; return its detail."""
    assert answer.status_code == status, f"{answer.status_code}: {answer.text[:1000]}"
    body = answer.json()
    assert set(body) == {"detail"}
    detail = body["detail"]
    assert isinstance(detail, str) or {"msg", "type"} <= set(detail) <= {"msg", "type", "field"}
    if kind is not None:
        assert detail["type"] == kind, detail
    if field is not None:
        assert detail["field"] == field and field.split(".")[-1] in detail["msg"], detail
    return detail
