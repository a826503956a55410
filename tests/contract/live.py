"""A deployment of its own: made, given tenants and keys by the command line, and served by a real process."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.server_lab import Server, clean_environment

BASE_PATH = "/api/v2/ml-scribe/open-api"

PATIENCE = 180.0
"""Seconds for a command and for an answer: the first of a writer waits until it is loaded, on whatever machine."""


@dataclass(frozen=True)
class Tenant:
    """An organization and its key."""

    id: str
    key: str
    key_id: str


class Deployment:
    """A data folder on SQLite, and the server on it."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        self.server = Server(self.data, "--no-worker", log=folder / "server.log")

    def osler(self, *arguments: str) -> Any:
        """Run a command and return the JSON that it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "osler", *arguments, "--json"],
            env=clean_environment(self.data),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def tenant(self, name: str) -> Tenant:
        """Make an organization with a key."""
        organization = self.osler("org", "create", name)["organization_id"]
        key = self.key(organization)
        return Tenant(organization, key["key"], key["key_id"])

    def key(self, organization_id: str, *options: str) -> Any:
        """Make another key of an organization."""
        return self.osler("key", "create", "--org", organization_id, "--kind", "tenant", *options)

    @property
    def url(self) -> str:
        return self.server.url + BASE_PATH

    def client(self, token: str | None = None) -> httpx.Client:
        """Return a client at the base path, with a token or without."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=PATIENCE)

    def token(self, tenant: Tenant, email: str = "clinician@example.org", third_party_id: str = "ehr-7") -> str:
        """Exchange a tenant's key for a user's token."""
        answer = httpx.get(
            self.url + "/jwt",
            params={"email": email, "third_party_internal_id": third_party_id},
            headers={"Heidi-Api-Key": tenant.key},
            timeout=PATIENCE,
        )
        assert answer.status_code == 200, answer.text
        token: str = answer.json()["token"]
        return token
