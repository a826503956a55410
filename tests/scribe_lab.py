"""The scribe API on an opened core, in the test's own process: what needs to look inside or to turn the clock."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
from pydantic import SecretStr

from osler.access.model import ApiKey, KeyKind
from osler.api.app import create_app
from osler.api.scribe.app import BASE_PATH
from osler.audit.model import OPERATOR
from osler.bootstrap import Core, initialise, open_core
from osler.config import Settings

EMAIL = "dr.quux@clinic.example"


@dataclass
class Door:
    """The API, a tenant with a key, and a user's client."""

    core: Core
    http: httpx.AsyncClient
    organization_id: str
    key: ApiKey
    key_text: str

    async def token(self, email: str = EMAIL, user_id: str = "ehr-7", key: str | None = None) -> str:
        answer = await self.exchange(email=email, third_party_internal_id=user_id, key=key)
        assert answer.status_code == 200, answer.text
        token: str = answer.json()["token"]
        return token

    async def exchange(self, key: str | None = None, **query: str) -> httpx.Response:
        return await self.http.get("/jwt", params=query, headers={"Heidi-Api-Key": key or self.key_text})

    async def sign_in(self) -> None:
        self.http.headers["Authorization"] = f"Bearer {await self.token()}"

    async def access(self, token: str) -> httpx.Response:
        """Ask for something that any good token opens."""
        return await self.http.get("/users/linked-account/access", headers={"Authorization": f"Bearer {token}"})

    async def post(self, path: str, json: Any = None, key: str | None = None, **more: Any) -> httpx.Response:
        headers = {} if key is None else {"Idempotency-Key": key}
        return await self.http.post(path, json=json, headers=headers, **more)

    async def another_tenant(self) -> str:
        """Return the key of another tenant."""
        organization = await self.core.access.create_organization(OPERATOR, "Another")
        return (await self.core.access.create_key(OPERATOR, organization.id, KeyKind.TENANT))[1]


@asynccontextmanager
async def opened_door(folder: Path, database_url: str, **settings: Any) -> AsyncIterator[Door]:
    """Open a deployment with one tenant."""
    chosen = Settings(data=folder / "data", database=SecretStr(database_url), **settings)
    await initialise(chosen)
    async with open_core(chosen, engine="inline") as core:
        organization = await core.access.create_organization(OPERATOR, "Clinic", f"clinic-{secrets.token_hex(4)}")
        key, text = await core.access.create_key(OPERATOR, organization.id, KeyKind.TENANT)
        # A failure of the server is to be an answer here as it is in real life, not an exception of the test.
        transport = httpx.ASGITransport(create_app(core), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url=f"http://osler{BASE_PATH}") as http:
            yield Door(core, http, organization.id, key, text)


MINUTE = timedelta(minutes=1)
