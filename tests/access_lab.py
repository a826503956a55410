"""The access room on a real database, with a clock that tests turn by hand."""

import asyncio
import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from osler.access import recent
from osler.access.model import ApiKey
from osler.access.recent import Watch
from osler.access.service import AccessService
from osler.audit.model import AuditEntry
from osler.audit.service import AuditService
from osler.kernel.transactions import Database
from osler.storage.repositories.access import (
    SqlApiKeyRepository,
    SqlOrganizationRepository,
    SqlSigningKeyRepository,
    SqlUserRepository,
)
from osler.storage.repositories.audit import SqlAuditRepository
from osler.storage.repositories.sealed import SealedRows
from osler.storage.sealing.deployment import DeploymentSecret, DerivedChainKey
from osler.storage.sealing.digest import HmacKeyDigest
from osler.storage.sealing.keys import DataKey, KeyRing, MasterKey
from osler.storage.sealing.sources import DIGEST_KEY, FileSecret

NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)


class HandClock:
    """A clock that stands still until it is told to go on."""

    def __init__(self) -> None:
        self.time = NOON

    def now(self) -> datetime:
        return self.time

    def go_on(self, by: timedelta = timedelta(seconds=1)) -> None:
        self.time += by


class AccessLab:
    """The services, and what they are made of. ``pepper`` is the file of the digest key."""

    def __init__(self, database: Database, folder: Path, *, last_use_interval: float = 60.0) -> None:
        self.database = database
        self.clock = HandClock()
        self.pepper = FileSecret(DIGEST_KEY, folder / "digest.key")
        self.pepper.create()
        self.rows = SealedRows(KeyRing(MasterKey(secrets.token_bytes(32))), self.clock)
        self.secret = DeploymentSecret(DataKey(secrets.token_bytes(32)))
        self.audit = AuditService(
            database=database, repository=SqlAuditRepository(), chain_key=DerivedChainKey(self.secret)
        )
        self.organizations = SqlOrganizationRepository()
        self.users = SqlUserRepository(self.rows, self.secret)
        self.keys = SqlApiKeyRepository()
        self.signing_keys = SqlSigningKeyRepository(self.rows)
        self.access = self.another(database, last_use_interval)

    def another(self, database: Database, last_use_interval: float = 60.0, watch: Watch | None = None) -> AccessService:
        """Return the service as another process would have it, on a database of its own."""
        return AccessService(
            database=database,
            clock=self.clock,
            organizations=self.organizations,
            users=self.users,
            keys=self.keys,
            signing_keys=self.signing_keys,
            digest=HmacKeyDigest(self.pepper),
            audit=AuditService(
                database=database, repository=SqlAuditRepository(), chain_key=DerivedChainKey(self.secret)
            ),
            watch=watch,
            last_use_interval=last_use_interval,
        )

    async def trace(self, organization_id: str) -> list[AuditEntry]:
        """Return what an organization's audit trail says, oldest first, after showing that it is whole."""
        assert (await self.audit.verify(organization_id)).broken == ()
        return list(reversed(await self.audit.list(organization_id)))

    async def actions(self, organization_id: str) -> list[str]:
        return [entry.event.action for entry in await self.trace(organization_id)]


class HeldReading:
    """Has the next readings of keys end only when they are let go: what they found is of the time before."""

    def __init__(self, keys: SqlApiKeyRepository, patch: pytest.MonkeyPatch) -> None:
        self.found, self.let_go = asyncio.Event(), asyncio.Event()
        find = type(keys).find

        async def slow(*wanted: Any) -> ApiKey | None:
            found = await find(*wanted)
            self.found.set()
            await self.let_go.wait()
            return found

        patch.setattr(type(keys), "find", slow)


class HandTime:
    """The seconds by which processes forget what they know of access, turned by hand.

    A watch looks all the time then; ``pass_by`` waits after every step for a whole look of each that is given, as if
    they were in time on a machine of any speed.
    """

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.every = recent.EVERY
        self.now = 1000.0
        patch.setattr(recent, "monotonic", lambda: self.now)
        patch.setattr(recent, "EVERY", 0.002)

    async def pass_by(self, seconds: float, *looks: Callable[[], int]) -> None:
        """Have time pass, in steps of the pause between two looks; ``looks`` count how many were begun."""
        while seconds > 0:
            step = min(seconds, self.every)
            seconds -= step
            self.now += step
            before = [begun() for begun in looks]
            # The one under way may have begun before this step; when the second begins the first has ended.
            async with asyncio.timeout(60):
                while any(begun() < was + 2 for begun, was in zip(looks, before, strict=True)):
                    await asyncio.sleep(0.001)
