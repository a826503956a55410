"""What it costs a request of the public API to say who asks, whether that is open to him, and to write that he saw it.

``python -m osler_evals.public_auth [--requests 20000] [--pauses 10] [--json evals/results/public-auth.json]``
measures SQLite in a temporary folder and a PostgreSQL of its own, both durable, in this process through the services
that the door calls:

- *known key*: ``authenticate`` with one key again and again, as a client polls;
- *known key, 64 at once*: the same by 64 tasks; the time is that from one answer to the next;
- *key of first use*: every request another key, so each is read from the database;
- *key, switches, organization*: all that the door asks before it looks at the request;
- *key used again after 3 s*, and the same with switches and organization: one request after each of ``--pauses`` pauses
  in which nobody asks anything; of the processor without the looks of the pause;
- *look for changes*: what a process reads every 0.4 s while keys are used, and for five minutes after;
- *unknown key*: a well-formed key that there is not, which is looked for every time;
- *disclosure of 50*: the entry of a list page, durable; alone, and 64 at once.

Milliseconds a request by the clock, and of the processor (all threads of this process; not those of PostgreSQL).
"""

import argparse
import asyncio
import itertools
import json
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from osler.access.key_text import hint, new_key_text
from osler.access.model import ApiKey, KeyKind, Scope
from osler.access.public import PublicAccess, PublicRoute
from osler.access.recent import Watch
from osler.access.service import AccessService
from osler.audit.disclosures import DisclosureService
from osler.audit.model import OPERATOR, Actor, ActorKind
from osler.audit.service import AuditService
from osler.kernel.clock import SystemClock
from osler.kernel.errors import NotAllowedError
from osler.kernel.ids import new_encounter_id, new_id
from osler.storage.database import SqlDatabase
from osler.storage.migrations import migrate
from osler.storage.repositories.access import (
    SqlApiKeyRepository,
    SqlOrganizationRepository,
    SqlPublicSwitchRepository,
    SqlSigningKeyRepository,
    SqlUserRepository,
)
from osler.storage.repositories.access_revision import SqlAccessRevisionRepository
from osler.storage.repositories.audit import SqlAuditRepository
from osler.storage.repositories.sealed import SealedRows
from osler.storage.sealing.deployment import DeploymentSecret, DerivedChainKey
from osler.storage.sealing.digest import HmacKeyDigest
from osler.storage.sealing.keys import DataKey, KeyRing, MasterKey
from osler.storage.sealing.sources import DIGEST_KEY, ValueSecret

WANTED: Final = 0.3
"""Milliseconds that authentication may cost a request."""

AT_ONCE: Final = 64
PAUSE: Final = 3.0
"""Seconds after which a key is used again: more than what is read is fresh for by itself."""
SCOPES: Final = frozenset(Scope)


@dataclass(frozen=True, slots=True)
class Cost:
    """Milliseconds a request: by the clock (median, 95th percentile, mean), and of the processor (mean)."""

    database: str
    what: str
    requests: int
    median: float
    p95: float
    mean: float
    processor: float


class Lab:
    """The services on one database, as the server has them."""

    def __init__(self, url: str) -> None:
        self.database = SqlDatabase(url)
        clock = SystemClock()
        rows = SealedRows(KeyRing(MasterKey(os.urandom(32))), clock)
        secret = DeploymentSecret(DataKey(os.urandom(32)))
        self.digest = HmacKeyDigest(ValueSecret(DIGEST_KEY, os.urandom(32).hex()))
        self.keys = SqlApiKeyRepository()
        self.audit = AuditService(
            database=self.database, repository=SqlAuditRepository(), chain_key=DerivedChainKey(secret)
        )
        self.revisions = SqlAccessRevisionRepository()
        watch = Watch(database=self.database, revisions=self.revisions)
        self.access = AccessService(
            database=self.database,
            clock=clock,
            organizations=SqlOrganizationRepository(),
            users=SqlUserRepository(rows, secret),
            keys=self.keys,
            signing_keys=SqlSigningKeyRepository(rows),
            digest=self.digest,
            audit=self.audit,
            watch=watch,
        )
        self.public = PublicAccess(
            database=self.database,
            clock=clock,
            switches=SqlPublicSwitchRepository(),
            organizations=self.access,
            audit=self.audit,
            watch=watch,
        )
        self.disclosures = DisclosureService(
            audit=self.audit, repository=SqlAuditRepository(), database=self.database, clock=clock
        )
        self.clock = clock

    async def many_keys(self, organization_id: str, count: int) -> list[str]:
        """Write keys in one transaction; return their texts."""
        texts = [new_key_text(KeyKind.PUBLIC, test=False) for _ in range(count)]
        digests = [await self.digest.digest(text) for text in texts]
        async with self.database.write() as transaction:
            for text, digest in zip(texts, digests, strict=True):
                key = ApiKey(new_id(), organization_id, KeyKind.PUBLIC, hint(text), self.clock.now(), SCOPES)
                await self.keys.add(transaction, key, digest)
        return texts


