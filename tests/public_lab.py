"""The public API in the test's own process: requests byte by byte, some that no library would send."""

import json
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from starlette.types import ASGIApp, Message

from osler.access.model import ApiKey, KeyKind, Organization, Scope
from osler.access.public import PublicRoute
from osler.api.app import create_app
from osler.api.public.contract import ROUTES
from osler.audit.model import OPERATOR
from osler.bootstrap import Core
from tests.pipeline_lab import chunks_of, tones
from tests.scribe_practice import Clinician, Town
from tests.writing_lab import opened_practice_town

ENCOUNTERS = "/external/v1/encounters"
ERROR_KEYS = ["error", "reason_code", "message", "field"]


@dataclass
class Reply:
    """What came back. Header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes
    fields: list[tuple[str, str]] = field(default_factory=list)

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def refused(self, status: int, code: str, field: str | None = None) -> None:
        """Make sure that this is that refusal, in the four keys and their order."""
        assert (self.status, self.json["reason_code"], self.json["field"]) == (status, code, field), self.body
        assert list(self.json) == ERROR_KEYS
        assert self.headers["content-type"] == "application/json"
        assert "no-store" in self.headers["cache-control"]

    def ok(self) -> Any:
        assert self.status == 200, self.body
        return self.json


@dataclass
class PublicClient:
    """Sends requests with a key, unless others are given."""

    app: ASGIApp
    key: str | None = None
    request_id: str | None = None

    async def get(self, path: str, query: bytes | str = b"", **headers: str) -> Reply:
        """Ask for a path as it stands, escapes and all; ``if_none_match="..."`` is a header."""
        more = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()]
        return await self.send("GET", path, query, more)

    async def send(
        self,
        method: str,
        path: str | bytes,
        query: bytes | str = b"",
        headers: Iterable[tuple[bytes, bytes]] = (),
        *,
        root_path: str = "",
    ) -> Reply:
        raw = path if isinstance(path, bytes) else path.encode()
        sent = list(headers)
        if self.key is not None and not any(name == b"authorization" for name, _ in sent):
            sent.append((b"authorization", f"Bearer {self.key}".encode()))
        if self.request_id is not None:
            sent.append((b"x-request-id", self.request_id.encode()))
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": root_path + unquote(raw.decode("latin-1")),
            "raw_path": root_path.encode() + raw,
            "query_string": query if isinstance(query, bytes) else query.encode(),
            "root_path": root_path,
            "headers": sent,
            "client": ("192.0.2.7", 4711),
            "server": ("osler", 80),
            "state": {},
        }
        messages: list[Message] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Message) -> None:
            messages.append(message)

        await self.app(scope, receive, send)
        start, *rest = messages
        fields = [(name.decode().lower(), value.decode("latin-1")) for name, value in start["headers"]]
        body = b"".join(message.get("body", b"") for message in rest)
        return Reply(start["status"], dict(fields), body, fields)


async def open_everything(core: Core, organization: Organization) -> None:
    """Switch on the API with every route, for this organization too."""
    await core.public.access.switch_api(OPERATOR, True)
    await core.public.access.switch_routes(OPERATOR, True)
    await core.access.update_organization(OPERATOR, organization.id, public_api=True)


async def public_key(
    core: Core, organization: Organization, scopes: Sequence[Scope] = tuple(Scope), **more: Any
) -> tuple[ApiKey, str]:
    """Make a key of the public API."""
    return await core.access.create_key(OPERATOR, organization.id, KeyKind.PUBLIC, scopes=frozenset(scopes), **more)


@dataclass
class House:
    """A practice with one visit that can be read, and a client whose key opens everything."""

    core: Core
    organization: Organization
    clinician: Clinician
    app: Any
    key: ApiKey
    client: PublicClient
    encounter_id: str
    documents: dict[str, str]
    """Ids by kind."""

    def path(self, route: PublicRoute, encounter_id: str | None = None, document_id: str | None = None) -> str:
        chosen = document_id or self.documents["ambient_transcript"]
        return ROUTES[route].path.format(encounter_id=encounter_id or self.encounter_id, document_id=chosen)

    def with_key(self, key: str | None) -> PublicClient:
        return PublicClient(self.app, key)


@pytest.fixture(scope="module")
async def public_house(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """One deployment for the tests of a module."""
    folder: Path = tmp_path_factory.mktemp("public")
    async with opened_practice_town(folder, f"sqlite:///{folder / 'osler.db'}") as town:
        yield await furnished(town)


def with_rate(core: Core, requests_per_minute: int) -> Core:
    """Return the same core with another limit."""
    return replace(core, public=replace(core.public, requests_per_minute=requests_per_minute))


async def furnished(town: Town) -> House:
    clinician = await town.clinician()
    core, organization = town.core, clinician.organization
    session_id = await clinician.session()
    await core.audio.upload(
        clinician.user_as_actor, organization.id, session_id, chunks_of(tones(0, 1)), media_type="audio/wav"
    )
    await open_everything(core, organization)
    key, text = await public_key(core, organization)
    # As many requests as the tests like.
    app = create_app(with_rate(core, 0))
    client = PublicClient(app, text)
    encounter = (await client.get(f"{ENCOUNTERS}/{session_id}")).ok()["encounter"]
    documents = {each["schema_type"]: each["document_id"] for each in encounter["documents"]}
    return House(core, organization, clinician, app, key, client, session_id, documents)