async def measure(name: str, url: str, requests: int, pauses: int) -> list[Cost]:
    """Measure one database, which is empty and not yet migrated."""
    lab = Lab(url)
    await migrate(lab.database)
    organization = (await lab.access.create_organization(OPERATOR, "Clinic")).id
    await lab.access.update_organization(OPERATOR, organization, public_api=True)
    await lab.public.switch_api(OPERATOR, True)
    await lab.public.switch_routes(OPERATOR, True)
    key, text = await lab.access.create_key(OPERATOR, organization, KeyKind.PUBLIC, scopes=SCOPES)
    first_uses = iter(await lab.many_keys(organization, min(requests, 3000) + 1))
    actor = Actor(ActorKind.KEY, key.id, "192.0.2.1")
    ids = [new_encounter_id() for _ in range(50)]

    async def known() -> None:
        await lab.access.authenticate(KeyKind.PUBLIC, text)

    async def first_use() -> None:
        await lab.access.authenticate(KeyKind.PUBLIC, next(first_uses))

    async def unknown() -> None:
        with suppress(NotAllowedError):
            await lab.access.authenticate(KeyKind.PUBLIC, new_key_text(KeyKind.PUBLIC, test=False))

    async def whole() -> None:
        found = await lab.access.authenticate(KeyKind.PUBLIC, text)
        switches = await lab.public.recent_switches()
        allowed = await lab.public.recent_organization_allowed(found.organization_id)
        if not (switches.enabled and PublicRoute.LIST_ENCOUNTERS in switches.routes and allowed):
            raise RuntimeError("what was switched on is off")

    async def look() -> None:
        async with lab.database.read() as transaction:
            await lab.revisions.current(transaction)

    async def disclosure() -> None:
        await lab.disclosures.listed(
            actor,
            organization,
            ids,
            route=PublicRoute.LIST_ENCOUNTERS,
            request_id="00000000-0000-4000-8000-000000000000",
        )

    found = [
        await _alone(name, "known key", known, requests),
        await _at_once(name, f"known key, {AT_ONCE} at once", known, requests),
        await _alone(name, "key of first use", first_use, min(requests, 3000)),
        await _alone(name, "unknown key", unknown, min(requests, 3000)),
        await _alone(name, "key, switches, organization", whole, requests),
        await _again(name, f"key used again after {PAUSE:g} s", known, pauses),
        await _again(name, f"key, switches, organization again after {PAUSE:g} s", whole, pauses),
        await _alone(name, "look for changes", look, min(requests, 3000)),
        await _alone(name, "disclosure of 50", disclosure, min(requests, 1000)),
        await _at_once(name, f"disclosure of 50, {AT_ONCE} at once", disclosure, min(requests, 10_000)),
    ]
    await lab.access.stop()
    if (await lab.audit.verify(organization)).broken:
        raise RuntimeError("the chain of what was measured is broken")
    await lab.database.dispose()
    return found


async def _alone(database: str, what: str, request: Callable[[], Awaitable[None]], count: int) -> Cost:
    await request()
    times = []
    processor = time.process_time()
    for _ in range(count):
        start = time.perf_counter()
        await request()
        times.append(time.perf_counter() - start)
    return _cost(database, what, times, time.process_time() - processor)


async def _again(database: str, what: str, request: Callable[[], Awaitable[None]], count: int) -> Cost:
    await request()
    times, processor = [], 0.0
    for _ in range(count):
        await asyncio.sleep(PAUSE)
        used, start = time.process_time(), time.perf_counter()
        await request()
        times.append(time.perf_counter() - start)
        processor += time.process_time() - used
    return _cost(database, what, times, processor)


async def _at_once(database: str, what: str, request: Callable[[], Awaitable[None]], count: int) -> Cost:
    await request()
    ends: list[float] = []
    left = iter(range(count))

    async def client() -> None:
        for _ in left:
            await request()
            ends.append(time.perf_counter())

    processor = time.process_time()
    ends.append(time.perf_counter())
    await asyncio.gather(*(client() for _ in range(AT_ONCE)))
    used = time.process_time() - processor
    return _cost(database, what, [after - before for before, after in itertools.pairwise(ends)], used)


def _cost(database: str, what: str, seconds: Sequence[float], processor: float) -> Cost:
    milliseconds = sorted(each * 1000 for each in seconds)
    return Cost(
        database=database,
        what=what,
        requests=len(milliseconds),
        median=round(statistics.median(milliseconds), 4),
        p95=round(milliseconds[int(0.95 * len(milliseconds))], 4),
        mean=round(statistics.fmean(milliseconds), 4),
        processor=round(1000 * processor / len(milliseconds), 4),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 1 if authentication with a known key costs more than was wanted."""
    parser = argparse.ArgumentParser(prog="osler_evals.public_auth", description=__doc__)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--pauses", type=int, default=10)
    parser.add_argument("--json", type=Path, default=None, help="also write the figures here")
    given = parser.parse_args(arguments)
    from tests.servers.postgresql import PostgresqlServer

    load_before = os.getloadavg()[0]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="osler-public-auth-")))
        costs = asyncio.run(
            measure("SQLite", f"sqlite:///{folder / 'data' / 'osler.db'}", given.requests, given.pauses)
        )
        server = PostgresqlServer(durable=True)
        stack.callback(server.close)
        server.start()
        costs += asyncio.run(measure("PostgreSQL", server.create_database("public_auth"), given.requests, given.pauses))
    load_after = os.getloadavg()[0]
    reached = all(
        each.mean <= WANTED for each in costs if each.what.startswith(("known key", "key used", "key, switches"))
    )
    print(f"{'ms a request':<58}{'median':>9}{'p95':>9}{'mean':>9}{'processor':>11}")
    for each in costs:
        name = f"{each.database}: {each.what}"
        print(f"{name:<58}{each.median:9.4f}{each.p95:9.4f}{each.mean:9.4f}{each.processor:11.4f}")
    print(f"load average {load_before:.2f} before, {load_after:.2f} after; {os.cpu_count()} cores")
    print(f"wanted: {WANTED} ms a request for authentication: {'reached' if reached else 'missed'}")
    if given.json is not None:
        told = {
            "wanted_ms": WANTED,
            "reached": reached,
            "costs": [asdict(each) for each in costs],
            "load_before": load_before,
            "load_after": load_after,
            "cores": os.cpu_count(),
        }
        given.json.write_text(json.dumps(told, indent=2) + "\n")
    return 0 if reached else 1


if __name__ == "__main__":
    raise SystemExit(main())
